"""The verbs annotate, seed and respond: from clips to pairs, each resumable, mistakes in one line."""

import json

import pytest
import soundfile

from desta2.records import Clip, Pair, Seed, read_records


@pytest.fixture
def manifest(tmp_path, clips):
    """Two labelled clips beside their manifest, and one whose file is broken after them."""
    lines = []
    for i, path in enumerate(clips):
        samples, rate = soundfile.read(path, dtype="float32")
        soundfile.write(tmp_path / f"{i}.wav", samples, rate)
        gender = ("Female", "Male")[i]
        lines.append(
            {"id": f"c{i}", "audio": f"{i}.wav", "text": "hello fox", "attributes": {"gender": gender}}
        )
    path = tmp_path / "clips.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_from_clips_to_pairs(tmp_path, manifest, bases, result):
    annotated, seeds, pairs = tmp_path / "a.jsonl", tmp_path / "out" / "s.jsonl", tmp_path / "pairs"
    annotate = ("annotate", manifest, "-o", annotated, "--processes", 1)
    assert result(*annotate) == {"output": str(annotated), "annotated": 2, "already_done": 0, "bad": []}
    assert result(*annotate) == {"output": str(annotated), "annotated": 0, "already_done": 2, "bad": []}
    words = [clip.attributes for clip in read_records(annotated, Clip)]
    assert [clip["gender"] for clip in words] == ["Female", "Male"]
    assert all(clip["duration"] == "1s" and clip["volume"] for clip in words)

    assert result("seed", annotated, "-o", seeds) == {"output": str(seeds), "seeds": 2}
    assert [
        seed.seed.startswith('[00:00:00 - 00:00:01] "hello fox" (Gender: ')
        for seed in read_records(seeds, Seed)
    ]

    respond = (
        "respond",
        seeds,
        "--llm",
        bases / "llm",
        "-o",
        pairs,
        "--temperature",
        0,
        "--max-new-tokens",
        6,
    )
    first = result(*respond)
    assert first["output"] == str(pairs)
    assert first["already_done"] == 0
    assert first["written"] + first["unfinished"] == 2
    assert result(*respond)["already_done"] == first["written"]


def test_sampled_answers_follow_the_seed(tmp_path, manifest, bases, result):
    annotated, seeds = tmp_path / "a.jsonl", tmp_path / "s.jsonl"
    result("annotate", manifest, "-o", annotated, "--processes", 1)
    result("seed", annotated, "-o", seeds)
    texts = []
    for name, seed in (("x", 1), ("y", 1), ("z", 2)):
        # A random LLM hardly ever ends its answers by itself: at this heat one in a hundred tokens is an end.
        options = (
            "--temperature",
            30,
            "--max-new-tokens",
            400,
            "--seed",
            seed,
            "--system",
            "",
            "--prompt",
            "Well?",
        )
        done = result("respond", seeds, "--llm", bases / "llm", "-o", tmp_path / name, *options)
        pairs = list(read_records(tmp_path / name, Pair))
        assert len(pairs) == done["written"] == 2 - done["unfinished"]
        texts.append([pair.response for pair in pairs])
        for pair in pairs:
            assert pair.messages[0]["content"] == "<|AUDIO|>\nWell?"
            assert pair.provenance.sampling == {
                "temperature": 30,
                "top_p": 1,
                "max_new_tokens": 400,
                "seed": seed,
            }
            assert (tmp_path / name / pair.messages[0]["audios"][0]["audio"]).exists()
    assert texts[0] == texts[1] != texts[2]


