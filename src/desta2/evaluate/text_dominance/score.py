"""What the comparison of the four conditions says.

- What the audio adds: the accuracy with the adapter's vectors minus that without them, item by item.
- Whom a conflict follows: the share of answers that name the voice's value, and the words' value. An answer
  may name the words' value by mere error, so that share is compared, item by item, with how often the same
  value is named when the words are the clip's own (`words_pull`).

An answer names a value if that stands in it as whole words and no other value does. Scores are means over
attributes, and intervals resample speakers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from desta2.errors import InputError
from desta2.evaluate.compare import Difference, compare_paired
from desta2.evaluate.multiple_choice.choose import named_options
from desta2.evaluate.rows import cluster_of
from desta2.evaluate.stats import Score, cluster_bootstrap
from desta2.evaluate.text_dominance.items import AUDIO, CONDITIONS, CONFLICT, STATED, TRANSCRIPT
from desta2.records import Prediction

VOICE, WORDS, NEITHER = "voice", "words", "neither"


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
        extra = fields_of(item)
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
    return _Answered(
        key=attribute_of(first),
        speaker=cluster_of(first),
        label=str(first.label),
        words_label=str(fields_of(first)["words_label"]),
        named={condition: named_value(item) for condition, item in rows.items()},
    )


def fields_of(item: Prediction) -> dict[str, Any]:
    """What `questions_of` gave a prediction; InputError where it is none of this benchmark."""
    extra = item.model_extra or {}
    if extra.get("condition") not in CONDITIONS or not {"options", "words_label", "clip"} <= extra.keys():
        raise InputError(f"{item.id!r} is no prediction of: desta2 evaluate text-dominance")
    return extra


def attribute_of(item: Prediction) -> str:
    """What a prediction is about, such as "emotion"."""
    return item.task.partition("/")[2]


def named_value(item: Prediction) -> str | None:
    """The one value that an answer names; None where it names none or several."""
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
        shares = {VOICE: voice[name], WORDS: words[name], NEITHER: neither}
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
