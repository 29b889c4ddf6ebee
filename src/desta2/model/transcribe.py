"""Writing a clip's transcript with the frozen Whisper decoder.

Decoding starts from an encoder pass that was already made, so that one pass per clip serves both the adapter
and the transcript. Greedy, without Whisper's temperature fallback: the same clip always gives the same words.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

# A multilingual Whisper's prompt: start of transcript, language, task, no timestamps.
MAX_DECODER_PROMPT = 4


@torch.no_grad()
def transcribe(
    whisper: Any, tokenizer: Any, last_hidden_state: Tensor, max_new_tokens: int, *, strip: bool = True
) -> list[str]:
    """Transcribe encoded clips.

    Language and task follow the Whisper's own generation config; a multilingual one without a set language
    detects it, from the same encoder pass.

    Args:
        whisper: `WhisperForConditionalGeneration`.
        tokenizer: Its tokenizer.
        last_hidden_state: (n_audio, T, d_encoder), after the encoder's final LayerNorm.
        max_new_tokens: Longest transcript in Whisper tokens; lowered to what the decoder has positions for
            and to the `max_length` of the Whisper's generation config.
        strip: Whether surrounding white space is taken off.

    Returns:
        One text per clip.
    """
    if not len(last_hidden_state):
        return []
    positions = whisper.config.max_target_positions
    room = min(positions, whisper.generation_config.max_length or positions) - MAX_DECODER_PROMPT
    token_ids = whisper.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=last_hidden_state),
        # The mask covers everything and changes nothing; without it, as with the generation config's own
        # max_length beside max_new_tokens, transformers warns at every clip.
        attention_mask=torch.ones(
            last_hidden_state.shape[:2], dtype=torch.long, device=last_hidden_state.device
        ),
        max_length=None,
        max_new_tokens=min(max_new_tokens, room),
        do_sample=False,
        num_beams=1,
    )
    texts = tokenizer.batch_decode(token_ids, skip_special_tokens=True)
    return [text.strip() if strip else text for text in texts]
