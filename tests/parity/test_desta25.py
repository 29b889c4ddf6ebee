"""DeSTA2.5: several clips in the user's turn, a padded batch, training."""

import pytest
import torch

from desta2.model.batching import LeftPadded
from desta2.model.official import published_names
from desta2.records import Pair
from desta2.train.collate import Collator
from desta2.train.dataset import make_example, pair_clips


@pytest.fixture(scope="module")
def model(large, converted):
    model = converted(large.checkpoint, *large.bases)
    assert model.config.max_transcript_tokens == large.case["asr_max_new_tokens_in_reference"]
    model.config.max_transcript_tokens = large.case["asr_max_new_tokens_used"]
    model.config.detect_speech = False  # the clips are no speech, and the reference was told that they are
    return model


@pytest.fixture(scope="module")
def features(model, large):
    """All three clips, (3, 128, 3000)."""
    return model.processor.features([str(large.folder / f"clip_{letter}.wav") for letter in "abc"])


@pytest.fixture(scope="module")
def taps(model, features):
    return model.encode(features).taps


@pytest.fixture(scope="module")
def prompts(model, large):
    texts = large.case["transcriptions"]
    return [
        model.processor.prompt(conversation, own)
        for conversation, own in zip(large.case["messages"], (texts[:2], texts[2:]), strict=True)
    ]


@pytest.fixture(scope="module")
def batch(prompts):
    padded = LeftPadded.of([prompt.input_ids for prompt in prompts])
    slots = [
        [row, start + shift]
        for row, (prompt, shift) in enumerate(zip(prompts, padded.shifts, strict=True))
        for start, _ in prompt.audio_slots
    ]
    return {
        "input_ids": padded.input_ids,
        "attention_mask": padded.attention_mask,
        "audio_slots": torch.tensor(slots),
    }


def filled(ids, mask, starts, transcripts, n_queries):
    """A row of the reference without padding: our placeholders, and the transcripts in place of its own."""
    shift = int((mask == 0).sum())
    row = ids[shift:].tolist()
    for start, words in zip(starts, transcripts, strict=True):
        row[start : start + n_queries] = [0] * n_queries
        row[start + n_queries : start + n_queries + len(words)] = words
    return row


# Inference


def test_log_mel(features, large, near):
    for i, frames in enumerate(large.case["mel_prefix_frames"]):
        near(f"log-mel {i}", features[i, :, :frames], large.tensors[f"mel_prefix.{i}"], 1e-5)
        rest = features[i, :, frames:]
        near(f"log-mel {i}, silence", rest, torch.full_like(rest, large.case["mel_prefix_fill"][i]), 1e-5)


def test_taps_and_connector(model, taps, large, near):
    for tap, layer in zip(taps, large.case["target_layer_ids"], strict=True):
        near(f"layer_output.{layer}", tap[2:], large.tensors[f"layer_output.{layer}.audio2"], 5e-5)
    expected = large.tensors["connector_output.layer_output_index"]
    near("connector", model.adapter(taps), expected, 1e-5)


def test_one_layer_earlier(converted, features, large, near):
    model = converted(large.checkpoint, *large.bases, "--tap-convention", "published-inference")
    assert model.config.bos_policy == "template", "only DeSTA2's inference code doubles the beginning of text"
    expected = large.tensors["connector_output.hidden_states_index"][2:]
    near("connector, a layer earlier", model.get_audio_features(features[2:]), expected, 1e-5)


def test_prompts_and_padding(prompts, batch, large):
    case, tensors = large.case, large.tensors
    words = [case["batch_transcription_ids"][:2], case["batch_transcription_ids"][2:]]
    for row, prompt in enumerate(prompts):
        starts = case["start_positions_without_padding"][row]
        assert prompt.audio_slots == [(start, case["prompt_size"]) for start in starts]
        expected = tensors["generate.input_ids"][row], tensors["generate.attention_mask"][row]
        assert prompt.input_ids == filled(*expected, starts, words[row], case["prompt_size"])
    assert torch.equal(batch["attention_mask"], tensors["generate.attention_mask"])
    assert batch["audio_slots"].tolist() == case["batch_start_positions"]


@torch.no_grad()
def test_embeds_and_logits_of_the_padded_batch(model, taps, batch, large, near):
    real = batch["attention_mask"].bool()
    embeds = model.embed(batch["input_ids"], model.adapter(taps), batch["audio_slots"])
    near("embeds", embeds[real], large.tensors["generate.inputs_embeds"][real], 1e-5)
    logits = model(**batch, taps=taps).logits
    near("logits", logits[real], large.tensors["generate.logits_no_position_ids"][real], 1e-4)


