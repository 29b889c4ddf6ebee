"""Adapter-only checkpoints, and knowing the frozen models again.

A model folder holds `adapter.safetensors` and `config.json`; the frozen models are named and fingerprinted,
not copied. Loading is strict: every key that is missing, unexpected or misshapen is listed. A fingerprint
samples three rows of every tensor instead of reading all, so that an 8-billion-parameter LLM costs about a
second; it tells models, revisions and fine-tunings apart, but a change confined to unsampled rows would pass.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from desta2.errors import CheckpointError
from desta2.model.adapter import Adapter
from desta2.nano import nano_path

ADAPTER_FILE = "adapter.safetensors"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"


def model_folder(
    path_or_id: str | os.PathLike[str],
    needs: Sequence[str] = (ADAPTER_FILE, CONFIG_FILE),
    **hub_options: Any,
) -> Path:
    """Local folder of a model: the given one, or the hub's snapshot (fetched or cached).

    Args:
        path_or_id: Folder or hub id.
        needs: Files that it must hold; from the hub these are fetched.
        hub_options: Passed on to transformers: `revision`, `token`, `cache_dir`, …

    Raises:
        CheckpointError: There is neither such a folder nor such a hub id, or a file is missing.
    """
    path = Path(path_or_id)
    if path.is_dir():
        _require(path, needs)
        return path
    if path.exists():
        raise CheckpointError(f"{path} is a file; give the model's folder")
    from transformers.utils.hub import cached_file

    try:
        files = [cached_file(str(path_or_id), name, **hub_options) for name in needs]
    except (OSError, ValueError) as error:
        wanted = " and ".join(needs)
        raise CheckpointError(
            f"{path_or_id} is neither a folder nor a hub model with {wanted} within reach: {error}"
        ) from error
    return Path(str(files[0])).parent


def _require(folder: Path, names: Sequence[str]) -> None:
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise CheckpointError(
            f"{folder} has no {' and no '.join(missing)}; is it a desta2 model folder? (An official "
            "DeSTA2 or DeSTA2.5 checkpoint becomes one with 'desta2 convert'.)"
        )


def find_file(source: str, name: str, **hub_options: Any) -> Path | None:
    """A file of a folder or hub id (fetched or cached); None where it is not within reach.

    Raises:
        CheckpointError: `source` is itself a file, or the hub refuses it.
    """
    if Path(source).is_file():
        raise CheckpointError(f"{source} is a file; give its folder, or a hub id")
    from transformers.utils.hub import cached_file

    try:
        file = cached_file(source, name, **hub_options, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot find {name} of {source}: {error}") from error
    return None if file is None else Path(file)


def needed_file(source: str, name: str, **hub_options: Any) -> Path:
    """`find_file` for a file that must be there.

    Raises:
        CheckpointError: It is not within reach.
    """
    if (file := find_file(source, name, **hub_options)) is not None:
        return file
    if Path(source).is_dir():
        raise CheckpointError(f"{source} has no {name}")
    raise CheckpointError(
        f"{source} is neither a folder nor a hub model with {name} within reach (it is not cached, and the "
        "hub was not reached or has no such file)"
    )


def resolve_base(base_id: str, folder: Path | None) -> str:
    """Where a frozen model is.

    Shipped with the package ("nano/llm", "nano/whisper", "nano/second-llm"), inside or relative to the
    model's `folder`, or else the id as it stands.

    Raises:
        CheckpointError: The id is empty, or plainly a path (`./…`, `../…`, `/…`) and not there.
    """
    if not base_id:
        raise CheckpointError("the configuration names no llm_id or encoder_id; give them when loading")
    if base_id in ("nano/llm", "nano/whisper", "nano/second-llm"):
        return str(nano_path(base_id.removeprefix("nano/")))
    if folder is not None and (folder / base_id).is_dir():
        return str((folder / base_id).resolve())
    # A path relative to the model's folder must not be found by chance in the working folder.
    elsewhere = folder is not None and base_id.startswith(".")
    if base_id.startswith((".", "/")) and (elsewhere or not Path(base_id).is_dir()):
        raise CheckpointError(
            f"the frozen model {base_id} (relative to {folder or os.getcwd()}) is not there"
        )
    return base_id


def save_adapter(adapter: nn.Module, folder: Path, state: dict[str, Tensor] | None = None) -> None:
    """Write `adapter.safetensors`, complete or not at all. `state` replaces the adapter's own state dict."""
    write_tensors(state or adapter.state_dict(), folder / ADAPTER_FILE)


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write a safetensors file, complete or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = file.with_name(file.name + ".tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch()
    mode = temporary.stat().st_mode  # what the umask gives; save_file lets nobody else read
    save_file(plain, temporary, metadata={"format": "pt"})
    temporary.chmod(mode)
    os.replace(temporary, file)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        CheckpointError: The file cannot be read.
    """
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def key_problems(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Every key that is missing, unexpected or misshapen, in words; `expected` may be on "meta"."""
    problems = [f"missing {name}" for name in expected if name not in found]
    problems += [f"unexpected {name}" for name in found if name not in expected]
    problems += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    return problems


def read_adapter(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `adapter.safetensors`, whose names and shapes must be those of `expected`.

    Raises:
        CheckpointError: The file is missing or broken, or its keys or shapes differ; all of them are named.
    """
    _require(folder, [ADAPTER_FILE])
    file = folder / ADAPTER_FILE
    found = read_tensors(file)
    if problems := key_problems(found, expected):
        raise CheckpointError(f"{file} does not fit its configuration: " + "; ".join(problems))
    return found


def load_adapter(adapter: Adapter, folder: Path) -> None:
    """Load `adapter.safetensors` into `adapter`, which must fit exactly.

    Raises:
        CheckpointError: As `read_adapter`.
    """
    adapter.load_state_dict(read_adapter(folder, adapter.state_dict()))
    adapter.calibrated = True


def fingerprint(source: str | os.PathLike[str] | nn.Module) -> str:
    """SHA-256 over names, shapes and sampled values of a model's weights.

    Values are rounded to bfloat16 first and tied weights count once, so that a folder and the model loaded
    from it agree in fp32 and bf16, however the files are split. (A model loaded in fp16 from fp32 files is
    rounded twice and may differ: take the folder.)

    Args:
        source: A model, or a folder with its safetensors files.

    Raises:
        CheckpointError: The folder has no safetensors files.
    """
    samples = _module_samples(source) if isinstance(source, nn.Module) else _file_samples(Path(source))
    digest = hashlib.sha256()
    for name, shape, sample in sorted(samples, key=lambda entry: entry[0]):
        digest.update(f"{name}{shape}".encode())
        digest.update(sample.to(torch.bfloat16).cpu().contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def base_fingerprint(base: str, module: nn.Module, cache_dir: Any = None) -> str:
    """Fingerprint of a frozen model that was loaded from `base`: from its files where there are any.

    So it is the same however the weights were rounded in loading.

    Raises:
        CheckpointError: There are no safetensors files, and the weights are rounded.
    """
    from transformers.utils.hub import cached_file

    if Path(base).is_dir():
        folder = Path(base)
    else:
        config = cached_file(
            base,
            CONFIG_FILE,
            cache_dir=cache_dir,
            local_files_only=True,
            _raise_exceptions_for_missing_entries=False,
        )
        folder = Path(config).parent if config else Path(base)
    if _weight_files(folder):
        return fingerprint(folder)
    if was_quantised(module):
        raise CheckpointError(
            f"{base} has no safetensors files, so once quantised it cannot be told from others; load it "
            "without quantization_config, save it with save_pretrained, and use that folder"
        )
    return fingerprint(module)


def was_quantised(module: nn.Module) -> bool:
    """Whether transformers rounded the weights in loading."""
    return getattr(module, "hf_quantizer", None) is not None


def fingerprint_at_hand(base: str, **hub_options: Any) -> str | None:
    """Fingerprint of a frozen model; None unless all of its weights lie here as safetensors."""
    folder = Path(resolve_base(base, None))
    if not folder.is_dir():
        config = find_file(base, "config.json", **{**hub_options, "local_files_only": True})
        folder = config.parent if config is not None else folder
    return fingerprint(folder) if _weight_files(folder) else None


def check_base(what: str, base: str, module: nn.Module, expected: str | None, cache_dir: Any = None) -> None:
    """Compare a frozen model's fingerprint with the one it had in training (None: not recorded, accepted).

    Raises:
        CheckpointError: They differ, or it has none (see `base_fingerprint`).
    """
    if expected is not None:
        require_fingerprint(what, base, base_fingerprint(base, module, cache_dir), expected)


def require_fingerprint(what: str, base: str, actual: str, expected: str) -> None:
    """Compare two fingerprints of a frozen model.

    Raises:
        CheckpointError: They differ.
    """
    if actual != expected:
        raise CheckpointError(
            f"the {what} at {base} is not the one that the adapter was trained with (fingerprint "
            f"{actual[:12]}, expected {expected[:12]}); use the right one, or pass allow_other_bases=True to "
            "try it anyway"
        )


def _sampled_rows(n_rows: int) -> list[int]:
    return sorted({0, n_rows // 2, n_rows - 1})


def _module_samples(module: nn.Module) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
    for name, tensor in module.named_parameters():
        rows = tensor if tensor.dim() == 0 else tensor[_sampled_rows(len(tensor))]
        yield name, tuple(tensor.shape), rows.detach()


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads; empty unless all are there.

    Some repositories keep the weights a second time (`consolidated.safetensors`), and a cache holds only
    what was asked for: such files must not count.
    """
    index = folder / INDEX_FILE
    names = {WEIGHTS_FILE}
    if not (folder / WEIGHTS_FILE).is_file() and index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    files = [folder / name for name in sorted(names)]
    return files if all(file.is_file() for file in files) else []


def _file_samples(folder: Path) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
    files = _weight_files(folder)
    if not files:
        raise CheckpointError(f"{folder} has no {WEIGHTS_FILE}, whole or in parts, to take a fingerprint of")
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                view = tensors.get_slice(name)
                shape = tuple(view.get_shape())
                rows = (
                    [view[i : i + 1] for i in _sampled_rows(shape[0])]
                    if shape
                    else [tensors.get_tensor(name)]
                )
                yield name, shape, torch.cat(rows) if shape else rows[0]
