"""Which filters are made, and in which order."""

from pathlib import Path

import pytest

from desta2.data.check.config import CheckConfig
from desta2.data.check.filters import AGAINST, NAMES, make_filters
from desta2.records import Clip, write_records


@pytest.fixture
def against(tmp_path) -> list[Path]:
    write_records(tmp_path / "t.jsonl", [Clip(id="t", audio="t.wav", text="hello")])
    return [tmp_path / "t.jsonl"]


def names(against=(), **config):
    return tuple(one.name for one in make_filters(CheckConfig.model_validate(config), against))


def test_all_of_them_in_order(against):
    assert names(against, without=("contaminated-audio",)) == tuple(
        n for n in NAMES if n != "contaminated-audio"
    )
    assert names() == tuple(name for name in NAMES if name not in AGAINST)


def test_those_that_compare_or_cost_much_come_last():
    lasts = [one.last for one in make_filters(CheckConfig())]
    assert lasts == sorted(lasts)
    assert sum(lasts) == 2


def test_some_of_them():
    assert names(only=("markup", "empty")) == ("empty", "markup")
    assert names(only=("markup", "empty"), without=("empty",)) == ("markup",)
    assert names(only=()) == ()
