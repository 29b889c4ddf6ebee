"""Pages of HTML that hold everything in one file: rendered from a template, clips inside, no script.

The trade-off: base64 makes a clip a third larger than it is, so only a handful is put in, and long ones are
cut; in return the file can be mailed and opened anywhere, offline. Everything that a template is given is
untrusted text: it is escaped, and the policy in the page's head forbids scripts and requests even if that
should fail.
"""

from __future__ import annotations

import base64
import io
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from desta2.errors import InputError


def render(template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """The page that a template of this folder gives; every value is escaped unless it is Markup."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)


def check_writable(path: Path) -> None:
    """Make the folder of a page; InputError where the page could not be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = _temporary(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write the report into {path.parent}: {error.strerror}") from error


def write_page(path: Path, html: str) -> Path:
    """Write a page, which appears once it is whole, and return its path."""
    temporary = _temporary(path)
    # "replace": a model's answer may hold what UTF-8 cannot; a report must not fail for that.
    temporary.write_text(html, encoding="utf-8", errors="replace")
    os.replace(temporary, path)
    return path


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def sound(source: Path | str | bytes | np.ndarray, seconds: float | None = None) -> str:
    """A clip as base64 of a 16-bit wav: small, and played by every browser.

    Args:
        source: anything that `load_audio` reads, or (samples,) at the model's rate.
        seconds: how much of it, from the beginning; None for all.

    Raises:
        AudioError: it cannot be read.
    """
    import soundfile

    from desta2.data.audio import SAMPLE_RATE, load_audio

    rate = SAMPLE_RATE if isinstance(source, np.ndarray) else None
    samples = np.clip(
        load_audio(source, sampling_rate=rate), -1.0, 1.0
    )  # (samples,); resampling may overshoot
    if seconds is not None:
        samples = samples[: int(seconds * SAMPLE_RATE)]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return base64.b64encode(buffer.getvalue()).decode()
