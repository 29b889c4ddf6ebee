"""Tables: four formats, columns that are mapped, rows that are not as they should be."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desta2.data.sources.base import Options, Reading
from desta2.data.sources.columns import parse_columns
from desta2.data.sources.rows import read_table
from desta2.data.sources.store import AudioStore
from desta2.errors import InputError

ROWS = [
    {
        "file": "a.wav",
        "sentence": "Hi, you.",
        "gender": "F",
        "Speaking speed": "slow",
        "who": "7",
        "snr": "12.5",
    },
    {"file": "b.wav", "sentence": 'Say "no".', "gender": "", "Speaking speed": "", "who": "", "snr": ""},
]
MAP = {"file": "audio", "sentence": "text", "who": "speaker", "snr": "measured.snr_db"}


def separated(delimiter):
    quote = (lambda value: '"' + value.replace('"', '""') + '"') if delimiter == "," else str
    lines = [delimiter.join(ROWS[0]), *(delimiter.join(quote(v) for v in row.values()) for row in ROWS)]
    return "\ufeff" + "\r\n".join(lines) + "\r\n"


def parquet(path, rows):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "jsonl.gz", "csv.gz", "parquet", "folder"])
def test_the_same_clips_from_every_format(tree, clips, kind):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    if kind == "folder":
        tree.text("data/part-0.jsonl", lines.splitlines()[0])
        tree.text("data/part-1.jsonl", lines.splitlines()[1])
    elif kind == "parquet":
        tree.text("x", "")
        parquet(tree.root / "t.parquet", ROWS)
    else:
        text = lines if kind.startswith("jsonl") else separated("," if "csv" in kind else "\t")
        tree.bytes(f"t.{kind}", gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    src = tree.root if kind == "folder" else tree.root / f"t.{kind}"
    first, second = clips("table", src, columns=MAP).values()
    folder = tree.root / "data" if kind == "folder" else tree.root
    assert (first.id, first.audio) == ("a.wav", str(folder / "a.wav"))
    assert (first.text, second.text) == ("Hi, you.", 'Say "no".')
    assert first.attributes == {"gender": "Female", "speaking_speed": "Slow"}
    assert (first.speaker, first.measured) == ("7", {"snr_db": 12.5})
    assert (second.attributes, second.speaker, second.measured) == ({}, None, {})


def test_columns_with_the_names_of_fields_need_no_map(tree, read):
    row = {
        "id": "x",
        "audio": "a.wav",
        "start": "1.5",
        "end": "2",
        "language": "en",
        "emotion": "joy",
        "notes": "?",
    }
    tree.text(
        "t.jsonl", json.dumps(row | {"attributes": {"Style": "read"}, "measured.f0_median_hz": 120}) + "\n"
    )
    (clip,), reading = read("table", tree.root / "t.jsonl")
    assert (clip.id, clip.start, clip.end, clip.language) == ("x", 1.5, 2.0, "en")
    assert clip.attributes == {"Style": "read", "emotion": "Happy"}
    assert clip.measured == {"f0_median_hz": 120.0}
    assert reading.unused_columns == ("notes",)


def test_a_column_that_must_not_be_taken(tree, clips):
    tree.text("t.csv", "audio,text,gender\na.wav,Hi,F\n")
    (clip,) = clips("table", tree.root / "t.csv", columns={"gender": "-"}).values()
    assert (clip.text, clip.attributes) == ("Hi", {})


def test_ids_of_parts_of_one_file(tree, clips):
    tree.text("t.csv", "audio,start,end\na.wav,0,1.5\na.wav,1.5,3\n")
    assert list(clips("table", tree.root / "t.csv")) == ["a.wav#0-1.5", "a.wav#1.5-3"]


def test_whole_numbers_that_came_as_floats_are_speakers(tree, clips):
    tree.text("x", "")
    parquet(
        tree.root / "t.parquet", [{"audio": "a.wav", "speaker": 3.0}, {"audio": "b.wav", "speaker": None}]
    )
    assert [clip.speaker for clip in clips("table", tree.root / "t.parquet").values()] == ["3", None]


def test_json_rows_may_leave_columns_out(tree, clips, refused):
    tree.text("t.jsonl", '{"file": "a.wav"}\n\n{"file": "b.wav", "said": "Hi"}\n')
    table = tree.root / "t.jsonl"
    found = clips("table", table, columns={"file": "audio", "said": "text"})
    assert [clip.text for clip in found.values()] == [None, "Hi"]
    assert refused("table", table, columns={"file": "audio", "sayd": "text"}).startswith(
        f"{table}: no row has the column 'sayd' of --map; its columns: "
    )


def test_audio_in_the_table(tree, clips, encode, tmp_path):
    tree.text("x", "")
    wav, flac = encode("wav", 16_000, 1, 0.05), encode("flac", 16_000, 1, 0.05)
    rows = [
        {"id": "a/1", "audio": {"bytes": wav, "path": "some/one.wav"}},
        {"id": "a/2", "audio": {"bytes": flac, "path": None}},
        {"id": "a/3", "audio": {"bytes": None, "path": "three.wav"}},
    ]
    parquet(tree.root / "t.parquet", rows)
    first, second, third = clips("table", tree.root / "t.parquet").values()
    assert first.audio.startswith(str(tmp_path / "kept")) and first.audio.endswith(".wav")
    assert Path(first.audio).read_bytes() == wav  # as it was, byte for byte
    assert Path(second.audio).read_bytes() == flac and second.audio.endswith(".flac")
    assert third.audio == str(tree.root / "three.wav")
    assert not list((tmp_path / "kept").rglob("*.tmp"))


def test_samples_in_the_table(tree, read, sine):
    samples = sine(8_000, 0.5).astype(float).tolist()
    good = {"id": "a", "audio": {"array": samples, "sampling_rate": 8_000}}
    bad = {"id": "b", "audio": {"array": samples, "sampling_rate": 0}}
    tree.text("t.jsonl", json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    (clip,), reading = read("table", tree.root / "t.jsonl", skip_bad=True)
    kept, rate = soundfile.read(clip.audio)
    assert (len(kept), rate) == (8_000, 16_000)
    assert np.abs(kept).max() == pytest.approx(0.5, abs=0.01)
    assert reading.bad_examples[0].startswith(f"{tree.root}/t.jsonl:2: its samples cannot be used: ")


def test_relative_paths_are_looked_for_under_the_data_root_first(tree, clips, tmp_path):
    tree.audio("a.wav", "../other/a.wav", "b.wav")
    tree.text("t.csv", "audio\na.wav\nb.wav\nhttps://x.org/c.wav\n")
    root = tmp_path / "other"
    audio = [clip.audio for clip in clips("table", tree.root / "t.csv", data_root=root).values()]
    assert audio == [str(root / "a.wav"), str(tree.root / "b.wav"), "https://x.org/c.wav"]


BAD_ROWS = {
    "csv": (
        b"audio,text,duration,start,end\n"
        b"a.wav,Hi,1,,\n"
        b"b.wav,Hi\n"  # fields are missing
        b"c.wav,\xff\xfe,1,,\n"  # not UTF-8
        b",Hi,1,,\n"  # no audio
        b"d.wav,Hi,long,,\n"  # no number
        b"e.wav,Hi,-1,,\n"  # an impossible number
        b"f.wav,Hi,1,3,2\n"  # an impossible cut
        b"\n"
        b'g.wav,"two\nlines",1,,\n',
        [
            "3: has 2 fields, the first line names 5",
            "4: is not text in UTF-8",
            "5: has no audio",
            "6: column 'duration': given 'long', expected a number",
            "7: field 'duration': given -1.0, expected it to be greater than 0",
            "8: given start 3.0 and end 2.0, expected start < end",
        ],
    ),
    "jsonl": (
        b'{"audio": "a.wav"}\n'
        b'{"audio": \n'
        b"[1]\n"
        b'{"audio": 3}\n'
        b'{"audio": "e.wav", "text": ["Hi"]}\n'
        b'{"audio": "f.wav", "duration": true}\n'
        b'{"audio": "g.wav", "text": "two\\nlines"}\n',
        [
            "2: not valid JSON: EOF while parsing a value at line 2 column 0",
            "3: given '[1]', expected a JSON object",
            "4: its audio is '3', expected a path, or the bytes of a file",
            "5: column 'text': given \"['Hi']\" (list), expected a text",
            "6: column 'duration': given 'True', expected a number",
        ],
    ),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_rows_are_named_and_counted(tree, read, refused, kind):
    content, problems = BAD_ROWS[kind]
    table = tree.bytes(f"t.{kind}", content)
    records, reading = read("table", table, skip_bad=True)
    assert [clip.id for clip in records] == ["a.wav", "g.wav"]
    assert records[1].text == "two\nlines"
    assert reading.bad_examples == [f"{table}:{problem}" for problem in problems]
    assert refused("table", table).startswith(f"{table}:{problems[0]} (--skip-bad")


@pytest.mark.parametrize(
    ("name", "content", "columns", "says"),
    [
        ("t.csv", "file,text\na.wav,Hi\n", {}, "no column holds the audio; say which one does, such as --map file=audio; its columns: file, text"),
        ("t.csv", "audio\na.wav\n", {"sentense": "text"}, "there is no column 'sentense': audio"),
        ("t.csv", "audio,sentence\na.wav,Hi\n", {"sentense": "text"}, "there is no column 'sentense' (did you mean 'sentence'?)"),
        ("t.csv", "audio,a,a\nx,y,z\n", {}, "two columns have the same name: a"),
        ("t.csv", "\n", {}, "is empty: expected a first line with the names of the columns"),
        ("t.xls", "", {}, "expected .csv, .tsv, .jsonl or .parquet, or a folder of such files"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read(tree, refused, name, content, columns, says):
    assert says in refused("table", tree.text(name, content), columns=columns)


def test_folders_that_are_no_table(tree, refused):
    assert f"{tree.root} does not exist" in refused("table")
    tree.text("a.txt", "")
    assert refused("table") == f"{tree.root} holds no .csv, .tsv, .jsonl or .parquet file"
    tree.text("a.csv", "audio\n")
    tree.text("a.tsv", "audio\n")
    assert refused("table") == f"{tree.root} holds tables of several kinds (csv, tsv): name one"


def test_a_broken_parquet_file(tree, refused):
    pytest.importorskip("pyarrow")
    assert "cannot be read as Parquet: " in refused("table", tree.bytes("t.parquet", b"PAR1 and more"))


def test_map(refused):
    assert parse_columns(["a=b=text", "x=gender", "y=attributes.Style", "z=measured.snr_db", "n=-"]) == {
        "a=b": "text", "x": "attributes.gender", "y": "attributes.Style", "z": "measured.snr_db", "n": "-",
    }  # fmt: skip
    for pair, says in {
        "sentence": "given --map sentence, expected COLUMN=FIELD, such as sentence=text",
        "=text": "given --map =text, expected COLUMN=FIELD",
        "a=txt": "given --map …=txt, expected a field of a clip or an attribute (did you mean 'text'?)",
        "a=measured.": "expected a field of a clip or an attribute",
    }.items():
        with pytest.raises(InputError, match=re.escape(says)):
            parse_columns([pair])
    with pytest.raises(InputError, match="--map names 'text' for two columns; give each field one column"):
        parse_columns(["a=text", "b=text"])


FIELDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(FIELDS, min_size=2, max_size=2), max_size=5))
def test_csv_gives_back_what_was_written(tmp_path, rows):
    file = tmp_path / "t.csv"
    with file.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([["a", "b"], *rows])
    reading = Reading(Options(), AudioStore(file.parent))
    found = [list(row.values()) for _, row in read_table(file, reading)]
    assert found == [[value or None for value in row] for row in rows if any(row)]
