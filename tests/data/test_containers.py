"""What a file is and whether it is whole: the unusual files that are fine, and the ones that are not."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
import pytest

from desta2.data.audio import audio_seconds, load_audio
from desta2.data.containers import describe, find_defect, flac_has_length, identify, mp3_samples
from desta2.errors import AudioError

KINDS = {
    **dict.fromkeys(["wav", "wav-24", "wav-float", "rf64"], "wav"),
    **dict.fromkeys(["flac", "flac-24"], "flac"),
    **dict.fromkeys(["ogg-vorbis", "ogg-opus"], "ogg"),
    **dict.fromkeys(["m4a", "mp4", "mov"], "mov"),
    **dict.fromkeys(["webm", "mka"], "matroska"),
    "mp3": "mp3",
}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_recognised_and_have_no_defect(encode, kind) -> None:
    data = encode(kind, 48_000, 2)
    assert identify(data) == KINDS[kind]
    assert find_defect(KINDS[kind], data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"R",
        b"RIFF",
        b"RIFF\0\0\0\0WEBP",
        b"\xff\xd8\xff\xe0",
        b"\xff\xf1\x50\x80",
        b"\xff\xff\xff\xff",
        b"ftyp",
    ],
)
def test_look_alikes_are_not_audio(data) -> None:
    assert identify(data) is None


def test_descriptions() -> None:
    assert describe(b"\n  ffconcat version 1.0\n") == "a playlist (ffconcat)"
    assert describe(b"RIFF\0\0\0\0WEBP") == "a RIFF file of type b'WEBP', not WAVE"
    assert describe("é".encode() * 400) == "text"  # cut at 512 bytes, in the middle of nothing
    assert describe(b"a" + "é".encode() * 400) == "text"  # cut in the middle of a character
    assert describe(b"\xe9t\xe9 et hiver") == "unknown binary data"  # Latin-1
    assert describe(b"[1, 2]") == "JSON"


def test_lengths_in_headers(encode) -> None:
    assert flac_has_length(encode("flac"))
    assert flac_has_length(b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + encode("flac"))
    for rate in (8_000, 16_000, 44_100):
        announced = mp3_samples(encode("mp3", rate))
        assert announced is not None
        assert rate <= announced <= rate + 4 * 1152
    assert mp3_samples(b"\xff\xfb\x90\x00" + bytes(400)) is None


def test_a_wav_with_other_chunks_before_and_behind_its_samples(encode) -> None:
    data = encode("wav")
    odd = b"LIST\x03\0\0\0abc\0"  # of odd size, so padded
    assert len(load_audio(data[:36] + odd + data[36:] + odd)) == 16_000


def test_rf64_takes_its_size_from_ds64(encode) -> None:
    data = encode("rf64")
    assert find_defect("wav", data[:-2]) == "truncated: its header announces 2 bytes more than there are"


def test_chained_ogg_is_refused_and_not_shortened(encode) -> None:
    data = encode("ogg-vorbis")
    with pytest.raises(AudioError, match="several Ogg streams one after another"):
        load_audio(data + data)
    assert len(load_audio(data + b"tail that is no page")) == 16_000


def test_a_mov_box_of_64_bits_and_one_to_the_end(encode) -> None:
    data = encode("mov")
    extra = struct.pack(">I4sQ", 1, b"free", 20) + bytes(4)
    assert len(load_audio(data + extra)) == 16_000
    assert (
        find_defect("mov", data + extra[:-1]) == "truncated: its header announces 1 bytes more than there are"
    )
    assert len(load_audio(data + struct.pack(">I4s", 0, b"free") + bytes(9))) == 16_000


def test_a_compressed_mov_header_is_refused(encode) -> None:
    box = struct.pack(">I4s", 16, b"moov") + struct.pack(">I4s", 8, b"cmov")
    assert find_defect("mov", encode("mov") + box) == "its header is compressed, which is not supported"


@pytest.mark.parametrize(
    ("container", "options"),
    [("mp4", {"movflags": "frag_keyframe+empty_moov"}), ("matroska", {"live": "1"})],
)
def test_files_that_were_written_live(tmp_path, container, options) -> None:
    """As browsers record: nothing in the header tells the length."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as output:
        stream = output.add_stream("flac", rate=16_000, layout="mono")
        for at in range(0, 16_000, 4_000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 4_000), 99, np.int16), "s16", "mono")
            frame.rate, frame.pts = 16_000, at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    path = tmp_path / "live"
    path.write_bytes(buffer.getvalue())
    assert len(load_audio(path)) == 16_000
    assert audio_seconds(path) == pytest.approx(1, abs=0.01)
