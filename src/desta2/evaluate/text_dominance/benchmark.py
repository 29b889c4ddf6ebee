"""Text dominance as a benchmark that the runner knows: its conditions, and what their comparison says.

- What the audio adds: the accuracy with the adapter's vectors minus that without them, item by item.
- Whom a conflict follows: the share of answers that name the voice's value, and the words' value. An answer
  may name the words' value by mere error, so that share is compared, item by item, with how often the same
  value is named when the words are the clip's own (`words_pull`).

An answer names a value if that stands in it as whole words and no other value does. Scores are means over
attributes, and intervals resample speakers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from desta2.errors import InputError
from desta2.evaluate.clips import clips_file
from desta2.evaluate.compare import Difference, compare_paired
from desta2.evaluate.multiple_choice.choose import named_options
from desta2.evaluate.stats import Score, cluster_bootstrap
from desta2.evaluate.systems import Question
from desta2.evaluate.text_dominance.items import (
    AUDIO,
    CONDITIONS,
    CONFLICT,
    STATED,
    TRANSCRIPT,
    questions_of,
    read_items,
)
from desta2.evaluate.words import score_line
from desta2.records import Prediction

_VOICE, _WORDS, _NEITHER = "voice", "words", "neither"


class Dominance(TypedDict):
    """Scores of some items, ready for JSON.

    `accuracy` holds "audio", "transcript" and "chance" (always the most frequent value); `audio_adds` is the
    first minus the second. `follows` holds for "conflict" and "stated" the shares of answers that name the
    value of the "voice", of the "words", or "neither"; `words_pull` how much more often the words' value is
    named then than with the clip's own words.
    """

    accuracy: dict[str, Score]
    audio_adds: Difference
    follows: dict[str, dict[str, Score]]
    words_pull: dict[str, Difference]


class DominanceScores(Dominance):
    """The scores of all items, and by attribute; `n` is the number of items."""

    by_attribute: dict[str, Dominance]
    n: int


@dataclass(frozen=True)
class _Answered:
    """An item: what its answers name, by condition."""

    key: str
    speaker: str
    label: str
    words_label: str
    named: Mapping[str, str | None]


def score_dominance(predictions: Sequence[Prediction]) -> DominanceScores:
    """Score predictions of a run.

    Args:
        predictions: four for each item, with the fields that `questions_of` gives them.

    Raises:
        InputError: there is nothing to score, a prediction is not this benchmark's, or an item has not been
            answered under each condition.
    """
    if not predictions:
        raise InputError("there are no predictions to score")
    by_item: defaultdict[tuple[str, str], dict[str, Prediction]] = defaultdict(dict)
    for item in predictions:
        extra = item.model_extra or {}
        if extra.get("condition") not in CONDITIONS or not {"options", "words_label", "clip"} <= extra.keys():
            raise InputError(f"{item.id!r} is no prediction of: desta2 evaluate text-dominance")
        by_item[str(extra["clip"]), item.task][extra["condition"]] = item
    answered = [_answered(rows) for rows in by_item.values()]
    keys = dict.fromkeys(one.key for one in answered)
    return {
        **_dominance(answered),
        "by_attribute": {key: _dominance([one for one in answered if one.key == key]) for key in keys},
        "n": len(answered),
    }


def _answered(rows: Mapping[str, Prediction]) -> _Answered:
    first = next(iter(rows.values()))
    if missing := [condition for condition in CONDITIONS if condition not in rows]:
        place = first.id.rpartition("/")[0]
        raise InputError(f"{place!r} has no answer under {', '.join(missing)}; score all shares together")
    extra = first.model_extra or {}
    return _Answered(
        key=first.task.partition("/")[2],
        speaker=str(extra.get("speaker") or extra["clip"]),
        label=str(first.label),
        words_label=str(extra["words_label"]),
        named={condition: _named(item) for condition, item in rows.items()},
    )


def _named(item: Prediction) -> str | None:
    """The one value that an answer names."""
    options = [str(option) for option in (item.model_extra or {})["options"]]
    places = named_options(item.response, options)
    return options[min(places)] if len(places) == 1 else None


def _dominance(items: Sequence[_Answered]) -> Dominance:
    keys, speakers = [item.key for item in items], [item.speaker for item in items]

    def score(hits: Sequence[bool]) -> Score:
        return cluster_bootstrap(hits, keys, speakers).to_dict()

    def difference(first: Sequence[bool], second: Sequence[bool]) -> Difference:
        return compare_paired(first, second, keys, speakers).to_dict()

    voice = {name: [item.named[name] == item.label for item in items] for name in CONDITIONS}
    words = {name: [item.named[name] == item.words_label for item in items] for name in CONDITIONS}
    follows = {}
    for name in (CONFLICT, STATED):
        neither = [not one and not other for one, other in zip(voice[name], words[name], strict=True)]
        shares = {_VOICE: voice[name], _WORDS: words[name], _NEITHER: neither}
        follows[name] = {side: score(hits) for side, hits in shares.items()}
    return {
        "accuracy": {
            AUDIO: score(voice[AUDIO]),
            TRANSCRIPT: score(voice[TRANSCRIPT]),
            "chance": score(_guessed(items)),
        },
        "audio_adds": difference(voice[AUDIO], voice[TRANSCRIPT]),
        "follows": follows,
        "words_pull": {name: difference(words[name], words[AUDIO]) for name in (CONFLICT, STATED)},
    }


def _guessed(items: Sequence[_Answered]) -> list[bool]:
    """Whether each attribute's most frequent value is right; an upper bound for guessing."""
    counts = Counter((item.key, item.label) for item in items)
    best: dict[str, str] = {}
    for (key, label), _ in counts.most_common():
        best.setdefault(key, label)
    return [item.label == best[item.key] for item in items]


class TextDominance:
    """The benchmark; see `Benchmark`. Only desta2 models in this process can answer it."""

    def questions(self, data: Path) -> Iterator[Question]:
        """See `read_items`; `data` is a file of labelled clips, or a folder with `clips.jsonl`."""
        manifest = clips_file(data)
        return questions_of(read_items(manifest), manifest)

    def score(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """See `score_dominance`."""
        return dict(score_dominance(predictions))

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


_SIDES = {_VOICE: "the voice", _WORDS: "the words", _NEITHER: "neither"}


def _difference_line(name: str, found: Mapping[str, Any]) -> str:
    low, high = (f"{100 * found[key]:+.2f}" for key in ("low", "high"))
    change = f"{100 * found['difference']:+7.2f} points [{low} … {high}]"
    return f"{name:<62}{change}   p = {found['p_value']:.4f}"
