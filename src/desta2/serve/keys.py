"""Who may ask: a file of API keys, of which it holds only hashes.

A line is `NAME:HASH`, with the SHA-256 of the key in hexadecimal. Keys are made here, 256 random bits each,
so a plain hash is as good as a slow one: nobody guesses them, stolen hashes or not.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from desta2.errors import InputError

_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Keys:
    """API keys.

    Attributes:
        hashes: The SHA-256 of each key, by the name of its owner.
    """

    hashes: dict[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Read a file of keys; empty lines and those that start with # count as nothing.

        Raises:
            InputError: It cannot be read, a line is none, or it has no key.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the file of API keys {path} cannot be read: {error}") from error
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(map(str.strip, lines), start=1):
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None:  # the line itself may be a key that someone put there by mistake
                raise InputError(
                    f"{path}, line {number} is not NAME:HASH, with the SHA-256 of a key as 64 hexadecimal "
                    "digits; 'desta2 serve --new-key NAME' prints a key and its line"
                )
            if match[1] in hashes:
                raise InputError(f"{path}, line {number}: there is a key named {match[1]} already")
            hashes[match[1]] = bytes.fromhex(match[2])
        if not hashes:
            raise InputError(f"{path} has no API key; 'desta2 serve --new-key NAME' makes one")
        return cls(hashes)

    def name_of(self, key: str) -> str | None:
        """Whose key it is; None where it is nobody's.

        Every hash is compared, each in constant time, so that the time tells nothing.
        """
        given, found = hashlib.sha256(key.encode(errors="surrogatepass")).digest(), None
        for name, known in self.hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found


def new_key(name: str) -> tuple[str, str]:
    """A fresh key, and the line of the file that knows it.

    Raises:
        InputError: The name has other signs than letters, digits, dots, dashes and underscores.
    """
    key = f"desta2-{secrets.token_urlsafe(32)}"
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.fullmatch(line):
        raise InputError(f"the name {name!r} must be 1 to 64 letters, digits, dots, dashes or underscores")
    return key, line
