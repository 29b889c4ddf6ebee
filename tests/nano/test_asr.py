import math
import os
import re
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoFeatureExtractor,
    AutoTokenizer,
    WhisperForConditionalGeneration,
    WhisperProcessor,
)

from desta2.data.audio import write_wav
from desta2.errors import InputError
from desta2.nano import asr
from desta2.nano.asr import (
    AsrRecipe,
    make_feature_extractor,
    make_model,
    make_tokenizer,
    train_asr,
    transcribe,
)
from desta2.nano.asr_speech import batches_of, load_speech
from desta2.nano.grammar import WORDS
from desta2.nano.loop import LoopRecipe
from desta2.records import Clip, read_records, write_records

TINY = AsrRecipe(
    clips=32, validation_clips=4, width=16, encoder_layers=1, decoder_layers=1, heads=2, batch=8,
    loop=LoopRecipe(steps=3, learning_rate=1e-3, warmup=1, save_seconds=-1.0, log_every=1),
)  # fmt: skip
PREFIX = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def write_corpus(folder, n, seed=0):
    """Noise that claims to be speech: what is learnt does not matter here."""
    rng = np.random.default_rng(seed)
    (folder / "audio").mkdir(parents=True)
    clips = []
    for i in range(n):
        name = f"audio/{i}.wav"
        samples = 0.1 * rng.standard_normal(int(rng.integers(8_000, 100_000)))
        write_wav(folder / name, np.clip(samples, -1, 1).astype(np.float32))
        text = f"{' '.join(rng.choice(WORDS, 4))}. {rng.choice(WORDS)}"
        clips.append(Clip(id=str(i), audio=name, text=text, duration=len(samples) / 16_000))
    write_records(folder / "clips.jsonl", clips)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "train", 32)
    write_corpus(folder / "val", 4, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, corpus):
    folder = tmp_path_factory.mktemp("trained")
    train_asr(folder, TINY, corpus)
    return folder


def steps(folder):
    return re.findall(r'"step": (\d+), "loss"', (folder / "work" / "log.jsonl").read_text())


# Tokenizer


def test_every_word_of_the_grammar_is_one_token(tokenizer):
    broken = [word for word in WORDS if len(tokenizer.encode(f" {word}", add_special_tokens=False)) != 1]
    assert broken == []
    ids = tokenizer.encode(" the old fox found two books. it", add_special_tokens=False)
    assert tokenizer.convert_ids_to_tokens(ids) == [
        "Ġthe", "Ġold", "Ġfox", "Ġfound", "Ġtwo", "Ġbooks", ".", "Ġit",
    ]  # fmt: skip


def test_texts_stand_between_the_prefix_and_the_end(tokenizer):
    ids = tokenizer(" the fox").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == [*PREFIX, "Ġthe", "Ġfox", "<|endoftext|>"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == " the fox"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=100)
def test_any_text_survives_the_tokenizer(text):
    tokenizer = make_tokenizer_once()
    assert (
        tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), clean_up_tokenization_spaces=False)
        == text
    )


def make_tokenizer_once(made=[]):  # noqa: B006 - a cache: hypothesis and function fixtures do not mix
    return made[0] if made else (made.append(make_tokenizer()), made[0])[1]


# Features and model


def test_a_window_of_8_seconds_is_80_by_400():
    extractor = make_feature_extractor()
    for samples in (np.zeros(8_000, np.float32), np.zeros(128_000, np.float32)):
        features = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features
        assert features.shape == (1, 80, 400)


def test_the_model_has_the_recipes_size_and_is_the_same_each_time(tokenizer):
    one, two = (make_model(tokenizer, TINY) for _ in range(2))
    assert (one.config.d_model, one.config.encoder_layers, one.config.max_source_positions) == (16, 1, 200)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    other = make_model(tokenizer, replace(TINY, seed=1))
    assert not torch.equal(one.model.encoder.conv1.weight, other.model.encoder.conv1.weight)


def test_the_loss_is_over_words_and_end_alone(tokenizer):
    """Against the loss that the model computes itself, on the same tokens."""
    model = asr._WithHeads(make_model(tokenizer, TINY), tokenizer).eval()
    features = torch.randn(2, 80, 400)
    texts = ["the old fox slept near the river", "a dog"]
    with torch.no_grad():
        loss = model.loss(features, texts, ctc_weight=0.0, mirror_weight=0.0)
        rows = [tokenizer(f" {text}").input_ids for text in texts]
        picked = []
        for row, sound in zip(rows, features, strict=True):
            logits = model.whisper(
                input_features=sound[None], decoder_input_ids=torch.tensor([row[:-1]])
            ).logits[0]
            picked.append((logits[3:], torch.tensor(row[4:])))
        logits, labels = (torch.cat(column) for column in zip(*picked, strict=True))
        assert labels.shape == (7 + 1 + 2 + 1,)
        expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
        with_ctc = model.loss(features, texts, ctc_weight=0.5, mirror_weight=0.0)
        with_mirror = model.loss(features, texts, ctc_weight=0.0, mirror_weight=2.0)
    for more in (with_ctc, with_mirror):
        assert torch.isfinite(more)
        assert more > loss


