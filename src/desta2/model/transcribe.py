"""Writing a clip's transcript with the frozen Whisper decoder.

Decoding starts from an encoder pass that was already made, so that one pass per clip serves the adapter, the
language and the transcript. Greedy, without Whisper's temperature fallback: the same clip always gives the
same words.
"""

import logging
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from desta2.errors import InputError

logger = logging.getLogger(__name__)

# A multilingual Whisper's prompt: start of transcript, language, task, no timestamps.
MAX_DECODER_PROMPT = 4


@torch.no_grad()
def transcribe(
    whisper: Any,
    tokenizer: Any,
    last_hidden_state: Tensor,
    max_new_tokens: int,
    language: str | None = None,
    *,
    strip: bool = True,
) -> list[str]:
    """Transcribe encoded clips.

    A multilingual Whisper transcribes (never translates) in the language that is given, or else in that of
    its own generation config, or else in the one that it hears in each clip. One that knows English only is
    left as it is.

    Args:
        whisper: `WhisperForConditionalGeneration`.
        tokenizer: Its tokenizer.
        last_hidden_state: (n_audio, T, d_encoder), after the encoder's final LayerNorm.
        max_new_tokens: Longest transcript in Whisper tokens; lowered to what the decoder has positions for
            and to the `max_length` of the Whisper's generation config.
        language: Of all clips: a code ("de") or an English name ("german").
        strip: Whether surrounding white space is taken off.

    Returns:
        One text per clip.

    Raises:
        InputError: This Whisper does not know the language.
    """
    spoken = language_token(whisper, language)
    if not len(last_hidden_state):
        return []
    encoded = BaseModelOutput(last_hidden_state=last_hidden_state)
    options: dict[str, Any] = {}
    if _languages(whisper):
        one_each = [spoken] * len(last_hidden_state) if spoken else _detect_languages(whisper, encoded)
        options = {"language": one_each, "task": "transcribe"}
    positions = whisper.config.max_target_positions
    room = min(positions, whisper.generation_config.max_length or positions) - MAX_DECODER_PROMPT
    limit = min(max_new_tokens, room)
    token_ids = whisper.generate(
        encoder_outputs=encoded,
        # The mask covers everything and changes nothing; without it, as with the generation config's own
        # max_length beside max_new_tokens, transformers warns at every clip.
        attention_mask=torch.ones(
            last_hidden_state.shape[:2], dtype=torch.long, device=last_hidden_state.device
        ),
        max_length=None,
        max_new_tokens=limit,
        return_timestamps=False,
        do_sample=False,
        num_beams=1,
        **options,
    )
    texts = tokenizer.batch_decode(token_ids, skip_special_tokens=True)
    if token_ids.shape[1] == limit:  # ends and padding are taken off, so some row has no end
        logger.info("a transcript was cut at %d Whisper tokens (max_transcript_tokens)", limit)
        ends = set(tokenizer.all_special_ids)
        last = token_ids[:, -1].tolist()
        # A token may be a part of a character, which the decoder shows as U+FFFD.
        texts = [
            text if end in ends else text.rstrip("\ufffd") for text, end in zip(texts, last, strict=True)
        ]
    return [text.strip() if strip else text for text in texts]


def language_token(whisper: Any, language: str | None) -> str | None:
    """Whisper's token for a language that is given, or else set in its generation config; None without one.

    Raises:
        InputError: This Whisper does not know the language.
    """
    known = _languages(whisper)
    named = language or (getattr(whisper.generation_config, "language", None) if known else None)
    if named is None:
        return None
    code = named.lower().removeprefix("<|").removesuffix("|>")
    code = TO_LANGUAGE_CODE.get(code, code)
    if not known and code == "en":
        return None
    if f"<|{code}|>" not in known:
        knows = ", ".join(sorted(token.strip("<|>") for token in known)) or "en, as it is not multilingual"
        raise InputError(f"language is {named!r}, but this Whisper knows: {knows}")
    return f"<|{code}|>"


def _languages(whisper: Any) -> dict[str, int]:
    """Language tokens of a multilingual Whisper and their ids; empty for one that knows English only."""
    config = whisper.generation_config
    languages: dict[str, int] = getattr(config, "lang_to_id", None) or {}
    multilingual = getattr(config, "is_multilingual", True) and getattr(config, "task_to_id", None)
    return languages if multilingual else {}


def detect_languages(whisper: Any, last_hidden_state: Tensor) -> list[str | None]:
    """The language that the decoder finds likeliest in each clip, as a code ("de").

    Args:
        whisper: `WhisperForConditionalGeneration`.
        last_hidden_state: (n_audio, T, d_encoder), as for `transcribe`.

    Returns:
        One code per clip; None for each where this Whisper knows English only.
    """
    if not _languages(whisper):
        return [None] * len(last_hidden_state)
    tokens = _detect_languages(whisper, BaseModelOutput(last_hidden_state=last_hidden_state))
    return [token.strip("<|>") for token in tokens]


def _detect_languages(whisper: Any, encoded: BaseModelOutput) -> list[str]:
    """The language token of each clip that the decoder finds likeliest after the start of a transcript."""
    tokens = {index: token for token, index in _languages(whisper).items()}
    return [tokens[index] for index in whisper.detect_language(encoder_outputs=encoded).tolist()]
