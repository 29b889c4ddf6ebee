"""What a file of audio is, and whether it is whole, from its bytes alone.

Decoders guess formats generously and patch up broken files in silence: libsndfile shortens a cut wav,
FFmpeg takes a playlist for audio and believes any count of samples that an mp4 claims. So the container
is recognised and its outer structure checked here, before a decoder sees it. The trade-off: only the
outermost layer is read (chunks, boxes, pages, elements); what lies inside is for the decoder to judge.

Layouts: RIFF and RF64 (EBU Tech 3306), Ogg (RFC 3533), ISO base media (ISO 14496-12), EBML (RFC 8794),
MPEG audio (ISO 11172-3), Xing/Info header (LAME), ID3v2.4, FLAC (RFC 9639).
"""

from __future__ import annotations

import re

# FFmpeg refuses larger sample tables itself; smaller ones cost it some 30 bytes of memory a sample.
_FFMPEG_MAX_SAMPLES = 1 << 28

_KNOWN_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"#EXTM3U", "a playlist (m3u8)"),
    (b"ffconcat", "a playlist (ffconcat)"),
    (b"[playlist]", "a playlist (pls)"),
    (b"v=0", "a session description (SDP)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"FORM", "AIFF audio"),
    (b".snd", "AU audio"),
    (b"caff", "CAF audio"),
    (b"#!AMR", "AMR audio"),
    (b"\x30\x26\xb2\x75", "Windows Media audio"),
    (b"MThd", "MIDI"),
)


def identify(data: bytes) -> str | None:
    """The container: "wav", "flac", "ogg", "mp3", "mov" (mp4, m4a), "matroska" (webm), or None."""
    if data[:4] in (b"RIFF", b"RF64"):
        return "wav" if data[8:12] == b"WAVE" else None
    if data[:3] == b"ID3":
        return "flac" if data[_id3_bytes(data) :][:4] == b"fLaC" else "mp3"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "mov"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    return "mp3" if _is_mpeg_frame(data) else None


def describe(data: bytes) -> str:
    """What bytes that `identify` does not know look like, in words for an error message."""
    start = data[:512].lstrip()
    for magic, words in _KNOWN_OTHERS:
        if data.startswith(magic) or start.startswith(magic):
            return words
    if data[:4] in (b"RIFF", b"RF64"):
        return f"a RIFF file of type {data[8:12]!r}, not WAVE"
    if start[:1] == b"<":
        return "HTML or XML (a saved error page?)"
    text = data[:512].decode("utf-8", "replace").rstrip("\ufffd")  # the cut may have split the last character
    if "\ufffd" in text or not all(c.isprintable() or c.isspace() for c in text):
        return "unknown binary data"
    return "JSON" if start[:1] in (b"{", b"[") else "text"


def find_defect(kind: str, data: bytes) -> str | None:
    """What is wrong with the outer structure of a container (`kind` from `identify`), or None.

    flac and mp3 have no outer structure that tells their length in bytes: the count of decoded samples
    has to show whether they are whole.
    """
    checks = {"wav": _wav_defect, "ogg": _ogg_defect, "mov": _mov_defect, "matroska": _matroska_defect}
    return checks[kind](data) if kind in checks else None


def flac_has_length(data: bytes) -> bool:
    """Whether a flac states its number of samples; one that was written to a pipe does not."""
    start = _id3_bytes(data) + 4 + 4  # magic, header of the STREAMINFO block
    packed = int.from_bytes(data[start + 10 : start + 18], "big")
    return packed & ((1 << 36) - 1) != 0


def mp3_samples(data: bytes) -> int | None:
    """Samples a channel that the Xing/Info header of an mp3 announces (padding included), or None."""
    start = _id3_bytes(data)
    head = data[start : start + 64]  # the header follows the side information, 36 bytes in at most
    found = re.search(rb"Xing|Info", head)
    if not found or not _is_mpeg_frame(head):
        return None
    tag = head[found.start() :]
    if not int.from_bytes(tag[4:8], "big") & 1:
        return None
    samples_per_frame = 1152 if (head[1] >> 3) & 3 == 3 else 576  # MPEG 1, or MPEG 2 and 2.5 (layer III)
    return int.from_bytes(tag[8:12], "big") * samples_per_frame


