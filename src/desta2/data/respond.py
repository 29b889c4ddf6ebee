"""Self-generation: the LLM answers each seed transcript, and its answers become the training targets.

The prompt is built by the function that training and chat use, with the seed standing where the clip will be.
Seeds are taken in chunks by their place in the file, finished ids are skipped inside a chunk, and sampling is
seeded per id: stopping and continuing changes nothing in what is written. Source of the method: DeSTA2, arXiv
2409.20007, section 3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from desta2 import __version__
from desta2.data.backends import Backend, Reply, Request, Sampling
from desta2.data.manifests import relocate_audio
from desta2.data.prompts import DESCRIBE
from desta2.errors import InputError
from desta2.journal import Journal
from desta2.records import Pair, Provenance, Seed, read_records

log = logging.getLogger(__name__)
AUDIO = "<|AUDIO|>"
_SAMPLING = Sampling()


@dataclass
class Summary:
    """What a run of `respond` did.

    Attributes:
        written: pairs written now.
        already_done: pairs that were there before.
        unfinished: ids of answers that were cut at the longest length, or empty; they are not written.
    """

    written: int
    already_done: int
    unfinished: list[str]


def respond(
    seeds_path: str | Path,
    out: str | Path,
    backend: Backend,
    *,
    prompt: str = DESCRIBE,
    sampling: Sampling = _SAMPLING,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Write a training pair for each seed; a second run continues where the first one stopped.

    Args:
        seeds_path: seeds, see `read_records`.
        out: folder of parts, or a `.jsonl` file.
        backend: the LLM: the very one that will be the backbone.
        prompt: asked about every clip.
        sampling: how answers are drawn.
        batch_size: seeds answered at a time.
        progress: called with the number of seeds dealt with so far.

    Returns:
        Counts, and the ids whose answers could not be used.

    Raises:
        InputError: as `read_records`; or `out` was begun with another LLM, prompt or sampling.
    """
    from desta2.model.prompt import seed_messages

    manifest, folder = Path(seeds_path), Path(out)
    seeds = read_records(manifest, Seed)
    summary = Summary(0, 0, [])
    seen = 0
    with Journal(folder) as journal:
        if journal.first is not None:
            _check_begun(journal.first, _provenance(backend, prompt, sampling), folder)
        while chunk := list(islice(seeds, batch_size)):
            fresh = [seed for seed in chunk if seed.id not in journal.done]
            summary.already_done += len(chunk) - len(fresh)
            if fresh:
                replies = backend.reply(
                    [Request(s.id, seed_messages(s.seed, prompt)) for s in fresh], sampling
                )
                for seed, reply in zip(fresh, replies, strict=True):
                    if not reply.finished or not reply.text:
                        summary.unfinished.append(seed.id)
                        continue
                    audio = relocate_audio(seed, manifest, folder).audio
                    journal.append(_pair(seed, audio, reply, _provenance(backend, prompt, sampling)))
                    summary.written += 1
            seen += len(chunk)
            if progress is not None:
                progress(seen)
    if summary.unfinished:
        log.warning("%d answers were empty or too long and are left out", len(summary.unfinished))
    return summary


def _provenance(backend: Backend, prompt: str, sampling: Sampling) -> Provenance:
    return Provenance(
        llm=backend.name,
        fingerprint=backend.fingerprint,
        prompt=prompt,
        sampling=sampling.to_dict(),
        desta2_version=__version__,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _check_begun(first: Mapping[str, Any], now: Provenance, out: Path) -> None:
    """Refuse to mix the answers of two LLMs, prompts or ways of sampling in one set of pairs.

    A longer `max_new_tokens` is welcome: it gives answers that were cut another chance.
    """
    llm = "fingerprint" if now.fingerprint else "llm"  # a name alone may be a path, which moves

    def facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
        sampling = provenance.get("sampling") or {}
        return {key: provenance.get(key) for key in (llm, "prompt")} | {**sampling, "max_new_tokens": None}

    begun, wanted = facts(first.get("provenance") or {}), facts(now.model_dump())
    if differing := [key for key in wanted if begun.get(key) != wanted[key]]:
        said = ", ".join(f"{key} was {begun.get(key)!r} and is {wanted[key]!r}" for key in differing)
        raise InputError(f"{out} was begun otherwise: {said}. Give another output, or delete this one")


def _pair(seed: Seed, audio_path: str, reply: Reply, provenance: Provenance) -> Pair:
    audio = {"audio": audio_path, "text": seed.text}
    cut = {key: value for key in ("start", "end") if (value := getattr(seed, key)) is not None}
    message = {"role": "user", "content": f"{AUDIO}\n{provenance.prompt}", "audios": [audio | cut]}
    provenance = provenance.model_copy(update={"seed_format": seed.seed_format})
    return Pair(id=seed.id, messages=[message], response=reply.text, seed=seed.seed, provenance=provenance)
