"""Seed transcripts: what is known about a clip as the text that the LLM is asked about, and back.

One line per turn:

    v2    [00:00:00 - 00:00:05] "The food is really good" (Gender: Female, Emotion: Happy)
    v2.5  [00:00-00:05] The food is really good (Gender: Female, Emotion: Happy)

Trade-off: an LLM reads these lines, so ordinary text must stand as it is; escapes appear only where reading
back would fail. That works because a line is read from its end: the attributes are the last balanced pair of
parentheses, if it holds "Name: Value", and in v2 the text is whatever stands between the outer quotes, inner
quotes included. What remains to be escaped, with a backslash:

- in text: backslash, line feed (as backslash n) and carriage return (backslash r); in v2.5, where no quote
  closes the text, also the last `)` of a text that has no attributes but ends as if it had;
- in names and values: the same three, and parentheses that are not in balance within the name or value;
- in names also `,` and `:`; in values `,` where what follows could be taken for another "Name: Value".

A backslash before any other character stands for itself. Published seeds are read by the same rules; in v2
they may lack the quotes, and the spaces around the text, and then nothing in the text is unescaped.

Times are whole seconds from the start of the clip: starts rounded down, ends rounded up and never equal to
the start. Clips of 100 hours (v2) or 100 minutes (v2.5) and more get a third digit in the first field.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from desta2.data.attributes import Scheme, attribute_words, describe, key_of, load_scheme, scheme_for
from desta2.data.estimates import without_estimates
from desta2.data.manifests import relocate_audio
from desta2.errors import InputError, RecordError
from desta2.journal import Journal
from desta2.lines import PARTIAL, numbered_lines
from desta2.records import Clip, Seed, Segment, parse_line, read_records

SeedFormat = Literal["v2", "v2.5"]
Labels = Literal["corpus", "all"]

_CLOCK = r"(?:[0-9]+:)?[0-9]+:[0-9]{2}(?:\.[0-9]+)?"
_STAMP = re.compile(rf"\[({_CLOCK}) ?- ?({_CLOCK})\]")
_NEXT_TURN = re.compile(rf"\n+(?=\[{_CLOCK} ?- ?{_CLOCK}\])")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
_UNESCAPES = {"n": "\n", "r": "\r"}


@dataclass(frozen=True)
class Turn:
    """One line of a seed: somebody speaking from `start` to `end` (seconds), with the attributes by name.

    An empty `text` means that the transcript is not known: nothing is written for it.
    """

    start: float
    end: float
    text: str
    attributes: dict[str, str] = field(default_factory=dict)


def format_seed(turns: Iterable[Turn], fmt: SeedFormat = "v2") -> str:
    """Write turns as a seed transcript, one line each, in the given order.

    `parse_seed` gives the same turns back, with times as whole seconds.

    Raises:
        InputError: unknown format, no turns, or impossible times.
    """
    _check_format(fmt)
    lines = [_format_turn(turn, fmt) for turn in turns]
    if not lines:
        raise InputError("cannot write a seed transcript of no turns: give at least one")
    return "\n".join(lines)


def parse_seed(seed: str, fmt: SeedFormat = "v2") -> list[Turn]:
    """Read a seed transcript, ours or a published one.

    A line that does not start with a time continues the text of the line before (published texts may hold
    bare line feeds).

    Raises:
        InputError: unknown format, no time at the start, or an attribute named twice in one turn.
    """
    _check_format(fmt)
    return [_parse_turn(line, fmt) for line in _NEXT_TURN.split(seed.replace("\r\n", "\n").strip("\n"))]


def seed_clip(
    clip: Clip, scheme: Scheme | None = None, fmt: SeedFormat = "v2", labels: Labels = "all"
) -> Seed:
    """Write the seed transcript of one clip; all other fields of the clip are kept.

    With `labels` "corpus" the seed leaves out what is only estimated (see `estimates`), and says so in its
    field `seed_labels`.

    With `segments` there is a line for each: its own labels and duration, and of the clip only what holds for
    the whole recording (scope `recording`, and labels that the scheme does not list), since a pitch measured
    over several voices belongs to none. A single segment takes everything that is known about the clip.

    Raises:
        InputError: the length of the clip is not known.
    """
    scheme = scheme or load_scheme()
    known = without_estimates(clip) if labels == "corpus" else clip
    if known.segments:
        turns = [_segment_turn(segment, known, scheme) for segment in known.segments]
    else:
        turns = [Turn(0.0, _length(known), known.text or "", describe(known, scheme))]
    # Not validated again: the clip is, and to check a million of them twice takes minutes.
    fields = {name: getattr(clip, name) for name in Clip.model_fields}
    made = Seed.model_construct(**fields, seed=format_seed(turns, fmt), seed_format=fmt)
    extra = clip.model_extra or {}
    made.__pydantic_extra__ = {key: value for key, value in extra.items() if key not in Seed.model_fields}
    return made if labels == "all" else made.model_copy(update={"seed_labels": labels})


def seed(
    clips_path: str | Path,
    out_path: str | Path,
    fmt: SeedFormat = "v2",
    *,
    scheme: Scheme | None = None,
    labels: Labels = "all",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the seeds of a file of clips, in its order; a second run continues where the first one stopped.

    Args:
        clips_path: annotated clips, see `read_records`.
        out_path: where the seeds go.
        fmt: form of the transcripts.
        scheme: attributes and their words; by default `attributes.yaml` beside the clips, or else the shipped
            one.
        labels: "corpus" leaves estimates out, "all" takes them in.
        progress: called with the number of clips finished so far.

    Returns:
        Number of seeds in `out_path`.

    Raises:
        InputError: as `seed_clip` and `read_records`, or `out_path` holds seeds of the other format or
            labels.
    """
    _check_format(fmt)
    manifest, out = Path(clips_path), Path(out_path)
    _check_continues(out, fmt, labels)
    scheme = scheme or scheme_for(manifest)
    count = 0
    with Journal(out) as journal:
        for count, clip in enumerate(read_records(manifest, Clip), start=1):
            if clip.id not in journal.done:
                journal.append(seed_clip(relocate_audio(clip, manifest, out), scheme, fmt, labels))
            if progress is not None:
                progress(count)
    return count


