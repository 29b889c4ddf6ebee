"""The opener of audio against strangers: references to elsewhere, lying headers, cut and garbled files."""

from __future__ import annotations

import ctypes
import http.server
import io
import os
import struct
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from desta2.data.audio import AudioLimits, load_audio
from desta2.errors import AudioError

KINDS = [
    "wav",
    "wav-float",
    "rf64",
    "flac",
    "ogg-vorbis",
    "ogg-opus",
    "mp3",
    "m4a",
    "mp4",
    "mov",
    "webm",
    "mka",
]
MAGIC = [
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"fLaC",
    b"OggS\0\x02",
    b"ID3\x04\0\0\0\0\0\x05",
    b"\xff\xfb\x90\x00",
]
MAGIC += [b"\0\0\0\x14ftypM4A \0\0\0\0M4A ", b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f", b"\xff\xf3\x88\xc4"]


class Canary:
    """A file and a web server that count who opens them."""

    def __init__(self, path: Path, address: str, requests: list[str]) -> None:
        self.path, self.address, self.requests = path, address, requests
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._libc.inotify_add_watch(self._inotify, os.fsencode(path), 0x20) > 0  # IN_OPEN

    def was_touched(self) -> bool:
        try:
            opened = bool(os.read(self._inotify, 4096))
        except BlockingIOError:
            opened = False
        asked = bool(self.requests)
        self.requests.clear()
        return opened or asked


@pytest.fixture
def canary(tmp_path: Path, encode: Callable[..., bytes]) -> Iterator[Canary]:
    path = tmp_path / "canary.wav"
    path.write_bytes(encode("wav"))
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(path.name.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Canary(path, f"http://127.0.0.1:{server.server_port}/a.wav", requests)
    server.shutdown()
    server.server_close()


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify and /proc are Linux's")


@linux_only
def test_the_canary_notices_a_request_and_an_open_by_ffmpeg(canary: Canary) -> None:
    assert not canary.was_touched()
    urllib.request.urlopen(canary.address).read()
    assert canary.was_touched()
    playlist = f"ffconcat version 1.0\nfile {canary.path}\n".encode()
    options = {"safe": "0", "protocol_whitelist": "file"}
    with av.open(io.BytesIO(playlist), format="concat", options=options) as container:
        next(container.decode(audio=0))
    assert canary.was_touched()


@linux_only
@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".wav", ".ogg", ".webm", ""])
def test_playlists_open_nothing(canary: Canary, tmp_path: Path, suffix: str) -> None:
    for target in (canary.address, str(canary.path), canary.path.as_uri()):
        payloads = [
            f"ffconcat version 1.0\nfile {target}\n",
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
            f"[playlist]\nFile1={target}\n",
            f'FILE "{target}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
            f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nu={target}\r\nm=audio 5004 RTP/AVP 0\r\n",
            f"<MPD><BaseURL>{target}</BaseURL></MPD>",
            f"{target}\n",
        ]
        for number, payload in enumerate(payloads):
            path = tmp_path / f"{number}{suffix}"
            path.write_text(payload)
            for source in (path, payload.encode()):
                with pytest.raises(AudioError, match="not audio that desta2 reads"):
                    load_audio(source)
            for magic in MAGIC:  # behind a magic number that takes it as far as a decoder
                with pytest.raises(AudioError):
                    load_audio(magic + payload.encode())
    assert not canary.was_touched()


def boxes_with(data: bytes, parents: list[bytes], old: bytes, new: bytes) -> bytes:
    """Replaces bytes in a box of an mp4 whose `parents`, outermost first, then grow by the difference."""
    at = data.index(old)
    result = bytearray(data[:at] + new + data[at + len(old) :])
    for parent in parents:
        start = data.rindex(parent, 0, at) - 4
        size = struct.unpack_from(">I", result, start)[0]
        struct.pack_into(">I", result, start, size + len(new) - len(old))
    return bytes(result)


