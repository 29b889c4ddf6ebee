"""The accepted message forms, and the one internal form that they become.

Inside, a conversation is a list of `Turn`s with the roles system, user and assistant; a user's parts are
texts and clips in the order in which they stand. A DeSTA2 `audio` turn joins the user's turn that follows it.
Where a form says nothing about what stands between a clip and a text (content parts, `audio` turns), a line
break does, as in DeSTA2.5's data; a text that holds `<|AUDIO|>` is kept letter by letter. No torch here.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from desta2.errors import InputError

LOCATOR = "<|AUDIO|>"
START_AUDIO, END_AUDIO = "<start_audio>", "<end_audio>"
ROLES = ("system", "user", "assistant", "audio")


@dataclass(frozen=True)
class ClipPart:
    """A clip in a conversation.

    Attributes:
        audio: Path, bytes of an audio file, or array of samples; None for a clip that is given as text only.
        transcript: Its words as the user gives them; None lets Whisper write them.
    """

    audio: Any
    transcript: str | None = None


@dataclass(frozen=True)
class Turn:
    """One turn: `role` is system, user or assistant; clips stand only in a user's parts."""

    role: str
    parts: tuple[str | ClipPart, ...]


def clips_of(turns: Sequence[Turn]) -> list[ClipPart]:
    """All clips of a conversation in order."""
    return [part for turn in turns for part in turn.parts if isinstance(part, ClipPart)]


def normalise(messages: Sequence[Mapping[str, Any] | Turn]) -> list[Turn]:
    """Turn messages of any accepted form into `Turn`s; a list of `Turn`s passes unchanged.

    Accepted: plain text messages; Hugging Face content parts (`{"type": "audio", "audio": …}`), OpenAI parts
    (`{"type": "input_audio", "input_audio": {"data": base64, …}}`), DeSTA2 turns (`{"role": "audio",
    "content": path}`), and DeSTA2.5 texts with `<|AUDIO|>` and `audios`. A clip may carry its transcript as
    `text`.

    Raises:
        InputError: The messages fit no form; the error says which message and why.
    """
    if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence) or not messages:
        raise InputError(
            "messages must be a non-empty list such as [{'role': 'user', 'content': 'Hello'}], or a clip "
            "with a question about it"
        )
    turns: list[Turn] = []
    waiting: list[str | ClipPart] = []  # clips of `audio` turns, until the user's text comes
    for number, message in enumerate(messages, start=1):
        if isinstance(message, Turn):
            turns.append(message)
            continue
        where = f"message {number}"
        role, content = _role_and_content(message, where)
        if role == "audio":
            waiting.append(_clip(content, message.get("text"), where))
        elif role == "user":
            turns.append(Turn("user", tuple(_joined(waiting, _parts(message, where)))))
            waiting = []
        else:
            if waiting:
                turns.append(Turn("user", tuple(waiting)))
                waiting = []
            turns.append(Turn(role, (_text_only(message, role, where),)))
    if waiting:
        turns.append(Turn("user", tuple(waiting)))
    return turns


def ask(audio: Any, question: str) -> list[dict[str, Any]]:
    """The messages of one question about a clip, or about several in a list."""
    clips = audio if isinstance(audio, list | tuple) else [audio]
    parts = [{"type": "audio", "audio": clip} for clip in clips]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def _role_and_content(message: Any, where: str) -> tuple[str, Any]:
    if not isinstance(message, Mapping) or "role" not in message or message.get("content") is None:
        raise InputError(f"{where} must be an object with 'role' and 'content', got {_short(message)}")
    if message["role"] not in ROLES:
        raise InputError(f"{where} has the role {message['role']!r}; known roles: {', '.join(ROLES)}")
    return message["role"], message["content"]


def _parts(message: Mapping[str, Any], where: str) -> list[str | ClipPart]:
    content = message["content"]
    if isinstance(content, str):
        return _located_parts(content, message.get("audios") or [], where)
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise InputError(f"{where}: content must be text or a list of parts, got {_short(content)}")
    parts: list[str | ClipPart] = []
    for index, part in enumerate(content, start=1):
        parts = _joined(parts, [_content_part(part, f"{where}, part {index}")])
    return parts


def _content_part(part: Any, where: str) -> str | ClipPart:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "audio":
        return _clip(part.get("audio", part.get("path")), part.get("text"), where)
    if kind == "input_audio":
        return _clip(_decoded(part.get("input_audio"), where), part.get("text"), where)
    raise InputError(
        f"{where} is {_short(part)}; expected {{'type': 'text', 'text': …}}, "
        "{'type': 'audio', 'audio': …} or {'type': 'input_audio', 'input_audio': {'data': …}}"
    )


def _decoded(value: Any, where: str) -> bytes:
    data = value.get("data") if isinstance(value, Mapping) else None
    if not isinstance(data, str):
        raise InputError(f"{where}: input_audio must hold the clip as base64 text under 'data'")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where}: input_audio.data is not valid base64 ({error})") from error


def _located_parts(content: str, audios: Sequence[Any], where: str) -> list[str | ClipPart]:
    """DeSTA2.5: a text with a locator per entry of `audios`; tags already around a locator are taken off."""
    texts = content.split(LOCATOR)
    if len(texts) - 1 != len(audios):
        raise InputError(
            f"{where} has {len(texts) - 1} {LOCATOR} in its text but {len(audios)} entries in 'audios'"
        )
    if not audios:
        return [content]
    for i in range(len(audios)):
        if texts[i].endswith(START_AUDIO) and texts[i + 1].startswith(END_AUDIO):
            texts[i] = texts[i].removesuffix(START_AUDIO)
            texts[i + 1] = texts[i + 1].removeprefix(END_AUDIO)
    parts: list[str | ClipPart] = [texts[0]]
    for entry, text in zip(audios, texts[1:], strict=True):
        if not isinstance(entry, Mapping):
            raise InputError(
                f"{where}: an entry of 'audios' must be {{'audio': …, 'text': …}}, got {_short(entry)}"
            )
        parts += [_clip(entry.get("audio"), entry.get("text"), where), text]
    return [part for part in parts if part != ""]


def _clip(audio: Any, text: Any, where: str) -> ClipPart:
    if text is not None and not isinstance(text, str):
        raise InputError(f"{where}: the transcript of a clip must be text, got {_short(text)}")
    if (audio is None and text is None) or (isinstance(audio, str | bytes) and not audio):
        raise InputError(f"{where} has a clip without audio; give a path, the bytes of a file, or samples")
    return ClipPart(audio, text)


def _text_only(message: Mapping[str, Any], role: str, where: str) -> str:
    parts = _parts(message, where)
    if any(isinstance(part, ClipPart) for part in parts):
        raise InputError(f"{where} has the role {role!r} and a clip; clips belong in user messages")
    return "".join(map(str, parts))


def _joined(before: Sequence[str | ClipPart], after: Sequence[str | ClipPart]) -> list[str | ClipPart]:
    """Both lists, with a line break where they meet, unless two clips meet or white space is there."""
    before, after = list(before), list(after)
    if not before or not after:
        return before + after
    left, right = before[-1], after[0]
    if isinstance(left, str):
        if not left[-1:].isspace() and not (isinstance(right, str) and right[:1].isspace()):
            before[-1] = left + "\n"
    elif isinstance(right, str) and right and not right[0].isspace():
        after[0] = "\n" + right
    if isinstance(left, str) and isinstance(right, str):
        return [*before[:-1], str(before[-1]) + right, *after[1:]]
    return before + after


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
