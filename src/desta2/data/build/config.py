"""The config of a build: one section for each stage, with the keys that the stage's own function takes.

Trade-off: sections are derived from the signatures of the stage functions instead of being written down
again, so that an option that a stage gets is at once a key of the config, with the same name, type and
default; the price is that type checkers see a section as a model without known fields.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from pydantic import Field, create_model

from desta2.config import StrictModel, load_config
from desta2.data.attributes import Scheme, load_scheme, scheme_for
from desta2.errors import ConfigError

SHARED = frozenset({"data_root", "scheme", "processes", "skip_bad"})
"""What holds for all stages stands at the top of the config, once."""
_NO_KEYS = frozenset({"progress", "audio_folder"})  # the build itself decides these


class Common(StrictModel):
    """The keys at the top of a build's config, beside the sections of the stages.

    Attributes:
        output: the work folder; gets a file or folder from each stage.
        clips: clip records to start from, instead of a `corpus`.
        data_root: where relative audio paths are looked for first; makes a build movable to where the audio
            is elsewhere.
        scheme: your own attributes.yaml; by default that beside `clips`, or else the shipped one.
        processes: processes to use; all cores by default.
        skip_bad: count and list bad lines and clips instead of stopping.
    """

    output: Path
    clips: Path | None = None
    data_root: Path | None = None
    scheme: Path | None = None
    processes: int | None = Field(None, ge=1)
    skip_bad: bool = False

    def section(self, name: str) -> StrictModel | None:
        """The section of a stage; None where it is left out."""
        section: StrictModel | None = getattr(self, name)
        return section

    def shared(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Of the common values those that a stage function takes; the scheme is read."""
        values: dict[str, Any] = {name: getattr(self, name) for name in SHARED & parameters(function)}
        return values | ({"scheme": self.read_scheme()} if "scheme" in values else {})

    def read_scheme(self) -> Scheme:
        """The attributes and their words: `scheme`, or what lies beside `clips`, or the shipped ones."""
        if self.scheme is None and self.clips is not None:
            return scheme_for(self.clips)
        return load_scheme(self.scheme)


def load_build(path: Path, overrides: Sequence[str] = ()) -> Common:
    """Read the config of a build, with a section for each stage.

    Raises:
        ConfigError: as `load_config`.
        InputError: a value that a stage would refuse.
    """
    from desta2.data.build.stages import STAGES

    sections: dict[str, Any] = {
        stage.name: (stage.section, None if stage.optional else _default(stage.section)) for stage in STAGES
    }
    config = load_config(path, create_model("BuildConfig", __base__=Common, **sections), overrides)
    if (config.clips is None) == (config.section("corpus") is None):
        raise ConfigError(f"{path}: expected 'clips' (a manifest to start from) or 'corpus', and not both")
    for stage in STAGES:
        if (section := config.section(stage.name)) is not None and stage.check is not None:
            stage.check(section)
    return config


def section_of(
    name: str,
    *sources: Callable[..., Any],
    leave_out: Collection[str] = (),
    more: Mapping[str, Any] = MappingProxyType({}),
) -> type[StrictModel]:
    """A section with the options of stage functions (keyword-only parameters) and dataclasses (fields).

    Args:
        name: of the section, for messages.
        sources: functions and dataclasses.
        leave_out: options that are no keys, beside those that hold for all stages.
        more: further keys, or the same with another type, each as (type, default).
    """
    fields: dict[str, Any] = {}
    for source in sources:
        types = get_type_hints(source)
        for option in _options(source):
            if option.name not in SHARED | _NO_KEYS | set(leave_out):
                default = ... if option.default is inspect.Parameter.empty else option.default
                fields[option.name] = (types[option.name], default)
    return create_model(f"{name}_section", __base__=StrictModel, **fields | dict(more))


def _default(section: type[StrictModel]) -> Any:
    """Its defaults, where every key has one; otherwise the config must have the section."""
    needed = any(field.is_required() for field in section.model_fields.values())
    return ... if needed else section()


def parameters(function: Callable[..., Any]) -> set[str]:
    """Names of the parameters of a function."""
    return set(inspect.signature(function).parameters)


def _options(source: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(source).parameters.values()
    if dataclasses.is_dataclass(source):
        return list(found)
    return [parameter for parameter in found if parameter.kind is parameter.KEYWORD_ONLY]
