"""Whether the pairs were answered by the LLM that is trained on them.

That is the paper's central claim, so training says loudly where it does not hold, and goes on: comparing
with answers of another LLM is how one tests the claim.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from desta2.data.backbone import same_name
from desta2.model.configuration import Desta2Config
from desta2.records import Pair, Provenance

log = logging.getLogger(__name__)


def warn_if_not_self_generated(pairs: Iterable[Pair], config: Desta2Config) -> None:
    """Compare provenances with the LLM and the prompts of the model that is to be trained.

    Fingerprints decide; where pairs or model carry none, names are compared. Prompts are compared only where
    the pairs tell of them.
    """
    total, others, asked = 0, Counter[str](), Counter[str]()
    for pair in pairs:
        total += 1
        told = pair.provenance
        if _other_llm(told, config):
            others[told.llm] += 1
        if difference := _asked_otherwise(told, config):
            asked[difference] += 1
    if others:
        log.warning(
            "NOT SELF-GENERATED: %d of %d pairs were answered by another LLM (%s) than the one that is "
            "trained on them (%s). Training on another LLM's answers costs the abilities that "
            "self-generation is there to keep",
            others.total(),
            total,
            ", ".join(name for name, _ in others.most_common(3)),
            config.llm_id,
        )
    if asked:
        log.warning(
            "%d of %d pairs were asked for in another way than the model will be: %s",
            asked.total(),
            total,
            "; ".join(difference for difference, _ in asked.most_common(3)),
        )


def _other_llm(told: Provenance, config: Desta2Config) -> bool:
    if told.fingerprint is not None and config.llm_fingerprint is not None:
        return told.fingerprint != config.llm_fingerprint
    return not same_name(told.llm, config.llm_id)


def _asked_otherwise(told: Provenance, config: Desta2Config) -> str:
    trained: dict[str, Any] = {"layout": config.layout, "system_prompt": config.system_prompt or ""}
    said = {key: given for key in trained if (given := getattr(told, key)) is not None}
    if said:  # pairs that tell of the prompt tell all of it
        trained["chat_template_kwargs"] = config.chat_template_kwargs or None
        said["chat_template_kwargs"] = told.chat_template_kwargs
    return ", ".join(
        f"{key} {given!r}, in training {trained[key]!r}"
        for key, given in said.items()
        if given != trained[key]
    )
