"""Files of audio for the tests, made on the spot: a sine in every container and codec."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import av
import numpy as np
import pytest
import soundfile

FREQUENCY = 440.0  # Hz
AMPLITUDE = 0.5

SOUNDFILE = {  # name: (format, subtype)
    "wav": ("WAV", "PCM_16"),
    "wav-24": ("WAV", "PCM_24"),
    "wav-float": ("WAV", "FLOAT"),
    "wav-u8": ("WAV", "PCM_U8"),
    "rf64": ("RF64", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "flac-24": ("FLAC", "PCM_24"),
    "ogg-vorbis": ("OGG", "VORBIS"),
    "ogg-opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FFMPEG = {  # name: (container, codec, sample format)
    "m4a": ("ipod", "aac", "fltp"),
    "mp4": ("mp4", "alac", "s16p"),
    "mov": ("mov", "pcm_s16le", "s16"),
    "webm": ("webm", "libopus", "flt"),
    "mka": ("matroska", "flac", "s16"),
}
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1"}


def sine(rate: int, seconds: float) -> np.ndarray:
    """(samples,) float32."""
    time = np.arange(round(rate * seconds)) / rate
    return (AMPLITUDE * np.sin(2 * np.pi * FREQUENCY * time)).astype(np.float32)


@cache
def encode(kind: str, rate: int = 16_000, channels: int = 1, seconds: float = 1.0) -> bytes:
    """The bytes of a file with the same sine in each channel."""
    frames = np.repeat(sine(rate, seconds)[:, None], channels, axis=1)  # (samples, channels)
    buffer = io.BytesIO()
    if kind in SOUNDFILE:
        container, codec = SOUNDFILE[kind]
        with soundfile.SoundFile(buffer, "w", rate, channels, subtype=codec, format=container) as file:
            for at in range(0, len(frames), 4096):  # one large write of Ogg can crash libsndfile
                file.write(frames[at : at + 4096])
        return buffer.getvalue()
    container, codec, sample_format = FFMPEG[kind]
    if sample_format.startswith("s16"):
        frames = np.round(frames * 32767).astype(np.int16)
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=LAYOUTS[channels])
        stream.codec_context.format = sample_format
        for at in range(0, len(frames), 960):
            block = frames[at : at + 960]
            block = block.T if sample_format.endswith("p") else block.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), sample_format, LAYOUTS[channels])
            frame.rate, frame.pts = rate, at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.fixture(name="encode")
def encode_fixture() -> Callable[..., bytes]:
    """`encode(kind, rate, channels, seconds)`: kinds are the keys of SOUNDFILE and FFMPEG."""
    return encode


@pytest.fixture(name="sine")
def sine_fixture() -> Callable[[int, float], np.ndarray]:
    """`sine(rate, seconds)`: what `encode` puts into each channel."""
    return sine
