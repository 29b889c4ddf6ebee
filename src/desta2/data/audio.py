"""The only opener of audio: any supported source → mono, 16 kHz, float32.

wav, flac, mp3, ogg (Vorbis, Opus), m4a/mp4 and webm/matroska, at any rate and with any number of channels.
Files may come from strangers, so three rules hold. Only the given bytes are read: they are taken into
memory first, their container is recognised by us (`containers`) and forced on the decoder (`decode`), so
that no playlist, and no reference inside a container, opens anything. Decoding goes block by block
through the limits, so that neither a lying header nor hours of silence in a small file take memory. And
nothing is quietly shortened: a file that is cut off raises.

The trade-off: a file is held in memory whole (bounded by `max_bytes`), also where only a part is asked for.
"""

from __future__ import annotations

import os
import re
import stat
import uuid
from pathlib import Path
from typing import BinaryIO, TypeAlias, Union

import numpy as np
import soundfile

from desta2.data import containers, decode
from desta2.data.decode import SAMPLE_RATE, AudioLimits
from desta2.errors import AudioError

__all__ = ["SAMPLE_RATE", "AudioLimits", "AudioSource", "audio_seconds", "load_audio", "write_wav"]

AudioSource: TypeAlias = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, np.ndarray]
"""A path; the content of a file, as bytes or an open binary file; or samples."""

