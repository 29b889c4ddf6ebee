"""docs/corpora.md says of each corpus what its reader says."""

from pathlib import Path

import pytest

from desta2.data.sources import NAMES, load_source

DOCS = Path(__file__).parents[3] / "docs" / "corpora.md"


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_and_its_documentation_agree(name):
    docs, source = DOCS.read_text(encoding="utf-8"), load_source(name)
    if source.own_data:
        assert f"\ndesta2 corpus {name} " in docs
    elif name in ("desta2", "aqa5m"):
        assert f"| `{name}` | {source.title} ({source.obtain}) | {source.carries} |" in docs
    else:
        row = f"| `{name}` | {source.title} | {source.carries} | {source.licence} | {source.obtain} |"
        assert row in docs
        assert f"- `{name}`: {source.layout}\n" in docs
