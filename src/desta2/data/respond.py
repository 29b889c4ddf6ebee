"""Self-generation: the LLM answers each seed transcript, and its answers become the training targets.

The prompt is built by the function that training and chat use, with the seed standing where the clip will be.
Answers are written as they come, so one that takes long holds up nobody; the order of lines is theirs, while
ids and texts are the same however often a run was stopped, because prompt and sampling of each item depend on
its id alone. Seeds are read one by one, and only those being answered are in memory. Source of the method:
DeSTA2, arXiv 2409.20007, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from desta2 import __version__
from desta2.data.backends import Backend, Failure, Request, Sampling
from desta2.data.failures import Failures
from desta2.data.manifests import relocate_audio
from desta2.data.prompts import DESCRIBE, PromptPool
from desta2.errors import InputError
from desta2.journal import Journal
from desta2.records import Pair, Provenance, Seed, read_records

AUDIO = "<|AUDIO|>"
_SAMPLING = Sampling()
_THE_ONE = PromptPool.of(DESCRIBE)


@dataclass(frozen=True)
class Asking:
    """What is asked about every clip.

    Attributes:
        prompts: the one prompt, or a pool to draw from.
        sampling: how answers are drawn.
        n: answers per clip. One keeps the clip's id; several get `id#1`, `id#2`, ….
    """

    prompts: PromptPool = _THE_ONE
    sampling: Sampling = _SAMPLING
    n: int = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"n is {self.n}; it must be at least 1")
        if self.n > 1 and self.sampling.temperature == 0 and len(self.prompts.prompts) == 1:
            raise InputError(
                f"{self.n} answers at temperature 0 to one prompt are the same answer {self.n} times; raise "
                "the temperature, or give several prompts"
            )


_DESCRIBE = Asking()


@dataclass(frozen=True)
class Job:
    """One answer to be had: the id of its pair, the seed, and what is asked."""

    id: str
    seed: Seed
    prompt: str


@dataclass(frozen=True)
class Unanswered:
    """A job without a usable answer. `cut` where the answer was cut at the longest length, or empty."""

    id: str
    reason: str
    cut: bool


@dataclass
class Summary:
    """What a run of `respond` did.

    Attributes:
        written: pairs written now.
        already_done: pairs that were there before.
        unfinished: answers that were cut at the longest length, or empty; they are not written.
        failed: items that the LLM did not answer.
        failures: the file that names these two with their reasons; None where there are none.
    """

    written: int = 0
    already_done: int = 0
    unfinished: int = 0
    failed: int = 0
    failures: Path | None = None


def respond(
    seeds_path: str | Path,
    out: str | Path,
    backend: Backend,
    asking: Asking = _DESCRIBE,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Write a training pair for each answer; a second run continues where the first one stopped.

    Args:
        seeds_path: seeds, see `read_records`.
        out: folder of parts, or a `.jsonl` file.
        backend: the LLM: the very one that will be the backbone.
        asking: prompts, sampling, and answers per clip.
        progress: called with the number of answers dealt with so far, `asking.n` for each seed.

    Returns:
        Counts; items without a usable answer are named in a file, and asked again by the next run.

    Raises:
        InputError: as `read_records` and `backend.answers`; or `out` was begun with another LLM, other
            prompts or another sampling.
        RunError: as `backend.answers`.
    """
    manifest, folder = Path(seeds_path), Path(out)
    seeds = read_records(manifest, Seed)
    summary = Summary()
    with Journal(folder) as journal:
        if journal.first is not None:
            _check_begun(journal.first, provenance(backend, asking), asking, folder)
        failures = Failures(folder)

        def fresh() -> Iterator[Job]:
            for job in jobs(seeds, asking):
                if job.id in journal.done:
                    summary.already_done += 1
                else:
                    yield replace(job, seed=relocate_audio(job.seed, manifest, folder))

        for result in generate(fresh(), backend, asking):
            if isinstance(result, Pair):
                journal.append(result)
                summary.written += 1
            else:
                failures.note(result.id, result.reason)
                summary.unfinished += result.cut
                summary.failed += not result.cut
            if progress is not None:
                progress(summary.already_done + summary.written + failures.count)
        if progress is not None:
            progress(summary.already_done + summary.written + failures.count)
    summary.failures = failures.path if failures.count else None
    return summary


