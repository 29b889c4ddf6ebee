"""The verb features: what training keeps of clips, made ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers


def features(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The run that will use them.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as data.cache_dir=taps.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Hear the clips of a training run ahead: encoder taps and missing transcripts go to disk. Resumable.

    Several may run at once on the same cache. Training then needs no encoder.

    Example: desta2 features recipes/nano.yaml
    """
    from desta2.config import load_config
    from desta2.train.config import TrainConfig

    checked = load_config(config, TrainConfig, overrides or [])
    quiet_transformers()
    from desta2.train.data import features as stage

    result = stage(checked)
    size = f"{result['bytes'] / 1e9:.2f} GB"
    text = f"{result['folder']}: {result['clips']} clips, {result['heard']} heard now, {size}"
    emit(result, as_json, text)
