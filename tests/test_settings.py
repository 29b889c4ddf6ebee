"""A folder is continued with the settings that it was begun with, or not at all."""

import json

import pytest

from desta2.errors import InputError
from desta2.settings import keep_settings


def test_the_same_settings_again(tmp_path):
    folder = tmp_path / "new" / "folder"
    keep_settings(folder, {"clips": 3, "model": "a"})
    assert json.loads((folder / "settings.json").read_text()) == {"clips": 3, "model": "a"}
    keep_settings(folder, {"model": "a", "clips": 3})
    assert [path.name for path in folder.iterdir()] == ["settings.json"]


def test_other_settings_are_refused_and_named(tmp_path):
    keep_settings(tmp_path, {"clips": 3, "model": "a", "seed": 1})
    with pytest.raises(InputError) as caught:
        keep_settings(tmp_path, {"clips": 4, "model": "a", "data": "x"})
    assert str(caught.value) == (
        f"{tmp_path} was begun with other settings: clips was 3 and is 4, seed was 1 and is None, data was None and "
        "is 'x'. Give another output folder, or delete this one to begin anew"
    )
    keep_settings(tmp_path, {"clips": 3, "model": "a", "seed": 1})
