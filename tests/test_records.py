"""Records: strict schemas, a lossless round trip through files, and errors that name file, line and field."""

import builtins
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.errors import AudioError, InputError, RecordError
from desta2.records import (
    BadLine,
    Clip,
    Pair,
    Prediction,
    Provenance,
    Seed,
    Segment,
    parse_line,
    read_records,
    resolve_audio,
    to_line,
    write_records,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # Cs: lone surrogates, the only text that is refused
HOSTILE = st.one_of(
    TEXT, st.text("\u2028\u2029\x85\x00\x1f\x7f\r\n\"\\'{}[],:\ufeff\U0001f600é", max_size=12)
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.floats(0, 1e6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=8,
)
OPTIONAL = st.none() | HOSTILE
LABELS = st.dictionaries(HOSTILE, HOSTILE, max_size=3)
SEGMENTS = st.builds(
    lambda start, length, **rest: Segment(start=start, end=start + length, **rest),
    TIMES, TIMES, text=OPTIONAL, speaker=OPTIONAL, attributes=LABELS,
)  # fmt: skip
SEEDS = st.builds(
    Seed,
    id=HOSTILE.filter(bool), audio=HOSTILE.filter(bool), start=st.none() | st.floats(0, 10),
    end=st.none() | st.floats(11, 20), duration=st.none() | st.floats(0.1, 9), text=OPTIONAL,
    language=OPTIONAL, speaker=OPTIONAL, source=OPTIONAL, attributes=LABELS,
    measured=st.dictionaries(HOSTILE, NUMBERS, max_size=3),
    segments=st.none() | st.lists(SEGMENTS, max_size=2), seed=HOSTILE,
    seed_format=st.sampled_from(["v2", "v2.5"]),
)  # fmt: skip
PAIRS = st.builds(
    Pair,
    id=HOSTILE.filter(bool), messages=st.lists(st.dictionaries(HOSTILE, JSON, max_size=3), max_size=3),
    response=HOSTILE, seed=HOSTILE,
    provenance=st.builds(
        Provenance, llm=HOSTILE.filter(bool), prompt=HOSTILE, fingerprint=OPTIONAL,
        sampling=st.dictionaries(HOSTILE, JSON, max_size=3), time=OPTIONAL,
    ),
)  # fmt: skip
CLIP = {"id": "a", "audio": "a.wav"}


def lines_file(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


@settings(deadline=None)  # machines may be busy
@given(SEEDS | PAIRS)
def test_round_trip(record: Seed | Pair) -> None:
    line = to_line(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    again = parse_line(line, type(record))
    assert again == record
    assert to_line(again) == line


@settings(deadline=None)  # machines may be busy
@given(st.dictionaries(HOSTILE.filter(lambda key: key not in Clip.model_fields), JSON, max_size=4))
def test_unknown_keys_are_kept_as_they_are(extra: dict[str, Any]) -> None:
    line = to_line({**CLIP, **extra})
    assert json.loads(to_line(parse_line(line, Clip))) == {**CLIP, **extra}


@pytest.mark.parametrize("key", ["to_dict", "model_config", "model_dump", "self", "__class__", "copy", "_x"])
def test_unknown_keys_may_have_the_names_of_python_things(key: str) -> None:
    record = parse_line(json.dumps({**CLIP, key: 1}).encode(), Clip)
    assert record.to_dict() == {**CLIP, key: 1}


def test_empty_fields_are_left_out_but_unknown_and_nested_nulls_stay() -> None:
    clip = Clip(id="a", audio="a.wav", segments=[Segment(start=0, end=1)], extra=None)
    assert clip.to_dict() == {**CLIP, "segments": [{"start": 0.0, "end": 1.0}], "extra": None}
    messages = [{"role": "user", "content": "<|AUDIO|>", "audios": [{"audio": "a.wav", "text": None}]}]
    pair = Pair(id="p", messages=messages, response="r", seed="s", provenance=Provenance(llm="l", prompt="p"))
    assert pair.to_dict()["messages"] == messages
    assert pair.to_dict()["provenance"] == {"llm": "l", "prompt": "p"}


def test_files_are_readable_utf8(tmp_path: Path) -> None:
    write_records(tmp_path / "c.jsonl", [Clip(id="é", audio="a.wav", duration=3)])
    assert (tmp_path / "c.jsonl").read_text("utf-8") == '{"id": "é", "audio": "a.wav", "duration": 3.0}\n'


def test_a_segment_may_be_shorter_than_the_clock_of_a_seed() -> None:
    assert Segment(start=3, end=3).end == 3.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "a"}, "field 'audio' is missing, a Clip needs it"),
        ({**CLIP, "id": ""}, "field 'id': given '', String should have at least 1 character"),
        ({**CLIP, "id": 3}, "field 'id': given 3, expected it to be a valid string"),
        ({**CLIP, "duration": "3"}, "field 'duration': given '3', expected it to be a valid number"),
        ({**CLIP, "duration": True}, "field 'duration': given True, expected it to be a valid number"),
        ({**CLIP, "duration": 0}, "field 'duration': given 0, expected it to be greater than 0"),
        ({**CLIP, "start": -1}, "field 'start': given -1, expected it to be greater than or equal to 0"),
        ({**CLIP, "start": 2, "end": 2}, "given start 2.0 and end 2.0, expected start < end"),
        ({**CLIP, "end": 0}, "given start 0.0 and end 0.0, expected start < end"),
        ({**CLIP, "attributes": {"age": 30}}, "field 'attributes.age': given 30, expected it to be"),
        ({**CLIP, "measured": {"snr_db": "9"}}, "field 'measured.snr_db': given '9', expected it"),
        (
            {**CLIP, "segments": [{"start": 0, "end": 1}, {"start": 2, "end": 1}]},
            "field 'segments.1': given start 2.0 and end 1.0, expected start <= end",
        ),
        ({**CLIP, "start": "x", "end": "y"}, "expected it to be a valid number (and 1 more)"),
    ],
)  # fmt: skip
def test_wrong_fields(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = lines_file(tmp_path / "c.jsonl", json.dumps({**CLIP, "id": "ok"}), json.dumps(fields))
    with pytest.raises(RecordError) as error:
        list(read_records(path, Clip))
    assert str(error.value).startswith(f"{path}:2: ")
    assert message in str(error.value)


def test_seed_format_and_pairs_are_strict() -> None:
    with pytest.raises(
        RecordError, match=r"field 'seed_format': given 'v3', expected it to be 'v2' or 'v2.5'"
    ):
        parse_line(json.dumps({**CLIP, "seed": "s", "seed_format": "v3"}).encode(), Seed)
    with pytest.raises(RecordError, match="field 'provenance' is missing, a Pair needs it"):
        parse_line(b'{"id": "a", "messages": [], "response": "", "seed": ""}', Pair)
    with pytest.raises(
        RecordError, match=r"field 'messages.0': given 'hello', expected it to be a valid dict"
    ):
        parse_line(b'{"id": "a", "messages": ["hello"], "response": "", "seed": "", "provenance": {}}', Pair)
    with pytest.raises(RecordError, match="field 'label': given 1, expected it to be a valid string"):
        parse_line(b'{"id": "a", "task": "t", "instruction": "i", "response": "r", "label": 1}', Prediction)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "a", "audio"', "not valid JSON in UTF-8: EOF while parsing an object, at column 19; given"),
        (b'{"id": "a"} {}', "not valid JSON in UTF-8: trailing characters"),
        (b'{"id": "a\xff"}', "not valid JSON in UTF-8: invalid unicode code point"),
        (rb'{"id": "\ud800"}', "not valid JSON in UTF-8: unexpected end of hex escape"),
        (b'{"id": "a", "x": NaN}', "not valid JSON in UTF-8: expected value, at column 18"),
        (b'{"id": "a", "audio": "a", "duration": 1e999}', "'duration': given inf, expected it to be"),
        (b'{"id": "a", "audio": "a", "x": {"y": [1e999]}}', "'x': at ['y'][0]: given inf, expected a finite"),
        (b"[" * 5000, "recursion limit exceeded"),
        (b'["a"]', "given ['a'], expected the JSON object of a Clip"),
        (b"null", "given None, expected the JSON object of a Clip"),
    ],
)  # fmt: skip
def test_lines_that_are_no_records(tmp_path: Path, line: bytes, message: str) -> None:
    path = lines_file(tmp_path / "c.jsonl", "", line)
    with pytest.raises(RecordError) as error:
        list(read_records(path, Clip))
    assert str(error.value).startswith(f"{path}:2: ")  # blank lines are nothing, but they count
    assert message in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