_DEFAULT_LIMITS = AudioLimits()
_URL = re.compile(r"data:|[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # pathlib leaves one slash of "https://"


def load_audio(
    source: AudioSource,
    *,
    sampling_rate: int | None = None,
    start: float | None = None,
    end: float | None = None,
    limits: AudioLimits = _DEFAULT_LIMITS,
    name: str | None = None,
) -> np.ndarray:
    """Reads a source as mono audio at 16 kHz: (samples,) float32, full scale ±1.

    `source` is a path to a regular file; the content of a file as bytes or as an open binary file (read
    from where it stands, not closed); or an array, (samples,) or (channels, samples), which needs its
    `sampling_rate` in Hz. Integer arrays of up to 32 bits are divided by their range. For files,
    `sampling_rate` is a check. `start` and `end` cut a part out, in seconds; what lies behind `end` is not
    decoded. `name` stands for the source in errors. Channels are averaged, then soxr converts the rate.

    Raises AudioError when the source cannot be read whole and sound, or passes a limit.
    """
    clip = decode.Clip(name or _name_of(source), limits, start, end)
    if isinstance(source, np.ndarray):
        if sampling_rate is None:
            raise AudioError(f"{clip.name}: an array does not tell its rate; give sampling_rate in Hz")
        decode.decode_array(source, sampling_rate, clip)
        return clip.finish()
    data = _read_bytes(source, clip.name, limits)
    kind = _container_of(data, clip.name)
    if decode.is_for_soundfile(kind, data):
        decode.decode_soundfile(data, kind, clip)
    else:
        decode.decode_ffmpeg(data, kind, clip)
    samples = clip.finish()
    if sampling_rate not in (None, clip.rate):
        raise AudioError(
            f"{clip.name}: has {clip.rate} Hz, not the given sampling_rate={sampling_rate}; leave it out"
        )
    return samples


def audio_seconds(path: str | os.PathLike[str]) -> float:
    """Duration of a file in seconds: what its header states, or else its packets, without decoding.

    Exact but for the encoder's padding, which counts for mp3 and webm (below 0.2 s). Raises AudioError
    like `load_audio`, except for damage that only decoding shows.
    """
    name = _name_of(path)
    data = _read_bytes(path, name, _DEFAULT_LIMITS)
    kind = _container_of(data, name)
    if decode.is_for_soundfile(kind, data):
        with decode.open_soundfile(data, kind, name) as sound:
            decode.check_format(name, sound.samplerate, sound.channels, _DEFAULT_LIMITS)
            seconds: float = sound.frames / sound.samplerate
    else:
        seconds = decode.ffmpeg_seconds(data, kind, name)
    if not seconds:
        raise decode.no_samples(name)
    return seconds


def write_wav(path: str | os.PathLike[str], samples: np.ndarray, sampling_rate: int = SAMPLE_RATE) -> None:
    """Writes (samples,) floats within ±1 as 16-bit PCM wav, under a temporary name that is then renamed.

    Raises AudioError instead of clipping, which would distort the sound in silence: scale the samples
    first, or `np.clip` them where that is meant. Nothing is flushed to the disk: a crash of the program
    cannot leave half a file, a loss of power can.
    """
    path = Path(path)
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f" or not samples.size:
        raise AudioError(
            f"{path}: expected floats of shape (samples,), got {samples.dtype} of shape {samples.shape};"
            " average the channels and convert integers first"
        )
    peak = float(np.abs(samples).max())
    if not peak <= 1.0:  # so written, NaN is refused too
        raise AudioError(f"{path}: its samples reach {peak:g}, but a wav holds ±1; scale them before writing")
    decode.check_format(str(path), sampling_rate, 1, _DEFAULT_LIMITS)
    pcm = np.minimum(np.round(samples * 32768.0), 32767).astype(np.int16)  # +1.0 is one step out of range
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            soundfile.write(file, pcm, sampling_rate, subtype="PCM_16", format="WAV")
        os.replace(temporary, path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise AudioError(f"{path}: cannot be written ({error.strerror}); check its folder") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def _name_of(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        shown = os.fsdecode(source)
    elif isinstance(source, np.ndarray):
        shown = "audio array"
    elif isinstance(source, (bytes, bytearray, memoryview)):
        shown = "audio bytes"
    else:
        shown = str(getattr(source, "name", "audio stream"))
    return shown if len(shown) <= 200 else shown[:200] + "…"  # data: addresses are long


def _container_of(data: bytes, name: str) -> str:
    kind = containers.identify(data)
    if kind is None:
        raise AudioError(
            f"{name}: not audio that desta2 reads, it looks like {containers.describe(data)};"
            f" expected wav, flac, mp3, ogg, m4a/mp4 or webm; if it is audio, {decode.CONVERT}"
        )
    defect = containers.find_defect(kind, data)
    if defect:
        raise AudioError(f"{name}: this {kind} file is {defect}; get it again, or {decode.CONVERT}")
    return kind


def _read_bytes(source: object, name: str, limits: AudioLimits) -> bytes:
    """The whole content of a source other than an array, at most `max_bytes` of it."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        _check_bytes(memoryview(source).nbytes, name, limits)
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        data = _read_file(os.fsdecode(source), name, limits)
    elif hasattr(source, "read"):
        data = _read_stream(source, name, limits)  # type: ignore[arg-type]  # pieces are checked there
    else:
        raise AudioError(
            f"{name}: expected a path, bytes, a binary file or an array, got {type(source).__name__}"
        )
    if not data:
        raise AudioError(f"{name}: is empty (0 bytes); record or download it again")
    return data


def _read_file(path: str, name: str, limits: AudioLimits) -> bytes:
    if _URL.match(path):
        raise AudioError(f"{name}: is an address, and only local files are opened; download it first")
    try:
        _check_regular(os.stat(path).st_mode, name)  # before opening: to open a device may already act on it
        # Not blocking: if a FIFO takes the place of the file just now, open returns and the check refuses it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _check_regular(status.st_mode, name)
            _check_bytes(status.st_size, name, limits)
            return _read_stream(file, name, limits)
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file; check the path") from error
    except PermissionError as error:
        raise AudioError(f"{name}: no permission to read it; change its mode or owner") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise AudioError(f"{name}: cannot be read ({error}); check the path") from error


def _check_regular(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise AudioError(f"{name}: is a folder; give a file in it")
    if not stat.S_ISREG(mode):
        raise AudioError(
            f"{name}: is not a regular file but a pipe, socket or device; copy its content to a file"
        )


def _check_bytes(size: int, name: str, limits: AudioLimits) -> None:
    if size > limits.max_bytes:
        raise AudioError(
            f"{name}: has more than {limits.max_bytes} bytes (max_bytes); split it, encode it as flac,"
            " or raise the limit"
        )


def _read_stream(file: BinaryIO, name: str, limits: AudioLimits) -> bytes:
    pieces, size = [], 0
    while piece := file.read(1 << 20):
        if not isinstance(piece, bytes):
            raise AudioError(f"{name}: gives {type(piece).__name__}, not bytes; open it in binary mode")
        size += len(piece)
        _check_bytes(size, name, limits)
        pieces.append(piece)
    return b"".join(pieces)