def mov_that_points_to(data: bytes, target: Path) -> bytes:
    """A mov whose samples are said to lie in another file: a data reference of type "alis"."""
    path = str(target).encode()
    path += bytes(len(path) % 2)
    alias = bytes(10) + b"\x01v".ljust(28, b"\0") + bytes(12) + bytes([len(target.name)])
    alias += target.name.encode().ljust(63, b"\0") + bytes(16 + 4 + 16)
    alias += struct.pack(">HH", 2, len(path)) + path + struct.pack(">H", 0xFFFF) + bytes(2)
    entry = b"alis" + bytes(4) + alias
    entry = struct.pack(">I", len(entry) + 4) + entry
    own = data[data.index(b"dref") + 12 :][:12]  # the entry that says: in this file
    return boxes_with(data, [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"], own, entry)


@linux_only
def test_a_mov_that_refers_to_another_file_opens_nothing(
    canary: Canary, encode: Callable[..., bytes]
) -> None:
    data = mov_that_points_to(encode("mov"), canary.path)
    trusting = {"enable_drefs": "1", "use_absolute_path": "1", "protocol_whitelist": "file"}
    with av.open(io.BytesIO(data), format="mov", options=trusting):
        assert canary.was_touched()  # the reference works where it is allowed to
    with pytest.raises(AudioError, match="holds no samples"):
        load_audio(data)
    assert not canary.was_touched()


def wav_header(rate: int = 16_000, channels: int = 1, data_bytes: int = 3200) -> bytes:
    block = channels * 2
    fields = struct.pack("<HHIIHH", 1, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, 16)
    riff = b"WAVEfmt " + struct.pack("<I", 16) + fields + b"data" + struct.pack("<I", data_bytes)
    return b"RIFF" + struct.pack("<I", len(riff) + 3200) + riff + bytes(3200)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wav_header(data_bytes=2_000_000_000), "truncated: its header announces 1999996800 bytes more"),
        (wav_header(rate=0), "cannot be read as wav|rate of 0 Hz"),
        (wav_header(rate=999), "sampling rate of 999 Hz; expected 1000 to 768000"),
        (wav_header(rate=768_001), "sampling rate of 768001 Hz"),
        (wav_header(rate=2**31 - 1), "sampling rate of 2147483647 Hz"),
        (wav_header(rate=2**32 - 1), "cannot be read as wav"),
        (wav_header(channels=0), "cannot be read as wav"),
        (wav_header(channels=1000), "1000 channels, the limit is 32"),
        (wav_header(channels=65_535), "cannot be read as wav"),
        (wav_header()[:40], "truncated: it ends before its samples begin"),
    ],
)
def test_wav_headers_that_lie(data: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        load_audio(data)


def test_a_wav_header_that_tells_the_truth() -> None:
    assert len(load_audio(wav_header())) == 1600


def forget_peak() -> float:
    """Sets the process's peak of memory back to what it holds now; returns that in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_megabytes()


def peak_megabytes() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def lying_flac(encode: Callable[..., bytes]) -> bytes:
    data = bytearray(encode("flac"))
    data[21] |= 0x0F  # 36 bits of STREAMINFO: total samples
    data[22:26] = b"\xff" * 4
    return bytes(data)


def lying_mp4(encode: Callable[..., bytes]) -> bytes:
    data = bytearray(encode("m4a"))
    sizes, chunks = data.index(b"stsz"), data.index(b"stsc")
    struct.pack_into(">II", data, sizes + 8, 1, 20_000_000)  # as many samples, of one byte each
    struct.pack_into(">I", data, chunks + 16, 20_000_000)  # all in the first chunk
    return bytes(data)


def lying_fragment(encode: Callable[..., bytes]) -> bytes:
    run = struct.pack(">IIi", 1, 20_000_000, 0)  # flags, count, offset
    box = struct.pack(">I", 8 + len(run)) + b"trun" + run
    return encode("m4a") + struct.pack(">I", 8 + len(box)) + b"moof" + box


@linux_only
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lying_flac, "longer than the limit of 3600 s"),
        (lying_mp4, "damaged: it announces 20000000 encoded samples in [0-9]+ bytes"),
        (lying_fragment, "damaged: it announces 200000[0-9]+ encoded samples in"),
    ],
)
def test_announced_samples_take_no_memory(
    encode: Callable[..., bytes], make: Callable[..., bytes], message: str
) -> None:
    data, before = make(encode), forget_peak()
    with pytest.raises(AudioError, match=message):
        load_audio(data)
    assert peak_megabytes() - before < 50  # FFmpeg would take 700 MB for either mp4


@linux_only
def test_hours_in_a_small_file_are_refused_before_they_are_decoded() -> None:
    """Half an hour of silence in a flac that does not state its length, so that only decoding can tell."""
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 8_000, 1, format="FLAC", subtype="PCM_16") as file:
        for _ in range(1800):
            file.write(np.zeros(8_000, np.int16))
    data = bytearray(buffer.getvalue())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    before = forget_peak()
    with pytest.raises(AudioError, match="longer than the limit of 60 s"):
        load_audio(data, limits=AudioLimits(max_seconds=60))
    assert peak_megabytes() - before < 20  # whole, it would be 115 MB


def loads_or_refuses(data: bytes) -> np.ndarray | None:
    started = time.process_time()
    try:
        samples = load_audio(data)
    except AudioError:
        return None
    finally:
        assert time.process_time() - started < 5
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples)
    assert np.isfinite(samples).all()
    return samples


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_is_refused_or_nearly_whole(encode: Callable[..., bytes], kind: str) -> None:
    """No cut may give a shorter clip; what FFmpeg's mp3 pads, and a tail without samples, may be missing."""
    data = encode(kind, 48_000, 1, 0.5)
    for size in sorted(
        {*range(0, 64, 7), *np.linspace(64, len(data) - 1, 40).astype(int).tolist(), len(data) - 1}
    ):
        samples = loads_or_refuses(data[:size])
        assert samples is None or len(samples) >= 0.5 * 16_000 - 4 * 1152 / 3, size


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg-vorbis", "ogg-opus", "mp3", "m4a", "mov", "webm"])
def test_a_file_cut_in_half_says_so(encode: Callable[..., bytes], kind: str) -> None:
    data = encode(kind, 48_000)
    with pytest.raises(AudioError, match=r"^call 7: .*truncated.*(again|ffmpeg)"):
        load_audio(data[: len(data) // 2], name="call 7")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbled_files_give_an_array_or_an_error(encode: Callable[..., bytes], data: st.DataObject) -> None:
    garbled = bytearray(encode(data.draw(st.sampled_from(KINDS)), 48_000, 1, 0.1))
    places = st.integers(0, data.draw(st.sampled_from([63, 400, len(garbled) - 1])))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=12)):
        garbled[place % len(garbled)] = value
    loads_or_refuses(bytes(garbled))


@settings(max_examples=100, deadline=None)
@given(magic=st.sampled_from([b"", *MAGIC]), tail=st.binary(max_size=300))
def test_random_bytes_are_refused(magic: bytes, tail: bytes) -> None:
    loads_or_refuses(magic + tail)