def test_what_json_cannot_hold_is_not_written() -> None:
    with pytest.raises(
        RecordError, match=r"record 'a' cannot be written: at \['x'\]\[1\]: .*surrogate U\+D800"
    ):
        to_line({"id": "a", "x": ["ok", "\ud800"]})
    with pytest.raises(RecordError, match=r"at \['x'\]: a key is text with the lone surrogate U\+DFFF"):
        to_line({"id": "a", "x": {"\udfff": 1}})
    with pytest.raises(RecordError, match=r"at \['x'\]: given nan, expected a finite number"):
        to_line({"id": "a", "x": float("nan")})
    with pytest.raises(RecordError, match=r"given \(1, 2\) \(tuple\), expected a plain JSON value"):
        to_line({"id": "a", "x": (1, 2)})
    with pytest.raises(RecordError, match=r"given the key 1, expected keys that are text"):
        to_line({"id": "a", "x": {1: 2}})
    clip = Clip(**CLIP)
    clip.duration = "long"  # type: ignore[assignment]
    with pytest.raises(RecordError, match=r"record 'a' cannot be written: .*'duration'"):
        to_line(clip)


def test_surrogates_are_refused_in_fields_too() -> None:
    for fields in ({"text": "\ud800"}, {"unknown": "\ud800"}, {"attributes": {"x": "\udc00"}}):
        with pytest.raises(ValueError, match=r"unicode string|lone surrogate"):
            Clip(**CLIP, **fields)


