"""Clips that are broken or mean harm, made from good ones by chance and by hand."""

import gzip
import io
import random
import struct
import zipfile

import numpy as np
import soundfile

from desta2.data.audio import SAMPLE_RATE

_FORMATS = (
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
)


def clips(count, seed=0):
    """So many, the handmade ones first."""
    chance = random.Random(seed)
    good = [_file(*kind) for kind in _FORMATS]
    made = list(_handmade(good[0]))
    yield from made[:count]
    for _ in range(count - len(made)):
        yield _spoilt(chance.choice(good), chance)


def _file(container, subtype):
    """A second of a tone."""
    tone = 0.3 * np.sin(np.arange(SAMPLE_RATE) / 8).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, tone, SAMPLE_RATE, format=container, subtype=subtype)
    return file.getvalue()


def _spoilt(data, chance):
    """Cut off, with bits turned, a block doubled, zeros within, a header of another, or rubbish in front."""
    data = bytearray(data)
    kind = chance.randrange(6)
    if kind == 0:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 1:
        for _ in range(chance.randrange(1, 40)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 2:
        for _ in range(chance.randrange(1, 8)):  # headers are near the front
            data[chance.randrange(min(64, len(data)))] = chance.randrange(256)
    elif kind == 3:
        start = chance.randrange(len(data))
        data[start:start] = data[start : start + chance.randrange(1, 2000)]
    elif kind == 4:
        start = chance.randrange(len(data))
        end = min(len(data), start + chance.randrange(1, 4000))
        data[start:end] = bytes(end - start)
    else:
        data[:0] = chance.randbytes(chance.randrange(1, 64))
    return bytes(data)


def _wav(rate=SAMPLE_RATE, channels=1, bits=16, form=1, size=None, data=b"\0\0" * 1000):
    size = len(data) if size is None else size
    align = channels * bits // 8
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", min(36 + size, 2**32 - 1), b"WAVE", b"fmt ", 16, form, channels,
                       rate, min(rate * align, 2**32 - 1), align % 65536, bits)  # fmt: skip
    return head + struct.pack("<4sI", b"data", min(size, 2**32 - 1)) + data


def _handmade(good):
    yield from (
        b"",
        b"\0",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"\xff" * 5000,
        b"ID3" + b"\xff" * 500,
        b"OggS" * 100,
    )
    yield _wav(rate=0)
    yield _wav(rate=2**32 - 1)
    yield _wav(channels=0)
    yield _wav(channels=65535)
    yield _wav(bits=0)
    yield _wav(bits=65535)
    yield _wav(form=0xFFFE)
    yield _wav(form=0x55)
    yield _wav(size=2_000_000_000)  # 10⁹ samples, says the header
    yield _wav(data=b"")
    yield _wav(form=3, bits=32, data=np.full(5000, np.nan, np.float32).tobytes())
    yield _wav(form=3, bits=32, data=np.full(5000, np.inf, np.float32).tobytes())
    yield _wav(form=3, bits=64, data=np.full(5000, 1e300).tobytes())
    yield gzip.compress(bytes(50 << 20))  # 50 MB of zeros
    yield gzip.compress(good)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(50 << 20))
    yield packed.getvalue()
    for text in (
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "#EXTM3U\nhttp://127.0.0.1:22/\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "concat:/etc/passwd|/etc/hosts",
        "[playlist]\nFile1=file:///etc/passwd\n",
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        '<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>',
        "/etc/passwd",
        "data:audio/wav;base64,AAAA",
    ):
        yield text.encode()
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(SAMPLE_RATE * 3600, np.int16), SAMPLE_RATE, format="FLAC")
    yield silence.getvalue()  # an hour in a few kB
