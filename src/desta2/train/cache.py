"""Encoder taps of clips on disk, found by what is heard.

The encoder is frozen, so its taps of a clip never change. They are kept in half precision in a folder of
their own for each encoder, choice of taps and type, under the key of the clip (see `clipkeys`). How the files
survive several writers and kill -9 is told in `cache_files`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from desta2.data import vad
from desta2.train.cache_files import Appender, Follower, bytes_in, read_block
from desta2.train.clipkeys import ClipKeys

if TYPE_CHECKING:
    from desta2.model.configuration import Desta2Config

logger = logging.getLogger(__name__)

_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
FORMAT = 1
"""Raised when files of an older version can no longer be used."""


@dataclass(frozen=True)
class Taps:
    """A clip as it was encoded.

    Attributes:
        windows: of each window its taps, (n_taps, T, d_encoder).
        frames: of each window, the encoder frames that hold the clip.
    """

    windows: list[Tensor]
    frames: list[int]


class TapCache:
    """Taps by clip; any number of processes may read and write. Picklable.

    Args:
        folder: made where needed.
        config: of the model whose encoder it is.
        keys: learns the digests that the index tells of.
        dtype: "float16" or "bfloat16", of what is kept.
        limit_gb: most that the folder may hold; nothing is written beyond.
        computed: type that the encoder computes in; taps of another one are not the same.
    """

    def __init__(
        self,
        folder: Path,
        config: Desta2Config,
        keys: ClipKeys,
        dtype: str,
        limit_gb: float,
        computed: torch.dtype = torch.float32,
    ) -> None:
        self.trimmed = config.encoder_frames == "speech"
        self.dtype = _TYPES[dtype]
        about = {
            "format": FORMAT,
            "encoder": config.encoder_fingerprint,
            "tap_layers": config.tap_layers,
            "computed": str(computed),
            "dtype": dtype,
            "trimmed": self.trimmed,
            "cuts": cuts_of_windows(),
        }
        told = json.dumps(about, sort_keys=True)
        self._whole = folder
        self._folder = folder / hashlib.blake2s(told.encode()).hexdigest()[:16]
        self._about = told
        self._limit = int(limit_gb * 1e9)
        self._full = False
        self._follower = Follower(self._folder)
        self._entries: dict[str, dict[str, Any]] = {}
        self._keys = keys
        self._appender = Appender(self._folder)
        self._refresh()

    @property
    def full(self) -> bool:
        """Whether this process gave up keeping more."""
        return self._full

    def __contains__(self, key: str) -> bool:
        return self._entry(key) is not None

    def get(self, key: str) -> Taps | None:
        """The taps kept under a key, in their type on disk; None where there are none."""
        entry = self._entry(key)
        block = read_block(self._folder, entry) if entry is not None else None
        if entry is None or block is None:
            return None
        numbers = torch.frombuffer(block, dtype=self.dtype)
        n_taps, width = entry["taps"], entry["width"]
        parts = numbers.split([n_taps * length * width for length in entry["lengths"]])
        shapes = ((n_taps, length, width) for length in entry["lengths"])
        return Taps([part.view(shape) for part, shape in zip(parts, shapes, strict=True)], entry["frames"])

    def put(self, clips: Mapping[str, Taps], stamps: Mapping[str, str]) -> None:
        """Keep taps by key, as far as there is room; what another process kept meanwhile is kept once.

        Args:
            clips: taps of any type.
            stamps: key → `stamp_of` the clip, so that the next run need not read its file.
        """
        new = {key: self.cut(taps) for key, taps in clips.items() if self._entry(key) is None}
        if not new or self._is_full(new):
            return
        entries = []
        for key, taps in new.items():
            n_taps, _, width = taps.windows[0].shape
            lengths = [window.shape[1] for window in taps.windows]
            entry = {"key": key, "taps": n_taps, "width": width, "lengths": lengths, "frames": taps.frames}
            entries.append(entry | {"stamp": stamps[key]})
        blocks = [b"".join(_bytes(window) for window in taps.windows) for taps in new.values()]
        try:
            self._describe()
            for entry in self._appender.add(blocks, entries):
                self._note(entry)
        except OSError as error:
            self._stop(f"the disk refuses ({error.strerror})")

    def cut(self, taps: Taps) -> Taps:
        """Taps as they would come back from the disk: in its type and, if asked for, without padding."""
        lengths = taps.frames if self.trimmed else [window.shape[1] for window in taps.windows]
        windows = [
            window[:, :length].to("cpu", self.dtype)
            for window, length in zip(taps.windows, lengths, strict=True)
        ]
        return Taps(windows, taps.frames)

    def _describe(self) -> None:
        """Say in the folder what its taps are."""
        self._folder.mkdir(parents=True, exist_ok=True)
        note = self._folder / "about.json"
        if not note.exists():
            temporary = note.with_name(f"about.{os.getpid()}.tmp")
            temporary.write_text(self._about)
            temporary.replace(note)

    def _is_full(self, new: dict[str, Taps]) -> bool:
        size = sum(window.numel() * 2 for taps in new.values() for window in taps.windows)
        if not self._full and bytes_in(self._whole) + size > self._limit:
            self._stop(f"it holds data.cache_gb={self._limit / 1e9:g} GB")
        return self._full

    def _stop(self, why: str) -> None:
        self._full = True
        logger.warning(
            "%s keeps no more taps: %s; clips that are not in it are encoded whenever they come. Raise "
            "data.cache_gb, or delete the folders of encoders that are no longer used (see about.json)",
            self._whole,
            why,
        )

    def _entry(self, key: str) -> dict[str, Any] | None:
        if key not in self._entries:
            self._refresh()
        return self._entries.get(key)

    def _refresh(self) -> None:
        for entry in self._follower.news():
            self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        self._entries.setdefault(entry["key"], entry)
        self._keys.learn(entry["stamp"], entry["key"])


def _bytes(taps: Tensor) -> bytes:
    return taps.contiguous().view(torch.uint8).numpy().tobytes()


def cuts_of_windows() -> str:
    """What decides where long clips are cut: taps and words go with it."""
    return "silero" if vad.available() else "quiet"
