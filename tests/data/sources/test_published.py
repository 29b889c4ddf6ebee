"""The two published training sets: read as pairs that train, as seeds that are answered anew, and written again."""

import json

import pytest
from instant import InstantBackend

from desta2.data.respond import respond
from desta2.data.sources.base import Options
from desta2.data.sources.export import export_pairs
from desta2.data.sources.stage import read_corpus
from desta2.errors import InputError, RecordError
from desta2.records import Pair, Seed, read_records, write_records
from desta2.train.dataset import pair_clips

DESTA2 = {
    "audio_id": "DailyTalk_0_1_d0",
    "audio_filepath": "DailyTalk/0_1_d0.wav",
    "transcription": " What are you working on?",
    "input": "What can you hear from the audio?",
    "target": "I hear a woman who asks what you are working on.",
    "dataset": "DailyTalk",
    "duration": 2.5,
    "seed_transcript": '[00:00:00 - 00:00:03] "What are you working on?" (Gender: Female)',
}
AQA5M = {
    "id": "IEMOCAP/Ses01F_impro01_F000.flac",
    "dataset": "IEMOCAP",
    "seed_description": "[00:00-00:02] Excuse me? (Emotion: Neutral, Gender: Female)",
    "prompt": "Who speaks?",
    "response": "A woman.",
    "messages": [
        {"role": "system", "content": "Focus on the audio clips and instructions.", "audios": None},
        {
            "role": "user",
            "content": "<start_audio><|AUDIO|><end_audio>\n\nWho speaks?",
            "audios": [{"audio": "IEMOCAP/Ses01F_impro01_F000.flac", "text": "Excuse me."}],
        },
    ],
}
ROWS = {
    "desta2": [
        DESTA2,
        DESTA2 | {"audio_id": "b", "transcription": "", "dataset": "VCTK", "target": 'Say "no", (é)\n'},
    ],
    "aqa5m": [AQA5M, AQA5M | {"prompt": "How?", "response": "Calmly."}],
}


@pytest.fixture
def published(tree):
    """`published(form, rows)` → a JSON lines file of a published set."""

    def write(form, rows=None):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows or ROWS[form])
        return tree.text(f"{form}.jsonl", lines)

    return write


@pytest.mark.parametrize("form", ROWS)
def test_rows_come_out_as_they_went_in(published, tmp_path, form):
    pairs, again = tmp_path / "pairs", tmp_path / "again.jsonl"
    summary = read_corpus(form, str(published(form)), pairs)
    assert (summary.written, summary.bad) == (2, 0)
    assert export_pairs(form, pairs, again).rows == 2
    assert [json.loads(line) for line in again.read_text().splitlines()] == ROWS[form]