def _check_continues(out: Path, fmt: SeedFormat, labels: Labels) -> None:
    """Refuse to go on with an output that was begun in the other format, or with other labels."""
    files = (
        [out, out.with_name(out.name + PARTIAL)]
        if out.suffix == ".jsonl"
        else sorted(out.glob("part-*.jsonl*"))
    )
    for _, line in itertools.chain.from_iterable(numbered_lines(file) for file in files if file.is_file()):
        try:
            first = parse_line(line, Seed)
        except RecordError:  # torn or foreign: the journal repairs it or explains
            return
        given = (first.model_extra or {}).get("seed_labels", "all")
        if first.seed_format != fmt:
            raise InputError(
                f"{out} holds seeds in format {first.seed_format}, asked for {fmt}: "
                "give another output, or delete it"
            )
        if given != labels:
            raise InputError(
                f"{out} holds seeds with {given} labels, asked for {labels}: "
                "give another output, or delete it"
            )
        return


def _length(clip: Clip) -> float:
    if clip.duration is not None:
        return clip.duration
    if clip.end is not None:
        return clip.end - (clip.start or 0.0)
    raise InputError(f"clip {clip.id!r} has no duration, which its seed needs: run `desta2 annotate` first")


def _segment_turn(segment: Segment, clip: Clip, scheme: Scheme) -> Turn:
    voice = [attribute for attribute in scheme.attributes if attribute.scope == "voice"]
    shared_by_all = len(clip.segments or ()) == 1
    keys = set() if shared_by_all else {attribute.key for attribute in voice}
    numbers = set() if shared_by_all else {attribute.measured for attribute in voice}
    labels = {key: label for key, label in clip.attributes.items() if key_of(key) not in keys}
    measured = {key: value for key, value in clip.measured.items() if key not in numbers}
    measured["duration"] = segment.end - segment.start
    words = attribute_words(labels | segment.attributes, measured, scheme)
    return Turn(segment.start, segment.end, segment.text or "", words)


def _check_format(fmt: str) -> None:
    if fmt not in ("v2", "v2.5"):
        raise InputError(f"unknown seed format {fmt!r}: choose 'v2' or 'v2.5'")


def _format_turn(turn: Turn, fmt: SeedFormat) -> str:
    attributes = ", ".join(f"{_escape_name(n)}: {_escape_value(v)}" for n, v in turn.attributes.items())
    text = _escape(turn.text)
    if fmt == "v2":
        text = f'"{text}"' if text else ""
    elif not attributes and _cut_attributes(text) is not None:
        text = "\\)".join(text.rsplit(")", 1))
    parts = [_stamp(turn, fmt), text, f"({attributes})" if attributes else ""]
    return " ".join(part for part in parts if part)


