"""Scores in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def score_line(name: str, score: Mapping[str, Any]) -> str:
    """One line of a table: a rate in per cent with its interval and number of items."""
    low, high = (f"{100 * score[key]:.2f}" for key in ("low", "high"))
    return f"{name:<62}{100 * score['value']:7.2f} %   [{low} … {high}]   n = {score['n']}"
