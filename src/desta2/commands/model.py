"""The verb chat."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers

Model = Annotated[str, typer.Option("--model", "-m", help="Folder, hub id, or 'nano' for the shipped one.")]
Fast = Annotated[
    bool, typer.Option("--fast", help="Load the frozen models in bfloat16 or int8; answers change a little.")
]


def chat(
    audio: Annotated[list[Path], typer.Argument(metavar="AUDIO...", help="One or more clips.")],
    question: Annotated[str | None, typer.Option("--question", "-q", help="Ask this and exit.")] = None,
    model: Model = "nano",
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer; default: the LLM's own, or 256.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes sampling reproducible.")] = None,
    language: Annotated[
        str | None, typer.Option(help="Spoken in the clips: de, german; else detected.")
    ] = None,
    transcript: Annotated[bool, typer.Option("--transcript", help="Show what Whisper understood.")] = False,
    fast: Fast = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Ask about audio; without -q an interactive chat.

    Example: desta2 chat clip.wav -q "Is the speaker a man or a woman?"
    """
    from desta2.data.audio import load_audio
    from desta2.errors import InputError

    if question is None and as_json:
        raise InputError("--json needs a question: add -q 'What can you hear from the audio?'")
    samples = [load_audio(path) for path in audio]  # a bad file fails before a model loads
    quiet_transformers()
    from desta2.model.modeling import load

    loaded = load(model, fast=fast)
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": temperature > 0, "seed": seed}
    if temperature > 0:
        options["temperature"] = temperature
    clips = loaded.hear(samples, language=language)
    if transcript and not as_json:
        for path, clip in zip(audio, clips, strict=True):
            typer.echo(f"{path}: {clip.transcript}", err=True)
    if question is not None and as_json:
        output = loaded.chat([_first_turn(clips, question)], **options)
        emit({"text": output.text, "transcripts": output.transcripts}, as_json, output.text)
        return
    if question is not None:
        _say(loaded.stream([_first_turn(clips, question)], **options))
        return
    history: list[dict[str, Any]] = []
    typer.echo("Ask about the audio; an empty line or Ctrl-D ends the chat.", err=True)
    while (asked := _ask()) is not None:
        history.append({"role": "user", "content": asked} if history else _first_turn(clips, asked))
        history.append({"role": "assistant", "content": _say(loaded.stream(history, **options))})


def _say(pieces: Iterable[str]) -> str:
    """Print an answer as it comes, and return it."""
    text = ""
    for piece in pieces:
        typer.echo(piece, nl=False)
        text += piece
    typer.echo()
    return text


def _first_turn(clips: list[Any], question: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "audio", "audio": clip} for clip in clips]
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}


def _ask() -> str | None:
    """The next question; None when there is none."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives input() line editing and history)
    # On a terminal only: elsewhere input() writes its prompt to stdout, among the answers.
    prompt = "> " if sys.stdin.isatty() and sys.stdout.isatty() else ""
    try:
        return input(prompt).strip() or None
    except EOFError:
        return None
