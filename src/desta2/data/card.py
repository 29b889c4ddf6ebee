"""The dataset card that is written beside checked pairs: `README.md` in Hugging Face's form, with a picture.

Everything in it was counted; what is not known is said to be unknown. A card ends with a mark that holds its
own digest: as long as the two agree nobody has edited it, and it may be written anew. A card that a person
wrote or touched is never replaced, at the price that it may fall behind the pairs.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from desta2 import __version__
from desta2.data.check.plots import plot_statistics
from desta2.data.check.report import Report
from desta2.data.check.statistics import OTHERS, Statistics
from desta2.data.check.text import shown

CARD_FILE = "README.md"
PLOT_FILE = "attributes.png"
_MARK = "\n<!-- Written by desta2, which replaces this card only while it is unedited. sha256:"
_UNKNOWN = "Not recorded."
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)
_MOST_ROWS = 12
_ISO = re.compile(r"[a-z]{2,3}")

logger = logging.getLogger(__name__)


def write_card(folder: Path, statistics: Statistics, report: Report) -> None:
    """Write the card and its picture, unless a person wrote the card that is there.

    Args:
        folder: holds the pairs.
        statistics: of the pairs in it.
        report: of the check that they passed.
    """
    file = folder / CARD_FILE
    if file.exists() and not _is_untouched(file.read_text(encoding="utf-8", errors="replace")):
        logger.warning(
            "%s was written or edited by a person and is kept: it may not fit the pairs any more", file
        )
        return
    temporary = folder / f".{PLOT_FILE}.tmp"
    plot_statistics(statistics, temporary)
    os.replace(temporary, folder / PLOT_FILE)
    temporary = folder / f".{CARD_FILE}.tmp"
    temporary.write_text(render_card(statistics, report, folder.resolve().name), encoding="utf-8")
    os.replace(temporary, file)


def render_card(statistics: Statistics, report: Report, name: str) -> str:
    """The card's text: metadata for the hub, then Markdown, then the mark.

    Args:
        statistics: of the pairs.
        report: of the check that they passed.
        name: title.
    """
    s = statistics
    body = f"""---
{_metadata(s, name)}
---

# {_cell(name)}

