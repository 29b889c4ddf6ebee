"""The verb convert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.errors import InputError

if TYPE_CHECKING:
    from desta2.model.convert import Converted

_Convention = Literal["training", "published-inference"]


def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Published checkpoint: folder or hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the model goes to.")],
    llm: Annotated[
        str | None, typer.Option(help="The LLM, instead of the one that SRC names: folder or hub id.")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="The Whisper, likewise.")] = None,
    tap_convention: Annotated[
        _Convention | None,
        typer.Option(
            help="Encoder layers to read: those of the published training code, or of its inference code "
            "(in DeSTA2 one earlier). Default: as the authors' demo."
        ),
    ] = None,
    bos_policy: Annotated[
        Literal["template", "published-inference"] | None,
        typer.Option(
            help="Beginning of text: as the chat template writes it, or as DeSTA2's inference code has it "
            "(twice, and the clip as many tokens too early). Default: goes with the tap convention."
        ),
    ] = None,
    to: Annotated[
        Literal["desta2", "desta2.5"] | None,
        typer.Option(help="The other way: write the desta2 model SRC as a published checkpoint."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of SRC on the hub.")] = None,
    token: Annotated[str | None, typer.Option(help="Hub token; default: that of `hf auth login`.")] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Where hub files are kept.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Import an official DeSTA2 or DeSTA2.5 checkpoint, or export a model back to their layout.

    Example: desta2 convert DeSTA-ntu/DeSTA2-8B-beta -o desta2-8b
    """
    given = {"revision": revision, "token": token, "cache_dir": None if cache_dir is None else str(cache_dir)}
    hub = {name: value for name, value in given.items() if value is not None}
    if to is not None and (tap_convention or bos_policy):
        raise InputError("--tap-convention and --bos-policy belong to the import; leave them out with --to")
    quiet_transformers()
    from desta2.model.convert import export_published, import_published

    if to is not None:
        done = export_published(source, output, to, llm_id=llm, encoder_id=encoder, **hub)
        text = f"{output}: {to} checkpoint of {done.parameters:,} parameters"
        emit({"checkpoint": str(output), "layout": to, "parameters": done.parameters}, as_json, text)
        return
    done = import_published(
        source,
        output,
        llm_id=llm,
        encoder_id=encoder,
        tap_convention=tap_convention,
        bos_policy=bos_policy,
        **hub,
    )
    emit(_result(done), as_json, _in_words(done))


def _result(done: Converted) -> dict[str, Any]:
    names = (
        "layout",
        "llm_id",
        "encoder_id",
        "llm_fingerprint",
        "encoder_fingerprint",
        "tap_layers",
        "bos_policy",
    )
    facts = {name: getattr(done.config, name) for name in names}
    return {"model": str(done.folder), "parameters": done.parameters, **facts}


def _in_words(done: Converted) -> str:
    config = done.config
    text = (
        f"{done.folder}: {config.layout} model with an adapter of {done.parameters:,} parameters, "
        f"tap layers {', '.join(map(str, config.tap_layers))}, BOS policy {config.bos_policy}"
    )
    prints = {config.llm_id: config.llm_fingerprint, config.encoder_id: config.encoder_fingerprint}
    unseen = [base for base, known in prints.items() if known is None]
    return f"{text}; not fingerprinted, as not at hand: {', '.join(unseen)}" if unseen else text