def test_the_mirror_wants_the_two_frames_of_each_position(tokenizer):
    model = asr._WithHeads(make_model(tokenizer, TINY), tokenizer)
    model.mirror.weight.data.zero_()
    frames = torch.randn(80, 2)
    model.mirror.bias.data = frames.T.flatten()
    entering = torch.zeros(3, 50, TINY.width)
    assert float(model._mirror_loss(entering, frames.repeat(3, 1, 50))) == 0.0


def test_a_beginning_of_the_window_has_the_first_positions(tokenizer):
    """Against the encoder's own pass over the whole window, with attention kept to the beginning."""
    whisper = make_model(tokenizer, TINY).eval()
    whole = torch.zeros(1, 80, 400)
    whole[..., :120] = torch.randn(1, 80, 120, generator=torch.Generator().manual_seed(0))
    encoder = whisper.model.encoder
    with torch.no_grad():
        with asr._window(whisper, 120):
            short = encoder(whole[..., :120]).last_hidden_state
        assert short.shape == (1, 60, 16)
        encoder.layers = torch.nn.ModuleList()  # what is left sees no further than a convolution does
        with asr._window(whisper, 120):
            bare = encoder(whole[..., :120]).last_hidden_state
        assert not torch.allclose(bare, short)
        torch.testing.assert_close(bare[:, :59], encoder(whole).last_hidden_state[:, :59])
    assert encoder.embed_positions.num_embeddings == whisper.config.max_source_positions == 200


@given(st.lists(st.integers(1, 200), min_size=40, max_size=200), st.integers(1, 8), st.integers(0, 9))
@settings(max_examples=50)
def test_batches_hold_every_clip_once_and_clips_of_like_length(lengths, size, seed):
    positions = torch.tensor(lengths)
    batches = batches_of(positions, size, torch.Generator().manual_seed(seed))
    rows = torch.cat(batches).tolist()
    assert len(rows) == len(set(rows)) == len(lengths) // size * size
    assert all(len(batch) == size for batch in batches)
    if len(lengths) <= 16 * size:  # one pool: no two batches overlap in length by more than an end
        spans = sorted((int(positions[batch].min()), int(positions[batch].max())) for batch in batches)
        assert all(last <= first for (_, last), (first, _) in pairwise(spans))


def test_batches_are_as_long_as_their_longest_clip_or_whole(corpus):
    speech = load_speech(corpus / "train" / "clips.jsonl", make_feature_extractor())
    rows = torch.tensor([3, 7])
    seconds = max(clip.duration for clip in list(read_records(corpus / "train" / "clips.jsonl", Clip))[3:8:4])
    features, texts = speech.batch(rows, whole=False)
    assert features.shape == (2, 80, 2 * math.ceil(25 * seconds))
    assert texts == [speech.texts[3], speech.texts[7]]
    whole, _ = speech.batch(rows, whole=True)
    assert whole.shape == (2, 80, 400)
    assert torch.equal(whole[..., : features.shape[2]], features)


# Training


def test_a_trained_whisper_is_an_ordinary_folder(trained, tokenizer):
    folder = trained / "model"
    whisper = WhisperForConditionalGeneration.from_pretrained(folder)
    assert whisper.dtype == torch.float16
    extractor, words = AutoFeatureExtractor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    processor = WhisperProcessor(extractor, words)
    assert extractor.n_samples == 8 * 16_000
    text = " the old fox says hello"
    assert words(text).input_ids == tokenizer(text).input_ids
    features = processor(
        np.zeros(16_000, np.float32), sampling_rate=16_000, return_tensors="pt"
    ).input_features
    (heard,) = transcribe(whisper.float(), words, features)
    assert isinstance(heard, str)
    assert "<|" not in heard
    ids = whisper.generate(input_features=features)
    assert processor.batch_decode(ids, skip_special_tokens=True)[0].strip() == heard
    explicit = whisper.generate(input_features=features, language="en", task="transcribe")
    assert explicit.tolist() == ids.tolist()


def test_the_trained_whisper_loads_as_one_processor(trained):
    assert WhisperProcessor.from_pretrained(trained / "model").feature_extractor.hop_length == 320


