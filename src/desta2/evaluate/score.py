"""The nano benchmark's scores: attribute questions, formats and transcripts, each with its interval.

Answers are judged by rule: the label must stand in the answer as consecutive whole words, as in the
Dynamic-SUPERB scores of the DeSTA papers (Lu et al., 2024), and no other option of the attribute may. The
trade-off: a rule is free, the same for everyone and never persuaded, but it takes "not female" for "female"
and knows no synonyms. It fits questions whose options are known, which is all that is asked here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from desta2.errors import InputError
from desta2.evaluate.formats import obeys
from desta2.evaluate.stats import Interval, Score, cluster_bootstrap, ratio_bootstrap
from desta2.nano.language import ASPECT, UNKNOWN
from desta2.records import Prediction

SYSTEMS = ("speech", "cascade", "topline")
"""The trained model; its LLM with the transcript only; its LLM with the true seed transcript as text."""
OTHER = "other"  # an answer that states no option, or several
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+")  # "3.5" is one word, or "3.5 seconds" would hold "5 seconds"
_NAMED = 5  # how many items an error names


class Confusion(TypedDict):
    """Which answers the model gave to clips of each label: `counts[label][answer]`."""

    labels: list[str]
    answers: list[str]
    counts: list[list[int]]


class NanoResult(TypedDict):
    """All scores of the nano benchmark, ready for JSON.

    `attribute_accuracy`, and `by_attribute` for each attribute, hold "speech", "cascade", "topline" and
    "chance"; `format_rate`, and `by_format` for each format, hold "speech" and "text": the share of answers
    written as asked. `format_right` and `by_format_right` are the share of those that are right besides.
    Overall scores are means over attributes and over formats. `unclear` is each system's share of "not clear"
    answers, and `confusion` the answers of "speech".
    """

    attribute_accuracy: dict[str, Score]
    format_rate: dict[str, Score]
    by_attribute: dict[str, dict[str, Score]]
    by_format: dict[str, dict[str, Score]]
    format_right: dict[str, Score]
    by_format_right: dict[str, dict[str, Score]]
    asr_wer: Score | None
    unclear: dict[str, Score]
    confusion: dict[str, Confusion]


def normalise(text: str) -> str:
    """The words of a text alone: no case, no punctuation, single spaces."""
    return " ".join(_WORD.findall(re.sub("['’]", "", text.casefold())))


def read_answer(key: str, response: str) -> str:
    """The option of the attribute `key` that a response states, `UNKNOWN` if it says so, or else `OTHER`.

    Raises:
        InputError: there is no such attribute.
    """
    words = f" {normalise(response)} "
    stated = [option for option in _options(key) if f" {normalise(option)} " in words]
    if len(stated) == 1:
        return stated[0]
    says_unknown = f" {UNKNOWN} " in words or " unclear " in words
    return UNKNOWN if says_unknown and not stated else OTHER


def is_right(key: str, label: str, response: str) -> bool:
    """Whether a response states the label and no other option of the attribute `key`.

    Raises:
        InputError: there is no such attribute, or the label is none of its options.
    """
    return read_answer(key, response) == _check_label(key, label)


def chance(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The strongest guess without hearing, as a system: always the attribute's most frequent label.

    It knows the label frequencies of the scored items, so it is an upper bound for guessing. Takes and gives
    attribute items; of labels equally frequent, the attribute's first option is guessed.
    """
    counts = Counter((_name(item), _label(item)) for item in predictions)
    guesses = {key: max(_options(key), key=lambda label: counts[key, label]) for key, _ in counts}
    return [item.model_copy(update={"response": guesses[_name(item)]}) for item in predictions]


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


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """How many words of a hypothesis are wrong, missing or too many, and how many words the reference has."""
    import jiwer

    out = jiwer.process_words(normalise(reference), normalise(hypothesis))
    return out.substitutions + out.deletions + out.insertions, out.hits + out.substitutions + out.deletions


def score_nano(systems: Mapping[str, Sequence[Prediction]], asr_wer: Interval | None) -> NanoResult:
    """Score the systems on the same items; intervals resample speakers.

    Args:
        systems: predictions of "speech", "cascade" and "topline". Attribute items (task "attribute/<key>")
            are needed of all three, format items ("format/<name>") of the first and last. Each carries its
            `speaker`; format items carry the attribute they are about as `key`, and some a `phrase`.
        asr_wer: of the transcripts, where there are some.

    Raises:
        InputError: missing, duplicate or unequal items between systems, or an item that cannot be scored.
    """
    if set(systems) != set(SYSTEMS):
        given = ", ".join(systems) or "no system"
        raise InputError(f"given predictions of {given}; expected {', '.join(SYSTEMS)}")
    for name in systems:
        _check_items(name, systems[name])
    asked = _same_items("attribute", {name: systems[name] for name in SYSTEMS})
    formatted = _same_items("format", {"speech": systems["speech"], "text": systems["topline"]})

    answers = {name: [read_answer(_name(item), item.response) for item in asked[name]] for name in asked}
    asked["chance"] = chance(asked["speech"])
    right = {
        name: [is_right(_key(item), _label(item), item.response) for item in items]
        for name, items in asked.items()
    }
    obeyed = {
        name: [obeys(_name(item), item.response, _extra(item, "phrase", "")) for item in items]
        for name, items in formatted.items()
    }
    both = {
        name: [
            hit and is_right(_key(item), _label(item), item.response)
            for hit, item in zip(hits, formatted[name], strict=True)
        ]
        for name, hits in obeyed.items()
    }
    questions, tasks = asked["speech"], formatted["speech"]
    formats = tuple(dict.fromkeys(map(_name, tasks)))
    return {
        "attribute_accuracy": {name: _score(hits, questions) for name, hits in right.items()},
        "format_rate": {name: _score(hits, tasks) for name, hits in obeyed.items()},
        "by_attribute": _by_name(right, questions, tuple(ASPECT)),
        "by_format": _by_name(obeyed, tasks, formats),
        "format_right": {name: _score(hits, tasks) for name, hits in both.items()},
        "by_format_right": _by_name(both, tasks, formats),
        "asr_wer": asr_wer.to_dict() if asr_wer else None,
        "unclear": {name: _score([a == UNKNOWN for a in said], questions) for name, said in answers.items()},
        "confusion": _confusions(questions, answers["speech"]),
    }


