"""Loss floors: what the frozen LLM pays for each set of targets when it reads the truth.

Training minimises the mean loss over the tokens of the targets, with vectors in the seed's place. With the
seed itself there, as text, the same loss says how likely the LLM finds these targets at best. A set with a
high floor asks the adapter to change how the LLM speaks; the gap between a run's loss and the floor of its
targets is what its hearing lacks. The trade-off: a floor in the strict sense is neither: an adapter may
steer an LLM below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desta2.evaluate.stats import Score, ratio_bootstrap
from desta2.nano.study.captions import ASKED
from desta2.records import Pair, read_records

if TYPE_CHECKING:
    from desta2.data.backends import PromptStyle

_AT_ONCE = 32


def floors(llm: str, pairs: Path, n: int, *, asked: bool) -> dict[str, Any]:
    """The floors of the first pairs of a folder.

    Args:
        llm: folder, hub id or "nano"; the backbone.
        pairs: folder of parts.
        n: pairs to measure.
        asked: measure, too, what the targets cost an LLM that is asked for a caption's format.

    Returns:
        "prompt": mean loss a token (nats) after the one prompt, with its interval (speakers resampled); and
        with `asked` "asked".

    Raises:
        CheckpointError: the LLM cannot be loaded.
    """
    from transformers import AutoTokenizer

    from desta2.model import bases, checkpoint
    from desta2.nano import base_id
    from desta2.nano.demo import prompt_style

    path = checkpoint.resolve_base(base_id("llm", llm), None)
    model, tokenizer = bases.freeze(bases.load_llm(path, None, None)), AutoTokenizer.from_pretrained(path)
    rows = list(islice(read_records(pairs, Pair), n))
    found = {"prompt": mean_loss(model, tokenizer, prompt_style(), rows, None)}
    if asked:
        found["asked"] = mean_loss(model, tokenizer, prompt_style(), rows, ASKED)
    return dict(found)


def mean_loss(
    llm: Any, tokenizer: Any, style: PromptStyle, pairs: Sequence[Pair], prompt: str | None
) -> Score:
    """Mean loss of the tokens of responses, each after its seed as text; speakers are resampled.

    Args:
        llm: a causal LM.
        tokenizer: its own, with a chat template.
        style: of the prompts.
        pairs: with their seeds.
        prompt: in place of the pairs' own.
    """
    from desta2.model.prompt import build_prompt, response_ids, seed_messages

    sums: list[float] = []
    sizes: list[int] = []
    for first in range(0, len(pairs), _AT_ONCE):
        some = pairs[first : first + _AT_ONCE]
        prompts = [
            build_prompt(
                seed_messages(pair.seed, prompt or pair.provenance.prompt), tokenizer, style
            ).input_ids
            for pair in some
        ]
        responses = [response_ids(pair.response, tokenizer) for pair in some]
        sums += losses(llm, prompts, responses)
        sizes += [len(response) for response in responses]
    groups = ["all"] * len(pairs)
    return ratio_bootstrap(sums, sizes, groups, [_speaker(pair) for pair in pairs]).to_dict()


def losses(llm: Any, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> list[float]:
    """The summed loss of each response after its prompt, in nats; the batch is padded on the right."""
    import torch
    from torch.nn import functional as F

    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])  # (rows, longest)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        logits = llm(input_ids=ids, attention_mask=mask).logits.float()  # (rows, longest, vocabulary)
    found = []
    for row, prompt, response in zip(logits, prompts, responses, strict=True):
        place = len(prompt) - 1  # what is said here is the response's first token
        said = row[place : place + len(response)]
        found.append(float(F.cross_entropy(said, torch.tensor(response), reduction="sum")))
    return found


def _speaker(pair: Pair) -> str:
    audios = pair.messages[-1]["audios"]
    return str(audios[0].get("speaker") or pair.id)
