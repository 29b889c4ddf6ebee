"""A small AIR-Bench-Chat in the published layout."""

import json
from pathlib import Path
from typing import Any

TASKS = (
    "speech_QA",
    "speech_dialogue_QA",
    "sound_QA",
    "sound_generation_QA",
    "music_QA",
    "music_generation_analysis_QA",
    "speech_and_sound_QA",
    "speech_and_music_QA",
)


def rows(per_task: int = 2) -> list[dict[str, Any]]:
    """The objects of `Chat_meta.json`; the first items of sound_QA and sound_generation_QA share a clip."""
    return [
        {
            "meta_info": f"['Description of {task} {number}.']",
            "question": f"What is {task} {number}?",
            "answer_gt": f"Reference {task} {number}.",
            "path": f"clip{number}.wav",
            "task_name": task,
            "dataset_name": "clotho" if task.startswith("sound") else f"data-{task}",
            "uniq_id": place * per_task + number,
        }
        for place, task in enumerate(TASKS)
        for number in range(per_task)
    ]


def write_benchmark(folder: Path, items: list[dict[str, Any]]) -> Path:
    """The folder with its (empty) audio files."""
    for row in items:
        audio = folder / f"{row['task_name']}_{row['dataset_name']}" / row["path"]
        audio.parent.mkdir(parents=True, exist_ok=True)
        audio.touch()
    (folder / "Chat_meta.json").write_text(json.dumps(items))
    return folder


def answered(items: list[dict[str, Any]], response: str = "Mine.") -> list[dict[str, Any]]:
    """What the benchmark's own script writes: the items with responses."""
    return [{**row, "response": f"{response} {row['uniq_id']}"} for row in items]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def shown(prompt: str) -> tuple[str, str]:
    """The two answers in our template."""
    first, second = (part.split("\n</answer>")[0] for part in prompt.split('<answer number="')[1:])
    return first.split("\n", 1)[1], second.split("\n", 1)[1]
