"""Speech recognition by instruction: what is taken out of answers, and the error rates."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from superb import wav

from desta2.errors import InputError
from desta2.evaluate.asr import INSTRUCTION, Asr, extract_transcript, normalise_transcript, score_asr
from desta2.evaluate.judging.transcripts import is_taken_from
from desta2.records import Prediction

# DESTA2_SHARED names the folder where a checkout lies elsewhere.
SHARED = Path(os.environ.get("DESTA2_SHARED", Path(__file__).parents[3] / "shared")) / "speech_ifeval"


@pytest.mark.parametrize(
    ("response", "transcript"),
    [
        ("hello there", "hello there"),
        ('"Hello there."', "Hello there."),
        ("<<Hello there.>>", "Hello there."),
        ("Here is the text:\n\nHello there.", "Hello there."),
        ('Here is the written version of the spoken phrase:\n\n"Hello there."\n\nHave a nice day!', "Hello there."),
        ('Here is the answer: Here is the answer: "Hello"', "Hello"),
        ('The result is: "Hello"', "Hello"),
        ('The speaker says: "He said: go!"', "He said: go!"),
        ('{"transcript": "Hello \\"you\\"", "speaker": "Male"}', 'Hello "you"'),
        ('```json\n{"text": "Hello", "emotion": "happy"}\n```', "Hello"),
        ('Here is the JSON:\n\n{\n"Text": "Hello"', "Hello"),
        ('{"said": "Hello"}', "Hello"),
        ('{"text": "one", "words": "two"}', '{"text": "one", "words": "two"}'),
        ("I have one thing: patience.", "I have one thing: patience."),
        ('"I wish I knew," she cried. "Oh!"', 'I wish I knew," she cried. "Oh!'),
        ("a\n\nb", "a\n\nb"),
        ("", ""),
        ('"', '"'),
    ],
)  # fmt: skip
def test_what_is_taken_out(response, transcript):
    assert extract_transcript(response) == transcript


@given(st.text(alphabet="ab \"'`{}:<>«»\n\\text", max_size=200) | st.text())
def test_any_answer_has_a_transcript_of_its_own_words(response):
    taken = normalise_transcript(extract_transcript(response)).replace(" ", "")
    assert taken in normalise_transcript(response.replace("\\", "")).replace(" ", "")


@pytest.mark.parametrize(
    "piece", ['"', "text: ", " ", '"a"', "```\n", '{"text": "a', "\\", '"text" : "a" ', "\n\n"]
)
def test_long_answers_take_no_long_time(piece):
    started = time.monotonic()
    extract_transcript("{" + piece * 100_000)
    extract_transcript(piece * 100_000)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello,  WORLD!", "hello world"),
        ("don't — stop", "don t stop"),
        ("ＡＢＣ ①", "abc 1"),
        ("[laughs] (so) what", "laughs so what"),
        ("Straße 5.5", "strasse 5 5"),
        ("?!", ""),
    ],
)
def test_texts_as_they_are_compared(text, words):
    assert normalise_transcript(text) == words


def item(number, label, response, **more):
    return Prediction(id=str(number), task="asr", instruction="?", label=label, response=response, **more)


def test_rates():
    found = score_asr(
        [item(1, "one two three four", "one two tree four"), item(2, "five six", '"Five six seven eight."')]
    )
    assert found["wer"]["value"] == pytest.approx((1 + 2) / 6)
    assert found["mean_wer"]["value"] == pytest.approx((1 / 4 + 2 / 2) / 2)
    assert found["cer"]["value"] == pytest.approx((1 + 10) / (15 + 7))
    assert found["n"] == found["wer"]["n"] == 2
    assert found["wer"]["low"] <= found["wer"]["value"] <= found["wer"]["high"]
    assert score_asr([item(1, "one two", "")])["wer"]["value"] == 1


def test_a_judges_transcripts():
    predictions = [item(1, "one two", "I think that I heard one two in it")]
    assert score_asr(predictions)["wer"]["value"] > 1
    found = score_asr([*predictions, item(2, "one", "two")], {"1": "one two"})
    assert (found["judged"]["wer"]["value"], found["judged"]["n"], found["n"]) == (0, 1, 2)
    assert found["wer"]["value"] > 1
    with pytest.raises(InputError, match="none of the 1 predictions has a transcript by the judge"):
        score_asr(predictions, {})


def test_speakers_are_resampled():
    def width(**more):
        many = [item(i, "one two", "one two" if i < 20 else "x y", **more) for i in range(40)]
        many = [m.model_copy(update={"speaker": f"s{i // 10}"}) if more else m for i, m in enumerate(many)]
        score = score_asr(many)["wer"]
        return score["high"] - score["low"]

    assert width(speaker="s") > 1.5 * width()


def test_what_cannot_be_scored():
    with pytest.raises(InputError, match="there are no predictions to score"):
        score_asr([])
    for label in (None, "?!"):
        with pytest.raises(InputError) as caught:
            score_asr([item("a", label, "x")])
        assert str(caught.value) == f"'a' has the label {label!r}, expected the words that were said"


def test_questions_about_clips_with_words(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(300, 1.0))
    lines = [
        {"id": "a", "audio": "a.wav", "text": "one", "speaker": "s"},
        {"id": "b", "audio": "a.wav", "text": "two", "start": 0.25, "end": 0.75},
        {"id": "c", "audio": "a.wav"},
    ]
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for data in (tmp_path, tmp_path / "clips.jsonl"):
        whole, part = Asr().questions(data)
        assert whole.messages[0]["content"] == [
            {"type": "audio", "audio": str(tmp_path / "a.wav")},
            {"type": "text", "text": INSTRUCTION},
        ]
        assert part.messages[0]["content"][0]["audio"].shape == (8000,)
        assert (whole.fields["label"], whole.fields["speaker"], whole.fields["audio"]) == (
            "one",
            "s",
            "a.wav",
        )
    with pytest.raises(InputError, match="holds no records"):
        Asr().questions(tmp_path.parent / tmp_path.name / "..")


@pytest.mark.skipif(not SHARED.exists(), reason=f"the shared data is not at {SHARED}")
@pytest.mark.parametrize(
    ("part", "equal"), [("closed_ended_questions-woprompt", 200), ("closed_ended_questions", 194)]
)
def test_published_word_error_rates_item_by_item(part, equal):
    """Rates of DeSTA2's responses: published ones come from a judge's transcripts, ours from the rules'."""
    import jiwer

    rows = map(json.loads, (SHARED / "desta2" / f"llm_eval@{part}.jsonl").read_text("utf-8").splitlines())
    rows = [row for row in rows if row["metric"] == "wer"]

    def rate(row, said):
        return jiwer.wer(normalise_transcript(row["label"]), normalise_transcript(said))

    ours = [rate(row, extract_transcript(row["response"])) == pytest.approx(row["correct"]) for row in rows]
    assert (sum(ours), len(ours)) == (equal, 200)
    if equal == 200:
        assert all(is_taken_from(row["eval_response"], row["response"]) for row in rows)
        judged = [rate(row, row["eval_response"]) for row in rows]
        assert judged == pytest.approx([row["correct"] for row in rows])
        found = score_asr([item(i, row["label"], row["response"]) for i, row in enumerate(rows)])
        assert round(100 * found["mean_wer"]["value"], 2) == 7.21
