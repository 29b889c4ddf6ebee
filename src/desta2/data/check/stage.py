"""The check stage: pairs in, a report out and, if asked for, the pairs that pass and those that do not.

Every pair goes either to the kept pairs or, whole, to `dropped.jsonl` with the filters' reasons and its
place, in the order of the input: nothing disappears. Trade-off: a run that is continued looks at every pair
again and only writes less, so that the filters that compare pairs with each other see the very same ones as
in a run that was never stopped.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.data.check.base import Filter, Finding
from desta2.data.check.config import CheckConfig
from desta2.data.check.filters import make_filters
from desta2.data.check.item import Item
from desta2.data.check.lexicon import load_lexicon
from desta2.data.check.report import Report
from desta2.data.check.statistics import ClipFacts, Statistics
from desta2.data.manifests import relocate_audio
from desta2.errors import InputError, RecordError, RunError
from desta2.journal import Journal
from desta2.lines import manifest_files, numbered_lines
from desta2.records import BadLine, Clip, Pair, parse_line
from desta2.settings import keep_settings

logger = logging.getLogger(__name__)

DROPPED = "dropped.jsonl"
_CONFIG = CheckConfig()


def check(
    pairs_path: str | Path,
    out: str | Path | None = None,
    *,
    config: CheckConfig = _CONFIG,
    against: Sequence[Path] = (),
    data_root: Path | None = None,
    seeds: Path | None = None,
    skip_bad: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Look for pairs that should not be trained on; a second run continues where the first one stopped.

    Args:
        pairs_path: pairs, see `read_records`; they are not changed.
        out: folder for the pairs that pass (parts), `dropped.jsonl` and the dataset card; None only reports.
        config: which filters, and their settings.
        against: records of any kind that are kept for evaluation: pairs with their words or sound are found.
        data_root: where relative audio paths are looked for first.
        seeds: the seeds or clips of the pairs: the card takes speakers, languages, sources and lengths of
            clips from them.
        skip_bad: leave out lines that are no pairs and list them in the report, instead of raising.
        progress: called with the number of pairs dealt with so far.

    Raises:
        InputError: the input cannot be read; or `out` is the input, or was begun with other settings.
        RecordError: a line is no pair (only without `skip_bad`).
        RunError: pairs that were judged in an earlier run are other ones now.
    """
    source = Path(pairs_path)
    filters = make_filters(config, against, data_root)
    report = Report(filters, config.examples)
    pairs = _placed_pairs(manifest_files(source), skip_bad, report.bad_lines)
    facts = ClipFacts(seeds)
    with ExitStack() as stack:
        output = None
        if out is not None:
            output = _Output.begin(
                stack, source, Path(out), data_root, _settings(source, config, against, filters)
            )
        for place, pair in pairs:
            item = Item(pair, source)
            findings = _judge(item, filters, report)
            report.count(pair.id, place, findings)
            if not findings:
                for one in filters:
                    one.remember(item)
            if output is not None:
                output.write(item, place, findings, facts)
            if progress is not None:
                progress(report.pairs)
    if output is not None:
        from desta2.data.card import write_card

        write_card(output.folder, output.statistics, report)
    if report.bad_lines:
        logger.warning("skipped %d bad lines, the last one: %s", len(report.bad_lines), report.bad_lines[-1])
    return report


def _judge(item: Item, filters: list[Filter], report: Report) -> dict[str, Finding]:
    findings: dict[str, Finding] = {}
    for one in sorted(filters, key=lambda one: one.last):
        if one.last and findings:
            break
        found = one.find(item)
        if isinstance(found, Finding):
            findings[one.name] = found
        elif found is not None:
            report.filters[one.name].unchecked[found.reason] += 1
    return findings


