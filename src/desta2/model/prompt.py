"""Messages → token ids and audio slots: the only place where a prompt is built.

Data construction, training, evaluation and chat all call `build_prompt`, so that what the adapter is trained
on is what it later sees. The LLM's own chat template writes every control token, including the beginning of
text (one, if the template writes one; the tokenizer adds none, unless `bos_policy` asks for it). A clip's
place in the template is held by a unique marker and the rendered text is cut there, never searched for a
path. Whatever came from outside, that is transcripts and message texts, cannot become a control token: its
special-token texts are spelled out in ordinary tokens. Templates without a system role get the system's text
at the head of the first user turn, as templates that have to make do without one write it. No torch here.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from desta2.errors import InputError
from desta2.model import templates
from desta2.model.messages import END_AUDIO, LOCATOR, START_AUDIO, ClipPart, Turn, clips_of, normalise
from desta2.model.templates import end_of_turn_id

__all__ = [
    "ClipPart",
    "Prompt",
    "Turn",
    "build_prompt",
    "clips_of",
    "end_of_turn_id",
    "normalise",
    "plain_ids",
    "prompt_text",
    "response_ids",
    "seed_messages",
    "template_messages",
    "with_bos_policy",
]

# Ids that stand at audio positions. The model finds these by position and overwrites their embeddings, so any
# id inside the vocabulary will do.
PLACEHOLDER_ID = 0


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for the LLM.

    Attributes:
        input_ids: Token ids, ending where the answer starts.
        audio_slots: (start, length) of the positions of each window of each clip that has audio, in order.
    """

    input_ids: list[int]
    audio_slots: list[tuple[int, int]]


@dataclass(frozen=True)
class _Slot:
    """What replaces a marker: `n_queries` audio positions, then ordinary text."""

    text: str
    n_queries: int | None = None  # None: text only, no audio slot


def build_prompt(
    conversation: Sequence[Mapping[str, Any] | Turn],
    tokenizer: Any,
    config: Any,
    transcripts: Sequence[str | Sequence[str] | None] | None = None,
    n_queries: int | None = None,
    *,
    for_answer: bool = True,
) -> Prompt:
    """Build the prompt of a conversation.

    Args:
        conversation: Messages in any accepted form, or the turns of `normalise`.
        tokenizer: The LLM's tokenizer, with a chat template.
        config: A `Desta2Config` (or anything with `layout`, `system_prompt`, `n_queries`, `bos_policy`, which
            is read only where a clip has audio, and perhaps `chat_template_kwargs`).
        transcripts: One per clip in order of appearance; None, as a whole or for a clip, means the transcript
            that the message itself gives. A clip that is heard in several windows has a list of them, one
            per window; its place then holds [audio][transcript][audio][transcript]… in that order.
        n_queries: Audio positions per window, by default the configuration's. 0 gives the cascade: the prompt
            with the transcript only; its audio slots have length 0.
        for_answer: Whether an answer is to follow; False for a conversation that ends with one.

    Returns:
        The prompt. A clip with text but no audio (see `seed_messages`) is written as that text, with no slot.
        Without clips the ids are those of `tokenizer.apply_chat_template(..., add_generation_prompt=True)`,
        if that takes the conversation as it is.

    Raises:
        InputError: The messages are malformed, a clip has no transcript, or the chat template refuses or
            loses a turn.
    """
    turns = normalise(conversation)
    slots = _clip_slots(turns, transcripts, config.n_queries if n_queries is None else n_queries)
    prompt = _fill(*_marked(turns, slots, tokenizer, config, for_answer), tokenizer)
    return with_bos_policy(prompt, tokenizer, config)


def prompt_text(
    conversation: Sequence[Mapping[str, Any] | Turn], tokenizer: Any, config: Any, *, for_answer: bool = True
) -> str:
    """The prompt as text, with `<|AUDIO|>` where a clip's audio positions and transcript will be.

    Args: as in `build_prompt`.

    Raises:
        InputError: As in `build_prompt`, or the text would not stand for the same ids: a message contains the
            text of a special token, or a clip has no audio.
    """
    turns = normalise(conversation)
    slots = _clip_slots(turns, [clip.transcript or "" for clip in clips_of(turns)], config.n_queries)
    rendered, markers = _marked(turns, slots, tokenizer, config, for_answer)
    if plain := [slot.text for slot in markers.slots if slot.n_queries is None]:
        raise InputError(
            f"as text, {plain[0]!r} would be read as part of the template; ask for token ids (tokenize=True)"
        )
    _fill(rendered, markers, tokenizer)  # refuses what the template dropped or moved
    return markers.pattern.sub(LOCATOR, rendered)


