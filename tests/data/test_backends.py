import itertools
import json
import math
from collections import Counter

import pytest
import torch
from transformers import AutoModelForCausalLM, WhisperFeatureExtractor

from desta2.data.backends import (
    Failure,
    PromptStyle,
    Request,
    Sampling,
    TransformersBackend,
    _GumbelNoise,
    _processors,
    item_seed,
)
from desta2.errors import CheckpointError, InputError
from desta2.model.checkpoint import fingerprint
from desta2.model.configuration import DEFAULT_SYSTEM_PROMPT, Desta2Config
from desta2.model.processing import Desta2Processor
from desta2.model.prompt import seed_messages

STYLE = PromptStyle("desta2", DEFAULT_SYSTEM_PROMPT)
SEEDS = [
    '[00:00:00 - 00:00:02] "hello" (Gender: Male)',
    '[00:00:00 - 00:00:04] "the quick brown fox says hello" (Gender: Female, Pitch: High, Volume: Loud)',
    '[00:00:00 - 00:00:01] ""',
    '[00:00:00 - 00:00:03] "is the voice loud" (Accent: Scottish)',
]
REQUESTS = [Request(f"clip-{i}", seed_messages(seed, "What can you hear?")) for i, seed in enumerate(SEEDS)]


@pytest.fixture(scope="session")
def llm(ending_llm):
    return ending_llm


@pytest.fixture(scope="module")
def backend(llm):
    return TransformersBackend(str(llm), STYLE)


def texts(replies):
    return [reply.text for reply in replies]


def reply(backend, requests, sampling):
    """Replies in the order of the requests."""
    found = {request.id: answer for request, answer in backend.answers(requests, sampling)}
    return [found[request.id] for request in requests]


# Answers


@pytest.mark.parametrize("temperature", [0.0, 1.0, 1.7])
def test_an_answer_does_not_depend_on_its_batch(backend, temperature):
    sampling = Sampling(temperature, max_new_tokens=40, seed=3)
    together = reply(backend, REQUESTS, sampling)
    assert [reply(backend, [request], sampling)[0] for request in REQUESTS] == together
    backwards = reply(backend, REQUESTS[::-1], sampling)
    assert backwards[::-1] == together
    assert len(set(texts(together))) > 1


def test_another_seed_gives_another_answer_and_so_does_another_id(backend):
    one, again, other = (reply(backend, REQUESTS[:2], Sampling(seed=s, max_new_tokens=30)) for s in (0, 0, 1))
    assert one == again
    assert not set(texts(one)) & set(texts(other))
    renamed = Request("another-id", REQUESTS[0].messages)
    assert reply(backend, [renamed], Sampling(max_new_tokens=30)) != one[:1]


def test_greedy_takes_the_likeliest_token_each_time(backend, llm):
    """Against a loop of our own, token by token without a cache."""
    model = AutoModelForCausalLM.from_pretrained(llm).eval()
    ends = model.generation_config.eos_token_id
    request, sampling = REQUESTS[1], Sampling(temperature=0, max_new_tokens=25, seed=1)
    (found,) = reply(backend, [request], sampling)
    ids = prompt_ids(backend, [request], sampling)[0]
    said = []
    with torch.no_grad():
        while len(said) < 25 and not (said and said[-1] in ends):
            said.append(int(model(torch.tensor([ids + said])).logits[0, -1].argmax()))
    finished = said[-1] in ends
    words = backend._tokenizer.decode(said[:-1] if finished else said, skip_special_tokens=True).strip()
    assert (found.text, found.finished) == (words, finished)
    assert reply(backend, [request], Sampling(temperature=0, max_new_tokens=25, seed=2)) == [found]


def test_cut_answers_are_not_finished(backend):
    replies = reply(backend, REQUESTS, Sampling(max_new_tokens=200))
    assert any(one.finished for one in replies)
    cut = reply(backend, REQUESTS, Sampling(max_new_tokens=2))
    assert not any(one.finished for one in cut) or len({one.finished for one in cut}) == 2
    for short, long in zip(cut, replies, strict=True):
        assert short.finished or long.text.startswith(short.text)


def test_an_answer_ends_with_its_turn_also_where_the_generation_config_does_not_say_so(llm, tmp_path):
    for file in llm.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    own = TransformersBackend(str(tmp_path), STYLE)
    turn = own._tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert turn in settings["eos_token_id"]
    settings["eos_token_id"].remove(turn)
    (tmp_path / "generation_config.json").write_text(json.dumps(settings))
    unlisted = TransformersBackend(str(tmp_path), STYLE)
    assert turn in unlisted._ends
    assert (unlisted._read([5, turn, 6]).text, unlisted._read([5, turn, 6]).finished) == (
        own._read([5]).text,
        True,
    )
    sampling = Sampling(max_new_tokens=30)
    assert reply(unlisted, REQUESTS, sampling) == reply(own, REQUESTS, sampling)


