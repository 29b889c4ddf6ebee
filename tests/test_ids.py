"""Ids in bounded memory: a dict to look at, whatever lies on the disk."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2 import ids as ids_module
from desta2.errors import RunError
from desta2.ids import IdTable

KEYS = st.text(alphabet=st.characters(), min_size=1, max_size=4) | st.sampled_from(
    ["a", "A", "é", "e\u0301", "a\0", "a\0b", "\ud800"]  # pairs that a careless table would join
)


@given(st.lists(st.tuples(KEYS, st.integers(0, 2**62))), st.integers(1, 5))
def test_it_is_a_dict_that_keeps_the_first_number(steps: list[tuple[str, int]], in_memory: int) -> None:
    table, plain = IdTable(in_memory), dict[str, int]()
    for key, number in steps:
        assert (key in table) == (key in plain)
        assert table.setdefault(key, number) == plain.setdefault(key, number)
    assert table == plain
    assert len(table) == len(plain)
    assert table.keys() == plain.keys()
    assert table.get("never") is None and 3 not in table
    with pytest.raises(KeyError, match="never"):
        table["never"]


def test_small_tables_stay_off_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_module.sqlite3, "connect", None)
    table = IdTable()
    for number in range(ids_module.IN_MEMORY - 1):
        table.setdefault(str(number), number)
    assert len(table) == ids_module.IN_MEMORY - 1
    with pytest.raises(TypeError):
        table.setdefault("one more", 0)


def test_a_full_disk_is_said_so() -> None:
    table = IdTable(in_memory=1)
    table.setdefault("a", 0)
    assert table._older is not None
    table._older.execute("PRAGMA max_page_count = 2")
    with pytest.raises(RunError, match=r"cannot keep \d+ ids .* full; is its disk full\? .*SQLITE_TMPDIR"):  # noqa: PT012
        for number in range(1000):
            table.setdefault(f"{number:0100}", number)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_memory_does_not_grow_with_the_ids(tmp_path: Path) -> None:
    code = """
import random, resource, sys
from desta2.ids import IdTable
table, random_id = IdTable(), random.Random(0)
for number in range(int(sys.argv[1])):
    table.setdefault(f"corpus/speaker-{random_id.getrandbits(64):020}", number)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def peak(count: int) -> int:
        return int(subprocess.check_output([sys.executable, "-c", code, str(count)]))

    few = peak(15_000)
    many = peak(150_000)  # in a dict these would take some 25 MB more
    unit = 1 if sys.platform == "darwin" else 1024
    assert (many - few) * unit < 6e6
