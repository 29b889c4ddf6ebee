"""Decoders for `desta2.data.audio`: bytes or arrays, block by block, through the limits into one clip.

libsndfile (soundfile) decodes wav, flac and ogg; FFmpeg (PyAV) decodes m4a/mp4, webm/matroska, mp3, and flac
that does not state its length. mp3 is not left to libsndfile, because it reads only the first part of a
variable-bitrate mp3 without a Xing header, and says nothing. Every block is cut, mixed down and resampled
as it comes, so that memory holds one block and the 16 kHz result, whatever a header claims. The
trade-off: only wav and flac are sought in; seeking in lossy formats is not exact, so there the part
before `start` is decoded and dropped.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from desta2.data import containers
from desta2.errors import AudioError

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream
    from av.container import InputContainer

SAMPLE_RATE = 16_000
"""The rate of every clip in the project, in Hz: what Whisper takes."""

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_AMPLITUDE = 1e6  # full scale is 1; floats beyond this are damage, and would overflow in filters
END_TOLERANCE = 0.05  # s that `end` may lie behind the end: manifests round durations
CONVERT = "convert it, for example with: ffmpeg -i INPUT -ac 1 -ar 16000 OUTPUT.wav"

_BLOCK = 65_536  # frames decoded at a time
_CODECS = (
    *("aac", "alac", "ac3", "eac3", "flac", "mp1float", "mp2float", "mp3float"),
    *("opus", "libopus", "vorbis", "libvorbis", "pcm_alaw", "pcm_mulaw", "pcm_u8"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
)
_FFMPEG_OPTIONS = {
    "format_whitelist": "wav,flac,mp3,ogg,mov,mp4,m4a,matroska,webm",
    "protocol_whitelist": "",  # a reference to another file or address inside a container opens nothing
    "codec_whitelist": ",".join(_CODECS),  # probing runs no video decoder
}


@dataclass(frozen=True)
class AudioLimits:
    """What a source may cost.

    `max_bytes`: bytes of the encoded file. `max_seconds`: seconds of audio that are returned (the part
    between `start` and `end` where those are given). `max_channels`: channels before the mixdown.
    """

    max_bytes: int = 200 * 1024 * 1024
    max_seconds: float = 3600.0
    max_channels: int = 32


class Clip:
    """Takes decoded blocks: cuts a part out, mixes down, checks, resamples, and refuses at a limit."""

    def __init__(self, name: str, limits: AudioLimits, start: float | None, end: float | None) -> None:
        self.name = name
        self._limits = limits
        self._start, self._end = start or 0.0, math.inf if end is None else end
        if not 0 <= self._start < self._end or not math.isfinite(self._start):
            raise AudioError(f"{name}: cannot cut from {start} s to {end} s; expected 0 <= start < end")
        self.rate = 0  # Hz, known from `begin` on
        self.position = 0  # the next frame that comes in
        self._kept = 0
        self._pieces: list[np.ndarray] = []
        self._resampler: soxr.ResampleStream | None = None

    @property
    def first(self) -> int:
        """The first frame that is kept."""
        return round(self._start * self.rate)

    def begin(self, rate: int, channels: int, seconds: float | None) -> None:
        """States the format, and the duration where a header announces one, before the first block."""
        check_format(self.name, rate, channels, self._limits)
        self.rate = rate
        if seconds:
            if self._start >= seconds:
                raise self._outside(seconds)
            self._check_length(min(seconds, self._end) - self._start)
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")

    def add(self, block: np.ndarray) -> bool:
        """Takes (frames, channels) floats or integers; returns whether more are wanted."""
        behind_last = math.inf if self._end == math.inf else round(self._end * self.rate)
        low = max(self.first - self.position, 0)
        high = int(min(behind_last - self.position, len(block)))
        if low < high:
            self._keep(self._mixed(block[low:high], self.position + low))
        self.position += len(block)
        return self.position < behind_last

    def finish(self) -> np.ndarray:
        """All that was kept: (samples,) float32 at 16 kHz."""
        if not self.position:
            raise no_samples(self.name)
        seconds = self.position / self.rate
        if not self._kept or (self._end < math.inf and self._end > seconds + END_TOLERANCE):
            raise self._outside(seconds)
        if self._resampler is not None:
            self._pieces.append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        samples = np.concatenate(self._pieces)
        if not len(samples):
            raise AudioError(
                f"{self.name}: too short: {self._kept} samples at {self.rate} Hz; give a longer clip"
            )
        return samples

    def damaged(self, reason: str | None) -> AudioError:
        """The error for a source whose decoding ends too early."""
        at = self.position / self.rate if self.rate else 0.0
        return AudioError(
            f"{self.name}: truncated or damaged: cannot be decoded beyond {at:.3f} s ({reason});"
            " get the file again, or repair it with: ffmpeg -i INPUT OUTPUT.wav"
        )

    def _outside(self, seconds: float) -> AudioError:
        return AudioError(
            f"{self.name}: cannot cut from {self._start:g} s to {self._end:g} s: it ends at {seconds:.3f} s"
        )

    def _check_length(self, seconds: float) -> None:
        if seconds > self._limits.max_seconds:
            raise AudioError(
                f"{self.name}: longer than the limit of {self._limits.max_seconds:g} s (max_seconds);"
                " cut it with start and end, or raise the limit"
            )

    def _keep(self, mono: np.ndarray) -> None:
        self._kept += len(mono)
        self._check_length(self._kept / self.rate)
        self._pieces.append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def _mixed(self, block: np.ndarray, position: int) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            mono: np.ndarray = _as_float(block).mean(axis=1)  # (frames,) float32
        bad = ~(np.abs(mono) <= MAX_AMPLITUDE)  # so written, NaN is bad too
        if bad.any():
            at = int(bad.argmax())
            raise AudioError(
                f"{self.name}: holds a sample that is {mono[at]} at {(position + at) / self.rate:.3f} s;"
                " expected finite numbers within ±1; export it again from its source"
            )
        return mono


def check_format(name: str, rate: int, channels: int, limits: AudioLimits) -> None:
    """Raises AudioError for a rate that no recording has, or too many channels."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name}: has a sampling rate of {rate} Hz; expected {MIN_RATE} to {MAX_RATE};"
            " its header is damaged, export it again"
        )
    if channels > limits.max_channels:
        raise AudioError(
            f"{name}: has {channels} channels, the limit is {limits.max_channels} (max_channels);"
            " pick some of them, or raise the limit"
        )


