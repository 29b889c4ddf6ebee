"""What the server allows, and where it listens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from desta2.errors import InputError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Limits:
    """What a request may cost, and how many there may be.

    Attributes:
        body_bytes: of a request; base64 makes a clip a third larger.
        clip_seconds: of one clip; the model's own `max_clip_seconds` where that is less.
        total_seconds: of all clips of a request.
        clips: in a request.
        messages: in a request.
        answer_tokens: longest answer, also where a request asks for none.
        answers_at_once: requests that are worked on together.
        queue: requests that may wait for that; more are turned away.
        per_client: requests of one key at once, working or waiting; of all clients together without keys.
        seconds: until an answer has to be complete.
    """

    body_bytes: int = 64 << 20
    clip_seconds: float = 600.0
    total_seconds: float = 1200.0
    clips: int = 16
    messages: int = 256
    answer_tokens: int = 1024
    answers_at_once: int = 32
    queue: int = 16
    per_client: int = 1024
    seconds: float = 120.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0 and not (name == "queue" and value == 0):
                raise InputError(f"{name} is {value}; it must be above 0")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
