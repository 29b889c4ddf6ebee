"""The nano benchmark's scores: what was answered rightly, in which way, and how well it was heard.

What is right is decided item by item (`rules`), means and intervals are made in `tables`, and what asking
costs against choosing and describing in `readings`. The trade-off: families that some predictions do not
hold, such as those of an older run, have empty tables instead of stopping the rest; attributes and formats
have to be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from desta2.errors import InputError
from desta2.evaluate.answers import OTHER, options_of, read_answer, word_errors
from desta2.evaluate.readings import Readings, score_readings
from desta2.evaluate.rules import SYSTEMS, is_item_right, is_obeyed, label_of, name_of
from desta2.evaluate.stats import Interval, Score, ratio_bootstrap
from desta2.evaluate.tables import Table, by_name, check_items, judged, overall, same_items
from desta2.nano.language import ASPECT, UNKNOWN
from desta2.records import Prediction


class Confusion(TypedDict):
    """Which answers the model gave to clips of each label: `counts[label][answer]`."""

    labels: list[str]
    answers: list[str]
    counts: list[list[int]]


class NanoResult(Readings):
    """All scores of the nano benchmark, ready for JSON, beside those of `Readings`.

    `attribute_accuracy`, and `by_attribute` for each attribute, hold "speech", "cascade", "topline" and
    "chance"; all others "speech" and "text", the topline's answers: `format_rate`, and `by_format` for each
    format, the share of answers written as asked; `format_right` and `by_format_right` the share of those
    that are right besides; the same for combinations of kind and format that nobody was trained on
    (`combination_…`); `unseen_right` and `by_unseen` attributes in wordings that the LLM never saw;
    `kind_right` and `by_kind` the kinds of questions. Overall scores are means over the parts. `unclear` is
    each system's share of "not clear" answers to attribute questions, all of which can be answered, and
    `unanswerable` the share to questions that cannot. `confusion` are the answers of "speech".
    `asr_wer_clean` is the word error rate on clips whose noise level is clean.
    """

    attribute_accuracy: Table
    format_rate: Table
    by_attribute: dict[str, Table]
    by_format: dict[str, Table]
    format_right: Table
    by_format_right: dict[str, Table]
    unseen_right: Table
    by_unseen: dict[str, Table]
    kind_right: Table
    by_kind: dict[str, Table]
    combination_rate: Table
    combination_right: Table
    by_combination_rate: dict[str, Table]
    by_combination_right: dict[str, Table]
    asr_wer: Score | None
    asr_wer_clean: Score | None
    unclear: Table
    unanswerable: Table
    confusion: dict[str, Confusion]


def chance(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The strongest guess without hearing, as a system: always the attribute's most frequent label.

    It knows the label frequencies of the scored items, so it is an upper bound for guessing. Takes and gives
    attribute items; of labels equally frequent, the attribute's first option is guessed.
    """
    counts = Counter((name_of(item), label_of(item)) for item in predictions)
    guesses = {key: max(options_of(key), key=lambda label: counts[key, label]) for key, _ in counts}
    return [item.model_copy(update={"response": guesses[name_of(item)]}) for item in predictions]


def wer_interval(references: Sequence[str], hypotheses: Sequence[str], clusters: Sequence[str]) -> Interval:
    """Corpus word error rate (all errors ÷ all reference words) of normalised texts, `n` being utterances.

    Args:
        references: what was said, for each utterance.
        hypotheses: what was recognised.
        clusters: what is resampled, such as the speaker.

    Raises:
        InputError: lengths that differ, or no words in the references.
    """
    if not len(references) == len(hypotheses) == len(clusters):
        given = f"{len(references)} references, {len(hypotheses)} hypotheses and {len(clusters)} clusters"
        raise InputError(f"given {given}, expected as many of each")
    counts = [word_errors(*pair) for pair in zip(references, hypotheses, strict=True)]
    errors, words = ([count[place] for count in counts] for place in (0, 1))
    if not sum(words):
        raise InputError("cannot compute a word error rate: the references hold no words")
    return ratio_bootstrap(errors, words, ["all"] * len(words), list(clusters))


