"""The verb check: results in words and as JSON, settings by file and by option, mistakes in one line."""

import json

import pytest

from desta2.records import Clip, Pair, read_records, write_records


@pytest.fixture
def pairs(tmp_path):
    def pair(number, response):
        message = {"role": "user", "content": "<|AUDIO|>\n?", "audios": [{"audio": f"{number}.wav"}]}
        return {
            "id": f"p{number}", "messages": [message], "response": response,
            "seed": '[00:00:00 - 00:00:02] "the old sailor rested in the school" (Gender: Male)',
            "provenance": {"llm": "l", "prompt": "?"},
        }  # fmt: skip

    path = tmp_path / "pairs.jsonl"
    write_records(path, [pair(0, "The gender is male."), pair(1, "The gender is female."), pair(2, "\x1b")])
    return path


def test_in_words(pairs, cli):
    code, text, _ = cli("check", pairs, "--only", "empty, contradiction")
    assert code == 0
    assert text.splitlines() == [
        "3 pairs: 1 pass, 2 are found (66.67 %)",
        "  empty                      1  33.33 %  has no word",
        "  contradiction              1  33.33 %  states a value that contradicts the seed",
        f"empty: {pairs}:3 'p2': the answer has no letter or digit",
        "    \N{REPLACEMENT CHARACTER}",
        f"contradiction: {pairs}:2 'p1': gender: the answer says 'female', the seed 'Male'",
        "    the gender is female.",
    ]


def test_output_and_json(tmp_path, pairs, result, cli):
    seeds, out = tmp_path / "seeds.jsonl", tmp_path / "out"
    write_records(seeds, [Clip(id="p0", audio="0.wav", duration=1.5, speaker="s")])
    found = result("check", pairs, "-o", out, "--seeds", seeds, "--examples", 0, "--without", "language")
    assert (found["output"], found["pairs"], found["kept"], found["dropped"]) == (str(out), 3, 1, 2)
    assert found["filters"]["empty"] == {"found": 1, "unchecked": {}, "examples": []}
    assert found["bad_lines"] == []
    assert [pair.id for pair in read_records(out, Pair)] == ["p0"]
    assert "| speakers | 1 |" in (out / "README.md").read_text()
    text = cli("check", pairs, "-o", out, "--seeds", seeds, "--without", "language")[1]
    assert text.splitlines()[-1] == f"{out}: 1 pairs; 2 are in {out}/dropped.jsonl, with reasons"


def test_settings_from_a_file(tmp_path, pairs, result):
    config = tmp_path / "check.yaml"
    config.write_text("only: [contradiction]\ncontradiction: {attributes: [pitch]}\n")
    found = result("check", pairs, "--config", config)["filters"]
    assert {name: part["found"] for name, part in found.items()} == {"contradiction": 0}
    found = result("check", pairs, "--config", config, "--only", "empty")["filters"]  # an option wins
    assert list(found) == ["empty"]


def test_against(tmp_path, pairs, result):
    other = tmp_path / "test.jsonl"
    write_records(other, [Clip(id="t", audio="t.wav", text="The old sailor rested in the school.")])
    found = result("check", pairs, "--against", other, "--only", "contaminated-text")
    assert found["filters"]["contaminated-text"]["found"] == 3


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["no"], "no does not exist"),
        (["pairs.jsonl", "--only", "emtpy"], "no filter is called 'emtpy'; did you mean 'empty'?"),
        (["pairs.jsonl", "--only", "contaminated-audio"], "contaminated-audio needs data to compare with"),
        (["pairs.jsonl", "--against", "no.jsonl"], "no.jsonl does not exist"),
        (["pairs.jsonl", "--config", "no.yaml"], "no config file at no.yaml"),
        (
            ["pairs.jsonl", "--config", "bad.yaml"],
            "unknown key 'truncatd' in bad.yaml; did you mean 'truncated'?",
        ),
        (["pairs.jsonl", "-o", "x.jsonl"], "given -o x.jsonl, expected a folder"),
        (["broken.jsonl"], "broken.jsonl:1: not valid JSON in UTF-8"),
        ([], "Missing argument 'PAIRS'; see 'desta2 check --help'"),
    ],
)
def test_mistakes(tmp_path, pairs, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("truncatd: {}\n")
    (tmp_path / "broken.jsonl").write_text("{\n")
    assert line in mistake("check", *argv)


def test_skip_bad(tmp_path, pairs, result):
    pairs.write_bytes(pairs.read_bytes() + b"{\n")
    found = result("check", pairs, "--only", "empty", "--skip-bad")
    assert len(found["bad_lines"]) == 1 and found["bad_lines"][0].startswith(f"{pairs}:4: not valid JSON")
    assert json.dumps(found)
