"""The two published training sets, as pairs to train on or as seeds to answer anew.

DeSTA2 (DeSTA-ntu/DeSTA2-Llama3-8B-Instruct): audio_id, audio_filepath, transcription, input, target,
dataset, duration, seed_transcript. Its training put the clip and its transcript before the `input` in one
user turn, without a system prompt (kehanlu/Nemo, examples/desta/conf/dataset/desta2.yaml), and so does the
pair. DeSTA-AQA5M (DeSTA-ntu/DeSTA-AQA5M-FROM-Llama3.1-8B-Instruct): id, dataset, seed_description, prompt,
response, messages; the messages are kept letter by letter (form: kehanlu/DeSTA2.5-Audio, docs/dataset.md
and docs/train.md).

Neither set has the audio: the paths stay as they are and belong to the folder that the user will train
with as data root. If `--data-root` names it now, every file is looked for (a .wav of the same name will
do, as in the authors' loader). One clip has several rows, so an id is the clip's with a digest of the row
behind it; the authors' own id is kept in `audio_id`. SRC is a .parquet or .jsonl file, a folder of them,
or the hub id.

Trade-off of `--seeds`: of rows that share clip and seed one seed is kept, and the authors' answers are
dropped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from desta2.data.respond import AUDIO
from desta2.data.sources.base import Reading, Source
from desta2.data.sources.hf import is_hub_id, open_splits, rows_of
from desta2.data.sources.rows import Row, read_table, table_files
from desta2.errors import InputError, RecordError
from desta2.records import Pair, Record, Seed, parse_line, to_line

DESTA2_COLUMNS = (
    "audio_id", "audio_filepath", "transcription", "input", "target", "dataset", "duration",
    "seed_transcript",
)  # fmt: skip
AQA5M_COLUMNS = ("id", "dataset", "seed_description", "prompt", "response", "messages")
_DESTA2_LLM = "meta-llama/Meta-Llama-3-8B-Instruct"
_AQA5M_LLM = "meta-llama/Llama-3.1-8B-Instruct"

Fields = dict[str, Any]


def _read(
    src: str, reading: Reading, *, columns: tuple[str, ...], fields: Callable[[Mapping[str, Any]], Fields]
) -> Iterator[Record]:
    parts: Iterator[Iterator[Row]]
    if is_hub_id(src):
        splits = open_splits(src, reading)
        parts = (rows_of(f"{src}, split {name}", dataset) for name, dataset in splits.items())
    else:
        files = table_files(src)
        parts = (read_table(file, reading) for file in files)
    return _records(itertools.chain.from_iterable(parts), columns, fields, reading)


def _records(
    rows: Iterator[Row],
    columns: tuple[str, ...],
    fields: Callable[[Mapping[str, Any]], Fields],
    reading: Reading,
) -> Iterator[Record]:
    for number, (place, row) in enumerate(rows):
        if missing := [name for name in columns if name not in row]:
            if number == 0:
                raise InputError(f"{place}: there is no column {missing[0]!r}; expected {', '.join(columns)}")
            reading.bad(place, f"has no {missing[0]!r}")
            continue
        try:
            pair = parse_line(to_line(fields(row)), Pair)
            yield _seed(pair) if reading.options.seeds else _found(pair, reading)
        except RecordError as error:
            reading.bad(place, error)


def desta2_fields(row: Mapping[str, Any]) -> Fields:
    """A row of DeSTA2's set as the fields of a pair."""
    prompt, target = _text(row, "input"), _text(row, "target")
    if AUDIO in prompt:
        raise RecordError(f"its input holds {AUDIO}, which marks the clip in messages")
    clip = {"audio": _text(row, "audio_filepath"), "text": _text(row, "transcription")}
    message = {"role": "user", "content": f"{AUDIO}\n{prompt}", "audios": [clip]}
    return _pair(row, "audio_id", [message], prompt, target, "seed_transcript", _DESTA2_LLM, "v2") | {
        "dataset": row["dataset"],
        "duration": row["duration"],
    }


