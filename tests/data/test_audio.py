"""The opener of audio: what comes out for every format, and what each unusable source is answered."""

from __future__ import annotations

import io
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

from desta2.data.audio import SAMPLE_RATE, AudioLimits, audio_seconds, load_audio, write_wav
from desta2.errors import AudioError

CASES = [
    *[(kind, rate, 1) for kind in ("wav", "flac") for rate in (8_000, 22_050, 44_100, 48_000, 96_000)],
    *[("wav", 48_000, channels) for channels in range(2, 7)],
    *[
        (kind, 44_100, 2)
        for kind in ("wav-24", "wav-float", "wav-u8", "rf64", "flac-24", "mp3", "ogg-vorbis")
    ],
    *[(kind, 44_100, 2) for kind in ("m4a", "mp4", "mov", "mka")],
    *[(kind, 48_000, channels) for kind in ("ogg-opus", "webm", "m4a") for channels in (1, 2, 6)],
    *[(kind, 8_000, 1) for kind in ("mp3", "ogg-vorbis", "ogg-opus", "m4a", "webm", "mka")],
]
PADDED = {"m4a": 0.13}  # s of silence that AAC's last block, of 1024 samples, may add


def loudest_frequency(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize(("kind", "rate", "channels"), CASES)
def test_a_sine_keeps_pitch_length_and_level(encode, tmp_path, kind, rate, channels) -> None:
    path = tmp_path / "clip"  # no suffix: the content decides
    path.write_bytes(encode(kind, rate, channels))
    samples = load_audio(path)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert -0.005 <= len(samples) / SAMPLE_RATE - 1 <= PADDED.get(kind, 0.005)
    middle = samples[SAMPLE_RATE // 5 : -SAMPLE_RATE // 5]
    assert loudest_frequency(middle) == pytest.approx(440, abs=2)
    # Some encoders leave only the bass in the sixth channel of 5.1.
    heard = 5 / 6 if channels == 6 and kind in ("ogg-opus", "m4a") else 1.0
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(heard * 0.5 / np.sqrt(2), rel=0.03)
    assert audio_seconds(path) == pytest.approx(1, abs=0.2 if kind == "mp3" else 0.01)


@pytest.mark.parametrize("kind", ["wav", "wav-24", "wav-float", "flac", "flac-24"])
def test_a_lossless_file_at_16_khz_comes_back_sample_for_sample(encode, sine, kind) -> None:
    assert np.abs(load_audio(encode(kind)) - sine(16_000, 1)).max() <= 1 / 32_767


def test_the_mixdown_is_the_mean_of_the_channels(sine) -> None:
    stereo = np.stack([sine(16_000, 0.1), np.full(1600, 0.25, np.float32)])
    expected = (stereo[0] + stereo[1]) / 2
    buffer = io.BytesIO()
    soundfile.write(buffer, stereo.T, 16_000, subtype="FLOAT", format="WAV")
    np.testing.assert_allclose(load_audio(stereo, sampling_rate=16_000), expected, atol=1e-7)
    np.testing.assert_allclose(load_audio(buffer.getvalue()), expected, atol=1e-7)


def test_every_kind_of_source_gives_the_same(encode, tmp_path) -> None:
    data = encode("wav", 22_050, 2)
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    expected = load_audio(data)
    with path.open("rb") as file:
        sources = [str(path), path, bytearray(data), memoryview(data), io.BytesIO(data), file]
        for source in sources:
            np.testing.assert_array_equal(load_audio(source), expected)
        assert not file.closed


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "float16", "float64"])
def test_arrays_are_scaled_by_their_range(sine, dtype) -> None:
    wave = sine(16_000, 0.1)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        array = wave.astype(dtype)
    else:
        half = 2.0 ** (8 * kind.itemsize - 1)
        array = np.round(wave * half + (half if kind.kind == "u" else 0)).astype(dtype)
    tolerance = 0.01 if kind.itemsize == 1 else 1e-3
    np.testing.assert_allclose(load_audio(array, sampling_rate=16_000), wave, atol=tolerance)


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        (np.zeros(9, np.float32), None, "give sampling_rate in Hz"),
        (np.zeros(9, np.float32), 0, "sampling rate of 0 Hz; expected 1000 to 768000"),
        (np.zeros(9, np.int64), 16_000, "got int64; cast it"),
        (np.zeros(9, complex), 16_000, "got complex128; cast it"),
        (np.zeros(0, np.float32), 16_000, "holds no samples"),
        (np.zeros((2, 0), np.float32), 16_000, "holds no samples"),
        (np.zeros((2, 2, 2), np.float32), 16_000, r"got shape \(2, 2, 2\)"),
        (np.zeros((900, 2), np.float32), 16_000, r"got shape \(900, 2\); transpose it"),
        (np.zeros((33, 900), np.float32), 16_000, "33 channels, the limit is 32"),
        (np.array([0, np.nan, 0], np.float32), 16_000, "a sample that is nan at 0.000 s"),
        (np.repeat(np.array([0, np.inf]), 80_000), 16_000, "a sample that is inf at 5.000 s"),
        (np.array([0, 1e300]), 16_000, "a sample that is inf"),
    ],
)
def test_unusable_arrays(array, rate, message) -> None:
    with pytest.raises(AudioError, match=f"audio array: .*{message}"):
        load_audio(array, sampling_rate=rate)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg-vorbis", "ogg-opus", "mp3", "m4a", "webm"])
