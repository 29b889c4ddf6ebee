"""Our pairs in the form of the two published training sets, so that the authors' own code can train on them.

Trade-off: their forms hold less than ours. A cut out of a longer file (`start`, `end`) fits neither and is
refused, since leaving it off would train on the wrong sound; how a response was sampled is dropped.
DeSTA2's rows hold one clip and one user turn, AQA-5M's any messages. What was imported by `published`
comes out as it was.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desta2.data.respond import AUDIO
from desta2.data.sources.published import AQA5M_COLUMNS, DESTA2_COLUMNS
from desta2.errors import InputError, RecordError
from desta2.lines import writing
from desta2.parquet import parquet_module
from desta2.records import BadLine, Pair, read_records, to_line

logger = logging.getLogger(__name__)

_BATCH = 1000  # rows of a Parquet file that are in memory at a time
FORMS = ("desta2", "aqa5m")


@dataclass
class Exported:
    """What `export_pairs` did: rows written, and what could not be written."""

    rows: int = 0
    bad: list[str] = field(default_factory=list)


def export_pairs(
    form: str,
    pairs_path: str | Path,
    out: str | Path,
    *,
    data_root: str | Path | None = None,
    skip_bad: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Write pairs in a published form.

    Args:
        form: "desta2" or "aqa5m".
        pairs_path: pairs, see `read_records`.
        out: a `.jsonl`, `.jsonl.gz` or `.jsonl.zst` file; for desta2 also `.parquet`.
        data_root: folder that the audio paths in `out` will be relative to; that of `out` by default.
        skip_bad: leave out and list what does not fit the form, instead of raising.
        progress: called with the number of pairs dealt with.

    Raises:
        InputError: unknown form, or a file that it cannot have.
        RecordError: a pair that the form cannot hold.
    """
    if form not in FORMS:
        raise InputError(f"cannot export to {form!r}; choose from {', '.join(FORMS)}")
    out, pairs_path = Path(out), Path(pairs_path)
    root = Path(data_root) if data_root is not None else out.parent
    to_row = desta2_row if form == "desta2" else aqa5m_row
    done, bad_lines = Exported(), list[BadLine]()

    def rows() -> Iterator[dict[str, Any]]:
        folder = pairs_path if pairs_path.is_dir() else pairs_path.parent
        for number, pair in enumerate(
            read_records(pairs_path, Pair, skip_bad=skip_bad, bad=bad_lines), start=1
        ):
            try:
                row = to_row(_moved(pair, folder, root))
            except RecordError as error:
                if not skip_bad:
                    raise
                logger.warning("left out: %s", error)
                done.bad.append(str(error))
                continue
            done.rows += 1
            yield row
            if progress is not None:
                progress(number)

    if out.suffix == ".parquet":
        if form != "desta2":
            raise InputError(f"{out}: messages are written as JSON lines; give a .jsonl file")
        _write_parquet(out, rows())
    else:
        with writing(out) as file:
            for row in rows():
                file.write(to_line(row))
    done.bad = [*map(str, bad_lines), *done.bad]
    return done


def desta2_row(pair: Pair) -> dict[str, Any]:
    """A pair as a row of DeSTA2's eight columns; RecordError where it holds more than they can."""
    extra = pair.model_extra or {}
    clips = _whole_clips(pair)
    turns = [message for message in pair.messages if message.get("role") != "system"]
    if len(clips) != 1 or len(turns) != 1:
        raise RecordError(
            f"pair {pair.id!r} has {len(clips)} clips in {len(turns)} turns: a row of DeSTA2 holds one clip "
            "and one turn"
        )
    content = turns[0]["content"]
    values = (
        extra.get("audio_id", pair.id),
        clips[0]["audio"],
        clips[0].get("text") or "",
        content.removeprefix(f"{AUDIO}\n")
        if content.startswith(f"{AUDIO}\n")
        else content.replace(AUDIO, "").strip(),
        pair.response,
        extra.get("dataset", extra.get("source") or ""),
        extra.get("duration"),
        pair.seed,
    )
    return dict(zip(DESTA2_COLUMNS, values, strict=True))


def aqa5m_row(pair: Pair) -> dict[str, Any]:
    """A pair as a record of AQA-5M; RecordError for a clip that is cut out of a longer file."""
    extra = pair.model_extra or {}
    _whole_clips(pair)
    values = (
        extra.get("audio_id", pair.id),
        extra.get("dataset", extra.get("source") or ""),
        pair.seed,
        pair.provenance.prompt,
        pair.response,
        pair.messages,
    )
    return dict(zip(AQA5M_COLUMNS, values, strict=True))


def _whole_clips(pair: Pair) -> list[dict[str, Any]]:
    clips = [clip for message in pair.messages for clip in message.get("audios") or []]
    for clip in clips:
        if not isinstance(clip, dict) or not isinstance(clip.get("audio"), str):
            raise RecordError(
                f"pair {pair.id!r}: 'audios' holds {str(clip)[:60]!r}, expected {{'audio': path, …}}"
            )
        if clip.get("start") is not None or clip.get("end") is not None:
            raise RecordError(
                f"pair {pair.id!r}: its clip is cut out of {clip['audio']}, which the published forms cannot "
                "say; write the part into a file of its own first"
            )
    return clips


def _moved(pair: Pair, folder: Path, root: Path) -> Pair:
    """The pair with relative paths that were true beside it made relative to `root`; others as they are."""
    messages = []
    for message in pair.messages:
        clips = message.get("audios")
        if clips:
            message = message | {"audios": [_moved_clip(clip, folder, root) for clip in clips]}
        messages.append(message)
    return pair.model_copy(update={"messages": messages})


def _moved_clip(clip: Any, folder: Path, root: Path) -> Any:
    audio = clip.get("audio") if isinstance(clip, dict) else None
    if not isinstance(audio, str) or Path(audio).is_absolute() or not (folder / audio).exists():
        return clip
    moved = os.path.relpath((folder / audio).resolve(), root.resolve())
    return clip | {"audio": Path(moved).as_posix()}


def _write_parquet(out: Path, rows: Iterator[dict[str, Any]]) -> None:
    parquet = parquet_module()
    import pyarrow

    schema = pyarrow.schema(
        [(name, pyarrow.float64() if name == "duration" else pyarrow.string()) for name in DESTA2_COLUMNS]
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        with parquet.ParquetWriter(temporary, schema) as writer:
            batch: list[dict[str, Any]] = []
            for row in rows:
                batch.append(row)
                if len(batch) == _BATCH:
                    writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
                    batch = []
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
