"""docs/check.md names every filter, and its settings are the defaults."""

import re
from pathlib import Path

import yaml

from desta2.data.check.config import CheckConfig
from desta2.data.check.filters import NAMES

TEXT = (Path(__file__).parents[3] / "docs" / "check.md").read_text()


def test_every_filter_is_there():
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE)) == NAMES


def test_the_settings_are_the_defaults():
    block = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert CheckConfig.model_validate(yaml.safe_load(block[1])) == CheckConfig()
    shown = {
        (key, inner)
        for key, v in yaml.safe_load(block[1]).items()
        for inner in (v if isinstance(v, dict) else [None])
    }
    defaults = CheckConfig().model_dump()
    every = {(key, inner) for key, v in defaults.items() for inner in (v if isinstance(v, dict) else [None])}
    assert every - shown == {("language", "unless_prompt")}  # too long for the block; named below it
    assert "`language.unless_prompt`" in TEXT
