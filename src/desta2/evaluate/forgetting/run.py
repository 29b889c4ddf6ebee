"""What learning to hear cost: equality on texts, and instructions followed with speech against text.

The second is the forgetting of Speech-IFEval (Lu, Kuan & Lee, arXiv 2505.19037) with the reference measured
instead of quoted: the same model gets each clip's seed transcript as text in the clip's place, and answers
the same instructions. With a frozen LLM that is the LLM before it learned to hear, which the first part
checks.

The trade-off: no judge is needed, so chain-of-thought is answered but not scored here; both folders are
responses for `desta2 score speech-ifeval`, which does it with a judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desta2.data.endpoint import is_url
from desta2.errors import InputError
from desta2.evaluate.forgetting import equality as texts
from desta2.evaluate.forgetting.equality import Equality
from desta2.evaluate.runner import Run, answer, versions
from desta2.evaluate.speech_ifeval.benchmark import SpeechIfeval
from desta2.evaluate.speech_ifeval.checkers import REASONING
from desta2.evaluate.speech_ifeval.responses import Verdict, verdict_of
from desta2.evaluate.speech_ifeval.score import forgetting_from_responses
from desta2.evaluate.systems import MAX_NEW_TOKENS, ModelSystem, System, weights_of
from desta2.settings import keep_settings

SPEECH, TEXT = "speech", "text"


def evaluate_forgetting(
    model_id: str,
    folder: Path,
    data: Path | None = None,
    *,
    system: str | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Check a model for forgetting.

    Args:
        model_id: folder, hub id, or "nano".
        folder: gets `forgetting.json`, and with `data` the runs `speech` and `text`.
        data: folder of Speech-IFEval; None for the equality check alone.
        system: system prompt of both runs; None for the model's own.
        max_new_tokens: longest answer of the runs.
        batch_size: answers at a time, in the runs.

    Returns:
        "equality" (see `Equality`), "if_rate": None without `data`, and "results", the file.

    Raises:
        InputError: the model is a URL, or the data or the model cannot be used.
        RunError: some instructions got no answer; what is answered is kept.
    """
    if is_url(model_id):
        raise InputError(f"forgetting compares a model with its LLM: give a folder or hub id, not {model_id}")
    benchmarks = {SPEECH: SpeechIfeval(), TEXT: SpeechIfeval(spoken=False)}
    questions = {} if data is None else {name: own.questions(data) for name, own in benchmarks.items()}
    import torch

    from desta2.model.modeling import load

    model = load(model_id, device_map="auto" if torch.accelerator.is_available() else None)
    keep_settings(folder, {"benchmark": "forgetting", "model": weights_of(model)})
    equality = texts.check_equality(model, max_new_tokens=texts.MAX_NEW_TOKENS)
    if_rate = None
    if data is not None:
        answering: System = ModelSystem(model, model_id, batch_size=batch_size, max_new_tokens=max_new_tokens)
        for name, asked in questions.items():
            answer(_run(name, data, folder, system), asked, answering)
        if_rate = compare_folders(folder, data, system)
    facts = {"model": model_id, "weights": weights_of(model), "llm": model.config.llm_id}
    result = {"benchmark": "forgetting", **facts, "equality": equality, "if_rate": if_rate}
    path = folder / "forgetting.json"
    path.write_text(json.dumps({**result, "versions": versions()}, indent=2) + "\n", encoding="utf-8")
    return {**result, "results": str(path)}


def compare_folders(folder: Path, data: Path, system: str | None = None) -> dict[str, Any]:
    """The forgetting rate from two finished runs, over the parts that rules score.

    Returns:
        "speech" and "text" (means over the two parts), "rate" ((speech - text) ÷ text), and "difference" of
        the two, paired, with interval and p-value; "unjudged", the chain-of-thought responses of a run.

    Raises:
        InputError: the runs did not answer the same instructions, or with text none was followed.
    """
    spoken, unjudged = _verdicts(_run(SPEECH, data, folder, system))
    written, _ = _verdicts(_run(TEXT, data, folder, system))
    found = forgetting_from_responses(spoken, written)
    assert found.comparison is not None  # responses of both are there
    comparison = found.comparison
    return {
        SPEECH: found.reference + comparison.difference,
        TEXT: found.reference,
        "rate": found.rate,
        "difference": comparison.to_dict(),
        "unjudged": unjudged,
    }


def _run(name: str, data: Path, folder: Path, system: str | None) -> Run:
    return Run(f"speech-ifeval from {name}", data, folder / name, system_prompt=system)


def _verdicts(run: Run) -> tuple[list[Verdict], int]:
    """Those by rule, and the number of responses that need a judge."""
    predictions = list(run.predictions())
    ruled = [verdict_of(item.to_dict(), item.id) for item in predictions if item.task != REASONING]
    return ruled, len(predictions) - len(ruled)


def in_words(result: Mapping[str, Any]) -> str:
    """The result for people."""
    equality: Equality = result["equality"]
    lines = [
        f"answers to texts that are the LLM's own, token for token: {equality['equal']} of {equality['n']} "
        f"(texts {equality['prompts_hash'][:12]}, answers {equality['answers_hash'][:12]})"
    ]
    lines += [
        f"  {found['id']} ({found['form']}) differs from token {found['at'] + 1} on"
        for found in equality["differing"]
    ]
    if equality["refused"]:
        lines.append(f"not asked, since the LLM's template refuses them: {', '.join(equality['refused'])}")
    if (rates := result["if_rate"]) is not None:
        gap = rates["difference"]
        lines += [
            f"instructions followed, mean of two parts: {100 * rates[SPEECH]:.2f} % with speech, "
            f"{100 * rates[TEXT]:.2f} % with the seed transcript as text",
            f"difference {100 * gap['difference']:+.2f} points "
            f"[{100 * gap['low']:+.2f} … {100 * gap['high']:+.2f}], p = {gap['p_value']:.4f}, n = {gap['n']}",
            f"forgetting {100 * rates['rate']:+.2f} %",
        ]
        if equality["differing"]:
            lines.append("the reference is not the LLM alone, since texts are answered differently")
    return "\n".join([*lines, f"results: {result['results']}"])
