"""Conversations → answers.

Hearing comes first (the clips of all conversations share their encoder passes), then the prompts, padded on
the left into one batch, then the LLM's own `generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from desta2.errors import InputError
from desta2.model.bases import context, device_of
from desta2.model.batching import LeftPadded
from desta2.model.hearing import Heard, hear, processor_of
from desta2.model.messages import ClipPart, Turn, clips_of, normalise
from desta2.model.sampling import Sampling, Seeded
from desta2.model.stopping import StopTexts, before_stop, end_ids, until_end
from desta2.model.streaming import Pieces, TokenStreamer, in_turns

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


@dataclass(frozen=True)
class Question:
    """A conversation ready for the LLM.

    Attributes:
        input_ids: The prompt.
        slots: First audio position of each window.
        embeds: (n_windows, n_queries, d_llm) of each clip that is heard.
        transcripts: Of each clip.
    """

    input_ids: list[int]
    slots: list[int]
    embeds: list[Tensor]
    transcripts: list[str]


@torch.no_grad()
def prepare(
    model: Desta2Model,
    conversations: Sequence[Sequence[Any]],
    transcripts: Sequence[Sequence[str | None] | None],
    language: str | None,
    use_audio: bool,
) -> list[Question]:
    """Hear the clips of conversations and write their prompts; see `Desta2Model.chat`."""
    turns = [normalise(conversation) for conversation in conversations]
    given = [_given(clips_of(own), words) for own, words in zip(turns, transcripts, strict=True)]
    heard = _hear(model, turns, given, language, use_audio)
    return [_question(model, *row, use_audio) for row in zip(turns, given, heard, strict=True)]


@torch.no_grad()
def answer(
    model: Desta2Model,
    questions: Sequence[Question],
    sampling: Sampling,
    streamer: TokenStreamer | None = None,
) -> list[ChatOutput]:
    """Answer conversations in one batch; its rows share one stream of random numbers."""
    processor = processor_of(model)
    batch = LeftPadded.of([question.input_ids for question in questions], device_of(model.llm))
    embeds = [clip for question in questions for clip in question.embeds]
    ends = end_ids(model.llm, processor.tokenizer)
    options = {**sampling.for_llm(model.llm.generation_config), "eos_token_id": ends}
    stop_texts = StopTexts(sampling.stops, processor.decode, batch.input_ids.shape[1])
    if sampling.stops:
        options["stopping_criteria"] = [stop_texts]
    if streamer is not None:
        options["streamer"] = streamer
    rows = model.generate(
        batch.input_ids,
        batch.attention_mask,
        audio_embeds=torch.cat(embeds) if embeds else None,
        audio_slots=batch.audio_slots([question.slots for question in questions]),
        **options,
    ).tolist()
    kept = [until_end(ids[: stop_texts.lengths.get(row)], ends) for row, ids in enumerate(rows)]
    texts = [before_stop(processor.decode(ids), sampling.stops) for ids in kept]
    return [
        ChatOutput(text, question.transcripts, ids)
        for text, question, ids in zip(texts, questions, kept, strict=True)
    ]


def stream(model: Desta2Model, question: Question, sampling: Sampling) -> Generator[str, None, ChatOutput]:
    """Answer one conversation; yields pieces of text that together are the answer, which it returns."""
    processor = processor_of(model)
    pieces = Pieces(processor.tokenizer, processor.decode, sampling.stops)

    def work(give: Callable[[str], None]) -> ChatOutput:
        with Seeded(sampling.seed, device_of(model.llm)) as drawing:

            def take(token_id: int) -> None:
                if piece := pieces.push(token_id):
                    with drawing.paused():
                        give(piece)

            return answer(model, [question], sampling, TokenStreamer(take))[0]

    output = yield from in_turns(work)
    if rest := pieces.rest(output.text):
        yield rest
    return output


def is_batch(messages: Sequence[Any]) -> bool:
    """Whether `messages` is a list of conversations rather than of messages."""
    return isinstance(messages, list | tuple) and bool(messages) and isinstance(messages[0], list | tuple)


def _given(clips: Sequence[ClipPart], transcripts: Sequence[str | None] | None) -> list[str | None]:
    """The transcript that the user gives for each clip: beside the messages, or else within them."""
    own = [None] * len(clips) if transcripts is None else list(transcripts)
    if len(own) != len(clips):
        raise InputError(f"{len(own)} transcripts for {len(clips)} clips; give one per clip, in order")
    return [clip.transcript if text is None else text for clip, text in zip(clips, own, strict=True)]


def _hear(
    model: Desta2Model,
    turns: Sequence[Sequence[Turn]],
    given: Sequence[Sequence[str | None]],
    language: str | None,
    use_audio: bool,
) -> list[list[Heard | None]]:
    """What was heard of every clip of every conversation; None where nothing has to be.

    Clips that were heard before are taken as they are, but for a transcript that is given now.
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
    for (i, j), clip in zip(places, hear(model, audios, words, language), strict=True):
        found[i][j] = clip
    return [
        [
            heard.with_transcript(text) if heard is not None and text is not None else heard
            for heard, text in zip(row, texts, strict=True)
        ]
        for row, texts in zip(found, given, strict=True)
    ]


def _question(
    model: Desta2Model,
    turns: Sequence[Turn],
    given: Sequence[str | None],
    heard: Sequence[Heard | None],
    use_audio: bool,
) -> Question:
    transcripts = [
        clip.transcript if clip is not None else text or "" for clip, text in zip(heard, given, strict=True)
    ]
    texts: list[Any] = [
        clip.texts if clip is not None and use_audio else text
        for clip, text in zip(heard, transcripts, strict=True)
    ]
    prompt = processor_of(model).prompt(turns, texts, None if use_audio else 0)
    _check_length(model.llm, len(prompt.input_ids))
    return Question(
        input_ids=prompt.input_ids,
        slots=[start for start, length in prompt.audio_slots if length],
        embeds=[clip.embeds for clip in heard if clip is not None and use_audio],
        transcripts=transcripts,
    )


def _check_length(llm: Any, n_tokens: int) -> None:
    longest = context(llm)
    if longest is not None and n_tokens > longest:
        raise InputError(
            f"the conversation takes {n_tokens} tokens, but this LLM reads at most {longest}; leave out "
            "turns or clips, or cut long clips"
        )
