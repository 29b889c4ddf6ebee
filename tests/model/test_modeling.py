import numpy as np
import pytest
import torch
import torch.nn.functional as F

from desta2.errors import InputError, RunError
from desta2.model import ChatOutput, Desta2Model


def ask(clip, question="Is the voice loud?"):
    return [{"role": "audio", "content": clip}, {"role": "user", "content": question}]


@pytest.fixture
def batch(model):
    """Two rows of different length, padded on the right; the first has two clips, the second one."""
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(5, 300, (2, 20), generator=generator)
    mask, labels = torch.ones(2, 20, dtype=torch.long), torch.full((2, 20), -100)
    mask[1, 17:] = 0
    labels[0, 15:] = input_ids[0, 15:]
    labels[1, 12:17] = input_ids[1, 12:17]
    slots = torch.tensor([[0, 2], [0, 7], [1, 4]])
    taps = model.encode(torch.randn(3, 20, 100, generator=generator)).taps
    return {
        "input_ids": input_ids,
        "attention_mask": mask,
        "taps": taps,
        "audio_slots": slots,
        "labels": labels,
    }


def without(batch, *names):
    return {name: value for name, value in batch.items() if name not in names}


def test_loss_equals_the_loss_over_all_logits(model, batch):
    loss = model(**batch).loss
    logits = model(**without(batch, "labels")).logits
    full = F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
    torch.testing.assert_close(loss, full)
    n = (batch["labels"][:, 1:] != -100).sum()
    torch.testing.assert_close(model(**batch, num_items_in_batch=2 * n).loss, full / 2)


def test_logits_are_asked_for_at_labels_only(model, batch, monkeypatch):
    asked, forward = [], model.llm.forward

    def spy(*args, **kwargs):
        output = forward(*args, **kwargs)
        asked.append(output.logits.shape[1])
        return output

    spy.__signature__ = __import__("inspect").signature(forward)
    monkeypatch.setattr(model.llm, "forward", spy)
    model(**batch)
    assert asked == [8]  # positions 11 to 18 predict the labels 12 to 19


def test_loss_of_rows_with_labels_at_the_same_places(model, batch):
    labels = torch.full((2, 20), -100)
    labels[:, 12:17] = batch["input_ids"][:, 12:17]
    logits = model(**without(batch, "labels")).logits
    full = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    torch.testing.assert_close(model(**{**batch, "labels": labels}).loss, full)


def test_an_llm_without_logits_to_keep_gives_the_same_loss(model, batch, monkeypatch):
    loss, forward = model(**batch).loss, model.llm.forward
    monkeypatch.setattr(
        model.llm,
        "forward",
        lambda inputs_embeds, attention_mask, use_cache: forward(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, use_cache=use_cache
        ),
    )
    torch.testing.assert_close(model(**batch).loss, loss)


def test_only_the_adapter_learns(bases, make_model, batch):
    model = make_model(bases)
    model.train()
    assert model.adapter.training
    assert not model.llm.training
    assert not model.whisper.training
    model(**batch).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith("adapter."), name
        assert parameter.requires_grad == name.startswith("adapter."), name
    assert model.adapter.layer_weights.grad.abs().sum() > 0


def test_features_and_their_cached_taps_give_the_same_loss(model, batch):
    features = torch.randn(3, 20, 100)
    taps = model.encode(features).taps
    rest = without(batch, "taps")
    torch.testing.assert_close(model(**rest, input_features=features).loss, model(**rest, taps=taps).loss)


def test_clips_go_to_their_slots(model, batch):
    audio = model.adapter(batch["taps"])
    embeds = model.embed(batch["input_ids"], audio, batch["audio_slots"])
    plain = model.llm.get_input_embeddings()(batch["input_ids"])
    expected = plain.clone()
    for clip, (row, start) in enumerate(batch["audio_slots"].tolist()):
        expected[row, start : start + 3] = audio[clip]
    assert torch.equal(embeds, expected)
    assert torch.equal(model.embed(batch["input_ids"], None, None), plain)


def adapter_gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.adapter.named_parameters()}


