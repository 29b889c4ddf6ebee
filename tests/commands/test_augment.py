"""The verb augment: results in words and JSON, and mistakes in one line."""

import shutil
from pathlib import Path

import pytest

from desta2.records import Clip, read_records

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def manifest(tmp_path):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return tmp_path / "examples" / "clips.jsonl"


ALWAYS = ("--noise-probability", 1, "--reverb-probability", 0, "--processes", 1)


def test_noise_in_words_and_json(tmp_path, manifest, cli, result):
    out = tmp_path / "augmented.jsonl"
    code, text, _ = cli("augment", manifest, "-o", out, "--snr-db", 5, 10, *ALWAYS)
    assert (code, text) == (0, f"{out}: 8 records written, 0 clips were done before\n")
    added = [record.augmented["added_snr_db"] for record in read_records(out, Clip) if "+noise1" in record.id]
    assert len(added) == 4 and all(5 <= snr <= 10 for snr in added)
    again = result("augment", manifest, "-o", out, "--snr-db", 5, 10, *ALWAYS)
    assert again == {"output": str(out), "written": 0, "already_done": 4, "without_speech": 0, "bad": []}


def test_bad_clips(tmp_path, manifest, cli):
    (manifest.parent / "british.wav").unlink()
    code, text, _ = cli(
        "augment", manifest, "-o", tmp_path / "a.jsonl", "--skip-bad", "--no-originals", *ALWAYS
    )
    assert code == 0
    assert text.splitlines()[1].startswith("skipped: clip 'nano-test-7-000058': no audio file at ")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["none.jsonl"], "none.jsonl does not exist"),
        (["clips.jsonl", "--noise", "none"], "none is no folder; expected one with recordings"),
        (["clips.jsonl", "--snr-db", "9", "3"], "snr_db is 9.0 to 3.0; expected two finite numbers, the lower one first"),
        (["clips.jsonl", "--noise-probability", "2"], "noise_probability is 2.0; it must be from 0 to 1"),
        (["clips.jsonl", "--copies", "0"], "see 'desta2 augment --help'"),
    ],
)  # fmt: skip
def test_mistakes(manifest, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(manifest.parent)
    assert line in mistake("augment", *argv)