def _id3_bytes(data: bytes) -> int:
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:  # seven bits a byte
        size = size << 7 | byte & 0x7F
    return 10 + size


def _is_mpeg_frame(data: bytes) -> bool:
    """Whether bytes begin with the header of an MPEG audio frame, reserved values refused."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    version, layer = (data[1] >> 3) & 3, (data[1] >> 1) & 3
    bitrate, rate = data[2] >> 4, (data[2] >> 2) & 3
    return version != 1 and layer != 0 and bitrate != 15 and rate != 3


def _truncated(missing: int) -> str:
    return f"truncated: its header announces {missing} bytes more than there are"


def _wav_defect(data: bytes) -> str | None:
    position, long_size = 12, None
    while position + 8 <= len(data):
        chunk = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8
        if chunk == b"ds64":
            long_size = int.from_bytes(data[position + 8 : position + 16], "little")
        if chunk == b"data":
            if size == 0xFFFFFFFF:  # RF64, or written to a pipe: then the data goes to the end
                size = long_size or 0
            missing = position + size - len(data)
            return _truncated(missing) if missing > 0 else None
        position += size + size % 2
    return "truncated: it ends before its samples begin"


def _ogg_defect(data: bytes) -> str | None:
    position, seen_data = 0, False
    while data[position : position + 4] == b"OggS":
        segments = data[position + 26 : position + 27]
        table_end = position + 27 + (segments[0] if segments else 0)
        end = table_end + sum(data[position + 27 : table_end])
        if not segments or end > len(data):
            return "truncated: its last page is not complete"
        first_page = bool(data[position + 5] & 2)
        if first_page and seen_data:
            return "several Ogg streams one after another, of which only the first would be read"
        seen_data = seen_data or not first_page
        position = end
    return None


def _mov_defect(data: bytes) -> str | None:
    """Boxes that go beyond the end, and tables of samples that no file of this size can hold."""
    position, outside_mdat = 0, []
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        box = data[position + 4 : position + 8]
        if size == 1:
            size = int.from_bytes(data[position + 8 : position + 16], "big")
        if size < 8 or not re.fullmatch(rb"[ -~]{4}", box):  # size 0: the last box; otherwise junk
            size = len(data) - position
        if position + size > len(data):
            return _truncated(position + size - len(data))
        if box != b"mdat":
            outside_mdat.append(data[position : position + size])
        position += size
    return _sample_table_defect(b"".join(outside_mdat), len(data))


def _sample_table_defect(boxes: bytes, file_bytes: int) -> str | None:
    # FFmpeg allocates per announced sample, and finds these boxes at any depth, so no depth is assumed.
    if b"cmov" in boxes:
        return "its header is compressed, which is not supported"
    counts = []
    for found in re.finditer(rb"stsz|stz2|trun", boxes):
        offset = found.start() + (8 if found[0] == b"trun" else 12)
        counts.append(int.from_bytes(boxes[offset : offset + 4], "big"))
    announced = sum(count for count in counts if count < _FFMPEG_MAX_SAMPLES)
    if announced > file_bytes:
        return f"damaged: it announces {announced} encoded samples in {file_bytes} bytes"
    return None


def _matroska_defect(data: bytes) -> str | None:
    position = 0
    while position < len(data):
        id_bytes = _vint_bytes(data, position)
        size_at = position + id_bytes
        size_bytes = _vint_bytes(data, size_at)
        if not id_bytes or not size_bytes:
            return None  # no element begins here: for the decoder to judge
        unknown = (1 << 7 * size_bytes) - 1  # all ones: written live, goes to the end
        size = int.from_bytes(data[size_at : size_at + size_bytes], "big") & unknown
        body = size_at + size_bytes
        if size == unknown:
            return None
        if body + size > len(data):
            return _truncated(body + size - len(data))
        position = body + size
    return None


def _vint_bytes(data: bytes, position: int) -> int:
    """Length of the EBML number at a position: its leading zeros tell; 0 where there is none."""
    return 9 - data[position].bit_length() if position < len(data) and data[position] else 0
