"""Text dominance as a benchmark that the runner knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.evaluate.clips import clips_file
from desta2.evaluate.rows import Row
from desta2.evaluate.systems import Question
from desta2.evaluate.text_dominance.items import AUDIO, CONFLICT, STATED, TRANSCRIPT, questions_of, read_items
from desta2.evaluate.text_dominance.rows import dominance_rows
from desta2.evaluate.text_dominance.score import NEITHER, VOICE, WORDS, score_dominance
from desta2.evaluate.words import score_line
from desta2.records import Prediction


class TextDominance:
    """The benchmark; see `Benchmark`. Only desta2 models in this process can answer it."""

    def questions(self, data: Path) -> Iterator[Question]:
        """See `read_items`; `data` is a file of labelled clips, or a folder with `clips.jsonl`."""
        manifest = clips_file(data)
        return questions_of(read_items(manifest), manifest)

    def score(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """See `score_dominance`."""
        return dict(score_dominance(predictions))

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """See `dominance_rows`."""
        return dominance_rows(predictions)

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """All scores in lines, then accuracies by attribute."""
        right, follows, pull = scores["accuracy"], scores["follows"], scores["words_pull"]
        lines = [
            score_line("accuracy with voice and transcript", right[AUDIO]),
            score_line("accuracy with the transcript alone", right[TRANSCRIPT]),
            score_line("always the most frequent value", right["chance"]),
            _difference_line("the voice adds", scores["audio_adds"]),
        ]
        for name, words in ((CONFLICT, "another clip's words"), (STATED, "another clip's words and labels")):
            lines += [
                f"with {words}",
                *(
                    score_line(f"  the answer follows {_SIDES[side]}", score)
                    for side, score in follows[name].items()
                ),
                _difference_line("  these words add to their value", pull[name]),
            ]
        for key, own in scores["by_attribute"].items():
            lines.append(key)
            lines.append(score_line("  with voice and transcript", own["accuracy"][AUDIO]))
            lines.append(_difference_line("  the voice adds", own["audio_adds"]))
        return "\n".join(lines)


_SIDES = {VOICE: "the voice", WORDS: "the words", NEITHER: "neither"}


def _difference_line(name: str, found: Mapping[str, Any]) -> str:
    low, high = (f"{100 * found[key]:+.2f}" for key in ("low", "high"))
    change = f"{100 * found['difference']:+7.2f} points [{low} … {high}]"
    return f"{name:<62}{change}   p = {found['p_value']:.4f}"
