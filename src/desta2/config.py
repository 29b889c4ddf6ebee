"""Typed configs: a YAML file and `key=value` overrides, checked against a pydantic model before any work.

A misspelt key costs a second here and hours later, so nothing unknown passes, and all mistakes are told at
once. Scalars follow YAML 1.2 and not PyYAML's 1.1: `1e-4` is a number, `no` and `1:30` are texts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from desta2.errors import ConfigError

Config = TypeVar("Config", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of every config: unknown keys, NaN and infinity are refused; the values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def load_config(path: Path | None, model: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read a config file, apply the overrides, and check the whole.

    Args:
        path: a YAML file, or None for the model's defaults.
        model: what the config must look like; derive it, and every section of it, from `StrictModel`.
        overrides: `key=value`, the key dotted for a section (`optimizer.lr=1e-4`), the value in YAML;
            of several for one key the last counts.

    Returns:
        The model.

    Raises:
        ConfigError: the file cannot be read, or some keys or values are wrong: one line for each.
    """
    values = {} if path is None else _read(path)
    given_by: dict[str, str] = {}
    problems = []
    for override in overrides:
        try:
            key, value = _parse_override(override)
            _set(values, key, value, override)
            given_by[key] = f"override {override!r}"
        except ConfigError as error:
            problems.append(str(error))
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        source = str(path) if path is not None else "the config"
        problems += [_explain(detail, model, source, given_by) for detail in error.errors()]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2 (decimal numbers only) and no duplicate keys."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML declares it so; without this the 1.1 rules are inherited

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked here and not when values are made: merging (`<<`) may repeat keys.
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {key.value!r}", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node


_NUMBER = list("-+.0123456789")
for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"[-+]?[0-9]+", _NUMBER),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", _NUMBER),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))", _NUMBER),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^{_pattern}$"), _first)
# The inherited constructor reads 010 as octal.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def _parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ConfigError: what is wrong, with line and column.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ConfigError(f"{where}{error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"no config file at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} as a UTF-8 text file: {error}") from error
    try:
        values = _parse(text)
    except ConfigError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys with values (`key: value`), given {_show(values)}")
    return values


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"override {override!r}: expected key=value, as in train.steps=100")
    try:
        return key, _parse(text)
    except ConfigError as error:
        raise ConfigError(
            f"""override {override!r}: the value is not valid YAML ({error}); quote a text: {key}='"..."'"""
        ) from error


def _set(values: dict[str, Any], key: str, value: Any, override: str) -> None:
    *sections, last = key.split(".")
    for depth, section in enumerate(sections, start=1):
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            name = ".".join(sections[:depth])
            raise ConfigError(
                f"override {override!r}: {name!r} is {_show(inner)}, without keys; give {name}=... as a whole"
            )
        values = inner
    values[last] = value


def _explain(detail: Any, model: type[BaseModel], source: str, given_by: dict[str, str]) -> str:
    """One of pydantic's errors in a line of ours."""
    location: tuple[int | str, ...] = detail["loc"]
    key = ".".join(str(part) for part in location)
    where = _source(key, given_by) or source
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r} in {where}; {_suggest(location, model)}"
    if detail["type"] == "missing":
        return f"missing key {key!r} in {where}: it has no default"
    expected = re.sub(r"^Value error, ", "", detail["msg"])
    expected = re.sub(r"^Input should be ", "expected ", expected)
    if not location:  # a rule over several keys
        return f"{where}: {expected}"
    return f"wrong value for {key!r} in {where}: given {_show(detail['input'])}, {expected}"


def _source(key: str, given_by: dict[str, str]) -> str | None:
    """The last override that set the key or a section around or in it."""
    sources = [
        override
        for given, override in given_by.items()
        if f"{key}.".startswith(f"{given}.") or f"{given}.".startswith(f"{key}.")
    ]
    return sources[-1] if sources else None


def _suggest(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *sections, key = location
    names = sorted({name for section in _models_at(sections, model) for name in section.model_fields})
    prefix = "".join(f"{section}." for section in sections)
    close = difflib.get_close_matches(str(key), names, n=1)
    if close:
        return f"did you mean {prefix + close[0]!r}?"
    return f"known keys: {', '.join(prefix + name for name in names)}"


def _models_at(sections: Sequence[int | str], model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models that may stand at a place of the config; several where a field is a union."""
    models = [model]
    for section in sections:
        fields = [each.model_fields[section] for each in models if section in each.model_fields]
        if fields:  # otherwise an index, the key of a dictionary or the tag of a union: the models stay
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _show(value: Any) -> str:
    """A value in an error message: short, and with its type where the text does not say it."""
    shown = repr(value)
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    return shown if value is None else f"{shown} ({type(value).__name__})"
