"""Rows of the two published training sets, and files of them in every form."""

import gzip
import json

import pytest

DESTA2 = {
    "audio_id": "a", "audio_filepath": "a.flac", "transcription": " fox", "input": "What?", "target": "A fox.",
    "dataset": "-", "duration": 1.0, "seed_transcript": "[00:00:00 - 00:00:01] fox",
}  # fmt: skip
AQA5M = {
    "id": "b.wav", "dataset": "-", "seed_description": "fox", "prompt": "What?", "response": "A fox.",
    "messages": [
        {"role": "system", "content": "Focus."},
        {"role": "user", "content": "<|AUDIO|>\nWhat?", "audios": [{"audio": "b.wav", "text": None}]},
    ],
}  # fmt: skip


def write(path, rows):
    if path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