def test_a_part_equals_the_slice_of_the_whole(encode, kind) -> None:
    data = encode(kind, seconds=3.0) if kind not in ("webm", "ogg-opus") else encode(kind, 48_000, 1, 3.0)
    whole, part = load_audio(data), load_audio(data, start=1.25, end=2.5)
    assert len(part) == 20_000
    inner = slice(200, -200)  # resampling a part rings at its edges
    np.testing.assert_allclose(part[inner], whole[20_000:40_000][inner], atol=2e-4)
    np.testing.assert_allclose(load_audio(data, start=2.5)[200:8000], whole[40_200:48_000], atol=2e-4)


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a"])
@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (0.5, 0.5, "from 0.5 s to 0.5 s; expected 0 <= start < end"),
        (-1, None, "expected 0 <= start < end"),
        (float("nan"), None, "expected 0 <= start < end"),
        (5, None, r"cannot cut from 5 s to inf s: it ends at 1\.\d+ s"),
        (0.5, 1.2, r"cannot cut from 0.5 s to 1.2 s: it ends at 1\.\d+ s"),
    ],
)
def test_impossible_cuts(encode, kind, start, end, message) -> None:
    with pytest.raises(AudioError, match=message):
        load_audio(encode(kind), start=start, end=end, name="a")


def test_an_end_that_was_rounded_up_is_the_end(encode) -> None:
    assert len(load_audio(encode("wav"), end=1.04)) == SAMPLE_RATE


def test_limits_name_themselves(encode, tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode("wav", 48_000, 6))
    size = path.stat().st_size
    for source in (path, path.read_bytes(), path.open("rb")):
        with pytest.raises(AudioError, match=rf"more than {size - 1} bytes \(max_bytes\); .*raise the limit"):
            load_audio(source, limits=AudioLimits(max_bytes=size - 1))
    with pytest.raises(AudioError, match=r"6 channels, the limit is 5 \(max_channels\)"):
        load_audio(path, limits=AudioLimits(max_channels=5))
    assert len(load_audio(path, limits=AudioLimits(size, 1.0, 6))) == SAMPLE_RATE


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg-vorbis", "mp3", "m4a", "webm", "mka"])
def test_the_limit_of_seconds_is_for_the_part_that_is_read(encode, kind) -> None:
    data = encode(kind, 48_000, 1, 3.0)
    with pytest.raises(
        AudioError, match=r"longer than the limit of 2 s \(max_seconds\); cut it with start and end"
    ):
        load_audio(data, limits=AudioLimits(max_seconds=2))
    assert len(load_audio(data, start=1, end=2, limits=AudioLimits(max_seconds=1))) == SAMPLE_RATE


