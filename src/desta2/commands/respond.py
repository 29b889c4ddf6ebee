"""The verb of self-generation: respond."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.data.prompts import DESCRIBE
from desta2.errors import InputError
from desta2.progress import Progress

if TYPE_CHECKING:
    from desta2.data.prompts import PromptPool
    from desta2.data.respond import Summary


def respond(
    seeds: Annotated[Path, typer.Argument(metavar="SEEDS", help="Seed records.")],
    llm: Annotated[
        str,
        typer.Option(
            metavar="ID_OR_URL",
            help="The LLM that will be the backbone: folder, hub id, 'nano', or the URL of an "
            "OpenAI-compatible server, such as http://localhost:8000/v1.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of parts, or a .jsonl file.")] = Path(
        "pairs"
    ),
    prompt: Annotated[str | None, typer.Option(help=f"Asked about every clip. Default: {DESCRIBE}")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help='Pool to draw from: one a line, or .jsonl of {"prompt": …, "weight": …}.'),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers per clip; several are id#1, id#2, ….")] = 1,
    layout: Annotated[
        Literal["desta2", "desta2.5"], typer.Option(help="Where the clip stands in the prompt.")
    ] = "desta2",
    system: Annotated[
        str | None, typer.Option(help="System prompt; '' for none. Default: that of training.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 512,
    sampling_seed: Annotated[int, typer.Option("--seed", help="Another seed draws other answers.")] = 0,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The LLM that will be trained, folder or hub id: compared with the one that answers."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="In this process: answers at a time.")] = 16,
    device_map: Annotated[
        str | None, typer.Option(help="In this process: as in transformers. Default: accelerators, else CPU.")
    ] = None,
    llm_name: Annotated[
        str | None, typer.Option(help="By URL: the name of the model, where the server has several.")
    ] = None,
    api: Annotated[
        Literal["chat", "completions"],
        typer.Option(help="By URL: send messages, or training's own token ids (needs --backbone)."),
    ] = "chat",
    concurrency: Annotated[int, typer.Option(min=1, help="By URL: requests in flight.")] = 32,
    timeout: Annotated[float, typer.Option(min=0.1, help="By URL: seconds for one attempt.")] = 300.0,
    retries: Annotated[int, typer.Option(min=0, help="By URL: further attempts for each item.")] = 6,
    per_minute: Annotated[float | None, typer.Option(min=0.1, help="By URL: attempts a minute.")] = None,
    api_key_env: Annotated[
        str, typer.Option(help="By URL: the environment variable that holds the API key.")
    ] = "DESTA2_API_KEY",
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Let the LLM answer the one prompt about every seed: its answers become the training targets. Resumable.

    Example: desta2 respond seeds.jsonl --llm nano -o pairs/
    """
    from desta2.data import respond as stage
    from desta2.data.backbone import Backbone, warn_if_other
    from desta2.data.backends import Backend, PromptStyle, Sampling, TransformersBackend
    from desta2.data.endpoint import EndpointBackend, is_url
    from desta2.model.configuration import DEFAULT_SYSTEM_PROMPT
    from desta2.records import count_records

    sampling = Sampling(temperature, top_p, max_new_tokens, sampling_seed)
    asking = stage.Asking(_pool(prompt, prompts), sampling, n)
    total = count_records(seeds) * n
    quiet_transformers()
    style = PromptStyle(layout, DEFAULT_SYSTEM_PROMPT if system is None else system or None)
    trained = None if backbone is None else Backbone(backbone)
    backend: Backend
    if is_url(llm):
        backend = EndpointBackend(
            llm,
            style,
            served_name=llm_name,
            backbone=trained,
            api=api,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            per_minute=per_minute,
            api_key=os.environ.get(api_key_env),
        )
    else:
        backend = TransformersBackend(llm, style, batch_size, device_map)
        if trained is not None:
            warn_if_other(backend.name, backend.fingerprint, trained)
    with Progress(total, f"asking {backend.name} for {total} answers") as bar:
        summary = stage.respond(seeds, output, backend, asking, bar.move_to)
    _tell(output, summary, as_json)


def _pool(prompt: str | None, file: Path | None) -> PromptPool:
    from desta2.data.prompts import PromptPool, read_prompts

    if prompt is not None and file is not None:
        raise InputError("both --prompt and --prompts are given; give one of them")
    return PromptPool.of(DESCRIBE if prompt is None else prompt) if file is None else read_prompts(file)


def _tell(output: Path, summary: Summary, as_json: bool) -> None:
    result = {
        "output": str(output),
        "written": summary.written,
        "already_done": summary.already_done,
        "unfinished": summary.unfinished,
        "failed": summary.failed,
        "failures": None if summary.failures is None else str(summary.failures),
    }
    text = f"{output}: {summary.written} pairs written, {summary.already_done} were there before"
    if summary.unfinished:
        text += f"; {summary.unfinished} answers were empty or too long and are left out"
    if summary.failed:
        text += f"; {summary.failed} got no answer"
    if summary.failures is not None:
        text += f"; {summary.failures} names them, and running again asks for them again"
    emit(result, as_json, text)