def test_models_fill_in_and_estimates_are_left_out(tmp_path, manifest, bases, result):
    """The text by a Whisper, the noise by WADA-SNR; a random Whisper's words say nothing, but they are there."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    del lines[1]["text"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    annotated = tmp_path / "a.jsonl"
    result("annotate", manifest, "-o", annotated, "--processes", 1, "--transcribe", bases / "whisper")
    stated, written = read_records(annotated, Clip)
    assert stated.text == "hello fox"
    assert written.text is not None
    assert written.to_dict()["estimated"]["text"] == {"by": str(bases / "whisper")}
    for labels, said in (("all", True), ("corpus", False)):
        result("seed", annotated, "-o", tmp_path / f"{labels}.jsonl", "--labels", labels)
        for seed in read_records(tmp_path / f"{labels}.jsonl", Seed):
            assert ("Noise level: " in seed.seed) == said
            assert "Gender: " in seed.seed


def test_results_in_words(tmp_path, manifest, cli):
    code, out, _ = cli("annotate", manifest, "-o", tmp_path / "a.jsonl", "--processes", 1)
    assert (code, out) == (0, f"{tmp_path}/a.jsonl: 2 clips annotated, 0 were done before\n")
    assert (
        cli("seed", tmp_path / "a.jsonl", "-o", tmp_path / "s.jsonl")[1] == f"{tmp_path}/s.jsonl: 2 seeds\n"
    )


def test_bad_clips_are_skipped_when_asked(tmp_path, manifest, cli, result):
    (tmp_path / "0.wav").write_bytes(b"no sound")
    argv = ("annotate", manifest, "-o", tmp_path / "a.jsonl", "--processes", 1)
    found = result(*argv, "--skip-bad")
    assert found["annotated"] == 1
    assert len(found["bad"]) == 1 and "clip 'c0'" in found["bad"][0]
    code, out, _ = cli(*argv[:3], tmp_path / "b.jsonl", *argv[4:], "--skip-bad")
    assert code == 0
    assert out.splitlines()[1].startswith("skipped: clip 'c0': ")


def test_annotating_a_broken_clip(tmp_path, manifest, mistake):
    (tmp_path / "1.wav").write_bytes(b"no sound")
    line = mistake("annotate", manifest, "-o", tmp_path / "a.jsonl", "--processes", 1)
    assert "clip 'c1'" in line and "1.wav" in line


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["annotate", "none.jsonl"], "none.jsonl does not exist"),
        (["annotate", "clips.jsonl", "--processes", "0"], "see 'desta2 annotate --help'"),
        (["annotate", "clips.jsonl", "--scheme", "none.yaml"], "none.yaml"),
        (["annotate", "clips.jsonl", "-o", "out.json"], "cannot write out.json resumably: expected NAME.jsonl or a folder"),
        (["annotate", "clips.jsonl", "--scheme", "wrong.yaml"], "a classifier is given for 'x'; the attributes are gender"),
        (["annotate", "clips.jsonl", "--scheme", "model.yaml"], "cannot load the audio classifier ./none: "),
        (["annotate", "clips.jsonl", "--transcribe", "./none"], "the frozen model ./none"),
        (["seed", "clips.jsonl", "--labels", "some"], "see 'desta2 seed --help'"),
        (["seed", "none.jsonl"], "none.jsonl does not exist"),
        (["seed", "clips.jsonl", "--format", "v3"], "see 'desta2 seed --help'"),
        (["seed", "bad.jsonl"], "bad.jsonl:1: field 'audio' is missing, a Clip needs it"),
        (["respond", "none.jsonl", "--llm", "nano"], "none.jsonl does not exist"),
        (["respond", "seeds.jsonl"], "Missing option '--llm'; see 'desta2 respond --help'"),
        (["respond", "seeds.jsonl", "--llm", "./none"], "the frozen model ./none"),
        (["respond", "seeds.jsonl", "--llm", "no-one/none"], "no-one/none"),
        (["respond", "seeds.jsonl", "--llm", "x", "--layout", "desta3"], "see 'desta2 respond --help'"),
        (["respond", "seeds.jsonl", "--llm", "x", "--temperature", "-1"], "temperature is -1.0; it must be 0 (greedy) or more"),
        (["respond", "seeds.jsonl", "--llm", "x", "--top-p", "2"], "top_p is 2.0; it must be above 0 and at most 1"),
        (["respond", "seeds.jsonl", "--llm", "x", "--max-new-tokens", "0"], "max_new_tokens is 0; it must be at least 1"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, manifest, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    seed = {"id": "a", "audio": "0.wav", "seed": "[00:00:00 - 00:00:01]", "seed_format": "v2"}
    (tmp_path / "seeds.jsonl").write_text(json.dumps(seed) + "\n")
    (tmp_path / "wrong.yaml").write_text("attributes: [{name: Gender}]\nclassifiers: {x: {model: y}}\n")
    (tmp_path / "model.yaml").write_text("attributes: [{name: Age}]\nclassifiers: {age: {model: ./none}}\n")
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n')
    assert line in mistake(*argv)