def _stamp(turn: Turn, fmt: SeedFormat) -> str:
    if not (math.isfinite(turn.end) and 0 <= turn.start <= turn.end):
        raise InputError(
            f"a turn of a seed cannot last from {turn.start} s to {turn.end} s: expected 0 <= start <= end"
        )
    start = math.floor(turn.start)
    end = max(start + 1, math.ceil(round(turn.end, 3)))  # 5.0000001 s is a rounding error, not a sixth second
    return f"[{_clock(start)} - {_clock(end)}]" if fmt == "v2" else f"[{_minutes(start)}-{_minutes(end)}]"


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _minutes(seconds: int) -> str:
    return f"{seconds // 60:02d}:{seconds % 60:02d}"


def _seconds(clock: str) -> float:
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _parse_turn(line: str, fmt: SeedFormat) -> Turn:
    stamp = _STAMP.match(line)
    if stamp is None:
        example = "[00:00:00 - 00:00:05]" if fmt == "v2" else "[00:00-00:05]"
        raise InputError(f"a line of a seed must start with its time, such as {example}; got {line[:60]!r}")
    body = line[stamp.end() :].removeprefix(" ")
    text, pairs = _cut_attributes(body) or (body, [])
    attributes = dict(pairs)
    if len(attributes) < len(pairs):
        raise InputError(f"an attribute is named twice in one turn of a seed: {line[-80:]!r}")
    return Turn(_seconds(stamp[1]), _seconds(stamp[2]), _read_text(text, fmt), attributes)


def _read_text(text: str, fmt: SeedFormat) -> str:
    if fmt == "v2.5":
        return _unescape(text)
    bare = text.strip()
    quoted = len(bare) >= 2 and bare[0] == bare[-1] == '"'
    return _unescape(bare[1:-1]) if quoted else bare


def _cut_attributes(body: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Split "text (Name: Value, …)" into text and attributes; None where it does not end in attributes."""
    body = body.rstrip()
    depth = 0
    position = len(body)
    while position > 0:
        position -= 1
        if body[position] in "()" and not _is_escaped(body, position):
            depth += 1 if body[position] == ")" else -1
        if depth <= 0:
            break
    if depth != 0 or body[position : position + 1] != "(":
        return None
    pairs = _parse_attributes(body[position + 1 : -1])
    return None if pairs is None else (body[:position].removesuffix(" "), pairs)


def _parse_attributes(group: str) -> list[tuple[str, str]] | None:
    """Names and values of what stood in the parentheses; None where it is not "Name: Value, …"."""
    pairs: list[tuple[str, str]] = []
    for part in _split(group, ", "):
        name, *value = _split(part, ": ")
        if value:
            pairs.append((name, ": ".join(value)))
        elif pairs:  # a comma within a value
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}, {part}")
        else:
            return None
    return [(_unescape(name), _unescape(value)) for name, value in pairs]


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator of two characters where the first one is not escaped."""
    parts, start = [], 0
    position = text.find(separator)
    while position >= 0:
        if not _is_escaped(text, position):
            parts.append(text[start:position])
            start = position + 2
        position = text.find(separator, position + 2)
    return [*parts, text[start:]]


def _is_escaped(text: str, position: int) -> bool:
    backslashes = 0
    while backslashes < position and text[position - backslashes - 1] == "\\":
        backslashes += 1
    return backslashes % 2 == 1


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


def _unescape(text: str) -> str:
    return re.sub(r"\\([\\nr(),:])", lambda match: _UNESCAPES.get(match[1], match[1]), text)


@lru_cache(maxsize=1024)  # the same few names come with every clip
def _escape_name(name: str) -> str:
    return re.sub(r"([,:])", r"\\\1", _escape_parentheses(_escape(name)))


@lru_cache(maxsize=4096)
def _escape_value(value: str) -> str:
    escaped = _escape_parentheses(_escape(value))
    looks_like_more = any(": " in part for part in escaped.split(", ")[1:])
    return escaped.replace(",", "\\,") if looks_like_more else escaped


def _escape_parentheses(text: str) -> str:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    return text if depth == 0 else re.sub(r"([()])", r"\\\1", text)
