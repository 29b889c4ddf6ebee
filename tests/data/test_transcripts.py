"""Texts by Whisper: those that the model would hear, in the language that the clip states."""

from pathlib import Path

import numpy as np
import pytest

from desta2.data.audio import load_audio
from desta2.data.estimates import estimates_of
from desta2.data.transcripts import Transcriber
from desta2.errors import CheckpointError, InputError
from desta2.records import Clip, read_records

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def speech():
    return [load_audio(path) for path in sorted(EXAMPLES.glob("*.wav"))]


@pytest.fixture(scope="module")
def whisper(bases):
    return str(bases / "whisper")


def clips(n, **fields):
    return [Clip(id=f"c{i}", audio="a", **fields) for i in range(n)]


def test_it_writes_what_the_model_will_hear(whisper, bases, make_model, speech):
    model = make_model(bases, max_transcript_tokens=440, detect_speech=True)
    found = Transcriber(whisper).write(clips(len(speech), language="de"), speech)
    heard = model.hear(speech, language="de")
    assert max(len(clip.texts) for clip in heard) > 1  # the window of this Whisper is 2 s
    assert [clip.text for clip in found] == [clip.transcript for clip in heard]
    assert all(estimates_of(clip) == {"text": {"by": whisper}} for clip in found)


def test_the_language_is_that_of_the_clip_or_else_heard(whisper, speech):
    said = [*clips(1, language="de-AT"), *clips(1)]
    stated, heard = Transcriber(whisper).write(said, speech[:2])
    assert stated.language == "de-AT"
    assert heard.language in ("en", "de")  # all that this Whisper knows
    assert estimates_of(heard) == {"text": {"by": whisper}, "language": {"by": whisper}}
    [alone] = Transcriber(whisper).write(said[1:], speech[1:2])
    assert alone == heard


def test_nobody_speaks_in_silence(whisper, speech):
    spoken, silent = Transcriber(whisper).write(clips(2), [speech[0], np.zeros(40_000, np.float32)])
    assert spoken.text
    assert (silent.text, silent.language) == ("", None)
    assert Transcriber(whisper).write([], []) == []


def test_the_shipped_nano_whisper_knows_the_examples():
    records = list(read_records(EXAMPLES / "clips.jsonl", Clip))
    mute = [clip.model_copy(update={"text": None}) for clip in records]
    found = Transcriber("nano").write(mute, [load_audio(EXAMPLES / clip.audio) for clip in records])
    said, written = ([set(clip.text.lower().split()) for clip in part] for part in (records, found))
    right = sum(len(a & b) for a, b in zip(said, written, strict=True))
    assert right >= 0.6 * sum(len(words) for words in said)
    assert all("language" not in estimates_of(clip) for clip in found)  # it knows English only


def test_what_cannot_be_used_is_explained(whisper, bases, speech):
    with pytest.raises(CheckpointError, match="the encoder must be a Whisper"):
        Transcriber(str(bases / "llm"))
    with pytest.raises(InputError, match="language is 'gd', but this Whisper knows: de, en"):
        Transcriber(whisper).write(clips(1, language="gd"), speech[:1])
