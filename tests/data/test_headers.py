"""Durations from headers: as exact as reading the whole file, or none at all."""

import io
import os

import pytest
import soundfile

from desta2.data.audio import audio_seconds
from desta2.data.headers import header_seconds
from desta2.errors import AudioError

EXACT = ("wav", "wav-24", "wav-float", "wav-u8", "rf64", "flac", "flac-24")
OTHERS = ("mp3", "ogg-vorbis", "ogg-opus", "m4a", "webm")


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize(
    ("rate", "channels", "seconds"), [(16_000, 1, 0.5), (44_100, 2, 0.123), (8_000, 1, 1.0)]
)
def test_as_the_whole_file_says(tmp_path, encode, kind, rate, channels, seconds):
    path = tmp_path / "a.audio"
    path.write_bytes(encode(kind, rate, channels, seconds))
    assert header_seconds(path) == pytest.approx(audio_seconds(path), abs=1e-12)


@pytest.mark.parametrize("kind", OTHERS)
def test_formats_that_keep_their_length_elsewhere(tmp_path, encode, kind):
    path = tmp_path / "a.audio"
    path.write_bytes(encode(kind, 16_000, 1, 0.2))
    assert header_seconds(path) is None


def test_chunks_before_the_samples(tmp_path, encode):
    wav = encode("wav", 16_000, 1, 0.25)
    junk = b"LIST" + (5).to_bytes(4, "little") + b"hello\x00"  # odd lengths are padded
    path = tmp_path / "a.wav"
    path.write_bytes(wav[:12] + junk + wav[12:])
    assert header_seconds(path) == 0.25


def test_a_wav_from_a_pipe_goes_to_its_end(tmp_path, encode):
    wav = bytearray(encode("wav", 16_000, 1, 0.25))
    wav[40:44] = b"\xff\xff\xff\xff"
    path = tmp_path / "a.wav"
    path.write_bytes(wav)
    assert header_seconds(path) == 0.25 == audio_seconds(path)


def test_a_codec_without_a_fixed_frame_is_left_to_others(tmp_path):
    buffer = io.BytesIO()
    soundfile.write(buffer, [0.0] * 4000, 8000, format="WAV", subtype="IMA_ADPCM")
    path = tmp_path / "a.wav"
    path.write_bytes(buffer.getvalue())
    assert header_seconds(path) is None


def test_a_flac_that_does_not_state_its_length(tmp_path, encode):
    flac = bytearray(encode("flac", 16_000, 1, 0.25))
    flac[21] &= 0xF0  # the lowest 36 bits of eight are the number of samples
    flac[22:26] = b"\x00" * 4
    path = tmp_path / "a.flac"
    path.write_bytes(flac)
    assert header_seconds(path) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty (0 bytes); download it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a pointer of git-lfs, not the audio: run `git lfs pull`",
        ),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "cut off: it ends before its samples begin"),
    ],
)
def test_files_that_are_no_audio(tmp_path, content, says):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=f"^{path}: ") as caught:
        header_seconds(path)
    assert says in str(caught.value)


def test_a_cut_wav(tmp_path, encode):
    path = tmp_path / "a.wav"
    path.write_bytes(encode("wav", 16_000, 1, 0.25)[:-10])
    with pytest.raises(AudioError, match="cut off: its header announces 10 bytes more than there are"):
        header_seconds(path)


def test_a_wav_without_samples(tmp_path, encode):
    path = tmp_path / "a.wav"
    wav = bytearray(encode("wav", 16_000, 1, 0.25)[:44])
    wav[40:44] = bytes(4)
    path.write_bytes(wav)
    with pytest.raises(AudioError, match="holds no samples"):
        header_seconds(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(AudioError, match="no such file; check the path"):
        header_seconds(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="is not a regular file"):
        header_seconds(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="is not a regular file"):  # and does not wait for a writer
        header_seconds(tmp_path / "pipe.wav")
