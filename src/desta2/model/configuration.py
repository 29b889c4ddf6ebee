"""The model's configuration: plain values only.

Everything needed to build the adapter and the prompt stands in `config.json` as numbers and words; nothing
is looked up on the hub or on disk when a configuration is made, printed or saved. The price is that facts
about the frozen models (widths, depth) are repeated here; `Desta2Model.from_bases` copies them from the
models, and loading compares them again.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import PretrainedConfig

from desta2.errors import ConfigError

LAYOUTS = ("desta2", "desta2.5")
ENCODER_FRAMES = ("all", "speech")
BOS_POLICIES = ("template", "published-inference")
DEFAULT_SYSTEM_PROMPT = "Focus on the audio clips and instructions."
LORA_DEFAULTS: dict[str, Any] = {"r": 8, "alpha": 16, "dropout": 0.0, "target_modules": "all-linear"}


def default_tap_layers(encoder_layers: int, n_taps: int = 4) -> list[int]:
    """`n_taps` evenly spaced layers, the last included (12 → 2, 5, 8, 11); all where there are fewer."""
    n_taps = min(n_taps, encoder_layers)
    return [(i + 1) * encoder_layers // n_taps - 1 for i in range(n_taps)]


class Desta2Config(PretrainedConfig):
    """Configuration of a `Desta2Model`.

    Args:
        llm_id: The frozen LLM: hub id or folder. A relative folder is first looked for in the model's folder.
        encoder_id: The frozen Whisper, likewise.
        llm_fingerprint: Fingerprint of the LLM the adapter was trained with (see `checkpoint.fingerprint`).
        encoder_fingerprint: The same for the Whisper.
        layout: Where a clip stands: "desta2" (a turn of its own) or "desta2.5" (inside the user's turn).
        system_prompt: System turn put before conversations that have clips and no system turn; None for none.
            Chat templates without a system role get it at the head of the first user turn.
        chat_template_kwargs: Variables of the LLM's chat template, such as `{"enable_thinking": False}`.
        bos_policy: What begins a prompt with clips. "template": what the chat template writes, and nothing
            else. "published-inference", for answering as the published DeSTA2 code does: the tokenizer's own
            beginning of text stands before the template's, and each clip's vectors stand as many tokens too
            early.
        encoder_layers: Depth of the Whisper encoder.
        tap_layers: 0-based encoder layers whose outputs (before the final LayerNorm) the adapter reads; -1 is
            the input of the first layer. None: `default_tap_layers(encoder_layers)`.
        n_queries: Learned queries per tap, which is also the number of LLM positions per clip.
        adapter_layers: Q-Former layers.
        adapter_intermediate: Width of the Q-Former's feed-forward.
        adapter_heads: Attention heads of the Q-Former.
        adapter_dropout: Dropout inside the Q-Former while training.
        d_encoder: Width of the Whisper encoder and of the Q-Former.
        d_llm: Width of the LLM's embeddings.
        standardise_taps: Whether each tap is standardised per channel with statistics stored in the adapter
            (see `Adapter.calibrate`). Off for the published checkpoints.
        encoder_frames: What the Q-Former sees of a clip: "all" frames of the encoder's window, padding and
            all (as published), or "speech", those of the clip's own length. The latter is several times
            faster for short clips. An adapter hears well only with what it was trained with.
        query_std: Standard deviation of the queries when a fresh adapter is drawn.
        llm_embedding_std: Standard deviation of the LLM's input embeddings when the adapter was made. Where
            it is another one on loading, this version of transformers scales the LLM's embeddings elsewhere,
            and the adapter's vectors are scaled with them (see `bases.embedding_gain`).
        output_scale: Standard deviation of a fresh adapter's outputs; None leaves the projection as drawn.
        normalise_outputs: Whether each of the adapter's vectors is scaled to a root mean square of
            `output_scale` (1 where that is None), in training too. Off for the published checkpoints.
        max_transcript_tokens: Longest transcript that the Whisper decoder writes, per window.
        strip_transcripts: Whether white space around Whisper's transcripts is taken off. The published DeSTA2
            keeps it (a transcript mostly starts with a space), DeSTA2.5 takes it off.
        max_clip_seconds: Longest clip that is taken; longer ones are refused, never cut off.
        detect_speech: Whether a clip in which nobody speaks (Silero VAD) gets an empty transcript instead of
            what Whisper makes of it. None: as published, which is yes for layout "desta2.5", no for "desta2".
        lora: Low-rank updates of the LLM, trained beside the adapter (needs peft): `r` (8), `alpha` (16),
            `dropout` (0.0) and `target_modules` ("all-linear": all linear layers but the output; or a list of
            names, or a regular expression); `{}` for these defaults. None: the LLM stays as it is.

    Raises:
        ConfigError: A key is unknown or a value impossible.
    """

    model_type = "desta2"

    def __init__(
        self,
        llm_id: str = "",
        encoder_id: str = "",
        llm_fingerprint: str | None = None,
        encoder_fingerprint: str | None = None,
        layout: str = "desta2",
        system_prompt: str | None = DEFAULT_SYSTEM_PROMPT,
        bos_policy: str = "template",
        encoder_layers: int = 12,
        tap_layers: list[int] | None = None,
        n_queries: int = 64,
        adapter_layers: int = 2,
        adapter_intermediate: int = 3072,
        adapter_heads: int = 12,
        adapter_dropout: float = 0.1,
        d_encoder: int = 768,
        d_llm: int = 4096,
        standardise_taps: bool = False,
        query_std: float = 1.0,
        output_scale: float | None = None,
        max_transcript_tokens: int = 128,
        strip_transcripts: bool = True,
        max_clip_seconds: float = 600.0,
        detect_speech: bool | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        lora: dict[str, Any] | None = None,
        llm_embedding_std: float | None = None,
        encoder_frames: str = "all",
        normalise_outputs: bool = False,
        **kwargs: Any,
    ) -> None:
        _refuse_unknown(kwargs)
        self.llm_id = llm_id
        self.encoder_id = encoder_id
        self.llm_fingerprint = llm_fingerprint
        self.encoder_fingerprint = encoder_fingerprint
        self.layout = layout
        self.system_prompt = system_prompt
        self.bos_policy = bos_policy
        self.encoder_layers = _positive("encoder_layers", encoder_layers)
        self.tap_layers = default_tap_layers(encoder_layers) if tap_layers is None else list(tap_layers)
        self.n_queries = _positive("n_queries", n_queries)
        self.adapter_layers = _positive("adapter_layers", adapter_layers)
        self.adapter_intermediate = _positive("adapter_intermediate", adapter_intermediate)
        self.adapter_heads = _positive("adapter_heads", adapter_heads)
        self.adapter_dropout = adapter_dropout
        self.d_encoder = _positive("d_encoder", d_encoder)
        self.d_llm = _positive("d_llm", d_llm)
        self.standardise_taps = standardise_taps
        self.query_std = query_std
        self.output_scale = output_scale
        self.max_transcript_tokens = _positive("max_transcript_tokens", max_transcript_tokens)
        self.strip_transcripts = strip_transcripts
        self.max_clip_seconds = max_clip_seconds
        self.detect_speech = layout == "desta2.5" if detect_speech is None else detect_speech
        self.chat_template_kwargs = chat_template_kwargs
        self.lora = None if lora is None else _lora(lora)
        self.llm_embedding_std = llm_embedding_std
        self.encoder_frames = encoder_frames
        self.normalise_outputs = normalise_outputs
        self._check()
        super().__init__(**kwargs)

    def _check(self) -> None:
        choices = {"layout": LAYOUTS, "bos_policy": BOS_POLICIES, "encoder_frames": ENCODER_FRAMES}
        for name, words in choices.items():
            if (word := getattr(self, name)) not in words:
                raise ConfigError(f"{name} is {word!r}; it must be one of {', '.join(map(repr, words))}")
        allowed = range(-1, self.encoder_layers)
        if not self.tap_layers or any(tap not in allowed for tap in self.tap_layers):
            raise ConfigError(
                f"tap_layers is {self.tap_layers}; it must name layers from -1 (input of the first layer) to "
                f"{self.encoder_layers - 1} (the last of {self.encoder_layers} encoder layers)"
            )
        if len(set(self.tap_layers)) < len(self.tap_layers):
            raise ConfigError(f"tap_layers is {self.tap_layers}; each layer may be named once")
        if self.d_encoder % self.adapter_heads:
            raise ConfigError(
                f"adapter_heads is {self.adapter_heads}; it must divide d_encoder, which is {self.d_encoder}"
            )
        if not 0 <= self.adapter_dropout < 1:
            raise ConfigError(f"adapter_dropout is {self.adapter_dropout}; it must be at least 0 and below 1")
        if self.output_scale is not None and not self.output_scale > 0:
            raise ConfigError(f"output_scale is {self.output_scale}; it must be above 0, or null")
        if not self.max_clip_seconds > 0:
            raise ConfigError(f"max_clip_seconds is {self.max_clip_seconds}; it must be above 0")

    def to_diff_dict(self) -> dict[str, Any]:
        """All of our own values, also those at their default, so that a saved file explains itself."""
        own = {name: getattr(self, name) for name in _own_keys()}
        return {**super().to_diff_dict(), **own}


def _own_keys() -> list[str]:
    code = Desta2Config.__init__.__code__
    return [name for name in code.co_varnames[1 : code.co_argcount]]


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1")
    return value


def _lora(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of LoRA with their defaults, checked."""
    for key in given:
        if key not in LORA_DEFAULTS:
            raise ConfigError(f"unknown configuration key 'lora.{key}'{_hint(key, LORA_DEFAULTS, 'lora.')}")
    options = {**LORA_DEFAULTS, **given}
    _positive("lora.r", options["r"])
    if not options["alpha"] > 0:
        raise ConfigError(f"lora.alpha is {options['alpha']}; it must be above 0")
    if not 0 <= options["dropout"] < 1:
        raise ConfigError(f"lora.dropout is {options['dropout']}; it must be at least 0 and below 1")
    modules = options["target_modules"]
    if not modules or not all(isinstance(name, str) for name in modules):
        raise ConfigError(
            f"lora.target_modules is {modules!r}; it must be 'all-linear', a list of names of modules, or a "
            "regular expression"
        )
    return options


def _hint(key: str, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"; did you mean {prefix + close[0]!r}?" if close else ""


def _refuse_unknown(kwargs: dict[str, Any]) -> None:
    """Transformers' base class stores any key in silence; a misspelt one of ours must not pass as such."""
    base = PretrainedConfig()
    known = {
        "auto_map",
        "torch_dtype",
        "attn_implementation",
        "experts_implementation",
        "name_or_path",
        "processor_class",
        "model_type",
        "use_cache",  # set by the Trainer
    }
    for key in kwargs:
        if key.startswith("_") or key in known or hasattr(base, key):
            continue
        raise ConfigError(f"unknown configuration key {key!r}{_hint(key, _own_keys())}")
