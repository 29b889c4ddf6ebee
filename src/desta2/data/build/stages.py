"""The stages of a build: one row each, with its section of the config, its output and what does the work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import create_model

from desta2.config import StrictModel
from desta2.data.annotate import annotate
from desta2.data.augment import augment
from desta2.data.backends import Sampling
from desta2.data.build.config import Common, section_of
from desta2.data.check.config import CheckConfig
from desta2.data.check.stage import check
from desta2.data.disturb import Recipe
from desta2.data.llms import open_backend
from desta2.data.prompts import pool_of
from desta2.data.respond import Asking, respond
from desta2.data.seed import SeedFormat, seed
from desta2.data.sources import load_source
from desta2.data.sources.base import Options
from desta2.data.sources.columns import parse_columns
from desta2.data.sources.stage import read_corpus
from desta2.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage of a build.

    Attributes:
        name: its name, and its key in the config.
        doing: what the progress bar says.
        function: what does the work.
        section: its keys in the config.
        output: name of its output in the work folder.
        run: reads a `Job`, calls `function`, and gives the counts to be told; a count `failed` says how many
            items the next run should try again.
        optional: whether it is left out where the config has no section for it.
        also: further names in the work folder that belong to it.
        check: raises for a section that the function would refuse later.
        harmless: keys that change how the work is done, but not what comes out.
        welcome: keys whose change only adds to the output, so that it is continued.
    """

    name: str
    doing: str
    function: Callable[..., Any]
    section: type[StrictModel]
    output: str
    run: Callable[[Job], dict[str, Any]]
    optional: bool = False
    also: tuple[str, ...] = ()
    check: Callable[[Any], None] | None = None
    harmless: frozenset[str] = frozenset()
    welcome: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a stage.

    Attributes:
        stage: the stage.
        config: of the whole build.
        section: of the stage.
        source: the manifest that it reads; None for the first stage.
        out: where its records go.
        progress: called with the number of records finished so far.
    """

    stage: Stage
    config: Common
    section: Any
    source: Path | None
    out: Path
    progress: Callable[[int], None]

    def call(self, *arguments: object, **options: Any) -> Any:
        """Call the stage's function, with the values that are common to all stages."""
        function = self.stage.function
        return function(*arguments, **options, **self.config.shared(function), progress=self.progress)


def _run_corpus(job: Job) -> dict[str, Any]:
    section = job.section
    options = {name: getattr(section, name) for name in _CORPUS_OPTIONS}
    options["columns"] = _columns(section)
    summary = job.call(
        section.name, section.source, job.out,
        options=Options(**options), durations=section.durations, limit=section.limit,
    )  # fmt: skip
    return _counts(summary)


def _run_plain(job: Job) -> dict[str, Any]:
    return _counts(job.call(job.source, job.out, **_values(job.section)))


def _run_seed(job: Job) -> dict[str, Any]:
    options = _values(job.section)
    return {"seeds": job.call(job.source, job.out, options.pop("format"), **options)}


def _run_respond(job: Job) -> dict[str, Any]:
    options = {name: value for name, value in _values(job.section).items() if name not in _ASKING_KEYS}
    llm = options.pop("llm")
    return _counts(job.call(job.source, job.out, open_backend(llm, **options), asking=_asking(job.section)))


def _run_check(job: Job) -> dict[str, Any]:
    filters = CheckConfig(**{name: getattr(job.section, name) for name in CheckConfig.model_fields})
    seeds = job.config.output / SEEDS
    report = job.call(job.source, job.out, config=filters, against=job.section.against, seeds=seeds)
    counts = {name: getattr(report, name) for name in ("pairs", "kept", "dropped")}
    return counts | {"bad_lines": len(report.bad_lines)}


def _check_corpus(section: Any) -> None:
    load_source(section.name)
    _columns(section)


def _check_augment(section: Any) -> None:
    Recipe(**{field.name: getattr(section, field.name) for field in dataclasses.fields(Recipe)})


def _asking(section: Any) -> Asking:
    sampling = Sampling(**{name: getattr(section, name) for name in _SAMPLING_OPTIONS})
    return Asking(pool_of(section.prompt, section.prompts), sampling, section.n)


def _check_respond(section: Any) -> None:
    _asking(section)
    if section.llm.startswith((".", "/", "~")) and not Path(section.llm).is_dir():
        raise ConfigError(f"respond.llm: there is no folder {section.llm}; give a folder, a hub id, or nano")


def _columns(section: Any) -> dict[str, str]:
    return parse_columns(f"{column}={name}" for column, name in section.columns.items())


def _values(section: StrictModel) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _counts(summary: Any) -> dict[str, Any]:
    """The numbers of a stage's summary, and of its lists how long they are; details are in the log."""
    values = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
    numbers = {name: len(value) if isinstance(value, list) else value for name, value in values.items()}
    return {name: number for name, number in numbers.items() if isinstance(number, int)}


_SAMPLING_OPTIONS = tuple(field.name for field in dataclasses.fields(Sampling))
_RESPOND_KEYS: dict[str, Any] = {
    "llm": (str, ...),
    "prompt": (str | None, None),
    "prompts": (Path | None, None),
    "n": (int, 1),
}
_ASKING_KEYS = {*_SAMPLING_OPTIONS, *_RESPOND_KEYS} - {"llm"}
# The seeds of a published training set are no clips: they need `desta2 corpus --seeds` and `desta2 respond`.
_CORPUS_OPTIONS = tuple(field.name for field in dataclasses.fields(Options) if field.name != "seeds")
_CORPUS_KEYS: dict[str, Any] = {"name": (str, ...), "source": (str, ...), "columns": (dict[str, str], {})}

_CHECK_SECTION = create_model("check_section", __base__=CheckConfig, against=(tuple[Path, ...], ()))
SEEDS = "seeds.jsonl"

STAGES = (
    Stage(
        "corpus", "reading the corpus", read_corpus,
        section_of("corpus", Options, read_corpus, leave_out={"options", "seeds"}, more=_CORPUS_KEYS),
        "clips.jsonl", _run_corpus, optional=True, also=("clips_audio",), check=_check_corpus,
    ),
    Stage(
        "augment", "adding noise and rooms", augment, section_of("augment", augment),
        "clips.augmented.jsonl", _run_plain, optional=True, also=("clips.augmented_audio",),
        check=_check_augment,
    ),
    Stage(
        "annotate", "measuring", annotate, section_of("annotate", annotate),
        "clips.annotated.jsonl", _run_plain,
    ),
    Stage(
        "seed", "writing seeds", seed, section_of("seed", seed, more={"format": (SeedFormat, "v2")}),
        SEEDS, _run_seed,
    ),
    Stage(
        "respond", "asking the LLM", respond,
        section_of("respond", Sampling, open_backend, more=_RESPOND_KEYS),
        "pairs", _run_respond, check=_check_respond,
        harmless=frozenset(
            {"batch_size", "device_map", "concurrency", "timeout", "retries", "per_minute", "api_key_env"}
        ),
        welcome=frozenset({"max_new_tokens"}),
    ),
    Stage("check", "checking the answers", check, _CHECK_SECTION, "checked", _run_check, optional=True),
)  # fmt: skip
"""In their order. The config may leave out optional ones; each reads what the last one wrote."""
