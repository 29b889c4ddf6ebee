"""The scores of Speech-IFEval: following rates, IFrate, and what speech training made the LLM forget.

The IFrate is the mean over the benchmark's three parts, so that each counts alike whatever its size. The
forgetting rate is (IFrate - reference) / reference, the reference being the system before it learned to hear:
the same LLM, given the transcript as text (Lu, Kuan & Lee, arXiv 2505.19037). Intervals resample clips,
because several instructions of the creative part are about the same clip.

The trade-off: the paper defines forgetting on published rates; where the reference's responses are there, the
same items are compared one by one besides, and only that says whether the difference is more than noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from desta2.errors import InputError
from desta2.evaluate.compare import Comparison, compare_paired
from desta2.evaluate.speech_ifeval.checkers import CHECKERS, PARTS
from desta2.evaluate.speech_ifeval.responses import Verdict
from desta2.evaluate.stats import Interval, cluster_bootstrap


class Rate(TypedDict):
    """A following rate in JSON: the share of responses that follow, its 95 % interval, and how many."""

    follow_rate: float
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class FollowScore:
    """All rates of some responses.

    Attributes:
        overall: the share of responses that follow all their instructions.
        by_checker: the same for each rule, counting instructions.
        by_part: the same for each part of the benchmark that occurs.
        if_rate: the mean over the three parts; None unless all are there.
    """

    overall: Interval
    by_checker: dict[str, Interval]
    by_part: dict[str, Interval]
    if_rate: Interval | None


@dataclass(frozen=True)
class Forgetting:
    """What a system lost against a reference system.

    Attributes:
        rate: (own - reference) / reference, negative where something was lost.
        reference: the reference's score.
        comparison: of the two, response by response; None where only the reference's score is known.
    """

    rate: float
    reference: float
    comparison: Comparison | None


def score_verdicts(verdicts: Sequence[Verdict]) -> FollowScore:
    """Score checked responses; those without verdict are left out, and are the caller's to count.

    Raises:
        InputError: there are none.
    """
    verdicts = [verdict for verdict in verdicts if verdict.followed]
    parts = [part for part in PARTS if any(verdict.part == part for verdict in verdicts)]
    by_part = {part: _rate([verdict for verdict in verdicts if verdict.part == part]) for part in parts}
    by_checker = {}
    for name in CHECKERS:
        met = [
            (followed, verdict.clip)
            for verdict in verdicts
            for asked, followed in zip(verdict.names, verdict.followed, strict=False)  # a judge's has no name
            if asked == name
        ]
        if met:
            by_checker[name] = cluster_bootstrap([hit for hit, _ in met], None, [clip for _, clip in met])
    if_rate = _mean_over_parts(verdicts) if len(parts) == len(PARTS) else None
    return FollowScore(_rate(verdicts), by_checker, by_part, if_rate)


def forgetting_from_rate(score: FollowScore, reference: float) -> Forgetting:
    """The forgetting rate against a reference's IFrate, such as 0.9253.

    Raises:
        InputError: the responses do not cover all parts, or the reference is not between 0 and 1.
    """
    if score.if_rate is None:
        raise InputError(
            f"a reference's IFrate needs the responses of all parts ({', '.join(PARTS)}), given "
            f"{', '.join(score.by_part)}; give all files, or the reference's responses instead of its rate"
        )
    if not 0 < reference <= 1:
        raise InputError(f"given a reference IFrate of {100 * reference:g} %, expected 0 < IFrate ≤ 100")
    return Forgetting((score.if_rate.value - reference) / reference, reference, None)


def forgetting_from_responses(verdicts: Sequence[Verdict], reference: Sequence[Verdict]) -> Forgetting:
    """The forgetting rate against a reference's responses to the same items, and how sure the difference is.

    The scores compared are means over the parts that there are, of items on which both have a verdict.

    Raises:
        InputError: the two did not answer the same items, or the reference followed nothing.
    """
    own, other = _by_item(verdicts, "the responses"), _by_item(reference, "the reference's responses")
    if lone := own.keys() ^ other.keys():
        shown = sorted(lone)[0].replace("\n", ": ")[:80]
        raise InputError(
            f"{len(lone)} items are answered by one system alone, such as {shown!r}; expected responses of "
            "both to the same items"
        )
    pairs = [(one, other[item]) for item, one in own.items() if one.followed and other[item].followed]
    comparison = compare_paired(
        [all(verdict.followed) for verdict, _ in pairs],
        [all(verdict.followed) for _, verdict in pairs],
        [verdict.part for verdict, _ in pairs],
        [verdict.clip for verdict, _ in pairs],
    )
    base = _mean_over_parts([verdict for _, verdict in pairs]).value
    if not base:
        raise InputError("the reference follows no instruction: there is nothing that could be forgotten")
    return Forgetting(comparison.difference / base, base, comparison)


def to_rate(interval: Interval) -> Rate:
    """A rate in JSON."""
    return {"follow_rate": interval.value, "n": interval.n, "low": interval.low, "high": interval.high}


def _rate(verdicts: Sequence[Verdict]) -> Interval:
    return cluster_bootstrap(
        [all(verdict.followed) for verdict in verdicts], None, [verdict.clip for verdict in verdicts]
    )


def _mean_over_parts(verdicts: Sequence[Verdict]) -> Interval:
    return cluster_bootstrap(
        [all(verdict.followed) for verdict in verdicts],
        [verdict.part for verdict in verdicts],
        [verdict.clip for verdict in verdicts],
    )


def _by_item(verdicts: Sequence[Verdict], whose: str) -> dict[str, Verdict]:
    items = {verdict.item: verdict for verdict in verdicts}
    if "" in items or len(items) < len(verdicts):
        raise InputError(
            f"{whose} cannot be told apart: expected each with its own id, or its own instruction and audio"
        )
    return items
