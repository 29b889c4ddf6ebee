"""The stage: nothing disappears, order stays, a stopped run continues, paths stay true, mistakes are told."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data import card
from desta2.data.check.config import CheckConfig
from desta2.data.check.stage import DROPPED, check
from desta2.errors import ConfigError, InputError, RecordError, RunError
from desta2.journal import Journal
from desta2.records import Pair, Record, read_records, write_records

PARTS = [
    "The gender is male.",
    "The pitch is high.",
    "As a language model, I cannot hear audio.",
    "",
    "(Gender: Male)",
]
FAST = CheckConfig(without=("language",))  # its model takes half a second


def write(folder, pairs, parts=2):
    folder.mkdir(parents=True)
    size = max(1, -(-len(pairs) // parts))
    for number in range(parts):
        write_records(folder / f"part-{number:05d}.jsonl", pairs[number * size : (number + 1) * size])
    return folder


def ids(path, model=Pair):
    return [record.id for record in read_records(path, model)]


@pytest.fixture
def pairs(make_pair):
    answers = ["The gender is male.", "The gender is female.", "The pitch is low.", "the pitch is low", ""]
    return [make_pair(answer, id=f"p{number}") for number, answer in enumerate(answers)]


def test_kept_and_dropped(tmp_path, pairs):
    source = write(tmp_path / "in", pairs)
    report = check(source, tmp_path / "out", config=FAST)
    assert (report.pairs, report.kept, report.dropped) == (5, 2, 3)
    assert list(read_records(tmp_path / "out", Pair)) == [
        pair.model_copy(update={"messages": [pair.messages[0] | {"audios": [{"audio": f"{pair.id}.wav"}]}]})
        for pair in (pairs[0], pairs[2])
    ]
    dropped = [json.loads(line) for line in (tmp_path / "out" / DROPPED).read_text().splitlines()]
    assert dropped == [
        {
            "id": "p1",
            "place": f"{source}/part-00000.jsonl:2",
            "reasons": [
                {
                    "filter": "contradiction",
                    "reason": "gender: the answer says 'female', the seed 'Male'",
                    "excerpt": "the gender is female.",
                }
            ],
            "pair": pairs[1].to_dict(),
        },
        {
            "id": "p3",
            "place": f"{source}/part-00001.jsonl:1",
            "reasons": [
                {
                    "filter": "duplicate",
                    "reason": "the same answer and seed as 'p2'",
                    "excerpt": "the pitch is low",
                }
            ],
            "pair": pairs[3].to_dict(),
        },
        {
            "id": "p4",
            "place": f"{source}/part-00001.jsonl:2",
            "reasons": [{"filter": "empty", "reason": "the answer has no letter or digit", "excerpt": ""}],
            "pair": pairs[4].to_dict(),
        },
    ]


def test_without_output_it_only_reports(tmp_path, pairs):
    source = write(tmp_path / "in", pairs)
    before = sorted(tmp_path.rglob("*"))
    seen = []
    report = check(source, config=FAST, progress=seen.append)
    assert sorted(tmp_path.rglob("*")) == before
    assert seen == [1, 2, 3, 4, 5]
    found = report.to_dict()
    assert {name: part["found"] for name, part in found["filters"].items() if part["found"]} == {
        "empty": 1, "contradiction": 1, "duplicate": 1,
    }  # fmt: skip
    assert found["filters"]["duplicate"]["examples"] == [
        {
            "id": "p3",
            "place": f"{source}/part-00001.jsonl:1",
            "reason": "the same answer and seed as 'p2'",
            "excerpt": "the pitch is low",
        }
    ]


def test_a_pair_may_be_found_by_several_filters(tmp_path, make_pair):
    source = write(tmp_path / "in", [make_pair("The gender is female (Gender: Female).")])
    report = check(source, config=FAST)
    assert report.dropped == 1
    assert [name for name, part in report.filters.items() if part.found] == ["markup", "contradiction"]


def test_audio_paths_stay_true(tmp_path, make_pair):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a.wav").touch()
    names = ("../audio/a.wav", "elsewhere/b.wav", "https://host/c.wav")
    found = [make_pair(f"Answer {n}.", id=n, audio=n) for n in names]
    check(write(tmp_path / "in", found), tmp_path / "deep" / "out", config=FAST)
    moved = [pair.messages[0]["audios"][0]["audio"] for pair in read_records(tmp_path / "deep" / "out", Pair)]
    assert moved == ["../../audio/a.wav", *names[1:]]


def test_a_stopped_run_continues(tmp_path, pairs):
    source = write(tmp_path / "in", pairs)
    whole, out = tmp_path / "whole" / "out", tmp_path / "out"
    check(source, whole, config=FAST)
    for stop in range(1, 6):

        def interrupt(done, stop=stop):
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check(source, out, config=FAST, progress=interrupt)
        assert not list(out.glob("part-*.jsonl")) and not (out / DROPPED).exists()  # no final names yet
        assert not (out / "README.md").exists()
    report = check(source, out, config=FAST)
    assert report.kept == 2
    for name in ("part-00000.jsonl", DROPPED, "README.md"):
        assert (out / name).read_text() == (whole / name).read_text()


def test_again_changes_nothing(tmp_path, pairs):
    source, out = write(tmp_path / "in", pairs), tmp_path / "out"
    check(source, out, config=FAST)
    before = {file: file.read_bytes() for file in out.iterdir()}
    again = check(source, out, config=FAST)
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    assert (again.kept, again.dropped) == (2, 3)


def test_more_pairs_later(tmp_path, pairs, make_pair):
    source, out = write(tmp_path / "in", pairs), tmp_path / "out"
    check(source, out, config=FAST)
    write_records(
        source / "part-00002.jsonl", [make_pair("The gender is MALE", id="q"), make_pair("New.", id="r")]
    )
    check(source, out, config=FAST)
    assert ids(out) == ["p0", "p2", "r"]
    assert ids(out / DROPPED, Record) == ["p1", "p3", "p4", "q"]


def test_other_settings_need_another_output(tmp_path, pairs):
    source, out = write(tmp_path / "in", pairs), tmp_path / "out"
    check(source, out, config=FAST)
    with pytest.raises(InputError) as error:
        check(source, out, config=FAST.model_copy(update={"without": ("language", "empty")}))
    assert str(error.value).startswith(f"{out} was begun with other settings: filters was ['empty', ")
    check(source, out, config=FAST.model_copy(update={"examples": 1}))  # changes no verdict


def test_pairs_that_changed_since(tmp_path, pairs, make_pair):
    source, out = write(tmp_path / "in", pairs), tmp_path / "out"
    check(source, out, config=FAST)
    shutil.rmtree(source)
    write(source, [make_pair("", id="p0")], parts=1)
    with pytest.raises(RunError) as error:
        check(source, out, config=FAST)
    assert str(error.value) == (
        f"{source}/part-00000.jsonl:1: pair 'p0' was kept in an earlier run and would not be now: the pairs have "
        f"changed; give another output, or delete {out}"
    )


def test_bad_lines(tmp_path, pairs):
    source = write(tmp_path / "in", pairs, parts=1)
    file = source / "part-00000.jsonl"
    first = file.read_bytes().splitlines(keepends=True)[0]
    file.write_bytes(b'{"id": "x"}\n\n\xff\x00\n' + first + first)
    with pytest.raises(RecordError) as error:
        check(source, config=FAST)
    assert str(error.value).startswith(f"{file}:1: field 'messages' is missing, a Pair needs it")
    report = check(source, tmp_path / "out", config=FAST, skip_bad=True)
    assert (report.pairs, [line.line for line in report.bad_lines]) == (1, [1, 3, 5])
    assert report.bad_lines[2].reason == "the id 'p0' is used before; ids must be unique"
    assert "3 lines of the input were no pairs" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"only": ("emtpy",)}, "no filter is called 'emtpy'; did you mean 'empty'?"),
        (
            {"without": ("xyz",)},
            "no filter is called 'xyz'; known: empty, truncated, refusal, denial, markup, ",
        ),
    ],
)
def test_unknown_filters(tmp_path, pairs, config, message):
    with pytest.raises(ConfigError) as error:
        check(write(tmp_path / "in", pairs), config=CheckConfig.model_validate(config))
    assert str(error.value).startswith(message)


def test_impossible_outputs(tmp_path, pairs):
    source = write(tmp_path / "in", pairs)
    with pytest.raises(InputError) as error:
        check(source, source, config=FAST)
    assert str(error.value) == f"the pairs lie in {source}: give another output folder"
    with pytest.raises(InputError) as error:
        check(source, tmp_path / "out.jsonl", config=FAST)
    assert str(error.value).startswith(f"given -o {tmp_path}/out.jsonl, expected a folder")
    with Journal(tmp_path / "out"), pytest.raises(InputError) as error:
        check(source, tmp_path / "out", config=FAST)
    assert "is being written by another run" in str(error.value)


LAW = CheckConfig(without=("language",), near_duplicate={"answer": 0.5, "seed": 0.5})
SEEDS = [
    '[00:00:00 - 00:00:03] "hello you there" (Gender: Male, Pitch: High)',
    "[00:00:00 - 00:00:03]",
    "",
    "\x00 [",
]
ANSWERS = st.one_of(st.lists(st.sampled_from(PARTS), max_size=4).map(" ".join), st.text(max_size=20))


@settings(max_examples=25)
@given(st.lists(st.tuples(ANSWERS, st.sampled_from(SEEDS)), max_size=12))
def test_laws(tmp_path_factory, make_pair_once, drawn):
    """Kept and dropped together are all, in order; what was kept passes again."""
    folder = tmp_path_factory.mktemp("laws")
    pairs = [make_pair_once(answer, seed, id=f"p{number}") for number, (answer, seed) in enumerate(drawn)]
    with pytest.MonkeyPatch.context() as patch:  # the picture takes ten times as long as the rest
        patch.setattr(card, "plot_statistics", lambda statistics, path: path.touch())
        report = check(write(folder / "in", pairs, parts=1), folder / "out", config=LAW)
    kept, dropped = ids(folder / "out"), ids(folder / "out" / DROPPED, Record)
    assert sorted(kept + dropped) == sorted(pair.id for pair in pairs)
    assert [kept, dropped] == [sorted(x, key=lambda i: int(i[1:])) for x in (kept, dropped)]
    assert (report.kept, report.dropped) == (len(kept), len(dropped))
    again = check(folder / "out", config=LAW)
    assert (again.kept, again.dropped) == (len(kept), 0)


@pytest.fixture(scope="module")
def make_pair_once():
    """`make_pair` for hypothesis, which wants no fixtures of single tests."""

    def make(response: str, seed: str, id: str) -> Pair:
        message = {"role": "user", "content": "<|AUDIO|>\n?", "audios": [{"audio": f"{id}.wav"}]}
        provenance = {"llm": "l", "prompt": "?"}
        return Pair(id=id, messages=[message], response=response, seed=seed, provenance=provenance)

    return make


def test_it_imports_neither_torch_nor_matplotlib():
    import subprocess
    import sys

    code = (
        "import sys, desta2.data.check.stage, desta2.commands.check\n"
        "assert not {'torch', 'transformers', 'matplotlib', 'py3langid'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