def test_the_log_has_losses_and_the_word_error_rate(trained):
    log = (trained / "work" / "log.jsonl").read_text()
    assert steps(trained) == ["1", "2", "3"]
    assert re.search(r'{"step": 3, "wer": [0-9.]+}', log)


def test_transcripts_do_not_depend_on_their_batch(trained):
    whisper = WhisperForConditionalGeneration.from_pretrained(trained / "model").float()
    words = AutoTokenizer.from_pretrained(trained / "model")
    features = torch.randn(5, 80, 400, generator=torch.Generator().manual_seed(0))
    together = transcribe(whisper, words, features, batch=5)
    assert len(together) == 5
    assert transcribe(whisper, words, features, batch=2) == together


def test_a_stopped_training_continues_to_the_same_weights(tmp_path, monkeypatch, corpus, trained):
    fit = asr.fit

    def stopping(model, batch_at, *rest):
        def batch(step):
            if step == 2:
                raise KeyboardInterrupt
            return batch_at(step)

        fit(model, batch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(asr, "fit", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_asr(tmp_path, TINY, corpus)
    assert not (tmp_path / "model").exists()
    torch.manual_seed(77)
    train_asr(tmp_path, TINY, corpus)
    one, two = ((folder / "model" / "model.safetensors").read_bytes() for folder in (trained, tmp_path))
    assert one == two
    assert steps(tmp_path) == ["1", "2", "3"]


def test_an_epoch_hears_every_clip_once(tmp_path, monkeypatch, corpus):
    batches = []

    def collect(model, batch_at, *rest):
        batches.extend(batch_at(step)[1] for step in (*range(8), 1))

    monkeypatch.setattr(asr, "fit", collect)
    train_asr(tmp_path, TINY, corpus)
    first, second = (list(chain.from_iterable(part)) for part in (batches[:4], batches[4:8]))
    assert len(set(first)) == 32
    assert sorted(first) == sorted(second)
    assert first != second
    assert batches[8] == batches[1]


def test_some_steps_and_the_last_ones_hear_whole_windows(tmp_path, monkeypatch, corpus):
    lengths = []

    def collect(model, batch_at, *rest):
        lengths.extend(batch_at(step)[0].shape[2] for step in range(40))

    monkeypatch.setattr(asr, "fit", collect)
    train_asr(tmp_path, replace(TINY, loop=replace(TINY.loop, steps=40)), corpus)
    whole = {step for step, frames in enumerate(lengths) if frames == 400}
    assert whole == {0, 10, 20, 30, 38, 39}


def test_full_stops_are_no_words():
    assert asr._words(["the dog slept. it was late", "."]) == ["the dog slept it was late", ""]


def test_features_are_made_again_for_another_corpus(tmp_path, monkeypatch):
    """The cached features must never be taken for those of other clips."""
    extractor = make_feature_extractor()
    write_corpus(tmp_path / "a", 2)
    before = load_speech(tmp_path / "a" / "clips.jsonl", extractor)
    cache = tmp_path / "a" / "log-mel-800.npy"
    made = cache.stat().st_mtime_ns
    assert np.array_equal(load_speech(tmp_path / "a" / "clips.jsonl", extractor).features, before.features)
    assert cache.stat().st_mtime_ns == made
    write_corpus(tmp_path / "b", 3, seed=7)
    for name in ("0", "1", "2"):
        os.replace(tmp_path / "b" / "audio" / f"{name}.wav", tmp_path / "a" / "audio" / f"{name}.wav")
    os.replace(tmp_path / "b" / "clips.jsonl", tmp_path / "a" / "clips.jsonl")
    after = load_speech(tmp_path / "a" / "clips.jsonl", extractor)
    assert after.features.shape == (3, 80, 400)
    assert len(after.texts) == 3
    assert not np.array_equal(after.features[:2], before.features)


def test_a_corpus_smaller_than_a_batch_is_refused(tmp_path, corpus):
    message = r"train/clips\.jsonl has 32 clips, expected at least one batch of 33; remove the corpus"
    with pytest.raises(InputError, match=message):
        train_asr(tmp_path, replace(TINY, batch=33), corpus)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_corpus_is_synthesised_where_there_is_none(tmp_path):
    train_asr(tmp_path, TINY)
    assert len((tmp_path / "corpus" / "train" / "clips.jsonl").read_text().splitlines()) == 32
    assert '"id": "nano-val-0-' in (tmp_path / "corpus" / "val" / "clips.jsonl").read_text()
    assert (tmp_path / "model" / "model.safetensors").exists()