def _marked(
    turns: list[Turn], slots: Sequence[list[_Slot]], tokenizer: Any, config: Any, for_answer: bool
) -> tuple[str, "_Markers"]:
    """The rendered template, with markers for clips and for texts that must not become control tokens."""
    variables = getattr(config, "chat_template_kwargs", None) or {}
    turns = _with_system(turns, slots, config, tokenizer)
    markers = _Markers(turns, tokenizer)
    messages = _LAYOUTS[config.layout](turns, iter(slots), markers)
    return templates.render(tokenizer, messages, for_answer=for_answer, variables=variables), markers


def _without_system_turn(turns: list[Turn]) -> list[Turn]:
    """The same with the system's text at the head of the user's turn that follows, if one does."""
    system, *rest = turns
    if not rest or rest[0].role != "user" or not rest[0].parts:
        return turns
    head, (first, *others) = "".join(map(str, system.parts)) + "\n\n", rest[0].parts
    parts = (head + first, *others) if isinstance(first, str) else (head, first, *others)
    return [Turn("user", parts), *rest[1:]]


def _with_system(
    turns: list[Turn], slots: Sequence[list[_Slot]], config: Any, tokenizer: Any | None
) -> list[Turn]:
    """The turns with the system's, as the template (if its tokenizer is at hand) can take it."""
    if slots and config.system_prompt is not None and turns[0].role != "system":
        turns = [Turn("system", (config.system_prompt,)), *turns]
    if turns[0].role != "system" or tokenizer is None:
        return turns
    fate = templates.fate_of_system_turn(tokenizer, getattr(config, "chat_template_kwargs", None) or {})
    # Left out without a word, it stays out where there is no clip: so it is with the LLM alone.
    return _without_system_turn(turns) if fate == "refused" or (fate == "left out" and slots) else turns


def template_messages(
    conversation: Sequence[Mapping[str, Any] | Turn], config: Any, tokenizer: Any | None = None
) -> list[dict[str, str]]:
    """What the LLM's chat template is given for a conversation whose clips are texts (see `seed_messages`).

    For servers that apply the template themselves. Theirs is the prompt of `build_prompt` only where no text
    spells a special token and no token spans the border of a clip's text: compare the ids. Without the LLM's
    `tokenizer` its template is taken to have a system role.

    Raises:
        InputError: The messages are malformed, or a clip has no text.
    """
    turns = normalise(conversation)
    slots = _clip_slots(turns, None, 0)
    turns = _with_system(turns, slots, config, tokenizer)
    return _LAYOUTS[config.layout](turns, iter(slots), _Unmarked())


def with_bos_policy(prompt: Prompt, tokenizer: Any, config: Any) -> Prompt:
    """A prompt with clips as `bos_policy` wants its beginning; one without clips stays as it is.

    For "published-inference" it becomes what the published DeSTA2 inference code makes. That code counts the
    tokens before a clip without the tokenizer's own beginning of text, and then lets the tokenizer add it
    (for Llama 3 a second one). So the vectors keep their positions, while the text moves to the right around
    them.
    """
    if not prompt.audio_slots or config.bos_policy != "published-inference":
        return prompt
    ahead = _own_start(tokenizer)
    places = {start + i for start, length in prompt.audio_slots for i in range(length)}
    text = iter([*ahead, *(token for place, token in enumerate(prompt.input_ids) if place not in places)])
    length = len(ahead) + len(prompt.input_ids)
    ids = [PLACEHOLDER_ID if place in places else next(text) for place in range(length)]
    return Prompt(ids, prompt.audio_slots)


