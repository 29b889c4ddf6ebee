"""The verb of self-generation: respond."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.data.prompts import DESCRIBE
from desta2.progress import Progress

if TYPE_CHECKING:
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
    template: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Of the LLM's chat template, as in training.",
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
    from desta2.data.backends import Sampling
    from desta2.data.llms import open_backend
    from desta2.data.prompts import pool_of
    from desta2.records import count_records

    sampling = Sampling(temperature, top_p, max_new_tokens, sampling_seed)
    asking = stage.Asking(pool_of(prompt, prompts), sampling, n)
    total = count_records(seeds) * n
    quiet_transformers()
    backend = open_backend(
        llm,
        layout=layout,
        system=system,
        chat_template_kwargs=_variables(template or []),
        backbone=backbone,
        batch_size=batch_size,
        device_map=device_map,
        llm_name=llm_name,
        api=api,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        per_minute=per_minute,
        api_key_env=api_key_env,
    )
    with Progress(total, f"asking {backend.name} for {total} answers") as bar:
        summary = stage.respond(seeds, output, backend, asking, bar.move_to)
    _tell(output, summary, as_json)


def _variables(given: list[str]) -> dict[str, Any] | None:
    """NAME=VALUE options, the values read as YAML."""
    import yaml

    from desta2.errors import InputError

    variables = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise InputError(f"--template {option!r}: expected NAME=VALUE, such as enable_thinking=false")
        variables[name] = yaml.safe_load(value)
    return variables or None


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