def test_a_given_rate_is_checked_against_the_file(encode) -> None:
    assert len(load_audio(encode("wav", 8_000), sampling_rate=8_000)) == SAMPLE_RATE
    with pytest.raises(AudioError, match="has 8000 Hz, not the given sampling_rate=16000; leave it out"):
        load_audio(encode("wav", 8_000), sampling_rate=16_000)


NOT_AUDIO = {
    "text": b"The food is really good.\n" * 40,
    "JSON": b'{"audio": "a.wav"}',
    "HTML": b"<!doctype html><title>404</title>",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "zip": b"PK\x03\x04" + bytes(100),
    "AVI": b"RIFF\x10\0\0\0AVI LIST" + bytes(100),
    "AIFF": b"FORM\0\0\0\x10AIFF" + bytes(100),
    "unknown binary data": bytes(range(256)),
    "playlist": b"#EXTM3U\nhttp://127.0.0.1/a.wav\n",
    "SDP": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
}


@pytest.mark.parametrize("words", NOT_AUDIO)
def test_what_is_not_audio_is_named(tmp_path, words) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(NOT_AUDIO[words])
    for read in (load_audio, audio_seconds):
        with pytest.raises(
            AudioError, match=f"^{re.escape(str(path))}: not audio that desta2 reads.*{words}.*ffmpeg"
        ):
            read(path)


def test_paths_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("x")
    os.mkfifo(tmp_path / "fifo.wav")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "sock.wav"))
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    cases = {
        tmp_path / "none.wav": "none.wav: no such file; check the path",
        tmp_path: "is a folder; give a file in it",
        tmp_path / "empty.wav": r"empty.wav: is empty \(0 bytes\)",
        tmp_path / "fifo.wav": "is not a regular file but a pipe, socket or device",
        tmp_path / "sock.wav": "is not a regular file but a pipe, socket or device",
        Path("/dev/zero"): "is not a regular file but a pipe, socket or device",
        tmp_path / "loop.wav": "cannot be read .*check the path",
        tmp_path / "text.wav" / "a": "cannot be read .*check the path",
        "a\0b.wav": "cannot be read .*null",
        "x" * 5000: "cannot be read .*too long",
        "": "no such file",
        "https://example.org/a.wav": "is an address, .*; download it first",
        Path("https://example.org/a.wav"): "is an address, .*; download it first",
        "data:audio/wav;base64," + "A" * 5000: r"^data:.{195}…: is an address",
        "file:///etc/passwd": "is an address",
    }
    for path, message in cases.items():
        with pytest.raises(AudioError, match=message):
            load_audio(path)
    unix.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(encode, tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encode("wav"))
    path.chmod(0)
    with pytest.raises(AudioError, match="no permission to read it"):
        load_audio(path)


def test_sources_of_the_wrong_type() -> None:
    with pytest.raises(AudioError, match="expected a path, bytes, a binary file or an array, got int"):
        load_audio(5)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="gives str, not bytes; open it in binary mode"):
        load_audio(io.StringIO("RIFF"))  # type: ignore[arg-type]
    with pytest.raises(AudioError, match=r"^upload 7: is empty \(0 bytes\)"):
        load_audio(b"", name="upload 7")


def test_files_without_samples(encode) -> None:
    for kind in ("wav", "rf64", "ogg-vorbis"):
        with pytest.raises(AudioError, match="holds no samples; record or export it again"):
            load_audio(encode(kind, seconds=0))
    with pytest.raises(AudioError, match="too short: 1 samples at 96000 Hz"):
        load_audio(np.zeros(1, np.float32), sampling_rate=96_000)


def test_a_video_without_sound() -> None:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(AudioError, match="has no audio track; give a file with sound"):
        load_audio(buffer.getvalue())


