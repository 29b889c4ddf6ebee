"""Tiny corpora in their true layouts: files that a test puts there, and readers run over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desta2.data.sources import load_source
from desta2.data.sources.base import Options, Reading
from desta2.data.sources.store import AudioStore
from desta2.errors import InputError


class Tree:
    """Puts the files of a corpus under `root`."""

    def __init__(self, root: Path, encode: Callable[..., bytes]) -> None:
        self.root = root
        self._encode = encode

    def text(self, path: str, content: str, encoding: str = "utf-8") -> Path:
        return self.bytes(path, content.encode(encoding))

    def bytes(self, path: str, content: bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def audio(self, *paths: str, seconds: float = 0.05) -> None:
        """Sines of 50 ms, in the format that each name tells."""
        kinds = {".wav": "wav", ".flac": "flac", ".mp3": "mp3", ".mp4": "mp4"}
        for path in paths:
            self.bytes(path, self._encode(kinds[Path(path).suffix], 16_000, 1, seconds))


@pytest.fixture
def tree(tmp_path: Path, encode: Callable[..., bytes]) -> Tree:
    return Tree(tmp_path / "corpus", encode)


@pytest.fixture
def read(tmp_path: Path, tree: Tree) -> Callable[..., Any]:
    """`read(name, src=…, skip_bad=…, data_root=…, **options)` → the records, and the reading."""

    def call(
        name: str, src: Any = None, *, skip_bad: bool = False, data_root: Any = None, **options: Any
    ) -> Any:
        store = AudioStore(tmp_path / "kept")
        reading = Reading(Options(**options), store, data_root=data_root, skip_bad=skip_bad)
        records = list(load_source(name).read(str(src or tree.root), reading))
        return records, reading

    return call


@pytest.fixture
def clips(read: Callable[..., Any]) -> Callable[..., Any]:
    """`clips(name, …)` → the clips by id, nothing of them bad."""

    def call(name: str, src: Any = None, **options: Any) -> dict[str, Any]:
        records, reading = read(name, src, **options)
        assert reading.bad_count == 0
        return {record.id: record for record in records}

    return call


@pytest.fixture
def refused(read: Callable[..., Any]) -> Callable[..., str]:
    """`refused(name, …)` → what the reader says of something that is the user's mistake."""

    def call(name: str, src: Any = None, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            read(name, src, **options)
        return str(caught.value)

    return call
