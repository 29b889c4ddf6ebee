"""Parquet as one more form of files of records: nothing is lost on the way, and foreign files are read."""

import json
import math
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desta2.errors import InputError, RecordError
from desta2.records import Clip, Pair, Record, count_records, read_records, write_records

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(
    st.sampled_from(["a", "b", "ä b", "attributes?", "", "id2"]) | TEXT, JSON, max_size=4
)


def without_nulls(fields):
    return {name: value for name, value in fields.items() if value is not None}


@given(rows=st.lists(FIELDS, max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path, rows):
    records = [Record.model_validate({**fields, "id": str(i)}) for i, fields in enumerate(rows)]
    assert write_records(tmp_path / "r.parquet", records) == len(records)
    found = [record.to_dict() for record in read_records(tmp_path / "r.parquet", Record)]
    wanted = [without_nulls(record.to_dict()) for record in records]
    assert found == wanted
    # 1 == 1.0 == True for Python, not for a strict record
    assert [[type(v) is bool for v in row.values()] for row in found] == [
        [type(row[name]) is bool for name in row_found] for row, row_found in zip(wanted, found, strict=True)
    ]


def test_plain_values_are_columns_and_the_rest_is_json_text(tmp_path):
    clips = [
        Clip(id="a", audio="a.wav", duration=1.5, attributes={"gender": "Male"}),
        Clip(id="b", audio="b.wav", text="hi", measured={"f0_median_hz": 100.0}),
    ]
    write_records(tmp_path / "clips.parquet", clips)
    table = pq.read_table(tmp_path / "clips.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string", "audio": "string", "duration": "double", "attributes": "string", "text": "string",
        "measured": "string",
    }  # fmt: skip
    assert table["attributes"].to_pylist() == ['{"gender": "Male"}', None]


def test_files_of_other_programs(tmp_path):
    # structs have all their fields in every row; metadata is gone after a way through pandas
    rows = [
        {"id": "a", "audio": "a.wav", "attributes": {"gender": "Male", "age": None}, "language": None},
        {"id": "b", "audio": "b.wav", "attributes": {"gender": None, "age": "Adult"}, "language": "en"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "structs.parquet")
    found = list(read_records(tmp_path / "structs.parquet", Clip))
    assert [clip.attributes for clip in found] == [{"gender": "Male"}, {"age": "Adult"}]
    write_records(tmp_path / "ours.parquet", found)
    pq.read_table(tmp_path / "ours.parquet").to_pandas().to_parquet(tmp_path / "pandas.parquet")
    assert list(read_records(tmp_path / "pandas.parquet", Clip)) == found
    maps = pa.table(
        {"id": ["m"], "audio": ["m.wav"]}
        | {"attributes": pa.array([[("age", "Teen")]], type=pa.map_(pa.string(), pa.string()))}
    )
    pq.write_table(maps, tmp_path / "maps.parquet")
    assert next(read_records(tmp_path / "maps.parquet", Clip)).attributes == {"age": "Teen"}


def test_more_rows_than_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr("desta2.parquet._WRITE_ROWS", 3)
    records = [
        Record.model_validate({"id": str(i), "n": i, "late": [i] if i == 7 else None}) for i in range(8)
    ]
    write_records(tmp_path / "r.parquet", records)
    assert pq.ParquetFile(tmp_path / "r.parquet").num_row_groups == 3
    assert [r.to_dict() for r in read_records(tmp_path / "r.parquet", Record)][7] == {
        "id": "7",
        "n": 7,
        "late": [7],
    }
    assert count_records(tmp_path / "r.parquet") == 8


def test_a_folder_of_parts_may_hold_parquet(tmp_path):
    write_records(tmp_path / "part-00000.parquet", [Record(id="a")])
    write_records(tmp_path / "part-00001.jsonl", [Record(id="b")])
    (tmp_path / "part-00001.failed.jsonl").write_text('{"id": "c"}\n')
    assert [record.id for record in read_records(tmp_path, Record)] == ["a", "b"]


def test_rows_that_are_no_records(tmp_path):
    table = pa.table({"id": ["a", "b"], "audio": ["a.wav", None]})
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(RecordError, match=r"c\.parquet:2: field 'audio' is missing, a Clip needs it"):
        list(read_records(tmp_path / "c.parquet", Clip))
    pq.write_table(pa.table({"id": ["a"], "audio": [b"RIFF"]}), tmp_path / "bytes.parquet")
    with pytest.raises(RecordError, match=r"bytes\.parquet:1: the row is no record: .*bytes"):
        list(read_records(tmp_path / "bytes.parquet", Clip))
    pq.write_table(pa.table({"id": ["a"], "x": [math.nan]}), tmp_path / "nan.parquet")
    with pytest.raises(RecordError, match=r"nan\.parquet:1: the row is no record"):
        list(read_records(tmp_path / "nan.parquet", Record))
    pq.write_table(pa.table({"id": ["p"], "messages": ["[{"]}), tmp_path / "json.parquet")
    with pytest.raises(RecordError, match=r"json\.parquet:1: the row is no record"):
        list(read_records(tmp_path / "json.parquet", Pair))


def test_files_that_are_not_whole(tmp_path):
    write_records(tmp_path / "r.parquet", [Record(id=str(i)) for i in range(100)])
    content = (tmp_path / "r.parquet").read_bytes()
    for cut in (content[:-5], content[:100], b"", json.dumps({"id": "a"}).encode()):
        (tmp_path / "cut.parquet").write_bytes(cut)
        with pytest.raises(
            RecordError, match=r"cut\.parquet: cannot be read as Parquet after row 0.*is it cut\?"
        ):
            list(read_records(tmp_path / "cut.parquet", Record))


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RecordError, match="both have the id 'a'"):
        write_records(tmp_path / "r.parquet", [Record(id="a"), Record(id="a")])
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow(tmp_path, monkeypatch):
    write_records(tmp_path / "r.parquet", [Record(id="a")])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"need the package pyarrow: pip install 'desta2\[corpora\]'"):
        list(read_records(tmp_path / "r.parquet", Record))
    with pytest.raises(InputError, match="need the package pyarrow"):
        write_records(tmp_path / "s.parquet", [Record(id="a")])
