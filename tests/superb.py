"""Small Dynamic-SUPERB folders: real Parquet, in the benchmark's schema, with real audio."""

import io

import numpy as np
import soundfile


def wav(frequency, seconds=0.3):
    """The bytes of a wav file."""
    t = np.arange(int(16_000 * seconds)) / 16_000
    buffer = io.BytesIO()
    soundfile.write(buffer, (0.3 * np.sin(2 * np.pi * frequency * t)).astype("float32"), 16_000, format="WAV")
    return buffer.getvalue()


def row(frequency, label, instruction="Is it loud?", **more):
    """A row of a task; `more` are further columns."""
    audio = {"bytes": wav(frequency), "path": f"{frequency}.wav"}
    return {"audio": audio, "instruction": instruction, "label": label, **more}


def write_task(folder, name, rows):
    """`folder/name/data/test-00000-of-00001.parquet`, as the hub has it, and without datasets' metadata."""
    import pyarrow
    from pyarrow import parquet

    path = folder / name / "data" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_benchmark(folder, items=4):
    """Three tasks of three dimensions: one clip, two clips, a clip and a text; and one about sounds."""
    write_task(folder, "SpeechDetection_LJSpeech", [row(200 + i, "yes") for i in range(items)])
    write_task(
        folder,
        "SpeakerVerification_VCTK",
        [row(300 + i, "no", audio2={"bytes": wav(400 + i), "path": "b.wav"}) for i in range(items)],
    )
    texts = [row(500 + i, "yes", text=f"hello {i}") for i in range(items)]
    write_task(folder, "NoiseDetection_VCTK-MUSAN-Gaussian", texts)
    write_task(folder, "BirdSoundDetection_Warblrb10k", [row(600 + i, "yes") for i in range(items)])
    return folder