def no_samples(name: str) -> AudioError:
    """The error for a source that is audio but holds none."""
    return AudioError(f"{name}: holds no samples; record or export it again")


def is_for_soundfile(kind: str, data: bytes) -> bool:
    """Whether libsndfile decodes a container (`kind` from `containers.identify`); otherwise FFmpeg does."""
    return kind in ("wav", "ogg") or (kind == "flac" and containers.flac_has_length(data))


def decode_array(array: np.ndarray, rate: int, clip: Clip) -> None:
    """Feeds (samples,) or (channels, samples) floats or integers to a clip."""
    if array.dtype.kind not in "fiu" or (array.dtype.kind in "iu" and array.dtype.itemsize > 4):
        raise AudioError(
            f"{clip.name}: expected floats or integers of 8 to 32 bits, got {array.dtype}; cast it"
        )
    if array.ndim not in (1, 2):
        raise AudioError(f"{clip.name}: expected (samples,) or (channels, samples), got shape {array.shape}")
    if not array.size:
        raise no_samples(clip.name)
    frames = np.atleast_2d(array).T  # (samples, channels)
    if frames.shape[1] > frames.shape[0] and frames.shape[1] > 1:
        raise AudioError(f"{clip.name}: expected (channels, samples), got shape {array.shape}; transpose it")
    clip.begin(rate, frames.shape[1], len(frames) / rate if rate > 0 else None)
    for at in range(0, len(frames), _BLOCK):
        if not clip.add(frames[at : at + _BLOCK]):
            return


def decode_soundfile(data: bytes, kind: str, clip: Clip) -> None:
    """Feeds a wav, flac or ogg to a clip. (libsndfile itself raises where a flac ends too early.)"""
    with open_soundfile(data, kind, clip.name) as sound:
        clip.begin(sound.samplerate, sound.channels, sound.frames / max(sound.samplerate, 1))
        try:
            if kind != "ogg" and 0 < clip.first < sound.frames:
                clip.position = sound.seek(clip.first)
            while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
                if not clip.add(block):
                    return
        except soundfile.LibsndfileError as error:
            raise clip.damaged(error.error_string) from error


