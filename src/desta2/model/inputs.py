"""Prompts and clips → the tensors that `Desta2Model.generate` and `forward` take.

The model finds clips by position, so the inputs carry `audio_slots` where transformers' audio LLMs have a
special id; and a prompt needs each clip's words, which are never guessed: they are given, or were heard.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import BatchFeature

from desta2.errors import InputError
from desta2.model.batching import LeftPadded
from desta2.model.hearing import Heard
from desta2.model.messages import LOCATOR, ClipPart
from desta2.model.prompt import PLACEHOLDER_ID, Prompt, plain_ids, with_bos_policy

if TYPE_CHECKING:
    from desta2.model.processing import Desta2Processor

# Options of transformers' processors that ask for what is done anyway.
_DONE_ANYWAY = (
    ("padding", True),
    ("padding", "longest"),
    ("padding_side", "left"),
    ("return_tensors", "pt"),
    ("sampling_rate", 16000),
)


def model_inputs(
    processor: "Desta2Processor", prompts: Sequence[Prompt], clips: Sequence[Any]
) -> BatchFeature:
    """Prompts padded on the left into one batch, with their clips; see `Desta2Processor.__call__`."""
    batch = LeftPadded.of([prompt.input_ids for prompt in prompts])
    data = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    slots = batch.audio_slots([[start for start, _ in prompt.audio_slots] for prompt in prompts])
    if slots is not None:
        data |= {**audio_inputs(processor, clips), "audio_slots": slots}
    return BatchFeature(data)


def audio_inputs(processor: "Desta2Processor", clips: Sequence[Any]) -> dict[str, Tensor]:
    """`input_features` (n_audio, n_mels, frames), or `audio_embeds` (n_windows, n_queries, d_llm) if heard.

    Beside the features stand `frames` (n_audio,), where the model looks at the clips' own frames only.

    Raises:
        InputError: Some clips were heard and others not.
    """
    heard = [clip for clip in clips if isinstance(clip, Heard)]
    if not heard:
        samples = [processor.load_audio(clip) for clip in clips]
        data = {"input_features": processor.features(samples)}
        if processor.config.encoder_frames == "speech":
            data["frames"] = torch.tensor([processor.frames(len(own)) for own in samples])
        return data
    if len(heard) < len(clips):
        raise InputError(
            f"{len(heard)} of {len(clips)} clips were heard before; give all clips as audio, or hear all"
        )
    return {"audio_embeds": torch.cat([clip.embeds for clip in heard])}


def expanded(text: str, words: Iterator[Sequence[str]], tokenizer: Any, config: Any) -> Prompt:
    """A rendered text, with the windows of the next clip in place of each `<|AUDIO|>`.

    A window is its audio positions and its words; `words` gives those of all windows of a clip.
    """

    def template_ids(piece: str) -> list[int]:
        return list(tokenizer(piece, add_special_tokens=False)["input_ids"]) if piece else []

    first, *rest = text.split(LOCATOR)
    ids, slots = template_ids(first), []
    for piece in rest:
        for own in next(words):
            slots.append((len(ids), config.n_queries))
            ids += [PLACEHOLDER_ID] * config.n_queries + plain_ids(own, tokenizer)
        ids += template_ids(piece)
    return with_bos_policy(Prompt(ids, slots), tokenizer, config)


def words_of(clips: Sequence[ClipPart], given: Sequence[str | None] | None) -> list[tuple[str, ...]]:
    """The words of each window of each clip: given beside it, or else within its message, or else heard.

    Raises:
        InputError: A clip has none, or they differ in number.
    """
    beside = [None] * len(clips) if given is None else list(given)
    if len(beside) != len(clips):
        raise InputError(f"{len(beside)} transcripts for {len(clips)} clips; give one per clip, in order")
    words = []
    for number, (clip, text) in enumerate(zip(clips, beside, strict=True), start=1):
        said = clip.transcript if text is None else text
        if isinstance(clip.audio, Heard):
            heard = clip.audio if said is None else clip.audio.with_transcript(said)
            words.append(heard.texts)
        elif said is not None:
            words.append((said,))
        else:
            raise InputError(
                f"clip {number} of {len(clips)} has no transcript; give transcripts=[…], put what "
                "model.hear() returns in its place, or let model.chat() do all of it"
            )
    return words


def refuse(options: Mapping[str, Any]) -> None:
    """Refuse options of transformers' processors that ask for what ours does not do.

    Raises:
        InputError: There is one.
    """
    asked = [
        f"{name}={value!r}"
        for name, value in options.items()
        if value is not None and value is not False and (name, value) not in _DONE_ANYWAY
    ]
    if asked:
        raise InputError(
            f"this processor does not do {', '.join(asked)}; it takes samples at 16,000 Hz and returns torch "
            "tensors, padded on the left"
        )