@dataclass
class _Output:
    """The folder that a check writes: kept pairs, dropped pairs, and what the card will say."""

    source: Path
    folder: Path
    data_root: Path | None
    kept: Journal
    dropped: Journal
    statistics: Statistics

    @classmethod
    def begin(
        cls, stack: ExitStack, source: Path, folder: Path, data_root: Path | None, settings: dict[str, Any]
    ) -> _Output:
        if folder.suffix in (".jsonl", ".gz", ".zst"):
            raise InputError(
                f"given -o {folder}, expected a folder: it gets the pairs, dropped.jsonl and a card"
            )
        place = source if source.is_dir() else source.parent
        if place.resolve() == folder.resolve():
            raise InputError(f"the pairs lie in {folder}: give another output folder")
        keep_settings(folder, settings)
        kept = stack.enter_context(Journal(folder))
        dropped = stack.enter_context(Journal(folder / DROPPED))
        return cls(source, folder, data_root, kept, dropped, Statistics())

    def write(self, item: Item, place: str, findings: dict[str, Finding], facts: ClipFacts) -> None:
        """Write a pair to where it belongs, unless an earlier run did."""
        pair_id = item.pair.id
        if pair_id in (self.kept if findings else self.dropped).done:
            before = "kept" if findings else "dropped"
            raise RunError(
                f"{place}: pair {pair_id!r} was {before} in an earlier run and would not be now: the pairs "
                f"have changed; give another output, or delete {self.folder}"
            )
        if not findings:
            self.statistics.add(item, facts.of(pair_id))
        if pair_id in self.kept.done or pair_id in self.dropped.done:
            return
        pair = relocate_pair(item.pair, self.source, self.folder, self.data_root)
        if not findings:
            self.kept.append(pair)
            return
        reasons = [{"filter": n, "reason": f.reason, "excerpt": f.excerpt} for n, f in findings.items()]
        self.dropped.append({"id": pair_id, "place": place, "reasons": reasons, "pair": pair.to_dict()})


def relocate_pair(pair: Pair, manifest: Path, out: Path, data_root: Path | None = None) -> Pair:
    """Keep the relative audio paths of a pair true for pairs in `out`; see `relocate_audio`."""

    def moved(entry: Any) -> Any:
        if not isinstance(entry, dict) or not isinstance(entry.get("audio"), str) or not entry["audio"]:
            return entry
        clip = relocate_audio(Clip(id=pair.id, audio=entry["audio"]), manifest, out, data_root)
        return entry | {"audio": clip.audio}

    messages = [
        message | {"audios": [moved(entry) for entry in message["audios"]]}
        if isinstance(message.get("audios"), list)
        else message
        for message in pair.messages
    ]
    return pair.model_copy(update={"messages": messages})


def _placed_pairs(files: list[Path], skip_bad: bool, bad: list[BadLine]) -> Iterator[tuple[str, Pair]]:
    """The pairs of some files, each with its place; `read_records` does not tell places."""
    seen: set[str] = set()
    for file in files:
        for number, line in numbered_lines(file):
            if not line.strip():
                continue
            try:
                pair = parse_line(line, Pair)
                if pair.id in seen:
                    raise RecordError(f"the id {pair.id!r} is used before; ids must be unique")
            except RecordError as error:
                problem = BadLine(file, number, str(error))
                if not skip_bad:
                    raise RecordError(str(problem)) from None
                bad.append(problem)
                continue
            seen.add(pair.id)
            yield f"{file}:{number}", pair


def _settings(
    source: Path, config: CheckConfig, against: Sequence[Path], filters: list[Filter]
) -> dict[str, Any]:
    """All that the verdicts depend on, as `keep_settings` compares it."""
    lexicon = load_lexicon(config.lexicon).model_dump_json()
    return {
        "pairs": str(source.resolve()),
        "filters": [one.name for one in filters],
        "config": config.model_dump(mode="json", exclude={"only", "without", "examples", "lexicon"}),
        "lexicon": hashlib.sha256(lexicon.encode()).hexdigest(),
        "against": [str(path.resolve()) for path in against],
    }
