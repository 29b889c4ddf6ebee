"""Writing model folders, and sending them to the hub.

A folder holds the adapter, the configuration and a model card; the frozen models are named, not copied. What
goes to the hub is exactly such a folder, made afresh: transformers' own `push_to_hub` would put a card of its
own in place of ours.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from desta2.model import lora
from desta2.model.checkpoint import ADAPTER_FILE, save_adapter
from desta2.model.configuration import Desta2Config
from desta2.model.modelcard import CARD_FILE, CardFacts, is_hub_id, write_card

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

PUSH_OPTIONS = ("commit_message", "commit_description", "private", "token", "revision", "create_pr")
# What the Trainer and users of transformers may give, and what has no meaning for one small file.
FILE_OPTIONS = (
    "max_shard_size",
    "safe_serialization",
    "save_function",
    "save_original_format",
    "save_peft_format",
)

_log = logging.getLogger(__name__)


def save_config(config: Desta2Config, base_paths: Mapping[str, str], folder: Path) -> Desta2Config:
    """Write `config.json`; a frozen model named by a relative folder is named relative to the new place.

    Args:
        config: of the model.
        base_paths: where the frozen models are now, under the configuration's keys.
        folder: exists.

    Returns:
        The configuration as written.
    """
    saved: Desta2Config = Desta2Config.from_dict(config.to_dict())
    for name, path in base_paths.items():
        if getattr(saved, name).startswith("."):
            setattr(saved, name, os.path.relpath(path, folder.resolve()))
    saved.save_pretrained(folder)
    return saved


def save_model(
    model: Desta2Model,
    folder: Path,
    state_dict: Mapping[str, Tensor] | None = None,
    card: CardFacts | None = None,
    name: str | None = None,
) -> None:
    """Write a model folder; see `Desta2Model.save_pretrained`. `name` is the card's title."""
    folder.mkdir(parents=True, exist_ok=True)
    if model.config.lora is not None:
        lora.save(model.llm, model.config, folder, _part("llm.", state_dict))
    save_adapter(model.adapter, folder, _part("adapter.", state_dict))
    config = save_config(model.config, model._base_paths, folder)
    n_parameters = sum(parameter.numel() for parameter in model.adapter.parameters())
    carried = _card_of_same_weights(folder / ADAPTER_FILE, model._folder)
    write_card(folder, config, n_parameters, card, name, carried)


def _part(prefix: str, state: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The entries of one part of the model, by their names in it."""
    if state is None:
        return None
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def push_model(model: Desta2Model, repo_id: str, card: CardFacts | None, **options: Any) -> str:
    """Send a model folder to the hub; see `push`."""
    named = (model.config.llm_id, model.config.encoder_id)
    if local := [base for base in named if not is_hub_id(base) and not base.startswith("nano/")]:
        _log.warning(
            "elsewhere %s cannot be loaded: it names frozen models by local paths (%s); set llm_id and "
            "encoder_id of its config to hub ids and push again",
            repo_id,
            ", ".join(local),
        )
    return push(lambda folder: save_model(model, folder, card=card, name=repo_id), repo_id, **options)


def push(
    save: Callable[[Path], Any],
    repo_id: str,
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Send what `save` writes into a folder to the hub, as one commit; a card that is there is kept.

    Args:
        save: writes the files into the folder that it is given, in which the hub's card already lies, if any.
        repo_id: made if it is not there.
        commit_message, commit_description, private, token, revision, create_pr: as in transformers.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None and not create_pr and not revision.startswith("refs/pr"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if api.file_exists(repo_id, CARD_FILE, revision=revision):
            shutil.copyfile(api.hf_hub_download(repo_id, CARD_FILE, revision=revision), folder / CARD_FILE)
        save(folder)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=commit_message or "Upload with desta2",
            commit_description=commit_description,
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.commit_url)


def _card_of_same_weights(weights: Path, folder: Path | None) -> Path | None:
    """The card in `folder`, if the adapter there is this one and was not trained on since."""
    if folder is None or not (folder / CARD_FILE).is_file() or not (folder / ADAPTER_FILE).is_file():
        return None
    return folder / CARD_FILE if filecmp.cmp(weights, folder / ADAPTER_FILE, shallow=False) else None
