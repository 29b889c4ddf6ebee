"""Transcripts that Whisper wrote for training clips, kept on disk beside their taps.

They depend on the Whisper and on how it was asked, so each such choice has a folder of its own. All of them
are in memory while training runs: some 200 bytes a clip.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from desta2.train.cache import cuts_of_windows
from desta2.train.cache_files import Appender, Follower
from desta2.train.clipkeys import ClipKeys

if TYPE_CHECKING:
    from desta2.model.configuration import Desta2Config


class WordStore:
    """Transcripts by the key of a clip, a text for each window. Picklable.

    Args:
        folder: made where needed.
        config: of the model whose Whisper writes.
        keys: learns the digests that the index tells of.
        computed: type that Whisper computes in.
    """

    def __init__(
        self, folder: Path, config: Desta2Config, keys: ClipKeys, computed: torch.dtype = torch.float32
    ) -> None:
        about = (
            config.encoder_fingerprint,
            str(computed),
            config.max_transcript_tokens,
            config.strip_transcripts,
            config.detect_speech,
            cuts_of_windows(),
        )
        self._folder = folder / f"words-{hashlib.blake2s(json.dumps(about).encode()).hexdigest()[:16]}"
        self._follower = Follower(self._folder)
        self._texts: dict[str, list[str]] = {}
        self._keys = keys
        self._appender = Appender(self._folder)
        self._refresh()

    def get(self, key: str) -> list[str] | None:
        """The texts of a clip's windows; None where nobody wrote them."""
        if key not in self._texts:
            self._refresh()
        return self._texts.get(key)

    def put(self, texts: Mapping[str, Sequence[str]], stamps: Mapping[str, str]) -> None:
        """Keep the texts of clips by key; `stamps` as in `TapCache.put`."""
        if not texts:
            return
        entries = [{"key": key, "stamp": stamps[key], "texts": list(own)} for key, own in texts.items()]
        for entry in self._appender.add([b""] * len(entries), entries):
            self._note(entry)

    def _refresh(self) -> None:
        for entry in self._follower.news():
            self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        self._texts.setdefault(entry["key"], entry["texts"])
        self._keys.learn(entry["stamp"], entry["key"])