@contextmanager
def open_soundfile(data: bytes, kind: str, name: str) -> Iterator[soundfile.SoundFile]:
    """Opens bytes with libsndfile."""
    try:
        sound = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise _unreadable(name, kind, error.error_string) from error
    with sound:
        yield sound


def decode_ffmpeg(data: bytes, kind: str, clip: Clip) -> None:
    """Feeds an mp3, mov/mp4, matroska/webm or flac to a clip."""
    import av

    with open_ffmpeg(data, kind, clip.name) as (container, stream):
        announced = _announced_seconds(kind, container, stream)
        try:
            for frame in _frames(container, stream, junk_may_follow=kind == "mp3"):
                if not clip.rate:
                    # Only a decoded frame tells the true rate: HE-AAC plays at twice that of its header.
                    clip.begin(frame.sample_rate, frame.layout.nb_channels, announced)
                if frame.sample_rate != clip.rate:
                    change = f"from {clip.rate} to {frame.sample_rate} Hz"
                    raise AudioError(f"{clip.name}: its rate changes {change}; {CONVERT}")
                if not clip.add(_frame_block(frame)):
                    return
        except av.FFmpegError as error:
            raise clip.damaged(error.strerror) from error
    expected = containers.mp3_samples(data) if kind == "mp3" else None
    # The Xing header counts the encoder's padding too, which the decoder drops: less than four frames.
    if expected is not None and clip.position < expected - 4 * 1152:
        raise clip.damaged(f"its header announces {expected / max(clip.rate, 1):.3f} s")


@contextmanager
def open_ffmpeg(data: bytes, kind: str, name: str) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Opens bytes as one forced container; gives it and its first audio stream."""
    import av

    try:
        options = dict(_FFMPEG_OPTIONS)
        container = av.open(io.BytesIO(data), "r", format=kind, options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise _unreadable(name, kind, error.strerror) from error
    with container:
        if not container.streams.audio:
            raise AudioError(f"{name}: has no audio track; give a file with sound")
        stream = container.streams.audio[0]
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        if codec not in _CODECS:
            raise AudioError(f"{name}: its codec ({codec}) is not supported; {CONVERT}")
        yield container, stream


def ffmpeg_seconds(data: bytes, kind: str, name: str) -> float:
    """Duration from the header, or from the packets where there is none to trust; nothing is decoded."""
    import av

    with open_ffmpeg(data, kind, name) as (container, stream):
        seconds = _announced_seconds(kind, container, stream)
        if seconds is not None:
            return seconds
        try:
            ends = [(p.pts + (p.duration or 0)) for p in container.demux(stream) if p.pts is not None]
        except av.FFmpegError as error:
            raise _unreadable(name, kind, error.strerror) from error
        return float(max(ends, default=0) * (stream.time_base or 0))


def _announced_seconds(kind: str, container: InputContainer, stream: AudioStream) -> float | None:
    """The duration that the header of a mov or matroska states, else None (for an mp3 it is a guess)."""
    if kind == "mov" and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if kind == "matroska" and container.duration else None


def _frames(container: InputContainer, stream: AudioStream, junk_may_follow: bool) -> Iterator[AudioFrame]:
    """Decodes; undecodable packets raise, unless they may be, and are, the end (tags behind an mp3)."""
    import av

    broken: av.FFmpegError | None = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError as error:
            if not junk_may_follow:
                raise
            broken = broken or error
            continue
        if frames and broken:
            raise broken
        yield from frames


def _frame_block(frame: AudioFrame) -> np.ndarray:
    samples = frame.to_ndarray()  # planar: (channels, frames); packed: (1, frames * channels)
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)


def _as_float(block: np.ndarray) -> np.ndarray:
    """Floats as they are; integers divided by their range, unsigned ones centred first: float32."""
    if block.dtype.kind == "f":
        return block.astype(np.float32)
    half = 2.0 ** (8 * block.dtype.itemsize - 1)
    centred = block - half if block.dtype.kind == "u" else block
    return (centred / half).astype(np.float32)


def _unreadable(name: str, kind: str, reason: str | None) -> AudioError:
    return AudioError(
        f"{name}: cannot be read as {kind} ({reason}); it is truncated or damaged, or {CONVERT}"
    )