def jobs(seeds: Iterable[Seed], asking: Asking) -> Iterator[Job]:
    """The answers to be had about `seeds`, in order."""
    for seed in seeds:
        for number in range(1, asking.n + 1):
            key = seed.id if asking.n == 1 else f"{seed.id}#{number}"
            yield Job(key, seed, asking.prompts.draw(f"{asking.sampling.seed}/{key}"))


def generate(wanted: Iterable[Job], backend: Backend, asking: Asking) -> Iterator[Pair | Unanswered]:
    """Let the LLM answer jobs; results come as they are finished, in any order.

    Raises:
        InputError, RunError: as `backend.answers`.
    """
    from desta2.model.prompt import seed_messages

    told = provenance(backend, asking)
    waiting: dict[str, Job] = {}

    def requests() -> Iterator[Request]:
        for job in wanted:
            waiting[job.id] = job
            yield Request(job.id, seed_messages(job.seed.seed, job.prompt))

    for request, outcome in backend.answers(requests(), asking.sampling):
        job = waiting.pop(request.id)
        if isinstance(outcome, Failure):
            yield Unanswered(job.id, outcome.reason, cut=False)
        elif not outcome.finished:
            tokens = asking.sampling.max_new_tokens
            yield Unanswered(job.id, f"cut at the longest length, {tokens} tokens", cut=True)
        elif not outcome.text:
            yield Unanswered(job.id, "an empty answer", cut=True)
        else:
            yield _pair(job, outcome.text, told)


def provenance(backend: Backend, asking: Asking) -> Provenance:
    """How answers come to be; the time, and the prompt where there is a pool, are those of each answer."""
    return Provenance(
        llm=backend.name,
        fingerprint=backend.fingerprint,
        backend=backend.kind,
        prompt=asking.prompts.prompts[0],
        prompt_pool=asking.prompts.fingerprint,
        layout=backend.style.layout,
        system_prompt=backend.style.system_prompt or "",
        chat_template_kwargs=dict(backend.style.chat_template_kwargs or {}) or None,
        sampling=asking.sampling.to_dict(),
        desta2_version=__version__,
    )


def _check_begun(first: Mapping[str, Any], now: Provenance, asking: Asking, out: Path) -> None:
    """Refuse to mix the answers of two LLMs, prompts or ways of sampling in one set of pairs.

    A longer `max_new_tokens` is welcome: it gives answers that were cut another chance.
    """
    begun = first.get("provenance") or {}
    llm = "fingerprint" if now.fingerprint else "llm"  # a name alone may be a path, which moves
    keys = [llm, "prompt_pool" if now.prompt_pool or begun.get("prompt_pool") else "prompt"]
    keys += [key for key in ("layout", "system_prompt") if key in begun]  # older pairs do not say
    keys.append("chat_template_kwargs")

    def facts(given: Mapping[str, Any]) -> dict[str, Any]:
        sampling = given.get("sampling") or {}
        return {key: given.get(key) for key in keys} | {**sampling, "max_new_tokens": None}

    was, wanted = facts(begun), facts(now.model_dump())
    said = [
        f"{key} was {was.get(key)!r} and is {wanted[key]!r}" for key in wanted if was.get(key) != wanted[key]
    ]
    if (several := _numbered(first)) != (asking.n > 1):
        said.append(f"it has {'several answers' if several else 'one answer'} a clip and n is {asking.n}")
    if said:
        raise InputError(
            f"{out} was begun otherwise: {', '.join(said)}. Give another output, or delete this one"
        )


def _numbered(pair: Mapping[str, Any]) -> bool:
    """Whether a pair is one of several about its clip."""
    return (pair.get("provenance") or {}).get("answer") is not None


def _pair(job: Job, response: str, told: Provenance) -> Pair:
    seed = job.seed
    audio = {"audio": seed.audio, "text": seed.text}
    cut = {key: value for key in ("start", "end") if (value := getattr(seed, key)) is not None}
    message = {"role": "user", "content": f"{AUDIO}\n{job.prompt}", "audios": [audio | cut]}
    number = None if job.id == seed.id else int(job.id.rpartition("#")[2])
    own = {
        "prompt": job.prompt,
        "seed_format": seed.seed_format,
        "answer": number,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    own_told = told.model_copy(update=own)
    return Pair(id=job.id, messages=[message], response=response, seed=seed.seed, provenance=own_told)
