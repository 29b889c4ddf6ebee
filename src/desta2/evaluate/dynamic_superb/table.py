"""The table of tasks: which task belongs to which dimension, and how else it is spelt.

Trade-off: names are matched without regard to case, "-" and "_", because hubs, releases and folders on disks
differ in these; the price is that two tasks may not differ in nothing else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from desta2.errors import ConfigError

_HERE = Path(__file__).parent
_SIGNS = re.compile(r"[\W_]+")


class _Tasks(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dimensions: dict[str, list[str]]
    apart: list[str] = []


@dataclass(frozen=True)
class Table:
    """Tasks and dimensions.

    Attributes:
        dimensions: dimension → its tasks, in order.
        apart: dimensions that are no part of the average.
        names: other spelling → task; the first of two that differ in signs and case alone counts.
    """

    dimensions: Mapping[str, tuple[str, ...]]
    apart: frozenset[str]
    names: Mapping[str, str]

    @cached_property
    def dimension_of(self) -> dict[str, str]:
        """Task → its dimension, in the order of the table."""
        return {task: name for name, tasks in self.dimensions.items() for task in tasks}

    @property
    def averaged(self) -> list[str]:
        """The tasks that are part of the average."""
        return [task for task, name in self.dimension_of.items() if name not in self.apart]

    def resolve(self, name: str) -> str | None:
        """The task that a spelling means, an owner before a slash left aside; None for no task."""
        return self._by_fold.get(_fold(name))

    def spellings(self, task: str) -> list[str]:
        """How a task is spelt: its own name first."""
        return [task, *(other for other, name in self.names.items() if name == task)]

    @cached_property
    def _by_fold(self) -> dict[str, str]:
        others = {_fold(other): task for other, task in reversed(list(self.names.items()))}
        return others | {_fold(task): task for task in self.dimension_of}


def load_table(tasks: Path | None = None, names: Path | None = None) -> Table:
    """Read the table, and the spellings.

    Args:
        tasks: in place of the shipped `tasks.yaml`.
        names: spellings besides the shipped `names.yaml`; they win where both have one.

    Raises:
        ConfigError: a file cannot be read or has another form, a task stands twice, or a spelling is that of
            a task that is not in the table.
    """
    path = tasks or _HERE / "tasks.yaml"
    found = _checked(TypeAdapter(_Tasks), path)
    table = Table({k: tuple(v) for k, v in found.dimensions.items()}, frozenset(found.apart), {})
    everything = [task for own in found.dimensions.values() for task in own]
    folded: dict[str, str] = {}
    for task in everything:
        if (other := folded.get(_fold(task))) is not None:
            raise ConfigError(f"{path}: {task} stands twice, or differs from {other} in signs and case alone")
        folded[_fold(task)] = task
    if strange := sorted(table.apart - table.dimensions.keys()):
        raise ConfigError(f"{path}: 'apart' names {strange[0]!r}, which is no dimension")
    shipped = {k: v for k, v in _names(_HERE / "names.yaml").items() if v in table.dimension_of}
    own = _names(names) if names else {}
    for spelling, task in own.items():
        if task not in table.dimension_of:
            close = difflib.get_close_matches(task, everything, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ConfigError(f"{names}: {spelling!r} is said to be {task!r}, which is no task{hint}")
        if (other := folded.get(_fold(spelling), task)) != task:
            raise ConfigError(f"{names}: {spelling!r} is the name of the task {other} itself")
    return Table(table.dimensions, table.apart, own | {k: v for k, v in shipped.items() if k not in own})


def _names(path: Path) -> dict[str, str]:
    return _checked(TypeAdapter(dict[str, str]), path)


def _checked(form: TypeAdapter[Any], path: Path) -> Any:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    try:
        return form.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            f"{path}: {place}: {first['msg']} (desta2/evaluate/dynamic_superb/ has files of this form)"
        ) from error


def _fold(name: str) -> str:
    return _SIGNS.sub("", name.rpartition("/")[2].casefold())