def test_duplicate_ids_name_both_lines(tmp_path: Path) -> None:
    path = lines_file(tmp_path / "c.jsonl", json.dumps(CLIP), "", json.dumps(CLIP))
    with pytest.raises(RecordError) as error:
        list(read_records(path, Clip))
    assert str(error.value) == f"{path}:3: the id 'a' is already used at {path}:1; ids must be unique"


def test_duplicate_ids_across_parts(tmp_path: Path) -> None:
    first = lines_file(tmp_path / "part-00000.jsonl", json.dumps({**CLIP, "id": "x"}), json.dumps(CLIP))
    second = lines_file(tmp_path / "part-00001.jsonl", json.dumps(CLIP))
    with pytest.raises(RecordError) as error:
        list(read_records(tmp_path, Clip))
    assert str(error.value).startswith(f"{second}:1: the id 'a' is already used at {first}:2")


def test_skip_bad_lists_what_it_skips(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = json.dumps(CLIP)
    path = lines_file(tmp_path / "c.jsonl", "{", good, b"\xff", good, json.dumps({**CLIP, "id": "b"}))
    bad: list[BadLine] = []
    assert [clip.id for clip in read_records(path, Clip, skip_bad=True, bad=bad)] == ["a", "b"]
    assert [problem.line for problem in bad] == [1, 3, 4]
    assert str(bad[2]) == f"{path}:4: the id 'a' is already used at {path}:2; ids must be unique"
    assert "skipped 3 bad lines" in caplog.text


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    text = "a\u2028b\u2029c\x85d\x0be"
    line = json.dumps({**CLIP, "text": text}, ensure_ascii=False)
    path.write_bytes(f"{line}\r\n".encode())
    assert [clip.text for clip in read_records(path, Clip)] == [text]


def some_clips(count: int) -> list[Clip]:
    return [Clip(id=f"c{i}", audio=f"{i}.wav", text="words " * (i % 50)) for i in range(count)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compression_by_suffix(tmp_path: Path, suffix: str) -> None:
    if suffix == ".zst":
        pytest.importorskip("zstandard")
    path = tmp_path / "deep" / f"c.jsonl{suffix}"
    clips = some_clips(500)
    assert write_records(path, clips) == 500
    assert list(read_records(path, Clip)) == clips
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    first = path.read_bytes()
    write_records(path, clips)
    assert path.read_bytes() == first  # nothing of time or name inside
    if suffix:
        path.write_bytes(first + first)  # several frames in a row are one file
        with pytest.raises(RecordError, match="already used"):
            list(read_records(path, Clip))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_cut_and_damaged_compressed_files_are_noticed(tmp_path: Path, suffix: str) -> None:
    if suffix == ".zst":
        pytest.importorskip("zstandard")
    path = tmp_path / f"c.jsonl{suffix}"
    write_records(path, some_clips(2000))
    whole = path.read_bytes()
    for damaged in (whole[:-3], whole[: len(whole) // 2], whole[:2], b"not compressed", whole + b"junk"):
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"c\.jsonl\.\w+: cannot be read after line \d+: .*is it cut\?"):
            list(read_records(path, Clip, skip_bad=True))


def test_zst_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_zstandard(name: str, *rest: Any, **more: Any) -> Any:
        if name == "zstandard":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_zstandard)
    path = lines_file(tmp_path / "c.jsonl.zst", "x")
    with pytest.raises(InputError, match=r"need the package zstandard: pip install 'desta2\[zst\]'"):
        list(read_records(path, Clip))
    with pytest.raises(InputError, match=r"need the package zstandard"):
        write_records(tmp_path / "d.jsonl.zst", [])
    assert [file.name for file in tmp_path.iterdir()] == ["c.jsonl.zst"]


def test_folders_are_read_in_order_without_unfinished_parts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in [(2, "part-00010.jsonl"), (0, "part-00002.jsonl"), (3, "part-100000.jsonl")]:
        lines_file(tmp_path / name, json.dumps({**CLIP, "id": str(number)}))
    with gzip.open(tmp_path / "part-00009.jsonl.gz", "wb") as file:
        file.write(json.dumps({**CLIP, "id": "1"}).encode())
    lines_file(tmp_path / "part-100001.jsonl.partial", "torn")
    lines_file(tmp_path / ".lock", "1")
    lines_file(tmp_path / "report.jsonl", "other")
    assert [clip.id for clip in read_records(tmp_path, Clip)] == ["0", "1", "2", "3"]
    assert "is not finished: part-100001.jsonl.partial is left out" in caplog.text


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    # the errors come at the call, before the first record is asked for
    with pytest.raises(InputError, match=r"none\.jsonl does not exist$"):
        read_records(tmp_path / "none.jsonl", Clip)
    with pytest.raises(InputError, match=r"holds no records: expected part-\*\.jsonl"):
        read_records(tmp_path, Clip)
    lines_file(tmp_path / "part-00000.jsonl.partial", "{}")
    with pytest.raises(InputError, match=r"holds no records: only unfinished \.partial output"):
        read_records(tmp_path, Clip)
    lines_file(tmp_path / "c.jsonl.partial", "{}")
    with pytest.raises(InputError, match=r"c\.jsonl does not exist: only unfinished \.partial output"):
        read_records(tmp_path / "c.jsonl", Clip)
    with pytest.raises(
        InputError, match=r"expected \.jsonl, \.jsonl\.gz, \.jsonl\.zst, \.parquet or a folder of parts"
    ):
        read_records(lines_file(tmp_path / "c.csv", "id"), Clip)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    write_records(path, [Clip(**CLIP)])
    before = path.read_bytes()

    def failing() -> Any:
        yield Clip(id="b", audio="b")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(path, failing())
    with pytest.raises(RecordError, match="records 1 and 2 both have the id 'b'"):
        write_records(path, [Clip(id="b", audio="b"), {"id": "b"}])
    with pytest.raises(RecordError, match="given a record with the id None, expected a text"):
        write_records(path, [{"audio": "b"}])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.jsonl"]
    with pytest.raises(InputError, match=r"cannot write records to .*c\.txt: expected \.jsonl"):
        write_records(tmp_path / "c.txt", [])
    with pytest.raises(InputError, match="cannot write in the folder"):
        write_records(path / "below-a-file.jsonl", [])


def test_a_file_can_be_rewritten_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    write_records(path, some_clips(100))
    assert write_records(path, (clip for clip in read_records(path, Clip) if clip.text)) == 98


def test_resolve_audio(tmp_path: Path) -> None:
    manifest, root = tmp_path / "m" / "c.jsonl", tmp_path / "root"
    for folder in (manifest.parent, root):
        folder.mkdir()
    (manifest.parent / "here.wav").touch()
    for folder in (manifest.parent, root):
        (folder / "both.wav").touch()

    def resolve(audio: str, data_root: Path | None = root, path: Path = manifest) -> str | Path:
        return resolve_audio(Clip(id="a", audio=audio), path, data_root)

    for uri in ("https://host/a.wav", "s3://bucket/a b.wav", "data:audio/wav;base64,AA=="):
        assert resolve(uri) == uri
    assert resolve("both.wav") == root / "both.wav"
    assert resolve("both.wav", None) == manifest.parent / "both.wav"
    assert resolve("here.wav") == manifest.parent / "here.wav"
    assert resolve("here.wav", None, manifest.parent) == manifest.parent / "here.wav"
    assert resolve(str(root / "both.wav"), None) == root / "both.wav"
    with pytest.raises(AudioError) as error:
        resolve("none.wav")
    assert str(error.value) == (
        f"clip 'a': no audio file at {root / 'none.wav'} nor {manifest.parent / 'none.wav'}; "
        "is the data root right?"
    )


def test_importing_records_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = "{'torch', 'transformers', 'zstandard'}"
    code = f"import sys, desta2.records, desta2.journal; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
