"""Conversations → answers.

Hearing comes first (one encoder pass for all clips of all conversations), then the prompts, padded on the
left into one batch, then the LLM's own `generate`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from desta2.errors import InputError
from desta2.model.batching import LeftPadded
from desta2.model.hearing import Heard, hear, processor_of
from desta2.model.messages import ClipPart, Turn, clips_of, normalise

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


@dataclass(frozen=True)
class ChatOutput:
    """An answer.

    Attributes:
        text: The answer.
        transcripts: The transcript used for each clip, in order.
        token_ids: The generated ids, as generated (the last may be the end token).
    """

    text: str
    transcripts: list[str]
    token_ids: list[int]


@torch.no_grad()
def answer_all(
    model: "Desta2Model",
    conversations: Sequence[Sequence[Any]],
    transcripts: Sequence[Sequence[str | None] | None],
    use_audio: bool,
    options: dict[str, Any],
) -> list[ChatOutput]:
    """Answer conversations in one batch; see `Desta2Model.chat`. `options` go to the LLM's `generate`."""
    processor = processor_of(model)
    turns = [normalise(conversation) for conversation in conversations]
    given = [_given(clips_of(own), words) for own, words in zip(turns, transcripts, strict=True)]
    heard = _hear(model, turns, given, use_audio)
    words = [[_words(*clip) for clip in zip(*row, strict=True)] for row in zip(given, heard, strict=True)]
    prompts = [
        processor.prompt(own, text, None if use_audio else 0) for own, text in zip(turns, words, strict=True)
    ]
    batch = LeftPadded.of(
        [prompt.input_ids for prompt in prompts], model.get_input_embeddings().weight.device
    )
    slots = [
        [row, start + shift]
        for row, (prompt, shift) in enumerate(zip(prompts, batch.shifts, strict=True))
        for start, length in prompt.audio_slots
        if length
    ]
    vectors = [clip.embeds for row in heard for clip in row if clip is not None and use_audio]
    rows = model.generate(
        batch.input_ids,
        batch.attention_mask,
        audio_embeds=torch.stack(vectors) if vectors else None,
        audio_slots=torch.tensor(slots) if slots else None,
        **options,
    ).tolist()
    ends = _end_ids(model)
    kept = [_until_end(row, ends) for row in rows]
    return [ChatOutput(processor.decode(ids), text, ids) for ids, text in zip(kept, words, strict=True)]


def _given(clips: Sequence[ClipPart], transcripts: Sequence[str | None] | None) -> list[str | None]:
    """The transcript that the user gives for each clip: beside the messages, or else within them."""
    own = [None] * len(clips) if transcripts is None else list(transcripts)
    if len(own) != len(clips):
        raise InputError(f"{len(own)} transcripts for {len(clips)} clips; give one per clip, in order")
    return [clip.transcript if text is None else text for clip, text in zip(clips, own, strict=True)]


def _hear(
    model: "Desta2Model",
    turns: Sequence[Sequence[Turn]],
    given: Sequence[Sequence[str | None]],
    use_audio: bool,
) -> list[list[Heard | None]]:
    """What was heard of every clip of every conversation; None where nothing has to be.

    All clips that need it share one encoder pass. Clips that were heard before are taken as they are.
    """
    parts = [clips_of(own) for own in turns]
    found = [[clip.audio if isinstance(clip.audio, Heard) else None for clip in row] for row in parts]
    places = [
        (i, j)
        for i, row in enumerate(parts)
        for j, clip in enumerate(row)
        if clip.audio is not None and found[i][j] is None and (use_audio or given[i][j] is None)
    ]
    audios, words = [parts[i][j].audio for i, j in places], [given[i][j] for i, j in places]
    for (i, j), clip in zip(places, hear(model, audios, words), strict=True):
        found[i][j] = clip
    return found


def _words(given: str | None, heard: Heard | None) -> str:
    return given if given is not None else heard.transcript if heard is not None else ""


def _end_ids(model: "Desta2Model") -> set[int]:
    ends = model.llm.generation_config.eos_token_id
    return set() if ends is None else set(ends) if isinstance(ends, list) else {ends}


def _until_end(ids: list[int], ends: set[int]) -> list[int]:
    """Ids up to the end token, itself included: what follows pads a row that ended before its neighbours."""
    return next((ids[: i + 1] for i, token in enumerate(ids) if token in ends), ids)


def is_batch(messages: Sequence[Any]) -> bool:
    """Whether `messages` is a list of conversations rather than of messages."""
    return isinstance(messages, list | tuple) and bool(messages) and isinstance(messages[0], list | tuple)


def sampling_options(
    do_sample: bool | None, temperature: float | None, top_p: float | None
) -> dict[str, Any]:
    """Options for the LLM's `generate`; what is None is left to its generation config.

    Raises:
        InputError: A sampling option was given together with do_sample=False, or is out of range.
    """
    given = {"temperature": temperature, "top_p": top_p}
    options = {name: value for name, value in given.items() if value is not None}
    if do_sample is False:
        if options:
            raise InputError(f"do_sample is False, so {' and '.join(options)} has no effect; leave it out")
        # Undo the generation config's own values, about which transformers would warn.
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if temperature is not None and temperature <= 0:
        raise InputError(f"temperature is {temperature}; it must be above 0 (do_sample=False is greedy)")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p is {top_p}; it must be above 0 and at most 1")
    return options if do_sample is None else {"do_sample": do_sample, **options}


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block and give its generators their state back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