def test_padding_on_the_right_needs_no_mask(bases, make_model, batch, monkeypatch):
    model = make_model(bases)
    logits = model(**without(batch, "labels")).logits  # with the mask
    labels = batch["labels"]
    full = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    expected = adapter_gradients(model, full)
    seen, forward = [], model.llm.model.forward

    def spy(**inputs):
        seen.append(inputs["attention_mask"])
        return forward(**inputs)

    monkeypatch.setattr(model.llm.model, "forward", spy)
    found = adapter_gradients(model, model(**batch).loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    left = batch["attention_mask"].flip(1)
    model(**{**batch, "attention_mask": left})
    model(**without(batch, "attention_mask"))
    assert seen[0] is seen[2] is None
    assert torch.equal(seen[1], left), "padding on the left is seen by every token"


def test_all_attention_is_fused(model, batch, monkeypatch):
    seen, attend = [], F.scaled_dot_product_attention

    def spy(query, key, value, **options):
        seen.append((options["attn_mask"] is None, options["is_causal"]))
        return attend(query, key, value, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    model(**without(batch, "taps"), input_features=torch.randn(3, 20, 100))
    encoder, adapter, llm = seen[:4], seen[4:8], seen[8:]
    assert encoder == [(True, False)] * 4
    assert adapter == [(True, False)] * 4, "two layers with two attentions each"
    assert llm == [(True, True)] * 2, "causal, by the kernel's own flag"


def test_gradients_pass_through_the_llm_but_no_weight_gets_one(model):
    from torch.utils.flop_counter import FlopCounterMode

    embeds = torch.randn(2, 20, 24, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        logits = model.llm(inputs_embeds=embeds, use_cache=False).logits
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()

    def products(counter):
        counts = counter.get_flop_counts()["Global"]
        return sum(count for kind, count in counts.items() if "scaled_dot_product" not in str(kind))

    # Not quite equal: before transformers 5.23 the angles of the positions are a product, too.
    assert products(backward) == pytest.approx(products(forward), rel=0.01), "twice as many for weights"
    assert embeds.grad.abs().sum() > 0


def test_the_encoder_may_have_a_type_of_its_own(bases, make_model, batch, monkeypatch, caplog):
    from desta2.model import fast

    for computes in (False, True):
        caplog.clear()
        monkeypatch.setattr(fast, "_cpu_computes_bfloat16", lambda computes=computes: computes)
        model = make_model(bases, encoder_dtype="bfloat16")
        assert ("this CPU only imitates bfloat16: the Whisper will be slower" in caplog.text) != computes
    assert {p.dtype for p in model.whisper.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in [*model.llm.parameters(), *model.adapter.parameters()]} == {torch.float32}
    rest = {**without(batch, "taps"), "input_features": torch.randn(3, 20, 100)}
    loss = model(**rest).loss
    loss.backward()
    torch.testing.assert_close(loss, make_model(bases)(**rest).loss, rtol=0.05, atol=0.05)


# Frames of the clip only


@pytest.fixture(scope="module")
def near_sighted(bases, make_model):
    return make_model(bases, encoder_frames="speech")


def test_forward_looks_at_the_frames_that_the_batch_states(near_sighted, batch):
    frames = torch.tensor([30, 50, 12])
    loss = near_sighted(**batch, frames=frames).loss
    taps = batch["taps"].clone()
    for clip, length in enumerate(frames):
        taps[:, clip, length:] = 7.0
    torch.testing.assert_close(near_sighted(**{**batch, "taps": taps}, frames=frames).loss, loss)
    assert not torch.allclose(near_sighted(**batch, frames=torch.tensor([30, 50, 50])).loss, loss)
    features = torch.randn(3, 20, 100)
    rest = without(batch, "taps")
    torch.testing.assert_close(
        near_sighted(**rest, input_features=features, frames=frames).loss,
        near_sighted(**rest, taps=near_sighted.encode(features).taps, frames=frames).loss,
    )
    with pytest.raises(InputError, match="encoder_frames is 'speech'"):
        near_sighted(**batch)


def test_a_clip_is_heard_as_long_as_it_is(near_sighted, clips):
    model, processor = near_sighted, near_sighted.processor
    heard = model.hear(clips)  # 1.0 and 0.7 s, in frames of 40 ms
    taps = model.encode(processor.features(clips)).taps
    for clip, length in enumerate((25, 18)):
        cut = model.adapter(taps[:, clip : clip + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(heard[clip].embeds, cut, rtol=0, atol=1e-5)
    inputs = processor(audio=clips)
    assert inputs["frames"].tolist() == [25, 18]
    torch.testing.assert_close(
        model.get_audio_features(**inputs), torch.cat([one.embeds for one in heard]), rtol=0, atol=1e-5
    )
    short = {"max_new_tokens": 6, "do_sample": False}
    inputs = processor.apply_chat_template(
        ask(clips[1]), transcripts=["fox"], add_generation_prompt=True, tokenize=True
    )
    answer = model.chat(ask(clips[1]), transcripts=["fox"], **short)
    assert model.generate(**inputs, **short)[0].tolist()[: len(answer.token_ids)] == answer.token_ids


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (640, 1), (641, 2), (32000, 50)])
def test_a_part_of_a_frame_counts_as_one(model, samples, frames):
    assert model.processor.frames(samples) == frames


def test_frames_are_given_only_where_they_matter(model):
    assert "frames" not in model.processor(audio=np.zeros(700, np.float32))


def test_shapes(model):
    assert model.get_audio_features(torch.randn(2, 20, 100)).shape == (2, 3, 24)


def test_wrong_batches_are_refused(model, batch):
    with pytest.raises(InputError, match="3 clips were given, but audio_slots names 2 places"):
        model(**{**batch, "audio_slots": batch["audio_slots"][:2]})
    with pytest.raises(InputError, match="0 clips were given, but audio_slots names 3 places"):
        model(**without(batch, "taps"))
    for slot in ([0, 18], [2, 0], [0, -1]):
        with pytest.raises(InputError, match="do not lie inside a batch of 2 rows of 20 tokens"):
            model(**{**batch, "audio_slots": torch.tensor([[0, 2], [0, 7], slot])})
    with pytest.raises(InputError, match="no label in the batch"):
        model(**{**batch, "labels": torch.full((2, 20), -100)})
    with pytest.raises(InputError, match="not both"):
        model(**batch, input_features=torch.zeros(3, 20, 100))


def test_base_weights_are_not_touched_by_wrapping(bases, model):
    from transformers import AutoModelForCausalLM

    for name, parameter in AutoModelForCausalLM.from_pretrained(bases / "llm").named_parameters():
        assert torch.equal(parameter, model.llm.get_parameter(name)), name


def test_fresh_adapter_speaks_at_the_llms_volume(model):
    std = model.llm.get_input_embeddings().weight.std().item()
    assert model.config.output_scale == pytest.approx(std)
    assert model.get_audio_features(torch.randn(4, 20, 100)).std().item() == pytest.approx(std, rel=0.4)


# Chat


def test_greedy_chat_is_deterministic_and_hears(model, clips):
    first = model.chat(ask(clips[0]), max_new_tokens=8, do_sample=False)
    assert isinstance(first, ChatOutput)
    assert first == model.chat(ask(clips[0]), max_new_tokens=8, do_sample=False)
    assert 1 <= len(first.token_ids) <= 8
    assert first.text == model.processor.tokenizer.decode(first.token_ids, skip_special_tokens=True)
    same_words = {"max_new_tokens": 8, "do_sample": False, "transcripts": ["fox"]}
    assert model.chat(ask(clips[0]), **same_words) != model.chat(ask(clips[1]), **same_words)


def test_a_clip_and_a_question_are_enough(model, clips):
    short = {"max_new_tokens": 8, "do_sample": False}
    question = "Is the voice loud?"
    one = model.chat([{"role": "user", "content": [audio_part(clips[0]), text_part(question)]}], **short)
    assert model.chat(clips[0], question, **short) == one
    assert model.chat(model.hear(clips[:1])[0], question, **short) == one
    parts = [*map(audio_part, clips), text_part(question)]
    two = model.chat([{"role": "user", "content": parts}], **short)
    assert model.chat(clips, question, **short) == two != one
    with pytest.raises(InputError, match="or a clip with a question about it"):
        model.chat(clips[0])


def audio_part(clip):
    return {"type": "audio", "audio": clip}


def text_part(text):
    return {"type": "text", "text": text}


def test_text_only_chat_is_the_llms_own(model):
    for question in ("Hello", "What is loud?", "Describe the quick brown fox."):
        messages = [{"role": "user", "content": question}]
        inputs = model.processor.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        own = model.llm.generate(**inputs, max_new_tokens=8, do_sample=False, pad_token_id=0)
        answer = model.chat(messages, max_new_tokens=8, do_sample=False)
        assert answer.token_ids == own[0, inputs["input_ids"].shape[1] :].tolist()
        assert answer.transcripts == []


def test_one_encoder_pass_serves_taps_language_and_transcript(model, clips, passes):
    messages = [{"role": "audio", "content": clips[1]}, *ask(clips[0])]
    answer = model.chat(messages, max_new_tokens=4, do_sample=False)
    assert passes == [2], "two clips pass the encoder once, together"
    assert len(answer.transcripts) == 2
    assert all(answer.transcripts)


def test_given_transcripts_are_used(model, clips):
    one = [{"role": "user", "content": "<|AUDIO|>", "audios": [{"audio": clips[0], "text": "quick fox"}]}]
    assert model.chat(one, max_new_tokens=2, do_sample=False).transcripts == ["quick fox"]
    assert model.chat(one, max_new_tokens=2, do_sample=False, transcripts=[""]).transcripts == [""]
    two = [{"role": "audio", "content": clips[0]}, *ask(clips[1])]
    written = model.chat(ask(clips[1]), max_new_tokens=2, do_sample=False).transcripts[0]
    mixed = model.chat(two, max_new_tokens=2, do_sample=False, transcripts=["given", None]).transcripts
    assert mixed == ["given", written]
    with pytest.raises(InputError, match="1 transcripts for 2 clips"):
        model.chat(two, transcripts=["given"])


def test_cascade_does_not_hear(model, clips):
    options = {"max_new_tokens": 6, "do_sample": False, "use_audio": False, "transcripts": ["fox"]}
    assert model.chat(ask(clips[0]), **options) == model.chat(ask(clips[1]), **options)


def test_seed_in_place_of_a_clip(model):
    from desta2.model.prompt import seed_messages

    answer = model.chat(seed_messages('"hello" (Gender: Female)', "Who?"), max_new_tokens=4, do_sample=False)
    assert answer.transcripts == ['"hello" (Gender: Female)']


def test_sampling_follows_the_seed(model, clips):
    options = {"max_new_tokens": 12, "do_sample": True, "temperature": 5.0, "top_p": 1.0}
    state = torch.random.get_rng_state()
    first = model.chat(ask(clips[0]), seed=1, **options)
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == model.chat(ask(clips[0]), seed=1, **options)
    assert first != model.chat(ask(clips[0]), seed=2, **options)


def test_bad_sampling_options(model):
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(InputError, match="do_sample is False, so temperature has no effect"):
        model.chat(messages, do_sample=False, temperature=0.5)
    with pytest.raises(InputError, match="temperature is 0; it must be above 0"):
        model.chat(messages, temperature=0)
    with pytest.raises(InputError, match=r"top_p is 1\.5"):
        model.chat(messages, top_p=1.5)


def test_a_list_of_conversations_gives_a_list(model, clips):
    conversations = [ask(clips[0]), [{"role": "user", "content": "Hello"}]]
    answers = model.chat(conversations, max_new_tokens=4, do_sample=False)
    assert answers == [model.chat(c, max_new_tokens=4, do_sample=False) for c in conversations]
    with pytest.raises(InputError, match="1 lists of transcripts for 2 conversations"):
        model.chat(conversations, transcripts=[["fox"]])


def test_samples_bytes_and_path_are_the_same_clip(model, clips):
    import soundfile

    samples = soundfile.read(clips[0], dtype="float32")[0]
    content = open(clips[0], "rb").read()  # noqa: SIM115
    from_path = model.processor.features([clips[0]])
    assert from_path.shape == (1, 20, 100)
    assert torch.equal(model.processor.features([content]), from_path)
    assert torch.equal(model.processor.features([samples]), from_path)


def test_features_are_made_of_one_window_not_of_a_part(model):
    with pytest.raises(InputError, match=r"the clip lasts 2\.50 s, but this Whisper hears at most 2\.00 s"):
        model.processor.features([np.zeros(40000, dtype="float32")])


def test_chat_needs_a_processor(model):
    bare = Desta2Model(model.config, model.whisper, model.llm)
    with pytest.raises(RunError, match="has no processor"):
        bare.chat([{"role": "user", "content": "Hello"}])


def test_bfloat16_bases_with_a_float32_adapter(bases, make_model, clips):
    model = make_model(bases, dtype="bfloat16")
    assert {p.dtype for p in model.adapter.parameters()} == {torch.float32}
    assert {p.dtype for p in model.llm.parameters()} == {torch.bfloat16}
    assert model.chat(ask(clips[0]), max_new_tokens=2, do_sample=False).token_ids


def test_left_padded_batch_generates_as_its_rows(model, clips):
    questions = ("Loud?", "Who is it?")
    rows = [model.processor.prompt(ask(clip, q), ["fox"]) for clip, q in zip(clips, questions, strict=True)]
    features = model.processor.features(clips)
    alone = [
        model.generate(
            torch.tensor([row.input_ids]), input_features=features[i : i + 1],
            audio_slots=torch.tensor([[0, row.audio_slots[0][0]]]), max_new_tokens=6, do_sample=False,
        )[0].tolist()
        for i, row in enumerate(rows)
    ]  # fmt: skip
    length = max(len(row.input_ids) for row in rows)
    pads = [length - len(row.input_ids) for row in rows]
    together = model.generate(
        torch.tensor([[0] * pad + row.input_ids for pad, row in zip(pads, rows, strict=True)]),
        torch.tensor([[0] * pad + [1] * (length - pad) for pad in pads]),
        input_features=features,
        audio_slots=torch.tensor([[i, pads[i] + row.audio_slots[0][0]] for i, row in enumerate(rows)]),
        max_new_tokens=6,
        do_sample=False,
    )
    for i, own in enumerate(alone):
        assert together[i].tolist()[: len(own)] == own
