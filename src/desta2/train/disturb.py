"""Against reliance on the words: transcripts that are missing or wrong in training.

Emotion answers tend to follow the words and not the voice, since the transcript is the easier clue. With
dropout a clip's transcript is sometimes empty, and the words have to be heard too. With mismatch the words of
another clip stand there, so that they say nothing about this voice.

What mismatch may honestly do is narrow. The response was written about the true words; where it repeats them,
a wrong transcript would teach to contradict what the prompt says. So it is done only for responses that share
no word with the transcript. A paraphrase ("asks about food" for "is dinner ready?") is not recognised, which
is one reason why this is off by default; the other is that such responses are a selection.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desta2.model.hearing import spread

if TYPE_CHECKING:
    from desta2.train.ears import Ears
    from desta2.train.pairset import PairList

_TRIES = 8
_SHORTEST = 4  # shorter words ("the", "is") stand in any two texts
_UNSPACED = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\u0e00-\u0eff]")


class Disturbance:
    """Draws what becomes of transcripts. The draws depend on seed, pair and visit alone.

    Args:
        pairs: where transcripts of other clips come from.
        ears: know the transcripts that Whisper wrote.
        dropout: probability that a clip's transcript is left empty.
        mismatch: probability that one that is left has the words of another clip.
        seed: of the run.
    """

    def __init__(self, pairs: PairList, ears: Ears, *, dropout: float, mismatch: float, seed: int) -> None:
        self._pairs = pairs
        self._ears = ears
        self._dropout = dropout
        self._mismatch = mismatch
        self._seed = seed

    def __call__(
        self, texts: Sequence[Sequence[str]], response: str, number: int, visit: int
    ) -> list[Sequence[str]]:
        """The transcripts of a pair's clips, each a text per window, as they are to stand in the prompt."""
        draw = random.Random(f"{self._seed}/{number}/{visit}")
        return [self._changed(own, response, draw) for own in texts]

    def _changed(self, texts: Sequence[str], response: str, draw: random.Random) -> Sequence[str]:
        true = " ".join(texts).strip()
        if draw.random() < self._dropout:
            return [""] * len(texts)
        if draw.random() >= self._mismatch or shares_words(response, true):
            return texts
        other = self._other(true, draw)
        return texts if other is None else spread(other, len(texts))

    def _other(self, true: str, draw: random.Random) -> str | None:
        """The words of another clip; None where a few tries find none."""
        for _ in range(_TRIES):
            clip, text = self._pairs[draw.randrange(len(self._pairs))][1][0]
            words = " ".join(self._ears.texts(clip, text)).strip() if text is None else text
            if words.strip() and words.strip() != true:
                return words
        return None


def shares_words(response: str, transcript: str) -> bool:
    """Whether a response repeats something of a transcript: a word of four letters or more, or, in writing
    without spaces, two characters that follow each other."""
    return bool(_marks(response) & _marks(transcript))


def _marks(text: str) -> set[str]:
    words = re.findall(r"\w+", text.casefold())
    marks = {word for word in words if len(word) >= _SHORTEST and not _UNSPACED.search(word)}
    unspaced = [word for word in words if _UNSPACED.search(word)]
    return marks | {word[i : i + 2] for word in unspaced for i in range(len(word) - 1)}
