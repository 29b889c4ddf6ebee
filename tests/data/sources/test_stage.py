"""The corpus stage: paths that stay true, durations, resuming, limits, and problems that are told."""

import json
import os

import pytest

from desta2.data.seed import seed
from desta2.data.sources import NAMES, load_source
from desta2.data.sources.base import Options
from desta2.data.sources.stage import read_corpus
from desta2.errors import InputError, RecordError
from desta2.records import Clip, Seed, read_records, resolve_audio


@pytest.fixture
def corpus(tree):
    """A folder with three wavs and an mp3."""
    tree.audio("a.wav", "b.wav", "deep/c.wav", "d.mp3", seconds=0.5)
    tree.text("a.txt", "Hello there.")
    return tree


def written(path):
    return {clip.id: clip for clip in read_records(path, Clip)}


def test_paths_are_relative_to_the_manifest(corpus, tmp_path):
    out = tmp_path / "work" / "clips.jsonl"
    summary = read_corpus("folder", str(corpus.root), out)
    found = written(out)
    assert (summary.written, summary.already_done, summary.bad) == (4, 0, 0)
    assert [clip.audio for clip in found.values()] == [
        f"../corpus/{name}" for name in ("a.wav", "b.wav", "d.mp3", "deep/c.wav")
    ]
    assert all(resolve_audio(clip, out, None).is_file() for clip in found.values())
    assert found["a"].source == "folder:corpus"
    assert summary.fields == {"duration": 3, "text": 1}