def test_parquet_as_on_the_hub(published, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pairs, file = tmp_path / "pairs.jsonl", tmp_path / "train-00000-of-00001.parquet"
    read_corpus("desta2", str(published("desta2")), pairs)
    assert export_pairs("desta2", pairs, file).rows == 2
    table = parquet.read_table(file)
    assert (table.column_names, table.to_pylist()) == (list(DESTA2), ROWS["desta2"])
    read_corpus("desta2", str(file), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_text().replace("desta2.jsonl", "") == pairs.read_text()


def test_pairs_of_desta2_are_what_training_takes(published, tree, tmp_path):
    tree.audio("DailyTalk/0_1_d0.wav")
    read_corpus("desta2", str(published("desta2", [DESTA2])), tmp_path / "pairs")
    (pair,) = read_records(tmp_path / "pairs", Pair)
    assert pair.messages == [
        {
            "role": "user",
            "content": "<|AUDIO|>\nWhat can you hear from the audio?",
            "audios": [{"audio": "DailyTalk/0_1_d0.wav", "text": " What are you working on?"}],
        }
    ]
    assert (pair.response, pair.seed) == (DESTA2["target"], DESTA2["seed_transcript"])
    assert pair.provenance.llm == "meta-llama/Meta-Llama-3-8B-Instruct"
    assert (pair.provenance.prompt, pair.provenance.seed_format) == (DESTA2["input"], "v2")
    assert pair.id.startswith("DailyTalk_0_1_d0#")
    ((clip, text),) = pair_clips(pair, tmp_path / "pairs", tree.root)
    assert (clip.path, text) == (str(tree.root / "DailyTalk/0_1_d0.wav"), " What are you working on?")


def test_seeds_to_answer_anew(published, tmp_path):
    rows = [*ROWS["aqa5m"], AQA5M | {"id": "x.wav", "seed_description": "[00:00-00:01] Hi"}]
    summary = read_corpus(
        "aqa5m", str(published("aqa5m", rows)), tmp_path / "seeds.jsonl", options=Options(seeds=True)
    )
    assert (summary.written, summary.left_out) == (2, {"rows that repeat an earlier one": 1})
    first, second = read_records(tmp_path / "seeds.jsonl", Seed)
    assert (first.audio, first.text) == ("IEMOCAP/Ses01F_impro01_F000.flac", "Excuse me.")
    assert (first.seed, first.seed_format) == (AQA5M["seed_description"], "v2.5")
    assert second.seed == "[00:00-00:01] Hi"

    backend = InstantBackend(tmp_path / "log")
    assert respond(tmp_path / "seeds.jsonl", tmp_path / "pairs", backend).written == 2


def test_audio_is_looked_for_under_a_data_root(published, tree, tmp_path):
    tree.audio("IEMOCAP/Ses01F_impro01_F000.wav")  # the set says .flac; their loader takes the .wav too
    file = published(
        "aqa5m",
        [
            AQA5M,
            AQA5M
            | {
                "messages": [
                    {"role": "user", "content": "<|AUDIO|>", "audios": [{"audio": "no.wav", "text": ""}]}
                ]
            },
        ],
    )
    summary = read_corpus("aqa5m", str(file), tmp_path / "p.jsonl", data_root=tree.root, skip_bad=True)
    assert summary.bad_examples == [f"{file}:2: no audio file at {tree.root}/no.wav, nor at no.wav"]
    (pair,) = read_records(tmp_path / "p.jsonl", Pair)
    assert pair.messages[1]["audios"][0]["audio"] == "IEMOCAP/Ses01F_impro01_F000.wav"


@pytest.mark.parametrize(
    ("form", "row", "says"),
    [
        ("desta2", DESTA2 | {"target": None}, "column 'target': given 'None', expected a text"),
        ("desta2", DESTA2 | {"input": "<|AUDIO|>?"}, "its input holds <|AUDIO|>, which marks the clip in messages"),
        ("aqa5m", AQA5M | {"messages": "x"}, "its messages are 'x', expected a list of objects"),
        ("aqa5m", AQA5M | {"messages": [{"role": "user", "content": "Hi"}]}, "its messages name no clip as {'audio': path, 'text': transcript} in 'audios'"),
    ],
)  # fmt: skip
def test_bad_rows(published, tmp_path, form, row, says):
    file = published(form, [ROWS[form][0], row])
    summary = read_corpus(form, str(file), tmp_path / "p.jsonl", skip_bad=True)
    assert (summary.written, summary.bad_examples) == (1, [f"{file}:2: {says}"])


def test_another_table(published, tmp_path):
    file = published("desta2", [AQA5M])
    with pytest.raises(
        InputError, match=f"{file}:1: there is no column 'audio_id'; expected audio_id, audio_filepath"
    ):
        read_corpus("desta2", str(file), tmp_path / "p.jsonl")


# What respond wrote, in their forms


@pytest.fixture
def own_pairs(tree, tmp_path):
    """`own_pairs(…)` → a folder with pairs as `respond` writes them, their audio beside them."""
    tree.audio("audio/a.wav")

    def write(*more, clip=None):
        audio = {"audio": "../audio/a.wav", "text": "Hi"} | (clip or {})
        message = {"role": "user", "content": "<|AUDIO|>\nWhat?", "audios": [audio]}
        fields = {
            "id": "a", "messages": [message, *more], "response": "A man.", "seed": "[00:00:00 - 00:00:01]",
            "provenance": {"llm": "nano", "prompt": "What?", "sampling": {"seed": 0}},
        }  # fmt: skip
        write_records(tree.root / "pairs" / "part-00000.jsonl", [fields])
        return tree.root / "pairs"

    return write


def test_own_pairs_in_both_forms(own_pairs, tree, tmp_path):
    out = tmp_path / "out" / "desta2.jsonl"
    export_pairs("desta2", own_pairs(), out)
    row = json.loads(out.read_text())
    assert (out.parent / row["audio_filepath"]).samefile(tree.root / "audio/a.wav")
    assert row | {"audio_filepath": ""} == {
        "audio_id": "a", "audio_filepath": "", "transcription": "Hi", "input": "What?", "target": "A man.",
        "dataset": "", "duration": None, "seed_transcript": "[00:00:00 - 00:00:01]",
    }  # fmt: skip
    export_pairs("aqa5m", own_pairs(), tmp_path / "aqa.jsonl", data_root=tree.root)
    record = json.loads((tmp_path / "aqa.jsonl").read_text())
    assert list(record) == list(AQA5M)
    assert record["messages"][0]["audios"] == [{"audio": "audio/a.wav", "text": "Hi"}]


def test_what_their_forms_cannot_hold(own_pairs, tmp_path):
    out = tmp_path / "x.jsonl"
    cut = r"pair 'a': its clip is cut out of .*a.wav, which the published forms cannot say; write the part into a file"
    for form in ("desta2", "aqa5m"):
        with pytest.raises(RecordError, match=cut):
            export_pairs(form, own_pairs(clip={"start": 1.0}), out)
    assert not out.exists()
    two_turns = own_pairs({"role": "assistant", "content": "A man."})
    with pytest.raises(
        RecordError, match=r"pair 'a' has 1 clips in 2 turns: a row of DeSTA2 holds one clip and one turn"
    ):
        export_pairs("desta2", two_turns, out)
    done = export_pairs("desta2", two_turns, out, skip_bad=True)
    assert (done.rows, len(done.bad), out.read_text()) == (0, 1, "")
    with pytest.raises(InputError, match="cannot export to 'vctk'; choose from desta2, aqa5m"):
        export_pairs("vctk", two_turns, out)
    with pytest.raises(InputError, match=r"messages are written as JSON lines; give a .jsonl file"):
        export_pairs("aqa5m", two_turns, tmp_path / "x.parquet")
