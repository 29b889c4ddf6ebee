"""The model card that is saved beside an adapter.

Everything in it is read from the configuration and the saved file, or was passed in by who trained; what is
not known is said to be unknown. A card ends with a mark that holds its own digest: as long as the two agree
nobody has edited it, and it may be written anew. A card that a person wrote or touched is never replaced, at
the price that it may fall behind the adapter.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCardData

from desta2.model.checkpoint import ADAPTER_FILE
from desta2.model.configuration import Desta2Config

CARD_FILE = "README.md"
_MARK = "\n<!-- Written by desta2, which replaces this card only while it is unedited. sha256:"
_UNKNOWN = "Not recorded."
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """A measured score.

    Attributes:
        benchmark: what was measured on, with its split.
        metric: name and unit, such as "accuracy (%)".
        value: the score.
        n: items that it was computed from.
        interval: 95 % interval, if there is one.
    """

    benchmark: str
    metric: str
    value: float
    n: int
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class CardFacts:
    """What a card can only know from who trained the adapter.

    Attributes:
        training: sentences about data and training, in Markdown.
        scores: measured scores.
    """

    training: Sequence[str] = ()
    scores: Sequence[Score] = ()


def write_card(
    folder: Path,
    config: Desta2Config,
    n_parameters: int,
    facts: CardFacts | None = None,
    name: str | None = None,
    carried: Path | None = None,
) -> None:
    """Write `README.md` into a model folder, unless a person wrote the one that is there (or carried).

    Args:
        folder: holds the adapter's weights already.
        config: as saved in it.
        n_parameters: of the adapter.
        facts: what is known about training; what is not given comes from an older card of the same weights.
        name: title of the card; by default the folder's name.
        carried: a card from elsewhere, used where the folder has none.
    """
    file = folder / CARD_FILE
    known = file if file.is_file() else carried
    old = known.read_text(encoding="utf-8") if known is not None else ""
    if old and not _is_untouched(old):
        _log.info("%s was written by a person and is kept", known)
        text = old
    else:
        with (folder / ADAPTER_FILE).open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
        sections = _sections(facts or CardFacts(), old if digest in old else "")
        text = render_card(config, digest, n_parameters, sections, name or folder.resolve().name)
    file.write_text(text, encoding="utf-8")


def render_card(
    config: Desta2Config, digest: str, n_parameters: int, sections: Mapping[str, str], name: str
) -> str:
    """The card's text: metadata for the hub, then Markdown, then the mark.

    Args:
        config: of the model.
        digest: SHA-256 of the adapter's file.
        n_parameters: of the adapter.
        sections: Markdown under titles, at the end; an empty one is said to be unknown.
        name: title.
    """
    body = f"""---
{_metadata(config)}
---

# {name}

An adapter that lets the text LLM `{config.llm_id}` hear through the Whisper `{config.encoder_id}`, in the
manner of DeSTA2 ([arXiv 2409.20007](https://arxiv.org/abs/2409.20007)). Both stay frozen and are not in this
folder: loading takes them from where they are named, and refuses others.{_on_lora(config)}

```python
import desta2

model = desta2.load("{name}")  # this folder, or its id on the hub
print(model.chat("clip.wav", "What can you hear from the audio?").text)
```

## Parts

{_parts(config, digest, n_parameters)}

{_settings(config)}
"""
    body += "".join(f"\n## {title}\n\n{text or _UNKNOWN}\n" for title, text in sections.items())
    return f"{body}{_MARK}{_digest(body)} -->\n"


def is_hub_id(base: str) -> bool:
    """Whether a base is named by a hub id, rather than by a path or as shipped with the package."""
    return bool(_HUB_ID.fullmatch(base)) and not base.startswith("nano/") and not Path(base).exists()


def _metadata(config: Desta2Config) -> str:
    bases = [base for base in (config.llm_id, config.encoder_id) if is_hub_id(base)]
    data = ModelCardData(
        library_name="desta2",
        pipeline_tag="audio-text-to-text",
        base_model=bases or None,
        base_model_relation="adapter" if bases else None,
        tags=["desta2", "speech", "audio", "speech-language-model"],
    )
    return str(data.to_yaml())


def _on_lora(config: Desta2Config) -> str:
    if config.lora is None:
        return ""
    return "\nLow-rank updates of the LLM (LoRA) are in `lora/`: answers to text differ from the LLM's own."


def _parts(config: Desta2Config, digest: str, n_parameters: int) -> str:
    rows = []
    if (lora := config.lora) is not None:
        modules = lora["target_modules"]
        where = modules if isinstance(modules, str) else ", ".join(modules)
        rows.append(("LoRA on the LLM", f"rank {lora['r']}, alpha {lora['alpha']:g}, {where}", ""))
    return _table(
        ("part", "model", "fingerprint"),
        ("LLM", f"`{config.llm_id}`, width {config.d_llm}", _code(config.llm_fingerprint)),
        (
            "speech encoder",
            f"`{config.encoder_id}`, width {config.d_encoder}, {config.encoder_layers} layers",
            _code(config.encoder_fingerprint),
        ),
        ("adapter", f"Q-Former, {n_parameters:,} parameters", f"`{digest}` (SHA-256 of the file)"),
        *rows,
    )


def _settings(config: Desta2Config) -> str:
    taps = ", ".join(map(str, config.tap_layers))
    return _table(
        ("adapter and prompt", ""),
        ("Q-Former layers", config.adapter_layers),
        ("attention heads", config.adapter_heads),
        ("feed-forward width", config.adapter_intermediate),
        ("queries per clip", config.n_queries),
        ("encoder layers read (outputs from 0; -1 is the first layer's input)", taps),
        ("taps standardised", "yes" if config.standardise_taps else "no"),
        ("outputs normalised", "yes" if config.normalise_outputs else "no"),
        ("frames heard", "those of the clip" if config.encoder_frames == "speech" else "the whole window"),
        ("layout of the prompt", f"`{config.layout}`"),
        ("system prompt with clips", "none" if config.system_prompt is None else f"`{config.system_prompt}`"),
        ("longest transcript", f"{config.max_transcript_tokens} Whisper tokens"),
    )


def _sections(facts: CardFacts, old: str) -> dict[str, str]:
    """What was given, or else what an older card says."""
    given = {
        "Training data": "\n".join(f"- {' '.join(sentence.split())}" for sentence in facts.training),
        "Scores": _score_table(facts.scores),
    }
    return {title: text or _section(old, title) for title, text in given.items()}


def _section(card: str, title: str) -> str:
    found = re.search(rf"^## {title}\n\n(.*?)\n(?=\n## |\n<!--)", card, re.MULTILINE | re.DOTALL)
    return found[1] if found and found[1] != _UNKNOWN else ""


def _score_table(scores: Sequence[Score]) -> str:
    rows = [
        (score.benchmark, score.metric, f"{score.value:g}", _interval(score.interval), score.n)
        for score in scores
    ]
    return _table(("benchmark", "metric", "score", "95 % interval", "n"), *rows) if rows else ""


def _interval(interval: tuple[float, float] | None) -> str:
    return "not computed" if interval is None else f"{interval[0]:g} to {interval[1]:g}"


def _table(head: Sequence[object], *rows: Sequence[object]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _is_untouched(card: str) -> bool:
    body, mark, digest = card.rpartition(_MARK)
    return bool(mark) and digest.strip() == f"{_digest(body)} -->"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _code(fingerprint: str | None) -> str:
    return f"`{fingerprint}`" if fingerprint else "not recorded"
