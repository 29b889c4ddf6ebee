"""Any dataset of the Hugging Face `datasets` library: saved on the disk, a folder of files, or a hub id.

Trade-off: `datasets` reads the tables and knows the features; audio it must not touch. Its own decoding
needs torchcodec and is therefore turned off (`Audio(decode=False)`): the bytes of a clip are kept in a
file beside the manifest, and the one opener of audio (`data/audio.py`) decodes them later. Everything is
streamed, so a dataset on the hub is read once from front to back and nothing of it stays in a cache; a run
that was stopped reads from the front again, but writes nothing twice.

Source: https://huggingface.co/docs/datasets/audio_load and /stream (load_from_disk, streaming,
decode=False).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.data.sources.base import Reading, Source
from desta2.data.sources.rows import Row, is_table
from desta2.data.sources.table import row_clips
from desta2.errors import AudioError, InputError, RunError
from desta2.records import Clip

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read the splits of a dataset one after another; the split stands in each clip."""
    return _clips(src, open_splits(src, reading), reading)


def is_hub_id(src: str) -> bool:
    """Whether this names a dataset on the hub ("owner/name"), and no table that may be on the disk."""
    return _HUB_ID.fullmatch(src) is not None and not Path(src).exists() and not is_table(src)


def open_splits(src: str, reading: Reading) -> dict[str, Any]:
    """The datasets of the splits that the user wants, by name; nothing of them is read yet.

    Raises:
        InputError: no such dataset, configuration or split, or `datasets` is not installed.
        RunError: the hub does not answer.
    """
    options = reading.options
    found = _opened(src, lambda datasets: _load(datasets, src, options.config, options.revision))
    if not isinstance(found, Mapping):  # save_to_disk of a single split
        found = {str(found.split or "train"): found}
    return {name: found[name] for name in reading.splits(list(found))}


def open_parquet(files: Sequence[Path]) -> Any:
    """Parquet files as one dataset, with the features that their metadata tell; nothing is read yet.

    Raises:
        InputError: they are no Parquet files with the same columns, or `datasets` is not installed.
    """
    names = [str(file) for file in files]
    options = {"data_files": names, "split": "train", "streaming": True}
    return _opened(names[0], lambda datasets: datasets.load_dataset("parquet", **options))


def _opened(src: str, load: Callable[[Any], Any]) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "Hugging Face datasets need the package datasets: pip install 'desta2[corpora]'"
        ) from error
    datasets.disable_progress_bars()  # they would stand between ours
    try:
        return load(datasets)
    except InputError:
        raise
    except (FileNotFoundError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{src}: cannot be read as a dataset: {error}") from error
    except Exception as error:  # of the hub's client, the file system, a format: there is no list of them
        raise RunError(f"{src}: cannot be opened: {type(error).__name__}: {error}") from error


def _load(datasets: Any, src: str, config: str | None, revision: str | None) -> Any:
    path = Path(src).expanduser()
    if path.is_dir() and any((path / name).exists() for name in ("dataset_dict.json", "state.json")):
        if config or revision:
            raise InputError(f"{src} was saved by save_to_disk: it has neither --config nor --revision")
        return datasets.load_from_disk(str(path))
    if not path.exists() and not _HUB_ID.fullmatch(src):
        raise InputError(
            f"{src} does not exist; expected a folder on the disk, or a hub id such as owner/name"
        )
    where = str(path) if path.exists() else src
    return datasets.load_dataset(where, config, revision=revision, streaming=True)


def rows_of(name: str, dataset: Any) -> Iterator[Row]:
    """The rows of one split: audio undecoded, class numbers as their names."""
    import datasets

    features = dataset.features or {}
    classes = {c: f for c, f in features.items() if isinstance(f, datasets.ClassLabel)}
    for column, feature in features.items():
        if isinstance(feature, datasets.Audio):
            dataset = dataset.cast_column(column, datasets.Audio(decode=False))
    try:
        for number, row in enumerate(dataset, start=1):
            for column, feature in classes.items():
                value = row[column]
                row[column] = None if value is None or value < 0 else feature.int2str(value)
            yield f"{name}:row {number}", row
    except Exception as error:  # as above
        raise RunError(
            f"{name}: reading stopped: {type(error).__name__}: {error}; what is written is kept: run again "
            "to go on"
        ) from error


def _clips(src: str, splits: Mapping[str, Any], reading: Reading) -> Iterator[Clip]:
    name = Path(src).name if Path(src).exists() else src.rpartition("/")[2]
    folders = [Path(src).expanduser().absolute()] if Path(src).exists() else []
    for split, dataset in splits.items():
        rows = _with_audio(split, dataset, name, reading)
        for clip in row_clips(rows, reading, folders, f"{src}, split {split}"):
            yield clip.model_copy(update={"split": split})


def _with_audio(split: str, dataset: Any, name: str, reading: Reading) -> Iterator[Row]:
    """The rows with the one column of the feature Audio as `audio`, remote files fetched, and an id."""
    import datasets

    sound = [c for c, f in (dataset.features or {}).items() if isinstance(f, datasets.Audio)]
    mapped = reading.options.columns
    rename = (
        sound[0] if len(sound) == 1 and "audio" not in mapped.values() and sound[0] not in mapped else None
    )
    id_column = next((column for column, target in mapped.items() if target == "id"), "id")
    for number, (place, row) in enumerate(rows_of(split, dataset)):
        if rename and rename != "audio":
            row["audio"] = row.pop(rename)
        if row.get(id_column) in (None, ""):
            row[id_column] = f"{name}-{split}-{number:07d}"
        column = next((c for c, target in mapped.items() if target == "audio"), "audio")
        try:
            row[column] = fetched(row.get(column))
        except AudioError as error:
            reading.bad(place, error)
            continue
        yield place, row


def fetched(audio: Any) -> Any:
    """Undecoded audio with its bytes, also where the dataset only tells the address of a file on the hub."""
    if not isinstance(audio, dict) or audio.get("bytes") or "://" not in (audio.get("path") or ""):
        return audio
    import fsspec

    try:
        with fsspec.open(audio["path"], "rb") as file:
            return {"bytes": file.read(), "path": audio["path"]}
    except (OSError, ValueError) as error:
        raise AudioError(f"{audio['path']}: cannot be fetched: {error}") from error


SOURCE = Source(
    name="hf",
    title="a Hugging Face dataset",
    layout="a folder of save_to_disk, a folder of Parquet, JSON or CSV files or of audio, or a hub id",
    carries="what its columns hold",
    licence="as its card states",
    obtain="https://huggingface.co/datasets",
    read=read,
    options=frozenset({"split", "columns", "config", "revision"}),
    own_data=True,
)
