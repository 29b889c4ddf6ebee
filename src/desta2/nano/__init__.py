"""The method in miniature: a synthetic speech world and backbones small enough for a laptop."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def nano_path(part: str) -> Path:
    """Folder of one shipped nano model: "whisper", "llm", "second-llm", or "model" (the trained adapter)."""
    return Path(str(files("desta2.nano") / "assets" / part))


def base_id(part: str, name: str) -> str:
    """`name`, or the id of the shipped `part` if the name is "nano".

    The id ("nano/llm", "nano/whisper") is what adapters are saved with: unlike a path it is true wherever
    desta2 is installed.
    """
    return f"nano/{part}" if name == "nano" else name