def test_paths_are_relative_to_a_data_root(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read_corpus("folder", "corpus", "clips.jsonl", data_root="corpus")
    assert written("clips.jsonl")["deep/c"].audio == "deep/c.wav"
    with pytest.raises(
        InputError, match=r"a.wav is not under the data root .*deep; give another --data-root, or none"
    ):
        read_corpus("folder", "corpus", "other.jsonl", data_root="corpus/deep")


def test_links_to_folders_and_files(corpus, tmp_path):
    (tmp_path / "link").symlink_to(corpus.root / "deep")
    (corpus.root / "deep" / "blob").write_bytes((corpus.root / "a.wav").read_bytes())
    (corpus.root / "deep" / "named.wav").symlink_to("blob")  # as in the hub's cache: the blob has no suffix
    out = tmp_path / "elsewhere" / "deeper" / "clips.jsonl"
    read_corpus("folder", str(tmp_path / "link"), out)
    found = written(out)
    assert set(found) == {"c", "named"} and found["named"].audio.endswith("/named.wav")
    assert all(resolve_audio(clip, out, None).is_file() for clip in found.values())


def test_durations(corpus, tmp_path):
    def seconds(kind):
        out = tmp_path / f"{kind}.jsonl"
        read_corpus("folder", str(corpus.root), out, durations=kind)
        return [clip.duration for clip in written(out).values()]

    assert seconds("header") == [0.5, 0.5, None, 0.5]
    assert seconds("none") == [None] * 4
    everything = seconds("all")
    assert everything[0] == 0.5 and everything[2] == pytest.approx(0.5, abs=0.2)


def test_parts_of_files(corpus, tmp_path):
    rows = [("a.wav", "0.1", "0.3"), ("a.wav", "0.2", ""), ("a.wav", "0.6", "")]
    corpus.text("t.csv", "audio,start,end\n" + "".join(",".join(row) + "\n" for row in rows))
    summary = read_corpus("table", str(corpus.root / "t.csv"), tmp_path / "c.jsonl", skip_bad=True)
    assert [clip.duration for clip in written(tmp_path / "c.jsonl").values()] == [0.2, 0.3]
    assert summary.bad_examples == [
        f"clip 'a.wav#0.6': {corpus.root}/a.wav: cannot be cut from 0.6 s: it ends at 0.500 s"
    ]


def test_a_second_run_adds_nothing(corpus, tmp_path):
    out = tmp_path / "clips"
    assert read_corpus("folder", str(corpus.root), out, limit=2).written == 2
    again = read_corpus("folder", str(corpus.root), out)
    assert (again.written, again.already_done) == (2, 2)
    before = [file.read_text() for file in sorted(out.iterdir())]
    assert read_corpus("folder", str(corpus.root), out).written == 0
    assert [file.read_text() for file in sorted(out.iterdir())] == before


def test_another_corpus_needs_another_manifest(corpus, tree, tmp_path):
    out = tmp_path / "clips.jsonl"
    read_corpus("folder", str(corpus.root), out)
    with pytest.raises(
        InputError, match="holds records of 'folder:corpus', and now 'folder:deep' is asked for: give another"
    ):
        read_corpus("folder", str(corpus.root / "deep"), out)


def test_an_id_that_is_used_twice_is_no_finished_one(corpus, tmp_path):
    corpus.audio("a.flac")
    with pytest.raises(
        RecordError, match=r"^a: the id is used twice: give another column as the id, or rename a file"
    ):
        read_corpus("folder", str(corpus.root), tmp_path / "x.jsonl")
    for run in range(2):
        summary = read_corpus("folder", str(corpus.root), tmp_path / "c.jsonl", skip_bad=True)
        assert (summary.written + summary.already_done, summary.bad) == (4, 1), run


def test_files_that_are_missing_or_broken(corpus, tmp_path):
    (corpus.root / "b.wav").write_bytes((corpus.root / "b.wav").read_bytes()[:-10])
    (corpus.root / "a.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    corpus.text("t.csv", "audio\na.wav\nb.wav\nnone.wav\ndeep/c.wav\n")
    summary = read_corpus("table", str(corpus.root / "t.csv"), tmp_path / "c.jsonl", skip_bad=True)
    assert (summary.written, summary.bad) == (1, 3)
    assert summary.bad_examples == [
        f"clip 'a.wav': {corpus.root}/a.wav: is a pointer of git-lfs, not the audio: run `git lfs pull` in its repository",
        f"clip 'b.wav': {corpus.root}/b.wav: cut off: its header announces 10 bytes more than there are",
        f"clip 'none.wav': no audio file at {corpus.root}/none.wav",
    ]


def test_kept_audio_is_not_made_again(tree, tmp_path, encode):
    tree.text(
        "train.jsonl",
        json.dumps({"id": "a", "audio": {"array": [0.1] * 800, "sampling_rate": 16_000}}) + "\n",
    )
    out = tmp_path / "clips.jsonl"
    read_corpus("table", str(tree.root), out)
    audio = tmp_path / written(out)["a"].audio
    assert audio.is_relative_to(tmp_path / "clips_audio")
    os.utime(audio, (1, 1))
    out.unlink()
    read_corpus("table", str(tree.root), out)
    assert audio.stat().st_mtime == 1
    out.unlink()
    read_corpus("table", str(tree.root), out, audio_folder=tmp_path / "sound")
    assert written(out)["a"].audio.startswith("sound/")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("folder", {"split": "train"}, "folder has no use for --split; it takes --map"),
        ("accentdb", {"columns": {"a": "text"}}, "accentdb has no use for --map; it takes none of --split, --map and the like"),
        ("meld", {"max_seconds": 5.0}, "--max-seconds is the longest clip of a dialogue: it goes with --dialogues"),
        ("vctk", {"max_seconds": 5.0}, "vctk has no use for --max-seconds; it takes --mic"),
        ("vctc", {}, "no reader is called 'vctc'; did you mean 'vctk'? There are table, folder, hf, vctk, "),
        ("xyzzy", {}, "no reader is called 'xyzzy'; there are table, folder, hf, vctk, "),
    ],
)  # fmt: skip
def test_options_that_a_reader_does_not_have(corpus, tmp_path, name, options, says):
    with pytest.raises(InputError) as caught:
        read_corpus(name, str(corpus.root), tmp_path / "c.jsonl", options=Options(**options))
    assert str(caught.value).startswith(says)
    assert not (tmp_path / "c.jsonl").exists()


@pytest.mark.parametrize("name", NAMES)
def test_every_reader_refuses_a_folder_that_is_not_there(name, tmp_path):
    if name == "hf":
        pytest.importorskip("datasets")
    source = load_source(name)
    assert source.name == name
    with pytest.raises(InputError, match="nowhere"):
        read_corpus(name, str(tmp_path / "nowhere"), tmp_path / "c.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_on_to_seeds(corpus, tmp_path):
    clips, seeds = tmp_path / "clips.jsonl", tmp_path / "seeds" / "seeds.jsonl"
    read_corpus("folder", str(corpus.root), clips, limit=2)
    assert seed(clips, seeds) == 2
    first = next(read_records(seeds, Seed))
    assert first.seed == '[00:00:00 - 00:00:01] "Hello there." (Duration: 1s)'
    assert resolve_audio(first, seeds, None).samefile(corpus.root / "a.wav")
