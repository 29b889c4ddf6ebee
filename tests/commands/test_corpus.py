"""The verb corpus: results in words and as JSON, options of one reader, mistakes in one line, export."""

import json

import pytest
import soundfile

from desta2.records import Clip, Pair, read_records


@pytest.fixture
def table(tmp_path):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", [0.1] * 8000, 16_000)
    lines = ["file,sentence,sex,votes", "a.wav,Hello.,f,2", "b.wav,No,m,1", "c.wav,?,m,1"]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


MAP = ("--map", "file=audio", "--map", "sentence=text", "--map", "sex=gender")


def test_a_table_with_columns(tmp_path, table, result):
    out = tmp_path / "clips.jsonl"
    found = result("corpus", "table", table, "-o", out, *MAP, "--skip-bad")
    assert found == {
        "output": str(out),
        "written": 2,
        "already_done": 0,
        "bad": 1,
        "bad_examples": [f"clip 'c.wav': no audio file at {tmp_path}/c.wav"],
        "left_out": {},
        "fields": {"text": 2, "duration": 2, "gender": 2},
        "splits": {},
        "unused_columns": ["votes"],
    }
    clips = list(read_records(out, Clip))
    assert [(clip.audio, clip.text, clip.attributes) for clip in clips] == [
        ("a.wav", "Hello.", {"gender": "Female"}),
        ("b.wav", "No", {"gender": "Male"}),
    ]


def test_in_words(tmp_path, table, cli):
    out = tmp_path / "clips.jsonl"
    code, text, _ = cli("corpus", "table", table, "-o", out, *MAP, "--skip-bad")
    assert code == 0
    assert text.splitlines() == [
        f"{out}: 2 records written, 0 were there before",
        "known: text 2, duration 2, gender 2",
        "columns not used: votes (--map COLUMN=FIELD takes one)",
        f"skipped: clip 'c.wav': no audio file at {tmp_path}/c.wav",
    ]
    assert cli("corpus", "table", table, "-o", out, *MAP, "--limit", 1)[1].splitlines()[0] == (
        f"{out}: 0 records written, 1 were there before"
    )


def test_many_bad_rows_are_not_all_printed(tmp_path, table, cli):
    table.write_text("audio\n" + "".join(f"no{i}.wav\n" for i in range(12)))
    lines = cli("corpus", "table", table, "-o", tmp_path / "c.jsonl", "--skip-bad")[1].splitlines()
    assert len(lines) == 12
    assert lines[-1] == "skipped 2 more"


def test_published_pairs_in_and_out(tmp_path, result, cli):
    row = {
        "audio_id": "a", "audio_filepath": "x/a.wav", "transcription": "Hi", "input": "What?", "target": "A man.",
        "dataset": "d", "duration": 1.0, "seed_transcript": "[00:00:00 - 00:00:01]",
    }  # fmt: skip
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    assert result("corpus", "desta2", tmp_path / "in.jsonl", "-o", tmp_path / "pairs")["written"] == 1
    assert [pair.response for pair in read_records(tmp_path / "pairs", Pair)] == ["A man."]
    out = tmp_path / "out.jsonl"
    found = result("corpus", "desta2", tmp_path / "pairs", "-o", out, "--export")
    assert found == {"output": str(out), "rows": 1, "bad": 0, "bad_examples": []}
    assert json.loads(out.read_text()) == row
    assert cli("corpus", "aqa5m", tmp_path / "pairs", "-o", out, "--export")[1] == f"{out}: 1 rows\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["vctc", "."], "no reader is called 'vctc'; did you mean 'vctk'?"),
        (["vctk", "."], ". does not look like VCTK: there is no speaker-info.txt; expected speaker-info.txt, "),
        (["vctk", ".", "--split", "train"], "vctk has no use for --split; it takes --mic"),
        (["table", "t.csv"], "t.csv: no column holds the audio; say which one does, such as --map file=audio"),
        (["table", "t.csv", "--map", "file"], "given --map file, expected COLUMN=FIELD, such as sentence=text"),
        (["table", "t.csv", *MAP], "clip 'c.wav': no audio file at"),
        (["table", "t.csv", *MAP, "--durations", "some"], "given --durations some, expected header, all or none"),
        (["table", "t.csv", *MAP, "--limit", "0"], "see 'desta2 corpus --help'"),
        (["table", "t.csv", *MAP, "-o", "x.json"], "cannot write x.json resumably: expected NAME.jsonl or a folder"),
        (["desta2", "pairs", "--export"], "pairs does not exist"),
        (["desta2", "pairs", "--export", "--seeds"], "--export takes --data-root and --skip-bad, and no option of reading"),
        (["table"], "Missing argument 'SRC'; see 'desta2 corpus --help'"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, table, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    assert line in mistake("corpus", *argv)