def _check_items(system: str, predictions: Sequence[Prediction]) -> None:
    counts = Counter(item.id for item in predictions)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise InputError(f"{system} answered {_some(twice)} more than once; keep one answer to each item")
    for item in predictions:
        if item.task.split("/")[0] not in ("attribute", "format") or not _name(item):
            wanted = "attribute/<key> or format/<name>"
            raise InputError(f"{item.id!r} has the task {item.task!r}; expected {wanted}")


def _same_items(kind: str, systems: Mapping[str, Sequence[Prediction]]) -> dict[str, list[Prediction]]:
    """The items of one kind in one order for all systems."""
    chosen = {
        name: {item.id: item for item in items if item.task.startswith(f"{kind}/")}
        for name, items in systems.items()
    }
    union = sorted(set().union(*chosen.values()))
    if not union:
        raise InputError(f"there are no {kind} items to score; expected tasks named {kind}/…")
    for name, items in chosen.items():
        if missing := [key for key in union if key not in items]:
            raise InputError(f"{name} has no answer to {_some(missing)}, which another system answered")
    for key in union:
        if len({(items[key].task, items[key].label) for items in chosen.values()}) > 1:
            raise InputError(f"the systems give {key!r} different tasks or labels; run all on the same items")
    return {name: [items[key] for key in union] for name, items in chosen.items()}


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(repr, ids[:_NAMED])) + more


def _score(hits: Sequence[bool], items: Sequence[Prediction]) -> Score:
    """Mean over attributes (or formats) with its interval."""
    return cluster_bootstrap(hits, list(map(_name, items)), [_speaker(item) for item in items]).to_dict()


def _by_name(
    hits: Mapping[str, Sequence[bool]], items: Sequence[Prediction], order: Sequence[str]
) -> dict[str, dict[str, Score]]:
    scores: dict[str, dict[str, Score]] = {}
    for name in order:
        here = [i for i, item in enumerate(items) if _name(item) == name]
        if here:
            there = [items[i] for i in here]
            scores[name] = {system: _score([each[i] for i in here], there) for system, each in hits.items()}
    return scores


def _confusions(items: Sequence[Prediction], answers: Sequence[str]) -> dict[str, Confusion]:
    counts = Counter((_name(item), _label(item), answer) for item, answer in zip(items, answers, strict=True))
    tables: dict[str, Confusion] = {}
    for key in ASPECT:
        columns = [*_options(key), UNKNOWN, OTHER]
        labels = [label for label in _options(key) if any(counts[key, label, answer] for answer in columns)]
        if labels:
            rows = [[counts[key, label, answer] for answer in columns] for label in labels]
            tables[key] = {"labels": labels, "answers": columns, "counts": rows}
    return tables


def _name(item: Prediction) -> str:
    """The attribute or format that an item is about."""
    return item.task.partition("/")[2]


def _key(item: Prediction) -> str:
    """The attribute that an item asks for."""
    return _name(item) if item.task.startswith("attribute/") else _extra(item, "key", "")


def _label(item: Prediction) -> str:
    if item.label is None:
        raise InputError(f"{item.id!r} has no label; items of the nano benchmark need one")
    return _check_label(_key(item), item.label)


def _check_label(key: str, label: str) -> str:
    """The label as the attribute's options write it."""
    for option in _options(key):
        if option.casefold() == label.casefold():
            return option
    raise InputError(f"given the label {label!r}, but {key} is one of {', '.join(_options(key))}")


def _options(key: str) -> tuple[str, ...]:
    if key not in ASPECT:
        raise InputError(f"there is no attribute {key!r}; expected one of {', '.join(ASPECT)}")
    return ASPECT[key].options


def _speaker(item: Prediction) -> str:
    if not (speaker := _extra(item, "speaker", "")):
        raise InputError(f"{item.id!r} has no speaker; intervals need to know whose voice it is")
    return speaker


def _extra(item: Prediction, key: str, default: str) -> str:
    return str((item.model_extra or {}).get(key, default))
