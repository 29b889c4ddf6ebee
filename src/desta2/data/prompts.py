"""The one prompt of the method, and pools of prompts.

DeSTA2 trains on answers to one question alone; zero-shot instruction following is shown by never training on
any other (arXiv 2409.20007, section 3.2). DeSTA2.5 draws from a pool (arXiv 2507.02768, section 3). Which
prompt an item gets depends on its id, the sampling seed and the pool alone, so that a run that was stopped
asks the same questions when it goes on.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desta2.errors import InputError

DESCRIBE = "What can you hear from the audio?"

_AUDIO = "<|AUDIO|>"


@dataclass(frozen=True)
class PromptPool:
    """Prompts, each drawn as often as its weight says.

    Attributes:
        prompts: at least one, each a text.
        weights: one per prompt, above 0; they need not sum to 1.
    """

    prompts: tuple[str, ...]
    weights: tuple[float, ...]
    _bounds: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.prompts or len(self.prompts) != len(self.weights):
            raise InputError(
                f"{len(self.prompts)} prompts with {len(self.weights)} weights: give one weight per prompt"
            )
        for prompt, weight in zip(self.prompts, self.weights, strict=True):
            if not prompt.strip():
                raise InputError("a prompt is empty; give a question about the audio")
            if _AUDIO in prompt:
                raise InputError(
                    f"the prompt {prompt!r} contains {_AUDIO}: leave it out, the clip stands before it"
                )
            if not 0 < weight < math.inf:
                raise InputError(f"the prompt {prompt!r} has the weight {weight}; it must be above 0")
        object.__setattr__(self, "_bounds", list(itertools.accumulate(self.weights)))

    @classmethod
    def of(cls, *prompts: str) -> PromptPool:
        """A pool of equally frequent prompts."""
        return cls(prompts, (1.0,) * len(prompts))

    def draw(self, key: str) -> str:
        """The prompt of an item: always the same for the same `key`."""
        if len(self.prompts) == 1:
            return self.prompts[0]
        digest = hashlib.sha256(f"prompt/{key}".encode(errors="surrogatepass")).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64 * self._bounds[-1]
        return self.prompts[min(bisect.bisect_right(self._bounds, place), len(self.prompts) - 1)]

    @property
    def fingerprint(self) -> str | None:
        """Tells one pool from another; None for a single prompt, which speaks for itself."""
        if len(self.prompts) == 1:
            return None
        content = json.dumps([self.prompts, self.weights]).encode()
        return hashlib.sha256(content).hexdigest()


def read_prompts(path: Path) -> PromptPool:
    """Read a pool: a `.jsonl` file of `{"prompt": …, "weight": …}` (1 if left out), or a text, one a line.

    Raises:
        InputError: the file cannot be read, holds no prompt, or one that cannot be used; line and reason are
            named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the prompts {path}: {error}") from error
    prompts, weights = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompt, weight = _json_prompt(line) if path.suffix == ".jsonl" else (line.strip(), 1.0)
            PromptPool((prompt,), (weight,))
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        prompts.append(prompt)
        weights.append(weight)
    if not prompts:
        raise InputError(f"{path} holds no prompts; give one a line")
    return PromptPool(tuple(prompts), tuple(weights))


def pool_of(prompt: str | None, file: Path | None) -> PromptPool:
    """The pool that a user names: one prompt, a file, or nothing, which means the prompt of the method.

    Raises:
        InputError: both are given, or as `read_prompts`.
    """
    if prompt is not None and file is not None:
        raise InputError("both a prompt and a file of prompts are given; give one of them")
    return read_prompts(file) if file is not None else PromptPool.of(DESCRIBE if prompt is None else prompt)


def _json_prompt(line: str) -> tuple[str, float]:
    try:
        given: Any = json.loads(line)
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}") from None
    fields = given if isinstance(given, Mapping) and given.keys() <= {"prompt", "weight"} else {}
    prompt, weight = fields.get("prompt"), fields.get("weight", 1)
    if not isinstance(prompt, str) or isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InputError(f'given {line.strip()[:80]}, expected {{"prompt": "a text", "weight": 1}}')
    return prompt, float(weight)