def test_what_follows_the_end_is_no_part_of_the_answer(backend):
    ends = backend._llm.generation_config.eos_token_id
    word = backend._tokenizer.encode(" fox", add_special_tokens=False)
    for end in (ends[0], 210):
        found = backend._read([*word, end, *word, 210, 5])
        assert (found.text, found.finished) == ("fox", True)
    assert not backend._read(word).finished


# Batches


@pytest.fixture
def many(llm):
    """Twelve requests of different lengths, and a backend that takes three at a time."""
    requests = [
        Request(f"clip-{i}", seed_messages(f'"{"hello " * (i * 5 % 12)}"', "What can you hear?"))
        for i in range(12)
    ]
    return TransformersBackend(str(llm), STYLE, batch_size=3), requests


def sizes(backend, fails=lambda rows: False):
    """Shapes of the batches that are generated; those for which `fails` holds run out of memory."""
    seen, generate = [], backend._llm.generate

    def spy(input_ids, **options):
        seen.append(tuple(input_ids.shape))
        if fails(len(input_ids)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids, **options)

    backend._llm.generate = spy
    return seen


def test_batches_hold_prompts_of_similar_length(many):
    backend, requests = many
    seen = sizes(backend)
    found = [request for request, _ in backend.answers(iter(requests), Sampling(max_new_tokens=2))]
    assert [rows for rows, _ in seen] == [3] * 4
    assert [length for _, length in seen] == sorted((length for _, length in seen), reverse=True)
    assert found != requests
    assert sorted(found, key=requests.index) == requests


def test_requests_are_taken_a_window_at_a_time(many):
    backend, requests = many
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield Request(str(number), requests[number % 12].messages)

    answers = backend.answers(endless(), Sampling(max_new_tokens=1))
    for _ in range(25):
        next(answers)
    assert len(taken) == 48


def test_out_of_memory_halves_the_batch_and_changes_no_answer(many, caplog):
    backend, requests = many
    sampling = Sampling(max_new_tokens=20)
    expected = reply(backend, requests, sampling)
    backend.batch_size = 8
    seen = sizes(backend, lambda rows: rows > 2)
    assert reply(backend, requests, sampling) == expected
    assert [rows for rows, _ in seen] == [8, 4] + [2] * 6
    assert "out of memory: going on with 4 answers at a time" in caplog.text
    assert backend.batch_size == 2


def test_a_prompt_that_does_not_fit_alone_fails_alone(many):
    backend, requests = many
    generate = backend._llm.generate

    def small(input_ids, **options):
        if input_ids.shape[1] > 90:
            raise torch.OutOfMemoryError
        return generate(input_ids, **options)

    backend._llm.generate = small
    found = reply(backend, requests, Sampling(max_new_tokens=2))
    failed = [outcome for outcome in found if isinstance(outcome, Failure)]
    assert 0 < len(failed) < len(found)
    assert failed[0].reason.startswith("out of memory with a single prompt of ")


# Prompts


def prompt_ids(backend, requests, sampling):
    """The prompts that the LLM is really given, without their padding."""
    seen = {}
    generate = backend._llm.generate

    def spy(input_ids, *, attention_mask, **options):
        (seen[request.id],) = (
            ids[mask.bool()].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True)
        )
        return generate(input_ids, attention_mask=attention_mask, **options)

    backend._llm.generate = spy
    try:
        for request in requests:
            reply(backend, [request], sampling)
    finally:
        del backend._llm.generate
    return [seen[request.id] for request in requests]


@pytest.mark.parametrize("layout", ["desta2", "desta2.5"])
@pytest.mark.parametrize("system", [DEFAULT_SYSTEM_PROMPT, None])
def test_the_llm_is_asked_as_the_model_will_be(llm, layout, system):
    """Training's prompt for the same clip, with the seed as its transcript and no audio positions."""
    backend = TransformersBackend(str(llm), PromptStyle(layout, system))
    config = Desta2Config(layout=layout, system_prompt=system)
    processor = Desta2Processor(config, WhisperFeatureExtractor(), backend._tokenizer, backend._tokenizer)
    asked = prompt_ids(backend, REQUESTS, Sampling(max_new_tokens=1))
    for ids, seed in zip(asked, SEEDS, strict=True):
        audios = [{"audio": "clip.wav", "text": None}]
        messages = [{"role": "user", "content": "<|AUDIO|>\nWhat can you hear?", "audios": audios}]
        trained = processor.prompt(messages, [seed], n_queries=0)
        assert ids == trained.input_ids
        with_audio = processor.prompt(messages, [seed], n_queries=5)
        ((start, length),) = with_audio.audio_slots
        assert ids == with_audio.input_ids[:start] + with_audio.input_ids[start + length :]


