"""How long a file of audio is, where its first bytes tell it exactly: wav and flac.

`audio.audio_seconds` knows every format, but reads the whole file to be sure of it. Going through a corpus
of a million files that is the difference between minutes and hours. The trade-off: only a header is
believed here, so damage behind it is not seen (annotating decodes, and finds it); and mp3, Ogg, mp4 and
webm, which keep their length elsewhere or nowhere, give None.

Layouts: RIFF and RF64 (EBU Tech 3306), FLAC's STREAMINFO (RFC 9639).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from desta2.errors import AudioError

_GIT_LFS = b"version https://git-lfs"
_EXACT_FORMATS = (1, 3, 6, 7, 0xFFFE)  # PCM, float, A-law, mu-law, extensible: every frame has the same bytes


def header_seconds(path: str | os.PathLike[str]) -> float | None:
    """Seconds of a wav or flac, from its header alone; None where the header does not tell exactly.

    Raises:
        AudioError: no such file, nothing in it, a wav that is cut off, or a pointer that git-lfs left in
            place of the file.
    """
    path = Path(path)
    try:
        status = path.stat()  # before opening: to open a pipe would wait for its writer
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{path}: is not a regular file; give a file of audio")
        with open(path, "rb") as file:
            start = file.read(12)
            if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
                return _wav_seconds(file, status.st_size, path)
            file.seek(0)
            head = file.read(64)
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror}); check its mode and owner") from error
    if not head:
        raise AudioError(f"{path}: is empty (0 bytes); download it again")
    if head.startswith(_GIT_LFS):
        raise AudioError(
            f"{path}: is a pointer of git-lfs, not the audio: run `git lfs pull` in its repository"
        )
    return _flac_seconds(head)


def _wav_seconds(file: BinaryIO, size: int, path: Path) -> float | None:
    """Go from chunk to chunk: the rate is in `fmt `, the bytes of all frames in `data`."""
    rate = frame_bytes = 0
    long_size = 0
    position = 12
    while len(chunk := file.read(8)) == 8:
        name, length = chunk[:4], int.from_bytes(chunk[4:], "little")
        position += 8
        if name == b"data":
            if length == 0xFFFFFFFF:  # RF64 states it elsewhere; a wav from a pipe goes to the end
                length = long_size or size - position
            if position + length > size:
                missing = position + length - size
                raise AudioError(f"{path}: cut off: its header announces {missing} bytes more than there are")
            if not rate or not frame_bytes:
                return None
            if length < frame_bytes:
                raise AudioError(f"{path}: holds no samples; record or export it again")
            return length // frame_bytes / rate
        body = file.read(min(length, 64))
        if name == b"ds64":
            long_size = int.from_bytes(body[8:16], "little")
        if name == b"fmt " and int.from_bytes(body[:2], "little") in _EXACT_FORMATS:
            rate, frame_bytes = int.from_bytes(body[4:8], "little"), int.from_bytes(body[12:14], "little")
        position += length + length % 2
        file.seek(position)
    raise AudioError(f"{path}: cut off: it ends before its samples begin")


def _flac_seconds(head: bytes) -> float | None:
    if head[:4] != b"fLaC" or len(head) < 26:
        return None
    packed = int.from_bytes(head[18:26], "big")  # rate: 20 bits, channels 3, bits 5, samples 36
    rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    return samples / rate if rate and samples else None  # written to a pipe, it does not state its length
