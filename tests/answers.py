"""Stored answers to each benchmark by a system that is right so often."""

import air_bench
import numpy as np

TASKS = ("SpeechDetection_LJSpeech", "SpeakerVerification_VCTK", "NoiseDetection_VCTK-MUSAN-Gaussian")


def superb(share, seed=0, n=60):
    """Predictions of three tasks, of which this share is right; clips are shared by the tasks."""
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"{task}/{number}",
            "task": task,
            "instruction": "Is it?",
            "label": "yes",
            "response": "Yes." if rng.random() < share else "No.",
            "clip": f"clip{number}",
        }
        for task in TASKS
        for number in range(n)
    ]


def asr(share, seed=0, n=40):
    rng = np.random.default_rng(seed)
    words = "the quick brown fox jumps over the lazy dog".split()
    return [
        {
            "id": f"u{number}",
            "task": "asr",
            "instruction": "Write.",
            "label": " ".join(words),
            "response": " ".join(word if rng.random() < share else "cat" for word in words),
            "speaker": f"s{number % 20}",
        }
        for number in range(n)
    ]


def ifeval(share, seed=0, n=40):
    rng = np.random.default_rng(seed)
    rule = {"instruction_id_list": ["change_case:english_capital"], "kwargs": [{}]}
    free = {"instruction_id_list": ["detectable_format:number_bullet_lists"], "kwargs": [{"num_bullets": 1}]}
    lines = []
    for number in range(n):
        hits = [bool(rng.random() < share) for _ in range(3)]
        parts = [
            ("closed-ended", rule, "YES" if hits[0] else "no"),
            ("creative", free, "* one" if hits[1] else "one"),
            ("chain-of-thought", {"metric": "cot", "correct": hits[2]}, "So."),
        ]
        lines += [
            {
                "id": f"{part}/{number}",
                "task": part,
                "instruction": "Do.",
                "response": said,
                "audio_filepath": f"{number}.wav",
                **own,
            }
            for part, own, said in parts
        ]
    return lines


def chat(mean, seed=0, n=8):
    rng = np.random.default_rng(seed)
    return [
        {
            "id": str(row["uniq_id"]),
            "task": row["task_name"],
            "instruction": row["question"],
            "label": row["answer_gt"],
            "response": "Mine.",
            "clip": f"{row['dataset_name']}/{row['path']}",
            "score": float(np.clip(mean + rng.normal(), 0, 10)),
        }
        for row in air_bench.rows(n)
    ]


def nano(share, seed=0, n=80):
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(n):
        common = {"instruction": "?", "label": "fast", "speaker": f"s{number % 40}"}
        right = ["fast" if rng.random() < share else "slow" for _ in range(2)]
        lines.append(
            {"id": f"c{number}/a", "task": "attribute/speaking_speed", "response": right[0], **common}
        )
        shouted = right[1].upper()
        lines.append(
            {"id": f"c{number}/f", "task": "format/capitals", "key": "speaking_speed", "response": shouted}
            | common
        )
        heard = "hello fox" if rng.random() < share else "hello box"
        words = {"label": "hello fox", "response": heard}
        lines.append({"id": f"c{number}", "task": "transcript", **common, **words})
    return lines


def choices(share, seed=0, n=40):
    """Items with two options, asked in one order, and with three, asked in two."""
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(n):
        options = ["dog", "cat", "cow"][: 2 + number % 2]
        for order in range(1 + number % 2):
            shown = options[order:] + options[:order]
            said = options[0] if rng.random() < share else options[1]
            lines.append(
                {
                    "id": f"i{number}#{order + 1}",
                    "task": "sound",
                    "instruction": f"Which? {shown}",
                    "label": options[0],
                    "response": "AB"[shown.index(said)] if said in shown[:2] else said,
                    "item": f"i{number}",
                    "options": shown,
                    "clip": f"clip{number % 30}",
                    "difficulty": ("easy", "hard")[number // 2 % 2],
                }
            )
    return lines


def dominance(share, seed=0, n=30):
    """Items of two attributes, each under all conditions; wrong answers name the words' value."""
    rng = np.random.default_rng(seed)
    return [
        {
            "id": f"c{number}/{key}/{condition}",
            "task": f"attribute/{key}",
            "instruction": "?",
            "label": "sad",
            "words_label": "happy",
            "condition": condition,
            "options": ["happy", "sad"],
            "response": "Sad." if rng.random() < (0.3 if condition == "transcript" else share) else "Happy.",
            "clip": f"c{number}",
            "speaker": f"s{number % 20}",
        }
        for number in range(n)
        for key in ("emotion", "mood")
        for condition in ("audio", "transcript", "conflict", "stated")
    ]


BENCHMARKS = {
    "dynamic-superb": (superb, 0.9, 0.5),
    "asr": (asr, 0.95, 0.6),
    "speech-ifeval": (ifeval, 0.9, 0.5),
    "air-bench-chat": (chat, 8, 5),
    "nano": (nano, 0.9, 0.5),
    "multiple-choice": (choices, 0.95, 0.4),
    "text-dominance": (dominance, 0.9, 0.4),
}
