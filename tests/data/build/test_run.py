"""Which stages run when: unchanged, changed, grown, stopped, moved; and what is set aside."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from instant import InstantBackend

from desta2.data import attributes
from desta2.data.build import run, stages
from desta2.errors import InputError, RunError
from desta2.records import Clip, Pair, read_records

SHIPPED_SCHEME = Path(attributes.__file__).with_suffix(".yaml").read_text(encoding="utf-8")
ALL = ("annotate", "seed", "respond")


def all_of(action):
    return dict.fromkeys(ALL, action)


def pairs(work):
    return {pair.id: pair.response for pair in read_records(work / "pairs", Pair)}


def test_one_go_and_nothing_twice(a_build):
    assert a_build.run(dry_run=True) == all_of("start")
    assert not a_build.work.exists()
    assert a_build.run() == all_of("start")
    assert a_build.asked == [f"c{i}" for i in range(5)]
    assert [step.result for step in a_build.steps] == [
        {"annotated": 5, "already_done": 0, "bad_clips": 0, "bad_lines": 0},
        {"seeds": 5},
        {"written": 5, "already_done": 0, "unfinished": 0},
    ]
    before = pairs(a_build.work)
    assert a_build.run() == all_of("keep")
    assert a_build.steps[2].result["written"] == 5  # told again
    assert (a_build.asked, pairs(a_build.work)) == ([], before)
    for pair in read_records(a_build.work / "pairs", Pair):
        assert (a_build.work / "pairs" / pair.messages[0]["audios"][0]["audio"]).exists()


def test_a_changed_prompt_needs_leave_and_loses_nothing(a_build):
    a_build.run()
    old = pairs(a_build.work)
    a_build.config["respond"]["prompt"] = "Well?"
    assert a_build.run(dry_run=True) == {"annotate": "keep", "seed": "keep", "respond": "redo"}
    message = (
        r"\(respond: prompt was 'What can you hear from the audio\?' and is 'Well\?'\)\. "
        r"--redo moves .*work/pairs aside, into aside/, and goes on; or give another output"
    )
    with pytest.raises(InputError, match=message):
        a_build.run()
    assert pairs(a_build.work) == old
    assert a_build.run(redo=True) == {"annotate": "keep", "seed": "keep", "respond": "redo"}
    assert len(a_build.asked) == 5
    [aside] = (a_build.work / "aside").iterdir()
    assert pairs(aside) == old
    assert not set(pairs(a_build.work).values()) & set(old.values())
    assert a_build.run() == all_of("keep")


def test_stages_behind_are_kept_where_their_input_stays_the_same(a_build, tmp_path):
    a_build.run()
    scheme = tmp_path / "scheme.yaml"
    scheme.write_text(SHIPPED_SCHEME + "  - name: Scene\n")  # no clip has a scene
    a_build.config["scheme"] = str(scheme)
    assert a_build.run(dry_run=True) == {"annotate": "redo", "seed": "redo", "respond": "wait"}
    assert a_build.run(redo=True) == {"annotate": "redo", "seed": "redo", "respond": "keep"}
    assert a_build.asked == []
    assert a_build.run() == all_of("keep")
    scheme.write_text(SHIPPED_SCHEME.replace("- name: Gender", "- name: Sex"))
    with pytest.raises(
        InputError, match=r"(?s)annotate: scheme was '\w+' and is '\w+'; .*\(then respond, unless"
    ):
        a_build.run()
    assert a_build.run(redo=True)["respond"] == "redo"
    assert "(Gender: Male)" not in (a_build.work / "seeds.jsonl").read_text()


def test_new_clips_are_added(a_build, corpus):
    a_build.run()
    before = pairs(a_build.work)
    corpus(7, first=5)
    assert a_build.run(dry_run=True) == {"annotate": "continue", "seed": "wait", "respond": "wait"}
    assert a_build.run() == all_of("continue")
    assert a_build.asked == ["c5", "c6"]
    assert pairs(a_build.work).items() > before.items()
    assert [step.reason for step in a_build.steps][1] == "its input clips.annotated.jsonl has grown"


def test_a_changed_clip_is_no_new_one(a_build):
    a_build.run()
    manifest = a_build.folder / "corpus" / "clips.jsonl"
    manifest.write_text(manifest.read_text().replace("number 3", "nothing"))
    with pytest.raises(InputError, match=r"annotate: its input clips\.jsonl changed"):
        a_build.run()
    assert a_build.run(redo=True) == all_of("redo")
    assert [clip.text for clip in read_records(a_build.work / "clips.annotated.jsonl", Clip)][3] == "nothing"


def test_a_change_that_shows_on_the_way_needs_leave_too(a_build):
    """The plan cannot know what annotate will write; nothing behind it is touched without leave."""
    a_build.run()
    (a_build.work / "clips.annotated.jsonl").unlink()
    manifest = a_build.folder / "corpus" / "clips.jsonl"
    manifest.write_text(manifest.read_text().replace("number 3", "nothing"))
    old = (a_build.work / "seeds.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"seed: its input clips\.annotated\.jsonl changed"):
        a_build.run()
    assert (a_build.work / "seeds.jsonl").read_bytes() == old
    assert a_build.run(redo=True) == {"annotate": "keep", "seed": "redo", "respond": "redo"}


def test_it_goes_on_in_the_middle_of_a_stage(a_build, monkeypatch):
    real = stages.open_backend

    class Failing(InstantBackend):
        def answers(self, requests, sampling):
            for count, answer in enumerate(super().answers(requests, sampling)):
                if count == 2:
                    raise RunError("the server is gone")
                yield answer

    monkeypatch.setattr(stages, "open_backend", lambda *_, **__: Failing(a_build.log))
    with pytest.raises(RunError, match="the server is gone"):
        a_build.run()
    monkeypatch.setattr(stages, "open_backend", real)
    assert a_build.run(dry_run=True) == {"annotate": "keep", "seed": "keep", "respond": "continue"}
    assert a_build.run()["respond"] == "continue"
    assert a_build.asked == ["c2", "c3", "c4"]
    assert len(pairs(a_build.work)) == 5


def test_what_failed_is_tried_again(a_build, monkeypatch):
    real = run.STAGES
    [respond] = [stage for stage in real if stage.name == "respond"]
    failing = replace(respond, run=lambda job: respond.run(job) | {"failed": 2})
    monkeypatch.setattr(run, "STAGES", tuple(failing if stage is respond else stage for stage in real))
    a_build.run()
    monkeypatch.setattr(run, "STAGES", real)
    assert a_build.run()["respond"] == "continue"
    assert a_build.steps[2].reason == "2 failed"
    assert a_build.run()["respond"] == "keep"


def test_how_the_work_is_done_changes_nothing(a_build):
    a_build.run()
    a_build.config["processes"] = 2
    a_build.config["skip_bad"] = True
    a_build.config["respond"]["batch_size"] = 3
    assert a_build.run() == all_of("keep")


def test_longer_answers_are_a_second_chance(a_build):
    a_build.run()
    a_build.config["respond"]["max_new_tokens"] = 1024
    assert a_build.run()["respond"] == "continue"
    assert a_build.steps[2].reason == "max_new_tokens was 512 and is 1024"
    assert a_build.asked == []
    assert a_build.run()["respond"] == "keep"


def test_a_build_moves_to_another_machine(a_build, tmp_path, monkeypatch):
    a_build.config |= {"output": "work", "clips": "corpus/clips.jsonl"}
    monkeypatch.chdir(tmp_path)
    a_build.run()
    (tmp_path / "cluster").mkdir()
    for name in ("work", "corpus"):
        shutil.copytree(tmp_path / name, tmp_path / "cluster" / name, copy_function=shutil.copyfile)
    monkeypatch.chdir(tmp_path / "cluster")
    assert a_build.run() == all_of("keep")


def test_an_output_that_is_gone_is_made_again(a_build):
    a_build.run()
    first = pairs(a_build.work)
    (a_build.work / "seeds.jsonl").unlink()
    assert a_build.run(dry_run=True) == {"annotate": "keep", "seed": "start", "respond": "wait"}
    assert a_build.run() == {"annotate": "keep", "seed": "start", "respond": "keep"}
    shutil.rmtree(a_build.work / "pairs")
    assert a_build.run()["respond"] == "start"
    assert pairs(a_build.work) == first


def test_what_the_build_did_not_make_is_not_taken_for_its_own(a_build):
    a_build.work.mkdir()
    (a_build.work / "seeds.jsonl").write_text("")
    with pytest.raises(InputError, match=r"seed: seeds\.jsonl is there, but not from this build"):
        a_build.run()
    assert a_build.run(redo=True)["seed"] == "redo"
    assert len(pairs(a_build.work)) == 5


def test_single_stages(a_build):
    assert a_build.run(until="seed") == {"annotate": "start", "seed": "start"}
    assert not (a_build.work / "pairs").exists()
    assert a_build.run(again=["seed"]) == {"annotate": "keep", "seed": "continue", "respond": "start"}
    assert a_build.steps[1].reason == "asked for"
    with pytest.raises(
        InputError, match=r"this build has no stage 'augment'; it has annotate, seed, respond"
    ):
        a_build.run(until="augment")


def test_from_a_corpus_that_grows(a_build, tmp_path):
    folder = tmp_path / "corpus"
    del a_build.config["clips"]
    a_build.config["corpus"] = {"name": "folder", "source": str(folder)}
    a_build.config["augment"] = {"noise_probability": 0.0, "reverb_probability": 0.0}
    assert a_build.run() == {stage: "start" for stage in ("corpus", "augment", *ALL)}
    assert len(a_build.asked) == 5
    (folder / "new.wav").write_bytes((folder / "0.wav").read_bytes())
    assert set(a_build.run().values()) == {"keep"}  # a folder is not looked through unless asked
    assert a_build.run(again=["corpus"]) == {stage: "continue" for stage in ("corpus", "augment", *ALL)}
    assert len(a_build.asked) == 1


def test_a_table_that_grows_is_seen(a_build, tmp_path):
    del a_build.config["clips"]
    table = tmp_path / "corpus" / "table.csv"
    table.write_text("id,audio,text\n" + "".join(f"t{i},{i}.wav,hello\n" for i in range(3)))
    a_build.config["corpus"] = {"name": "table", "source": str(table)}
    a_build.run()
    assert a_build.asked == ["t0", "t1", "t2"]
    with table.open("a") as file:
        file.write("t3,3.wav,bye\n")
    assert a_build.run() == {stage: "continue" for stage in ("corpus", *ALL)}
    assert a_build.asked == ["t3"]


def test_a_limit_that_is_raised_costs_only_the_new_clips(a_build, tmp_path):
    del a_build.config["clips"]
    a_build.config["corpus"] = {"name": "folder", "source": str(tmp_path / "corpus"), "limit": 2}
    a_build.run()
    a_build.config["corpus"]["limit"] = 4
    assert a_build.run(redo=True) == {"corpus": "redo", **all_of("continue")}
    assert len(a_build.asked) == 2


def test_stamps_say_what_was_used(a_build):
    a_build.run()
    stamp = json.loads((a_build.work / ".build" / "respond.json").read_text())
    assert stamp["finished"] is True
    assert stamp["settings"]["temperature"] == 1.0 and "batch_size" not in stamp["settings"]


def test_checked_pairs_are_the_last_stage(a_build):
    a_build.config["check"] = {"without": ["language"]}
    assert a_build.run()["check"] == "start"
    assert a_build.steps[-1].result["pairs"] == 5
    assert a_build.steps[-1].output == a_build.work / "checked"
    assert a_build.run()["check"] == "keep"
    a_build.config["check"] = {"without": ["language", "empty"]}
    assert a_build.run(redo=True) == {**all_of("keep"), "check": "redo"}