Training pairs for a speech language model by the method of DeSTA2
([arXiv 2409.20007](https://arxiv.org/abs/2409.20007)): a text LLM was told what is known about each clip (its
*seed transcript*), and its own answer is what the speech language model learns to give when it hears the
clip. The audio is not in this folder: the pairs name its files.

{_table(("what", "how much"), _overview(s))}

## Attributes

![How often each attribute value occurs, and how long clips and answers are]({PLOT_FILE})

{_attributes(s)}

## Sources

{_counts(("source", "pairs"), s.sources)}

Languages: {_cell(_list(s.languages))}

Licence of the audio and its labels: that of the sources.

## Where the answers come from

{_origins(s)}

## Checks

`desta2 check` (version {__version__}) looked at {report.pairs:,} pairs: {report.kept:,} passed and are here,
{report.dropped:,} did not and are in `dropped.jsonl`, each with its reasons. A pair may be found by several
filters.{_bad_lines(report)}

{_filters(report)}
"""
    return f"{body}{_MARK}{_digest(body)} -->\n"


def _metadata(s: Statistics, name: str) -> str:
    from huggingface_hub import DatasetCardData

    codes = [language.lower().split("-")[0] for language in s.languages]
    size = next((label for limit, label in _SIZES if s.pairs < limit), "n>10M")
    data = DatasetCardData(
        language=sorted({code for code in codes if _ISO.fullmatch(code)}) or None,
        pretty_name=shown(name),
        size_categories=[size],
        task_categories=["audio-text-to-text"],
        tags=["desta2", "speech", "audio", "self-generated"],
        configs=[{"config_name": "default", "data_files": "part-*.jsonl"}],
    )
    return str(data.to_yaml())


def _overview(s: Statistics) -> list[tuple[str, str]]:
    hours = f"{s.seconds / 3600:,.2f}"
    if s.rounded:
        hours += (
            f" (of {s.rounded:,} clips only the whole seconds of their seed are known, which are rounded up)"
        )
    if s.unknown_length:
        hours += f" (without {s.unknown_length:,} clips of unknown length)"
    return [
        ("pairs", f"{s.pairs:,}"),
        ("clips", f"{s.clips:,}"),
        ("hours of audio", hours),
        ("speakers", _known(len(s.speakers), s.speakers, s.pairs)),
        ("languages", _known(len(s.languages), s.languages, s.pairs)),
        ("sources", _known(len(s.sources), s.sources, s.pairs)),
    ]


def _known(count: int, counts: Counter[str], pairs: int) -> str:
    known = sum(counts.values())
    if not known:
        return _UNKNOWN
    return f"{count:,}" + (f" (known for {known:,} of {pairs:,} pairs)" if known < pairs else "")


def _attributes(s: Statistics) -> str:
    if not s.attributes:
        return "The seeds have no attributes."
    rows = []
    for name, counts in s.attributes.items():
        known = f"{min(1.0, sum(counts.values()) / max(1, s.pairs)):.0%}"
        rows.append((name, known, _list(counts)))
    return _table(("attribute", "of the pairs", "values"), rows)


def _origins(s: Statistics) -> str:
    rows = []
    for text, count in s.origins.most_common(_MOST_ROWS):
        origin: dict[str, Any] = json.loads(text) if text != OTHERS else {"llm": OTHERS}
        sampling = ", ".join(f"{key} {value}" for key, value in (origin.get("sampling") or {}).items())
        print_ = origin.get("revision") or origin.get("fingerprint") or _UNKNOWN
        version = origin.get("desta2_version") or _UNKNOWN
        rows.append(
            (origin.get("llm"), print_, origin.get("prompt"), sampling or _UNKNOWN, version, f"{count:,}")
        )
    rest = len(s.origins) - len(rows)
    note = f"\n\nAnd {rest:,} more." if rest > 0 else ""
    return _table(("LLM", "revision or fingerprint", "prompt", "sampling", "desta2", "pairs"), rows) + note


def _filters(report: Report) -> str:
    rows = []
    for part in report.filters.values():
        unchecked = sum(part.unchecked.values())
        share = f"{part.found / report.pairs:.2%}" if report.pairs else "0%"
        rows.append((part.name, part.about, f"{part.found:,}", share, f"{unchecked:,}" if unchecked else ""))
    return _table(("filter", "finds a pair that", "found", "share", "could not be looked at"), rows)


def _bad_lines(report: Report) -> str:
    count = len(report.bad_lines)
    return f" {count:,} lines of the input were no pairs and are in neither." if count else ""


def _counts(head: tuple[str, str], counts: Counter[str]) -> str:
    if not counts:
        return _UNKNOWN
    rows = [(value, f"{count:,}") for value, count in counts.most_common(_MOST_ROWS)]
    if len(counts) > _MOST_ROWS:
        rest = sum(counts.values()) - sum(count for _, count in counts.most_common(_MOST_ROWS))
        rows.append((f"{len(counts) - _MOST_ROWS:,} others", f"{rest:,}"))
    return _table(head, rows)


def _list(counts: Mapping[str, int]) -> str:
    if not counts:
        return _UNKNOWN
    most = Counter(counts).most_common(_MOST_ROWS)
    text = ", ".join(f"{shown(value, 40)} {count:,}" for value, count in most)
    return text + (f", and {len(counts) - len(most):,} more" if len(counts) > len(most) else "")


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    top = [str(title) for title in head]
    lines = [top, ["---"] * len(top), *([_cell(part) for part in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    """Text from anywhere as it stands in a Markdown table: one line that is not markup itself."""
    return re.sub(r"([\\`*_|<>\[\]#!$])", r"\\\1", shown(str(value), 600))


def _is_untouched(card: str) -> bool:
    body, mark, digest = card.rpartition(_MARK)
    return bool(mark) and digest.strip() == f"{_digest(body)} -->"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