def score_nano(
    systems: Mapping[str, Sequence[Prediction]],
    asr_wer: Interval | None,
    asr_wer_clean: Interval | None = None,
) -> NanoResult:
    """Score the systems on the same items; intervals resample speakers.

    Args:
        systems: predictions of "speech", "cascade" and "topline", with the tasks that `rules.ASKED` names for
            each; attributes and formats are needed. Each carries its `speaker`, most their `key`, and some a
            `phrase`.
        asr_wer: of the transcripts, where there are some.
        asr_wer_clean: of those of clean clips.

    Raises:
        InputError: missing, duplicate or unequal items between systems, or an item that cannot be scored.
    """
    if set(systems) != set(SYSTEMS):
        given = ", ".join(systems) or "no system"
        raise InputError(f"given predictions of {given}; expected {', '.join(SYSTEMS)}")
    for name in systems:
        check_items(name, systems[name])
    asked = same_items("attribute", {name: systems[name] for name in SYSTEMS})
    answers = {name: [read_answer(name_of(item), item.response) for item in asked[name]] for name in asked}
    asked["chance"] = chance(asked["speech"])
    right, questions = judged(asked, is_item_right), asked["speech"]
    text = {"speech": systems["speech"], "text": systems["topline"]}
    formats = _Written.of(same_items("format", text))
    combinations = _Written.of(same_items("combination", text, needed=False))
    unseen, kinds, unknown = (same_items(name, text, needed=False) for name in ("unseen", "kind", "unknown"))
    unseen_right, kind_right = judged(unseen, is_item_right), judged(kinds, is_item_right)
    return {
        "attribute_accuracy": overall(right, questions),
        "format_rate": formats.rate,
        "by_attribute": by_name(right, questions, tuple(ASPECT)),
        "by_format": formats.by_rate,
        "format_right": formats.right,
        "by_format_right": formats.by_right,
        "unseen_right": overall(unseen_right, unseen["speech"]),
        "by_unseen": by_name(unseen_right, unseen["speech"], tuple(ASPECT)),
        "kind_right": overall(kind_right, kinds["speech"]),
        "by_kind": by_name(kind_right, kinds["speech"]),
        "combination_rate": combinations.rate,
        "combination_right": combinations.right,
        "by_combination_rate": combinations.by_rate,
        "by_combination_right": combinations.by_right,
        "asr_wer": asr_wer.to_dict() if asr_wer else None,
        "asr_wer_clean": asr_wer_clean.to_dict() if asr_wer_clean else None,
        "unclear": overall({name: [a == UNKNOWN for a in said] for name, said in answers.items()}, questions),
        "unanswerable": overall(judged(unknown, is_item_right), unknown["speech"]),
        "confusion": _confusions(questions, answers["speech"]),
        **score_readings(systems["speech"]),
    }


class _Written(NamedTuple):
    """Answers in a format: how many are written as asked, and how many of all are right besides."""

    rate: Table
    by_rate: dict[str, Table]
    right: Table
    by_right: dict[str, Table]

    @classmethod
    def of(cls, systems: Mapping[str, Sequence[Prediction]]) -> _Written:
        obeyed = judged(systems, is_obeyed)
        both = judged(systems, lambda item: is_obeyed(item) and is_item_right(item))
        items = systems["speech"]
        names = tuple(dict.fromkeys(map(name_of, items)))
        rate, right = overall(obeyed, items), overall(both, items)
        return cls(rate, by_name(obeyed, items, names), right, by_name(both, items, names))


def _confusions(items: Sequence[Prediction], answers: Sequence[str]) -> dict[str, Confusion]:
    counts = Counter(
        (name_of(item), label_of(item), answer) for item, answer in zip(items, answers, strict=True)
    )
    tables: dict[str, Confusion] = {}
    for key in ASPECT:
        columns = [*options_of(key), UNKNOWN, OTHER]
        labels = [label for label in options_of(key) if any(counts[key, label, answer] for answer in columns)]
        if labels:
            rows = [[counts[key, label, answer] for answer in columns] for label in labels]
            tables[key] = {"labels": labels, "answers": columns, "counts": rows}
    return tables
