"""One manifest into a folder of shards.

Trade-off: cut by number of records, in their order, so that one pass without memory suffices, the same
manifest always gives the same shards, and those of a longer one begin with the same ones.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from desta2.data.manifests import relocate_audio
from desta2.data.scale.folders import Folder
from desta2.data.scale.work import SUFFIXES
from desta2.errors import InputError, RecordError
from desta2.lines import manifest_files, numbered_lines, writing
from desta2.records import Clip, parse_line, to_line


def shard(
    source: str | Path,
    out: str | Path,
    records: int = 5_000,
    *,
    suffix: str = ".jsonl",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Cut a file of clips or seeds, or a folder of parts, into shards.

    Relative audio paths stay true where `source` and `out` are local; otherwise they stay as they are.

    Args:
        source: the records, a path or, for a single file, a URL.
        out: folder for the shards, a path or a URL, without shards.
        records: in a shard. A stage that is stopped loses nothing in a local folder; elsewhere what was done
            of the shard on a machine that is lost.
        suffix: form of the shards.
        progress: called with the number of records written so far.

    Returns:
        Number of shards.

    Raises:
        InputError: nothing to read, or `out` holds shards.
        RecordError: a line that is neither clip nor seed, with file and line.
    """
    if suffix not in SUFFIXES:
        raise InputError(f"given the form {suffix!r}, expected one of {', '.join(SUFFIXES)}")
    if records < 1:
        raise InputError(f"given {records} records to a shard, expected 1 or more")
    folder = Folder.of(out)
    with tempfile.TemporaryDirectory(prefix="desta2-shard-") as name:
        manifest = _local(source, Path(name))
        lines = _lines(manifest, folder.local if "://" not in str(source) else None)
        first = next(lines, None)
        if first is None:
            raise InputError(f"{source} holds no records")
        if there := [entry for entry in folder.names() if entry.startswith("part-")]:
            raise InputError(f"{folder} holds {there[0]} already: give another folder, or delete this one")
        folder.make()
        lines = itertools.chain([first], lines)
        return _write(lines, folder, records, suffix, Path(name), progress)


def _local(source: str | Path, room: Path) -> Path:
    """The manifest as a path; a file by URL is copied, since it is read by its suffix."""
    if "://" not in str(source):
        manifest = Path(source).expanduser().absolute()
        manifest_files(manifest)
        return manifest
    url, _, name = str(source).rstrip("/").rpartition("/")
    Folder.of(url).fetch(name, room / name)
    manifest_files(room / name)
    return room / name


def _lines(manifest: Path, out: Path | None) -> Iterator[bytes]:
    for file in manifest_files(manifest):
        for number, line in numbered_lines(file):
            if not line.strip():
                continue
            try:
                clip = parse_line(line, Clip)
            except RecordError as error:
                raise RecordError(f"{file}:{number}: {error}") from None
            yield to_line(clip if out is None else relocate_audio(clip, manifest, out))


def _write(
    lines: Iterator[bytes],
    folder: Folder,
    records: int,
    suffix: str,
    room: Path,
    progress: Callable[[int], None] | None,
) -> int:
    done = 0
    for number in itertools.count():
        first = next(lines, None)
        if first is None:
            return number
        name = f"part-{number:05d}{suffix}"
        target = (folder.local or room) / name
        with writing(target) as file:
            for line in itertools.chain([first], itertools.islice(lines, records - 1)):
                file.write(line)
                done += 1
        if folder.local is None:
            folder.publish(target, name)
            target.unlink()
        if progress is not None:
            progress(done)
    raise AssertionError("itertools.count does not end")
