"""The Q-Former adapter: a few learned vectors per clip, in the width of the LLM.

Queries of every tap go through one shared stack of BERT-style post-LayerNorm layers in a single batch (taps
and clips folded together), which costs memory of `n_taps` times one tap but runs each weight once.
Self-attention is bidirectional: the queries are a set, not a text. Source: DeSTA2 (arXiv 2409.20007);
parameter names are ours and map one to one, without reshaping, to the published ones.
With `encoder_frames` "speech" the cross-attention sees the frames of a clip's own length only. As published
it sees the whole window, most of which is padding for a short clip: key and value projections of all frames
are then most of the work.
With `normalise_outputs` every vector has the same length, that of the LLM's word embeddings. Left free, the
vectors of a small adapter grow several times as long, and what they say to the LLM beside the voice (describe
it) drowns instructions that ask for something else.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from desta2.errors import InputError, RunError
from desta2.model.attention import attend
from desta2.model.configuration import Desta2Config

LAYER_NORM_EPS = 1e-12


class Attention(nn.Module):
    """Multi-head attention with its residual and LayerNorm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x` (batch, n, width) looks at `context` (batch, m, width); returns (batch, n, width).

        `mask` (batch, 1, 1, m) is False where it may not look; None lets it look at all.
        """
        mixed = attend(
            self._split(self.query(x)),  # (batch, heads, n, width / heads)
            self._split(self.key(context)),
            self._split(self.value(context)),
            mask,
            self.dropout.p if self.training else 0.0,
        )
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.norm(x + self.dropout(self.output(mixed)))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear maps with a GELU between, residual and LayerNorm."""

    def __init__(self, width: int, intermediate: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(width, intermediate)
        self.down = nn.Linear(intermediate, width)
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n, width) → the same."""
        return self.norm(x + self.dropout(self.down(F.gelu(self.up(x)))))


class QFormerLayer(nn.Module):
    """Self-attention among the queries, cross-attention to the frames, feed-forward."""

    def __init__(self, config: Desta2Config) -> None:
        super().__init__()
        width, dropout = config.d_encoder, config.adapter_dropout
        self.self_attention = Attention(width, config.adapter_heads, dropout)
        self.cross_attention = Attention(width, config.adapter_heads, dropout)
        self.feed_forward = FeedForward(width, config.adapter_intermediate, dropout)

    def forward(self, queries: Tensor, heard: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (batch, n, width) and what is heard (batch, T, width) → new queries."""
        queries = self.self_attention(queries, queries)
        queries = self.cross_attention(queries, heard, mask)
        return self.feed_forward(queries)


class Adapter(nn.Module):
    """Encoder taps → vectors for the LLM."""

    tap_mean: Tensor
    tap_std: Tensor

    def __init__(self, config: Desta2Config) -> None:
        super().__init__()
        self.config = config
        n_taps, width = len(config.tap_layers), config.d_encoder
        self.queries = nn.ParameterList(
            nn.Parameter(torch.empty(1, config.n_queries, width)) for _ in range(n_taps)
        )
        self.layers = nn.ModuleList(QFormerLayer(config) for _ in range(config.adapter_layers))
        self.layer_weights = nn.Parameter(torch.empty(config.n_queries, n_taps))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, config.d_llm)
        self.calibrated = not config.standardise_taps
        if config.standardise_taps:
            self.register_buffer("tap_mean", torch.zeros(n_taps, width))
            self.register_buffer("tap_std", torch.ones(n_taps, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights; biases are zero, tap weights even, outputs at `output_scale`."""
        for query in self.queries:
            nn.init.normal_(query, std=self.config.query_std)
        nn.init.zeros_(self.layer_weights)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
                nn.init.zeros_(module.bias)
        if self.config.output_scale is not None:
            # The LayerNorm before it has unit variance, so this standard deviation carries through.
            std = self.config.output_scale / math.sqrt(self.config.d_encoder)
            nn.init.normal_(self.projection.weight, std=std)

    @torch.no_grad()
    def calibrate(self, taps: Tensor, frames: Tensor | None = None) -> None:
        """Store per-channel mean and deviation of each tap.

        Fixed statistics, rather than each clip's own, keep what is constant within a clip (its voice, its
        loudness) and make an answer independent of the rest of the batch. A few hundred clips are plenty.

        Args:
            taps, frames: As in `forward`; what that does not look at does not count.

        Raises:
            RunError: The configuration does not standardise taps.
            InputError: As `forward`.
        """
        if not self.config.standardise_taps:
            raise RunError(
                "calibrate() was called on an adapter whose configuration has standardise_taps off"
            )
        taps, seen = self._visible(self._checked(taps), frames)
        for i, tap in enumerate(taps):
            vectors = tap.flatten(0, -2) if seen is None else tap[seen]  # (n, d_encoder)
            vectors = vectors.to(self.tap_mean)
            self.tap_mean[i] = vectors.mean(0)
            # A channel that never moves carries nothing; the floor keeps it from being blown up.
            self.tap_std[i] = vectors.std(0, correction=0).clamp_min(1e-4)
        self.calibrated = True

    def forward(self, taps: Tensor, frames: Tensor | None = None) -> Tensor:
        """Turn taps into LLM vectors.

        Args:
            taps: (n_taps, n_audio, T, d_encoder), any floating type. What is beyond a clip's `frames` must be
                finite and has no effect.
            frames: (n_audio,), how many frames each clip lasts: needed with `encoder_frames` "speech", not
                looked at with "all".

        Returns:
            (n_audio, n_queries, d_llm), in the adapter's own type.

        Raises:
            InputError: `taps` has another number of taps or another width, or `frames` does not fit them.
            RunError: Taps are to be standardised but `calibrate` was never called.
        """
        taps, seen = self._visible(self._checked(taps), frames)
        n_taps, n_audio = taps.shape[:2]
        heard = _as_computed(self._standardised(taps.to(self.layer_weights))).flatten(0, 1).contiguous()
        mask = None if seen is None else seen.repeat(n_taps, 1)[:, None, None]  # (n_taps * n_audio, 1, 1, T)
        queries = torch.stack([query.expand(n_audio, -1, -1) for query in self.queries]).flatten(0, 1)
        for layer in self.layers:
            queries = layer(queries, heard, mask)  # (n_taps * n_audio, n_queries, d_encoder)
        per_tap = queries.unflatten(0, (n_taps, n_audio))  # (n_taps, n_audio, n_queries, d_encoder)
        mixed = torch.einsum("taqd,qt->aqd", per_tap, self.layer_weights.softmax(-1))
        return self._scaled(self.projection(self.norm(mixed)))

    def _scaled(self, vectors: Tensor) -> Tensor:
        if not self.config.normalise_outputs:
            return vectors
        scale = 1.0 if self.config.output_scale is None else self.config.output_scale
        return F.rms_norm(vectors, vectors.shape[-1:]) * scale

    def _checked(self, taps: Tensor) -> Tensor:
        expected = (len(self.queries), self.config.d_encoder)
        if taps.dim() != 4 or (taps.shape[0], taps.shape[-1]) != expected:
            raise InputError(
                f"taps have shape {tuple(taps.shape)}; expected (n_taps={expected[0]}, n_audio, frames, "
                f"d_encoder={expected[1]}); were they cached with another configuration?"
            )
        return taps

    def _visible(self, taps: Tensor, frames: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Taps cut to the longest clip, and (n_audio, T), False at what of them no query may see.

        The second is None where all may be seen: attention without a mask has the faster kernels.
        """
        if self.config.encoder_frames == "all":
            return taps, None
        lengths = self._checked_lengths(taps, frames)
        longest = max(lengths, default=0)
        taps = taps[:, :, :longest]
        if min(lengths, default=0) == longest:
            return taps, None
        ends = torch.tensor(lengths, device=taps.device)
        return taps, torch.arange(longest, device=taps.device) < ends[:, None]

    def _checked_lengths(self, taps: Tensor, frames: Tensor | None) -> list[int]:
        n_audio, most = taps.shape[1:3]
        if frames is None:
            raise InputError(
                "this model hears the frames of a clip's own length (encoder_frames is 'speech'); give "
                "frames, how many each clip lasts"
            )
        lengths: list[int] = frames.tolist()
        if frames.shape != (n_audio,) or not all(1 <= length <= most for length in lengths):
            raise InputError(
                f"frames is {lengths}; expected one number for each of {n_audio} clips, from 1 to the {most} "
                "frames of the taps"
            )
        return lengths

    def _standardised(self, taps: Tensor) -> Tensor:
        if not self.config.standardise_taps:
            return taps
        if not self.calibrated:
            raise RunError(
                "the adapter standardises its taps but has no statistics yet; call calibrate(taps) first"
            )
        return (taps - self.tap_mean[:, None, None]) / self.tap_std[:, None, None]


def _as_computed(heard: Tensor) -> Tensor:
    """The same in the type in which autocast will multiply it.

    Every key and value projection would cast it anew otherwise, and keep its copy for the backward pass.
    """
    device = heard.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return heard
    return heard.to(torch.get_autocast_dtype(device))
