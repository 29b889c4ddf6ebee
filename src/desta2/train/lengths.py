"""How many tokens the pairs of a run have, from the pairs themselves.

Lines are counted in full, and some 2,000 of them, evenly spaced, are read and tokenised: a plan of five
million pairs then costs the time of reading the files once. The price is that mean and maximum are those of a
sample where there are more, and that the number of different clips is then known as a limit only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from desta2.errors import RecordError
from desta2.lines import manifest_files, numbered_lines
from desta2.model.configuration import Desta2Config
from desta2.model.prompt import build_prompt, response_ids
from desta2.records import Pair, count_records, parse_line

SAMPLE = 2000
# Without a tokenizer: English text with the vocabularies of today's LLMs, and what a template adds to a pair.
_CHARACTERS_PER_TOKEN = 4
_TEMPLATE_TOKENS = 40


@dataclass(frozen=True)
class Lengths:
    """What is known of the pairs of a run.

    Attributes:
        pairs: in all files.
        sampled: of them looked into.
        clips: different ones, at most: exact where all pairs were looked into.
        tokens_mean, tokens_longest: positions of a pair: prompt, audio positions, transcript, response.
        labels_longest: of them in the longest response.
        counted_in: "tokens", or "characters" where the LLM's tokenizer is not at hand.
        without_transcript: clips of the sample whose words Whisper will have to write; none are counted.
    """

    pairs: int
    sampled: int
    clips: int
    tokens_mean: float
    tokens_longest: int
    labels_longest: int
    counted_in: Literal["tokens", "characters"]
    without_transcript: int


def measure(sources: Sequence[Path], tokenizer: Any | None, config: Desta2Config) -> Lengths | None:
    """Look into the pairs of a run.

    Args:
        sources: files or folders of parts.
        tokenizer: of the LLM, or None to estimate from characters.
        config: of the model.

    Returns:
        What is known of them; None where there are none.

    Raises:
        InputError: a source is not there, or a line is no pair.
    """
    total = sum(count_records(source) for source in sources)
    tokens, labels, silent = [], [], 0
    clips: set[tuple[Any, ...]] = set()
    heard = 0
    for pair in _some(sources, max(1, total // SAMPLE)):
        entries = [entry for message in pair.messages for entry in message.get("audios") or []]
        texts = [entry.get("text") for entry in entries]
        silent += texts.count(None)
        heard += len(entries)
        clips |= {(entry.get("audio"), entry.get("start"), entry.get("end")) for entry in entries}
        words = [text or "" for text in texts]
        prompt, response = _length(pair, words, tokenizer, config)
        tokens.append(prompt + response)
        labels.append(response)
    if not tokens:
        return None
    return Lengths(
        pairs=total,
        sampled=len(tokens),
        clips=len(clips) if len(tokens) == total else round(total * heard / len(tokens)),
        tokens_mean=sum(tokens) / len(tokens),
        tokens_longest=max(tokens),
        labels_longest=max(labels),
        counted_in="characters" if tokenizer is None else "tokens",
        without_transcript=silent,
    )


def _some(sources: Sequence[Path], stride: int) -> Iterator[Pair]:
    """Every `stride`th pair of all files."""
    number = 0
    for source in sources:
        for file in manifest_files(source):
            for place, line in numbered_lines(file):
                if not line.strip():
                    continue
                if number % stride == 0:
                    try:
                        yield parse_line(line, Pair)
                    except RecordError as error:
                        raise RecordError(f"{file}:{place}: {error}") from None
                number += 1


def _length(
    pair: Pair, transcripts: Sequence[str], tokenizer: Any | None, config: Desta2Config
) -> tuple[int, int]:
    """Positions of prompt and response."""
    if tokenizer is not None:
        prompt = build_prompt(pair.messages, tokenizer, config, transcripts).input_ids
        return len(prompt), len(response_ids(pair.response, tokenizer))
    texts = [str(message.get("content", "")) for message in pair.messages] + list(transcripts)
    characters = sum(map(len, texts)) + len(config.system_prompt or "")
    audio = config.n_queries * len(transcripts)
    prompt_length = characters // _CHARACTERS_PER_TOKEN + _TEMPLATE_TOKENS + audio
    return prompt_length, len(pair.response) // _CHARACTERS_PER_TOKEN + 1
