"""The process of the web chat."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from desta2.errors import RunError

if TYPE_CHECKING:
    from desta2.ui.chat import Chat

_MAX_FILE = "64mb"


def run(chat: Chat, name: str, host: str, port: int, listening: Callable[[str], None]) -> None:
    """Show the page until Ctrl-C.

    Args:
        chat: Answers.
        name: Of the model.
        host, port: Where to listen; port 0 takes a free one.
        listening: Called with the page's address.

    Raises:
        RunError: The address cannot be had, or gradio is not installed.
    """
    try:
        from desta2.ui.page import CSS, THEME, build
    except ImportError as error:
        raise RunError(f"{error.name} is not installed: pip install 'desta2[ui]'") from error
    page = build(chat, name, examples())
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port or _free_port(host),
            theme=THEME,
            css=CSS,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=False,
            ssr_mode=False,
            max_file_size=_MAX_FILE,
            footer_links=[],
            allowed_paths=[str(path.parent) for path in examples()[:1]],
        )
    except OSError as error:
        raise RunError(f"cannot listen on {host} port {port}: {error}") from error
    listening(url)
    page.block_thread()


def examples() -> list[Path]:
    """The example clips: in a wheel within the package, in a checkout beside its sources."""
    package = Path(__file__).parents[1]
    return sorted([*package.glob("examples/*.wav"), *package.parents[1].glob("examples/*.wav")])


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as bound:
        port: int = bound.getsockname()[1]
        return port
