"""A batch is its rows: its loss is the mean over all tokens of the losses of its rows."""

import pytest
import torch

from desta2.train.collate import Collator
from desta2.train.config import DataConfig
from desta2.train.dataset import IGNORED, Example, PairDataset, Unheard
from desta2.train.features import prepare
from desta2.train.pairset import find_pairs

ANSWERS = ("Loud.", "The voice is quiet and the speaker is calm.", "A fox says hello.")


@pytest.fixture(scope="module")
def rows(tmp_path_factory, model, make_pair, write_clip, write_pairs, make_ears):
    """Three rows of different lengths, with one, two and one clips: `rows[key]`."""
    folder = tmp_path_factory.mktemp("rows")
    for i in range(4):
        write_clip(folder / f"{i}.wav", i)
    audios = (["0.wav"], ["1.wav", "2.wav"], ["3.wav"])
    pairs = [make_pair(str(i), *own, response=ANSWERS[i]) for i, own in enumerate(audios)]
    path = write_pairs(folder / "pairs.jsonl", pairs)
    listed = find_pairs(DataConfig(train=[path]), folder).train
    ears = {"input_features": make_ears(model, folder, cached=False), "taps": make_ears(model, folder)}
    prepare(model, ears["taps"], listed.clips(), taps=True)
    return {
        key: [PairDataset(listed, own, model.processor)[i] for i in range(3)] for key, own in ears.items()
    }


@pytest.mark.parametrize("key", ["input_features", "taps"])
@torch.no_grad()
def test_the_loss_of_a_batch_is_that_of_its_tokens(model, rows, key):
    collate = Collator(key)
    alone = [model(**collate([row])).loss for row in rows[key]]
    tokens = [sum(label != IGNORED for label in example.labels) for example, _ in rows[key]]
    assert len(set(tokens)) == 3, "rows of equal weight would hide a mean of means"
    expected = sum(n * loss for n, loss in zip(tokens, alone, strict=True)) / sum(tokens)
    torch.testing.assert_close(model(**collate(rows[key])).loss, expected, atol=1e-5, rtol=0)
    shuffled = [rows[key][i] for i in (2, 0, 1)]
    torch.testing.assert_close(model(**collate(shuffled)).loss, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key", ["input_features", "taps"])
@torch.no_grad()
def test_every_row_hears_its_own_clips(model, rows, key):
    own = model(**Collator(key)(rows[key])).loss
    (one, one_clips), *others = rows[key]
    other = rows[key][2][1]
    assert abs(model(**Collator(key)([(one, other), *others])).loss - own) > 1e-3
    assert len(one_clips) == len(other) == 1


def test_shapes(model, rows):
    batch = Collator("taps")(rows["taps"])
    lengths = [len(example.input_ids) for example, _ in rows["taps"]]
    assert batch["input_ids"].shape == batch["labels"].shape == (3, max(lengths))
    assert batch["attention_mask"].sum(1).tolist() == lengths
    assert batch["taps"].shape[:2] == (len(model.config.tap_layers), 4)
    assert batch["taps"].dtype == torch.float16, "the adapter makes float32 of them"
    assert Collator("input_features")(rows["input_features"])["input_features"].shape == (4, 20, 100)


def test_padding_is_on_the_right_and_is_not_learned():
    rows = [
        (Example("a", [7, 8, 9], [IGNORED, 8, 9], [0], []), [torch.zeros(1, 2, 2)]),
        (Example("b", [5], [5], [0], []), [torch.ones(1, 2, 2)]),
    ]
    batch = Collator("taps")(rows)
    assert batch["input_ids"].tolist() == [[7, 8, 9], [5, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 8, 9], [5, IGNORED, IGNORED]]
    assert batch["audio_slots"].tolist() == [[0, 0], [1, 0]]
    assert batch["taps"].tolist() == [[[[0.0, 0.0]] * 2, [[1.0, 1.0]] * 2]]


def test_taps_of_different_lengths_are_padded_with_zeros():
    short = (Example("a", [7], [7], [0], [], frames=[1]), [torch.ones(2, 1, 3)])
    long = (Example("b", [7], [7], [0], [], frames=[4]), [torch.ones(2, 4, 3)])
    batch = Collator("taps")([short, long])
    assert batch["taps"].shape == (2, 2, 4, 3)
    assert batch["taps"][:, 0].sum() == 6 and batch["taps"][:, 1].sum() == 24
    assert batch["frames"].tolist() == [1, 4]


def test_clips_without_taps_come_as_features():
    """Three windows: the first of a cached clip, the others of one that is still to be heard."""
    cached = (Example("a", [7], [7], [0], []), [torch.ones(2, 4, 3)])
    new = Example("b", [7], [7], [0, 5], [], unheard=[Unheard(0, [4, 2], "key", "stamp")])
    batch = Collator("taps")([cached, (new, [torch.zeros(20, 8), torch.ones(20, 8)])])
    assert batch["taps"].shape == (2, 1, 4, 3)
    assert batch["input_features"].shape == (2, 20, 8) and batch["input_features"][1].min() == 1
    assert batch["unheard"] == [Unheard(1, [4, 2], "key", "stamp")]