def test_generate(model, features, batch, large, near):
    output = model.generate(
        **batch,
        input_features=features,
        max_new_tokens=16,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    near(
        "first logits", output.logits[0], large.tensors["generate.logits_mask_position_ids.last"][:, 0], 1e-4
    )
    assert output.sequences.tolist() == large.case["greedy_ids"]


def test_chat_from_the_wav_files(model, large):
    outputs = model.chat(large.case["messages"], max_new_tokens=16, do_sample=False)
    texts = large.case["transcriptions"]
    assert [output.transcripts for output in outputs] == [texts[:2], texts[2:]]
    assert [output.token_ids for output in outputs] == large.case["greedy_ids"]
    assert [output.text for output in outputs] == large.case["greedy_text"]
    alone = model.chat(large.case["messages"][1], max_new_tokens=16, do_sample=False)
    assert alone == outputs[1], "the padding of a batch changes nothing"


# Training


@pytest.fixture(scope="module")
def examples(model, large):
    case = large.case["train"]
    made = []
    for number, (messages, response) in enumerate(zip(case["messages"], case["responses"], strict=True)):
        pair = Pair(
            id=str(number),
            messages=messages,
            response=response,
            seed="-",
            provenance={"llm": "-", "prompt": "-"},
        )
        clips = pair_clips(pair, large.folder, None)
        made.append(
            make_example(pair, [clip for clip, _ in clips], [text for _, text in clips], model.processor)
        )
    return made


def test_training_examples(examples, large):
    case, tensors = large.case["train"], large.tensors
    words = [case["batch_transcription_ids"][:2], case["batch_transcription_ids"][2:]]
    clips = [str(large.folder / f"clip_{letter}.wav") for letter in "abc"]
    paths = [clips[:2], clips[2:]]
    for row, example in enumerate(examples):
        starts = case["items"][row]["start_positions"]
        assert example.slots == starts
        assert [clip.path for clip in example.clips] == paths[row]
        mask = tensors["train.attention_mask"][row]
        expected = filled(
            tensors["train.input_ids"][row], mask, starts, words[row], large.case["prompt_size"]
        )
        assert example.input_ids == expected
        assert example.labels == tensors["train.labels"][row][mask.bool()].tolist()
        context = tensors["train.context_input_ids"][row], tensors["train.context_attention_mask"][row]
        length = example.labels.count(-100)
        assert example.input_ids[:length] == filled(*context, starts, words[row], large.case["prompt_size"])


def test_training_loss_logits_and_gradients(model, taps, examples, large, near):
    case, tensors = large.case["train"], large.tensors
    clips = iter(taps.unbind(1))  # each (n_taps, T, d_encoder); both batches have clips a, b and c in order
    batch = Collator("taps")([(example, [next(clips) for _ in example.clips]) for example in examples])
    with torch.no_grad():
        logits = model(**{key: value for key, value in batch.items() if key != "labels"}).logits
    # We pad on the right, the reference on the left: the same tokens in the same order.
    ours, theirs = batch["attention_mask"].bool(), tensors["train.attention_mask"].bool()
    near("training logits", logits[ours], tensors["train.logits"][theirs], 1e-4)

    model.adapter.zero_grad()
    loss = model(**batch).loss
    near("training loss", loss[None], tensors["train.loss"], 1e-5)
    loss.backward()
    config = model.config
    names = published_names(len(config.tap_layers), config.adapter_layers, "perception.connector.")
    gradients = {names[name]: parameter.grad for name, parameter in model.adapter.named_parameters()}
    assert gradients.keys() == case["grad_norms"].keys()
    for name, expected in tensors.items():
        if name.startswith("train.grad."):
            actual = gradients["perception.connector." + name.removeprefix("train.grad.")]
            near(name, actual, expected, min(1e-5, 1e-3 * expected.abs().max().item()))
    for name, expected in case["grad_norms"].items():
        if not name.endswith(".key.bias"):  # zero up to rounding
            assert gradients[name].norm().item() == pytest.approx(expected, rel=1e-3), name
    for parameter in [*model.llm.parameters(), *model.whisper.parameters()]:
        assert parameter.grad is None
    model.adapter.zero_grad()
