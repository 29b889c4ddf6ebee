"""DeSTA2's published answers (Speech-IFEval) are answers of a model that hears: filters must leave them alone."""

import json
from collections import Counter
from pathlib import Path

import pytest

from desta2.data.check.config import CheckConfig
from desta2.data.check.filters import make_filters
from desta2.data.check.item import Item
from desta2.records import Pair

FOLDER = Path(__file__).parents[4] / "shared" / "speech_ifeval" / "desta2"


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no published answers at {FOLDER}")
def test_few_of_them_are_found():
    filters = make_filters(CheckConfig(only=("empty", "truncated", "refusal", "denial", "markup")))
    counts = Counter()
    for file in sorted(FOLDER.glob("rule_eval@*.jsonl")) + sorted(FOLDER.glob("llm_eval@chain*.jsonl")):
        for number, line in enumerate(file.open(encoding="utf-8")):
            row = json.loads(line)
            fields = {
                "id": f"{file.name}:{number}",
                "response": row["response"],
                "seed": row["seed_transcript"],
            }
            provenance = {"llm": "DeSTA2", "prompt": row["instruction"], "seed_format": "v2"}
            item = Item(Pair.model_validate(fields | {"messages": [], "provenance": provenance}), FOLDER)
            counts["all"] += 1
            counts.update(one.name for one in filters if one.find(item))
    # The one denial is one ("there is no audio provided"); the markup is the seeds' times, or "the given transcript".
    assert counts == {"all": 1533, "denial": 1, "markup": 13}
