"""Folders that are continued, and the settings that they were begun with.

Resumable stages skip what is done, which is right only if it was done with the same settings: otherwise the
answers of one model would be shown as those of another. So a folder remembers what it was begun with, and
refuses to be continued with anything else. The price is that a user who changes a setting has to name another
folder.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desta2.errors import InputError

FILE = "settings.json"


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note the settings of a folder when it is begun; compare them when it is continued.

    Args:
        folder: made if it is not there.
        settings: all that the folder's contents depend on; JSON values.

    Raises:
        InputError: the folder was begun with other settings; the message names those that differ.
    """
    # Processes that share a folder may begin it at the same moment: a temporary name for each.
    file, temporary = folder / FILE, folder / f".{FILE}.{secrets.token_hex(4)}.tmp"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(settings, indent=2) + "\n")
        os.replace(temporary, file)
        return
    begun = json.loads(file.read_text())
    differing = [
        f"{key} was {begun.get(key)!r} and is {settings.get(key)!r}"
        for key in dict.fromkeys([*begun, *settings])
        if begun.get(key) != settings.get(key)
    ]
    if differing:
        raise InputError(
            f"{folder} was begun with other settings: {', '.join(differing)}. Give another output folder, or "
            "delete this one to begin anew"
        )