def test_a_codec_that_is_not_supported() -> None:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        stream = output.add_stream("tta", rate=16_000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        silence.rate = 16_000
        output.mux([*stream.encode(silence), *stream.encode(None)])
    with pytest.raises(AudioError, match=r"its codec \(tta\) is not supported; convert it"):
        load_audio(buffer.getvalue())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_a_float_wav_with_an_impossible_sample(value) -> None:
    samples = np.zeros(32_000, np.float32)
    samples[16_000] = value
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, subtype="FLOAT", format="WAV")
    with pytest.raises(AudioError, match=r"holds a sample that is \S+ at 1.000 s; expected finite numbers"):
        load_audio(buffer.getvalue())


def test_mp3_without_a_xing_header_is_read_to_its_end(sine) -> None:
    """libsndfile would stop early: it guesses the length from the bitrate of the first frame."""
    noise = np.random.default_rng(0).normal(0, 0.2, 132_300)
    samples = np.concatenate([noise, np.zeros(132_300), sine(44_100, 3)])
    buffer = io.BytesIO()
    options = {"compression_level": 0.5, "bitrate_mode": "VARIABLE"}
    with soundfile.SoundFile(
        buffer, "w", 44_100, 1, format="MP3", subtype="MPEG_LAYER_III", **options
    ) as file:
        for at in range(0, len(samples), 4096):
            file.write(samples[at : at + 4096])
    data = buffer.getvalue()
    bare = data[data.index(data[:2], 4) :]
    assert b"Xing" in data[:200]
    assert b"Xing" not in bare[:200]
    assert soundfile.info(io.BytesIO(bare)).duration < 8  # the reason for the other decoder
    for version in (data, bare, b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + data, data + b"hello" * 600):
        loaded = load_audio(version)
        assert len(loaded) / SAMPLE_RATE == pytest.approx(9, abs=0.1)
        assert loudest_frequency(loaded[-30_000:-5_000]) == pytest.approx(440, abs=2)


def test_flac_from_a_pipe_does_not_state_its_length(encode, sine) -> None:
    data = bytearray(encode("flac"))
    data[21] &= 0xF0  # 36 bits of STREAMINFO: total samples
    data[22:26] = bytes(4)
    np.testing.assert_allclose(load_audio(data), sine(16_000, 1), atol=1e-4)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", None])
def test_wav_from_a_pipe_goes_to_its_end(encode, size) -> None:
    data = bytearray(encode("wav"))
    data[40:44] = size or data[40:44]
    assert len(load_audio(data)) == SAMPLE_RATE


def test_write_wav_round_trip(tmp_path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    samples = np.array([0, 0.5, -1, 1, 0.25, 1 / 32768], np.float32)
    write_wav(path, samples)
    np.testing.assert_allclose(load_audio(path), np.minimum(samples, 32767 / 32768), atol=0)
    assert soundfile.info(path).subtype == "PCM_16"
    write_wav(path, np.zeros(441), sampling_rate=44_100)
    assert soundfile.info(path).samplerate == 44_100
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.array([0, 1.01]), 16_000, "reach 1.01, but a wav holds ±1; scale them"),
        (np.array([0, np.nan]), 16_000, "reach nan"),
        (np.zeros(0), 16_000, r"got float64 of shape \(0,\)"),
        (np.zeros((2, 5)), 16_000, r"expected floats of shape \(samples,\).*average the channels"),
        (np.zeros(5, np.int16), 16_000, "got int16"),
        (np.zeros(5), 0, "sampling rate of 0 Hz"),
    ],
)
def test_write_wav_refuses_and_keeps_the_old_file(tmp_path, samples, rate, message) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")
    with pytest.raises(AudioError, match=message):
        write_wav(path, samples, rate)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_write_wav_into_a_missing_folder_or_onto_a_folder(tmp_path) -> None:
    for path in (tmp_path / "none" / "a.wav", tmp_path):
        with pytest.raises(AudioError, match=r"cannot be written .*check its folder"):
            write_wav(path, np.zeros(5))
    assert not list(tmp_path.iterdir())


def test_write_wav_leaves_the_old_file_when_writing_fails(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, np.zeros(5))
    before = path.read_bytes()

    def half(file: io.BufferedWriter, *_: object, **__: object) -> None:
        file.write(b"RIFF")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", half)
    with pytest.raises(OSError, match="No space left"):
        write_wav(path, np.ones(5))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