def aqa5m_fields(row: Mapping[str, Any]) -> Fields:
    """A row of AQA-5M as the fields of a pair."""
    messages = row["messages"]
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise RecordError(f"its messages are {str(messages)[:60]!r}, expected a list of objects")
    prompt, response = _text(row, "prompt"), _text(row, "response")
    return _pair(row, "id", messages, prompt, response, "seed_description", _AQA5M_LLM, "v2.5") | {
        "dataset": row["dataset"]
    }


def _pair(
    row: Mapping[str, Any],
    key: str,
    messages: list[Fields],
    prompt: str,
    response: str,
    seed: str,
    llm: str,
    fmt: str,
) -> Fields:
    audio_id = _text(row, key)
    content = json.dumps([messages, response], ensure_ascii=False, sort_keys=True)
    digest = hashlib.blake2s(content.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return {
        "id": f"{audio_id}#{digest}",
        "messages": messages,
        "response": response,
        "seed": _text(row, seed),
        "provenance": {"llm": llm, "prompt": prompt, "seed_format": fmt},
        "audio_id": audio_id,
    }


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise RecordError(f"column {column!r}: given {str(value)[:60]!r}, expected a text")
    return value


def _audios(pair: Pair) -> list[Fields]:
    found = [clip for message in pair.messages for clip in message.get("audios") or []]
    if not found or not all(isinstance(clip, dict) and isinstance(clip.get("audio"), str) for clip in found):
        raise RecordError("its messages name no clip as {'audio': path, 'text': transcript} in 'audios'")
    return found


def _found(pair: Pair, reading: Reading) -> Pair:
    """The pair, its audio looked for under the data root if there is one."""
    for clip in _audios(pair):
        if reading.data_root is None:
            continue
        path = reading.data_root / clip["audio"]
        if not path.exists():
            if not path.with_suffix(".wav").exists():
                raise RecordError(f"no audio file at {path}, nor at {path.with_suffix('.wav').name}")
            clip["audio"] = Path(clip["audio"]).with_suffix(".wav").as_posix()
    return pair


def _seed(pair: Pair) -> Seed:
    """The seed of a pair with one clip."""
    clips = _audios(pair)
    if len(clips) != 1:
        raise RecordError(f"it has {len(clips)} clips, and a seed describes one")
    extra = pair.model_extra or {}
    fields = {
        "id": str(extra["audio_id"]) + "#" + hashlib.blake2s(pair.seed.encode()).hexdigest()[:10],
        "audio": clips[0]["audio"],
        "text": clips[0].get("text"),
        "duration": extra.get("duration"),
        "dataset": extra.get("dataset"),
        "seed": pair.seed,
        "seed_format": pair.provenance.seed_format,
    }
    return parse_line(to_line({k: v for k, v in fields.items() if v is not None}), Seed)


_OPTIONS = frozenset({"split", "revision", "config", "seeds"})

DESTA2 = Source(
    name="desta2",
    title="DeSTA2's training set",
    layout=f"a .parquet or .jsonl file with the columns {', '.join(DESTA2_COLUMNS)}",
    carries="pairs (or with --seeds seeds): seed transcript, prompt, response; transcript, duration",
    licence="as its card states; the audio is that of its corpora and is not in it",
    obtain="https://huggingface.co/datasets/DeSTA-ntu/DeSTA2-Llama3-8B-Instruct",
    read=partial(_read, columns=DESTA2_COLUMNS, fields=desta2_fields),
    options=_OPTIONS,
    repeats=True,
)
AQA5M = Source(
    name="aqa5m",
    title="DeSTA-AQA5M",
    layout=f"a .jsonl or .parquet file with the columns {', '.join(AQA5M_COLUMNS)}",
    carries="pairs (or with --seeds seeds): seed description, prompt, response; transcript",
    licence="as its card states; the audio is that of its corpora and is not in it",
    obtain="https://huggingface.co/datasets/DeSTA-ntu/DeSTA-AQA5M-FROM-Llama3.1-8B-Instruct",
    read=partial(_read, columns=AQA5M_COLUMNS, fields=aqa5m_fields),
    options=_OPTIONS,
    repeats=True,
)
