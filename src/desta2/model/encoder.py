"""The frozen Whisper encoder, run once, with its taps.

Tap `i` is the output of layer `i` before the encoder's final LayerNorm; tap -1 is the input of layer 0. The
list that transformers returns holds the *inputs* of all layers, and as its last entry the output *after* the
final LayerNorm. So the last layer's own output is taken where it enters that LayerNorm. All hidden states
exist for a moment, which costs about 8 MB per layer and clip for Whisper-large in fp32; no layer's return
value is ever taken apart, so the form it has in a given release of transformers does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from desta2.errors import InputError


@dataclass(frozen=True)
class EncoderOutput:
    """What one encoder pass yields.

    Attributes:
        taps: (n_taps, n_audio, T, d_encoder).
        last_hidden_state: (n_audio, T, d_encoder), after the final LayerNorm: what the Whisper decoder reads.
    """

    taps: Tensor
    last_hidden_state: Tensor


@torch.no_grad()
def encode(encoder: Any, input_features: Tensor, tap_layers: Sequence[int]) -> EncoderOutput:
    """Run a Whisper encoder once.

    Args:
        encoder: The encoder of a `WhisperForConditionalGeneration`.
        input_features: (n_audio, n_mels, frames), as the feature extractor makes them.
        tap_layers: Layers from -1 to depth - 1.

    Raises:
        InputError: The features do not fit the encoder.
    """
    _check_features(encoder, input_features)
    weight = encoder.layer_norm.weight
    before_norm: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        before_norm.append(inputs[0])

    hook = encoder.layer_norm.register_forward_pre_hook(keep)
    try:
        output = encoder(input_features.to(weight), output_hidden_states=True, return_dict=True)
    finally:
        hook.remove()
    outputs = [*output.hidden_states[:-1], before_norm[-1]]  # entry i + 1 is the output of layer i
    taps = torch.stack([outputs[tap + 1].to(weight.device) for tap in tap_layers])
    return EncoderOutput(taps=taps, last_hidden_state=output.last_hidden_state)


def _check_features(encoder: Any, input_features: Tensor) -> None:
    config = encoder.config
    expected = (
        config.num_mel_bins,
        2 * config.max_source_positions,
    )  # its second convolution halves the frames
    if input_features.dim() != 3 or tuple(input_features.shape[1:]) != expected:
        raise InputError(
            f"input_features have shape {tuple(input_features.shape)}; this Whisper expects (n_audio, "
            f"{expected[0]} mel bins, {expected[1]} frames); use the feature extractor of the same Whisper"
        )
