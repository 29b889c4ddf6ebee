"""Can gender, accent and emotion of the nano world be heard at all? A supervised listener's answer.

    python bench/nano_probe.py CORPUS [--clips 6000] [--epochs 12] [--json]

The labels that the world sets, unlike those that are measured, are only as good as a listener can tell them
apart. A small convolutional network with one output for each of the three is trained on log-mels of clips of
the train split and asked about clips of the val split: other timbres, sentences and rooms. Strengths of
styles and choice of accents were decided by these figures, on val, never on test. A figure is a lower bound:
a better listener may hear more. CORPUS gets `train/` and `val/`, made where they are not there.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from desta2.nano.asr_speech import Speech, batches_of, load_speech, make_feature_extractor, warp
from desta2.nano.styles import STYLES
from desta2.nano.voices import ACCENTS, GENDERS
from desta2.nano.world import make_corpus
from desta2.records import Clip, read_records

VALUES = {
    "gender": tuple(gender.capitalize() for gender in GENDERS),
    "accent": tuple(ACCENTS),
    "emotion": tuple(emotion.capitalize() for emotion in STYLES),
}


class Listener(nn.Module):
    """Three convolutions over time; means of thirds of the clip, spread, maximum; a linear output each."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(80, width, 5, stride=2, padding=2), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 7, stride=2, padding=3), nn.BatchNorm1d(width), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.ModuleDict({key: nn.Linear(5 * width, len(v)) for key, v in VALUES.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Scores (clips, values) by attribute, of log-mels (clips, 80, frames)."""
        states = self.layers(features)
        thirds = F.adaptive_avg_pool1d(states, 3).flatten(1)  # a rise is heard between them
        pooled = torch.cat([thirds, states.std(2), states.amax(2)], 1)
        return {key: head(pooled) for key, head in self.heads.items()}


def labels_of(manifest: Path) -> dict[str, Tensor]:
    """Index of the value of each clip (clips,) by attribute."""
    clips = list(read_records(manifest, Clip))
    return {
        key: torch.tensor([values.index(clip.attributes[key]) for clip in clips])
        for key, values in VALUES.items()
    }


def train(listener: Listener, speech: Speech, labels: dict[str, Tensor], epochs: int) -> None:
    """Learn all attributes at once."""
    size = 48
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(listener.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=epochs * (len(speech.texts) // size)
    )
    for _ in range(epochs):
        for rows in batches_of(speech.positions, size, rng):
            features, _ = speech.batch(rows, whole=False)
            scores = listener(warp(features, rng))
            loss = sum((F.cross_entropy(scores[key], labels[key][rows]) for key in VALUES), torch.zeros(()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    listener.eval()


@torch.no_grad()
def ask(listener: Listener, speech: Speech) -> dict[str, Tensor]:
    """What is heard in each clip (clips,), by attribute; clip by clip, none is padded."""
    heard: dict[str, list[int]] = {key: [] for key in VALUES}
    for row in range(len(speech.texts)):
        features, _ = speech.batch(torch.tensor([row]), whole=False)
        for key, scores in listener(features).items():
            heard[key].append(int(scores.argmax()))
    return {key: torch.tensor(values) for key, values in heard.items()}


def table(key: str, true: Tensor, heard: Tensor) -> str:
    """Share of what is heard, in percent, for each true value."""
    names = VALUES[key]
    lines = [f"{key}: {100 * (true == heard).float().mean():.1f} % right"]
    for i, name in enumerate(names):
        counts = torch.bincount(heard[true == i], minlength=len(names)).float()
        shares = 100 * counts / counts.sum().clamp(min=1)
        cells = (f"{other} {share:.0f}" for other, share in zip(names, shares, strict=True))
        lines.append(f"  {name:<10}" + "  ".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Train a listener and ask it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--clips", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    speech, labels = {}, {}
    for split, n in (("train", options.clips), ("val", 800)):
        manifest = options.corpus / split / "clips.jsonl"
        if not manifest.exists():
            make_corpus(n, manifest.parent, split, options.seed)
        speech[split], labels[split] = load_speech(manifest, make_feature_extractor()), labels_of(manifest)
    torch.manual_seed(0)
    listener = Listener()
    train(listener, speech["train"], labels["train"], options.epochs)
    heard, true = ask(listener, speech["val"]), labels["val"]
    right = {key: round(float((true[key] == heard[key]).float().mean()), 4) for key in VALUES}
    seconds = round(time.monotonic() - started)
    if options.json:
        print(json.dumps({**right, "clips": len(speech["val"].texts), "seconds": seconds}))
        return
    for key in VALUES:
        print(table(key, true[key], heard[key]))
    print(f"n {len(speech['val'].texts)}, {seconds} s")


if __name__ == "__main__":
    main()
