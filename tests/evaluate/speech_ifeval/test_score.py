import pytest

from desta2.errors import InputError
from desta2.evaluate.speech_ifeval.checkers import CLOSED, CREATIVE, PARTS, REASONING
from desta2.evaluate.speech_ifeval.responses import Verdict
from desta2.evaluate.speech_ifeval.score import (
    forgetting_from_rate,
    forgetting_from_responses,
    score_verdicts,
    to_rate,
)

NAMES = {CLOSED: "startend:quotation", CREATIVE: "keywords:existence"}


def verdicts(part, right, wrong, clips=None):
    """Responses of a part, of which so many follow."""
    names = (NAMES[part],) if part in NAMES else ()
    return [
        Verdict({}, part, names, (i < right,), f"{part}{i}", f"{part}{i % clips if clips else i}")
        for i in range(right + wrong)
    ]


def system(closed, creative, reasoning, of=20):
    rates = zip(PARTS, (closed, creative, reasoning), strict=True)
    return [verdict for part, right in rates for verdict in verdicts(part, right, of - right)]


def test_rates():
    both = Verdict({}, CLOSED, (NAMES[CLOSED], "change_case:english_capital"), (True, False), "x", "x")
    score = score_verdicts([*verdicts(CLOSED, 3, 0), both, *verdicts(CREATIVE, 1, 1)])
    assert (score.overall.value, score.overall.n) == (4 / 6, 6)
    assert {name: (rate.value, rate.n) for name, rate in score.by_checker.items()} == {
        "change_case:english_capital": (0.0, 1),
        "startend:quotation": (1.0, 4),
        "keywords:existence": (0.5, 2),
    }
    assert {part: (rate.value, rate.n) for part, rate in score.by_part.items()} == {
        CLOSED: (0.75, 4),
        CREATIVE: (0.5, 2),
    }
    assert score.if_rate is None
    assert to_rate(score.overall).keys() == {"follow_rate", "n", "low", "high"}


def test_if_rate_counts_parts_alike():
    score = score_verdicts(verdicts(CLOSED, 90, 10) + verdicts(CREATIVE, 5, 5) + verdicts(REASONING, 1, 3))
    assert score.if_rate is not None
    assert score.if_rate.value == pytest.approx((0.9 + 0.5 + 0.25) / 3)
    assert score.if_rate.low < score.if_rate.value < score.if_rate.high
    assert score.if_rate.n == 114
    assert "chain-of-thought" not in score.by_checker


def test_responses_about_one_clip_are_not_independent():
    apart, together = (score_verdicts(verdicts(CLOSED, 50, 50, clips)).overall for clips in (None, 50))
    assert apart.value == together.value
    clip_wise = score_verdicts([Verdict({}, CLOSED, (), (i < 50,), str(i), str(i // 10)) for i in range(100)])
    assert clip_wise.overall.high - clip_wise.overall.low > 2 * (apart.high - apart.low)


def test_forgetting_against_a_rate():
    score = score_verdicts(system(15, 16, 17))
    found = forgetting_from_rate(score, 0.9)
    assert found.rate == pytest.approx((0.8 - 0.9) / 0.9)
    assert (found.reference, found.comparison) == (0.9, None)
    with pytest.raises(
        InputError, match=r"needs the responses of all parts \(.*\), given closed-ended; give all"
    ):
        forgetting_from_rate(score_verdicts(verdicts(CLOSED, 1, 1)), 0.9)
    with pytest.raises(InputError, match=r"given a reference IFrate of 9253 %, expected 0 < IFrate ≤ 100"):
        forgetting_from_rate(score, 92.53)


def test_forgetting_against_responses():
    found = forgetting_from_responses(system(10, 10, 10), system(20, 20, 10)[::-1])
    assert found.rate == pytest.approx((0.5 - 2.5 / 3) / (2.5 / 3))
    assert found.reference == pytest.approx(2.5 / 3)
    assert found.comparison is not None
    assert found.comparison.difference == pytest.approx(-1 / 3)
    assert found.comparison.high < 0
    assert found.comparison.p_value < 0.001
    assert not found.comparison.within_noise
    same = forgetting_from_responses(system(10, 10, 10), system(10, 10, 10))
    assert same.rate == 0
    assert same.comparison is not None and same.comparison.within_noise


def test_systems_that_cannot_be_compared():
    own = verdicts(CLOSED, 2, 0)
    with pytest.raises(
        InputError, match=r"^1 items are answered by one system alone, such as 'closed-ended2'"
    ):
        forgetting_from_responses(own, verdicts(CLOSED, 3, 0))
    with pytest.raises(InputError, match="the reference's responses cannot be told apart"):
        forgetting_from_responses(own, [*own, own[0]])
    with pytest.raises(InputError, match="the responses cannot be told apart: expected each with its own id"):
        forgetting_from_responses([Verdict({}, CLOSED, (), (True,), "", "a")], own)
    with pytest.raises(InputError, match="the reference follows no instruction"):
        forgetting_from_responses(own, verdicts(CLOSED, 0, 2))


def test_nothing_to_score():
    with pytest.raises(InputError, match="no items to score"):
        score_verdicts([])
