"""Template captions: the targets that people wrote before self-generation, as a backend of `respond`.

A fair opponent says the same facts, in words and patterns that the LLM knows how to write, but would not
write when it is asked the one prompt. Here that is a list in bullet points. The nano LLM learnt to describe
a clip in bullet points where the instruction asks for them, so every token is one that it has written;
asked "What can you hear from the audio?" alone, it writes sentences. To make the frozen LLM write a list
nevertheless, the adapter has to put more into its vectors than what is heard: an instruction. Whether that
costs accuracy and instruction following is the question. A former ablation used captions that the LLM could
not express at all, which shows nothing; `floors` therefore measures for each set of targets what the LLM,
reading the seed, would have to pay for it, with and without being asked for the format.

The trade-off: as a backend, captions take the path of self-generated answers (journal, provenance, pairs);
they only see the seed transcript, as an LLM does, and read the facts back from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from desta2.data.backends import Failure, Kind, PromptStyle, Reply, Request, Sampling
from desta2.data.seed import parse_seed
from desta2.nano.language import (
    ASPECTS,
    DESCRIBE,
    INSTRUCTIONS,
    Exchange,
    Facts,
    Format,
    describe,
    spoken_value,
)

FORMAT = "bullets"
ASKED = f"{DESCRIBE} {INSTRUCTIONS[FORMAT].trained[0]}"
"""The instruction to which the LLM would answer with such a caption."""


class CaptionBackend:
    """Writes a caption for each seed transcript by rule; see `Backend`.

    Args:
        style: of the prompts, for provenance.
    """

    kind: Kind = "template"
    name = f"template captions ({FORMAT})"
    fingerprint: str | None = None

    def __init__(self, style: PromptStyle) -> None:
        self.style = style

    def answers(
        self, requests: Iterable[Request], sampling: Sampling
    ) -> Iterator[tuple[Request, Reply | Failure]]:
        """A caption for each request; order and wording of its sentences are drawn by seed and id."""
        for request in requests:
            seed = request.messages[-1]["audios"][0]["text"]
            yield request, Reply(caption(seed, Random(f"{sampling.seed}/{request.id}")), finished=True)


def caption(seed: str, rng: Random) -> str:
    """The facts of a seed transcript as a list, in the sentences of a description.

    Raises:
        InputError: `seed` is no seed transcript.
    """
    facts = facts_of_seed(seed)
    exchange = Exchange(DESCRIBE, describe(facts, rng), (), "describe")
    return Format(FORMAT, "").apply(exchange, facts)


def facts_of_seed(seed: str) -> Facts:
    """Words and spoken values of a seed transcript of one turn; values that nobody can name are left out.

    Raises:
        InputError: `seed` is no seed transcript.
    """
    turn = parse_seed(seed)[0]
    values = {}
    for aspect in ASPECTS:
        written = turn.attributes.get(aspect.label)
        value = None if written is None else spoken_value(aspect.key, written)
        if value is not None:
            values[aspect.key] = value
    return Facts(turn.text, values)
