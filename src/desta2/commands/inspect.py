"""The verb inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.commands.model import Model


def inspect(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A clip.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Picture: spectrogram and pitch (.png, .svg, .pdf).")
    ] = None,
    model: Model = "nano",
    scheme: Annotated[
        Path | None, typer.Option(help="Your own attributes.yaml; default: that of the model's world.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Show what is measured of a clip, what Whisper writes of it, and the seed transcript of both.

    Example: desta2 inspect clip.wav -o clip.png
    """
    from desta2.data.audio import load_audio
    from desta2.errors import InputError
    from desta2.inspection import inspect_clip, scheme_of

    if output is not None and output.suffix.lower() not in _PICTURES:
        raise InputError(f"{output} must end in {', '.join(_PICTURES)}")
    chosen, samples = scheme_of(model, scheme), load_audio(audio)
    quiet_transformers()
    from desta2.model.modeling import load

    found = inspect_clip(samples, load(model), chosen)
    if output is not None:
        from desta2.spectrogram import spectrogram

        try:
            spectrogram(samples).savefig(output, dpi=120)
        except OSError as error:
            raise InputError(f"the picture {output} cannot be written: {error.strerror}") from error
    numbers = [f"  {name:24} {value:g}" for name, value in found.to_dict()["measured"].items()]
    words = [f"  {name:24} {word}" for name, word in found.attributes.items()]
    text = [
        "measured",
        *numbers,
        "attributes",
        *words,
        f"transcript\n  {found.transcript}",
        f"seed\n  {found.seed}",
    ]
    emit({**found.to_dict(), "picture": output and str(output)}, as_json, "\n".join(text))


_PICTURES = (".png", ".svg", ".pdf")
