"""Speech language models without speech instruction data, by the method of DeSTA2.

The public names load on first use, so that `import desta2` takes no torch, no optional library and no
network; the price is that a broken installation shows itself at the first use and not at the import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from desta2.model.chat import ChatOutput
    from desta2.model.configuration import Desta2Config
    from desta2.model.modeling import Desta2Model, load
    from desta2.model.processing import Desta2Processor

__version__ = "0.1.0"

_HOMES = {
    "ChatOutput": "desta2.model.chat",
    "Desta2Config": "desta2.model.configuration",
    "Desta2Model": "desta2.model.modeling",
    "Desta2Processor": "desta2.model.processing",
    "load": "desta2.model.modeling",
}

__all__ = ["ChatOutput", "Desta2Config", "Desta2Model", "Desta2Processor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'desta2' has no attribute {name!r}; its public names are {__all__}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