# Sampling


def test_seeds_of_items():
    seeds = {item_seed(Sampling(seed=s), key) for s in range(3) for key in ("a", "b", "1/a")}
    assert len(seeds) == 9
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)


LOGITS = torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5])


def draw_counts(sampling, keys=200, draws=100):
    """How often each of five tokens is drawn, over `keys` items and `draws` steps of each."""
    processors = _processors([str(i) for i in range(keys)], sampling)
    scores = LOGITS.expand(keys, -1)
    counts = Counter()
    for _ in range(draws):
        counts.update(processors(torch.zeros(keys, 1, dtype=torch.long), scores.clone()).argmax(-1).tolist())
    return [counts[token] for token in range(5)]


def chi_square(counts, probabilities):
    total = sum(counts)
    return sum((n - total * p) ** 2 / (total * p) for n, p in zip(counts, probabilities, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_tokens_are_drawn_as_often_as_the_softmax_says(temperature):
    """20,000 draws; 23.5 is the 99.99 % point of chi-square with 4 degrees of freedom."""
    probabilities = (LOGITS / temperature).softmax(-1).tolist()
    counts = draw_counts(Sampling(temperature, seed=1))
    assert sum(counts) == 20_000
    assert chi_square(counts, probabilities) < 23.5
    assert chi_square(counts, LOGITS.softmax(-1).tolist()) > 100 or temperature == 1.0


def test_nucleus_sampling_draws_from_the_nucleus_alone():
    """Probabilities .57 .21 .13 .08 .03: the first three make up 0.85."""
    counts = draw_counts(Sampling(top_p=0.85, seed=2))
    order = LOGITS.argsort(descending=True).tolist()
    inside, outside = order[:3], order[3:]
    assert [counts[token] for token in outside] == [0, 0]
    probabilities = LOGITS[inside].softmax(-1).tolist()
    assert chi_square([counts[token] for token in inside], probabilities) < 18.4  # 99.99 %, 2 degrees


def test_noise_is_a_stream_of_its_seed():
    scores = torch.zeros(2, 1_000)
    one = _GumbelNoise([1, 2])
    first, second = one(None, scores), one(None, scores)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    alone = _GumbelNoise([2])
    assert torch.equal(alone(None, scores[1:])[0], first[1])
    assert torch.equal(alone(None, scores[1:])[0], second[1])
    assert float(first.mean()) == pytest.approx(0.5772, abs=0.1)  # of the standard Gumbel distribution
    assert float(first.var()) == pytest.approx(math.pi**2 / 6, abs=0.3)
    assert _GumbelNoise([1])(None, scores[:1].half()).dtype == torch.float16


def test_greedy_needs_no_processors():
    assert len(_processors(["a"], Sampling(temperature=0, top_p=0.5))) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, r"temperature is -0\.1; it must be 0 \(greedy\) or more"),
        ({"top_p": 0}, "top_p is 0; it must be above 0 and at most 1"),
        ({"top_p": 1.5}, r"top_p is 1\.5; it must be above 0"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be at least 1"),
        ({"temperature": math.nan}, "temperature is nan; it must be 0"),
        ({"temperature": math.inf}, "temperature is inf; .* and finite"),
        ({"top_p": math.nan}, "top_p is nan; it must be above 0"),
    ],
)
def test_impossible_sampling_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Sampling(**options)


def test_sampling_as_plain_values():
    assert Sampling(0.5, 0.9, 7, 3).to_dict() == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_new_tokens": 7,
        "seed": 3,
    }


# The LLM


def test_the_llm_is_named_and_known_again(backend, llm):
    assert backend.name == str(llm)
    assert backend.fingerprint == fingerprint(llm)
    assert not any(parameter.requires_grad for parameter in backend._llm.parameters())
    assert not backend._llm.training


def test_an_llm_that_is_not_there_is_the_users_mistake(tmp_path):
    with pytest.raises(CheckpointError, match=r"frozen model \./nowhere .* is not there"):
        TransformersBackend("./nowhere", STYLE)
    with pytest.raises(CheckpointError, match="cannot load the LLM no-one/no-such-llm"):
        TransformersBackend("no-one/no-such-llm", STYLE)
    with pytest.raises(CheckpointError, match="cannot load the LLM"):
        TransformersBackend(str(tmp_path), STYLE)


def test_an_llm_without_tokenizer_is_the_users_mistake(llm, tmp_path):
    for file in llm.iterdir():
        if "token" not in file.name and "template" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match=f"cannot load the tokenizer of {tmp_path}"):
        TransformersBackend(str(tmp_path), STYLE)