def _own_start(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text by itself."""
    bare = tokenizer("-", add_special_tokens=False)["input_ids"]
    full = list(tokenizer("-")["input_ids"])
    return full[: full.index(bare[0])]


def seed_messages(seed: str, prompt: str) -> list[dict[str, Any]]:
    """The self-generation conversation: `prompt` about a clip replaced by its seed transcript as text."""
    return [{"role": "user", "content": f"<|AUDIO|>\n{prompt}", "audios": [{"audio": None, "text": seed}]}]


def response_ids(response: str, tokenizer: Any) -> list[int]:
    """Token ids of an answer, with the token that ends an assistant turn in the LLM's chat template.

    Raises:
        InputError: The tokenizer has no chat template, or no token that ends a turn.
    """
    return [*plain_ids(response, tokenizer), end_of_turn_id(tokenizer)]


def plain_ids(text: str, tokenizer: Any) -> list[int]:
    """Token ids of `text` in which special-token texts are ordinary text."""
    if not text:
        return []
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


class _Markers:
    """Hands out strings that occur in no message, and remembers what each stands for."""

    def __init__(self, turns: Sequence[Turn], tokenizer: Any) -> None:
        text = "".join(part for turn in turns for part in turn.parts if isinstance(part, str))
        nonce = next(n for n in itertools.count() if f"\ue000{n}:" not in text)
        self._prefix = f"\ue000{nonce}:"
        self.pattern = re.compile(re.escape(self._prefix) + "([0-9]+)\ue001")
        self.slots: list[_Slot] = []
        controls = _control_texts(tokenizer)
        self._controls = re.compile("|".join(map(re.escape, controls))) if controls else None

    def mark(self, *slots: _Slot) -> str:
        first = len(self.slots)
        self.slots += slots
        return "".join(f"{self._prefix}{number}\ue001" for number in range(first, len(self.slots)))

    def escape(self, text: str) -> str:
        """`text` with a marker in place of each special-token text."""
        if self._controls is None:
            return text
        return self._controls.sub(lambda match: self.mark(_Slot(match.group())), text)


class _Unmarked:
    """Texts as they are, in place of `_Markers`."""

    def mark(self, *slots: _Slot) -> str:
        return "".join(slot.text for slot in slots)

    def escape(self, text: str) -> str:
        return text


def _control_texts(tokenizer: Any) -> list[str]:
    """Texts that the tokenizer reads as special tokens, longest first so that none hides in another."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return sorted(filter(None, added | set(tokenizer.all_special_tokens)), key=len, reverse=True)


def _clip_slots(
    turns: Sequence[Turn], transcripts: Sequence[str | Sequence[str] | None] | None, n_queries: int
) -> list[list[_Slot]]:
    """What stands for each clip: one slot per window."""
    clips = clips_of(turns)
    given: list[str | Sequence[str] | None]
    given = [None] * len(clips) if transcripts is None else list(transcripts)
    if len(given) != len(clips):
        raise InputError(f"{len(given)} transcripts for {len(clips)} clips; give one per clip, in order")
    slots = []
    for number, (clip, transcript) in enumerate(zip(clips, given, strict=True), start=1):
        text = clip.transcript if transcript is None else transcript
        if text is None:
            raise InputError(f"clip {number} of {len(clips)} has no transcript; transcribe it or give one")
        texts = [text] if isinstance(text, str) else text
        slots.append([_Slot(own, None if clip.audio is None else n_queries) for own in texts])
    return slots


def _own_turn_layout(
    turns: Sequence[Turn], slots: Iterator[list[_Slot]], markers: _Markers | _Unmarked
) -> list[dict[str, str]]:
    """DeSTA2: each clip is a turn with the role `audio`, at its place between the texts."""
    messages = []
    for turn in turns:
        if not clips_of([turn]):
            messages.append({"role": turn.role, "content": markers.escape("".join(map(str, turn.parts)))})
            continue
        for part in _clips_first_if_last(turn.parts):
            if isinstance(part, ClipPart):
                messages.append({"role": "audio", "content": markers.mark(*next(slots))})
            elif part.strip():
                messages.append({"role": turn.role, "content": markers.escape(part.strip())})
    return messages


def _clips_first_if_last(parts: Sequence[str | ClipPart]) -> list[str | ClipPart]:
    """Question first, clips after: put the clips first, which is the only order that training has seen."""
    texts: list[str | ClipPart] = [part for part in parts if isinstance(part, str)]
    clips: list[str | ClipPart] = [part for part in parts if isinstance(part, ClipPart)]
    return [*clips, *texts] if list(parts) == [*texts, *clips] else list(parts)


def _in_turn_layout(
    turns: Sequence[Turn], slots: Iterator[list[_Slot]], markers: _Markers | _Unmarked
) -> list[dict[str, str]]:
    """DeSTA2.5: each clip stands between two tags in the user's text."""
    messages = []
    for turn in turns:
        content = ""
        for part in turn.parts:
            if isinstance(part, ClipPart):
                content += START_AUDIO + markers.mark(*next(slots)) + END_AUDIO
            else:
                content += markers.escape(part)
        messages.append({"role": turn.role, "content": content})
    return messages


_LAYOUTS = {"desta2": _own_turn_layout, "desta2.5": _in_turn_layout}


def _fill(rendered: str, markers: _Markers, tokenizer: Any) -> Prompt:
    """Cut the rendered text at the markers and put ids together: template text as is, slots as plain text."""
    pieces = markers.pattern.split(rendered)
    found = [int(number) for number in pieces[1::2]]
    if found != list(range(len(markers.slots))):
        raise InputError(
            f"the LLM's chat template does not write every turn once and in order: of {len(markers.slots)} "
            f"marked places it wrote {len(found)}; it may drop turns with the role 'audio' "
            f"({templates.OTHER_LAYOUT})"
        )
    input_ids: list[int] = []
    audio_slots: list[tuple[int, int]] = []
    for text, number in itertools.zip_longest(pieces[::2], found):
        if text:
            input_ids += tokenizer(text, add_special_tokens=False)["input_ids"]
        if number is None:  # after the last marker
            continue
        slot = markers.slots[number]
        if slot.n_queries is not None:
            audio_slots.append((len(input_ids), slot.n_queries))
            input_ids += [PLACEHOLDER_ID] * slot.n_queries
        input_ids += plain_ids(slot.text, tokenizer)
    return Prompt(input_ids, audio_slots)
