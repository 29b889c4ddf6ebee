"""Transcripts that are missing or wrong: as often as asked, the same again for a seed, and honest."""

import pytest

from desta2.train.dataset import PairDataset
from desta2.train.disturb import Disturbance, shares_words
from desta2.train.features import prepare


@pytest.fixture
def disturbed(tmp_path, model, found, make_ears, make_pair, write_clip, write_pairs):
    """`disturbed(dropout, mismatch, seed=0)`: of 20 pairs whose responses repeat no word, but for one; the last has no transcript of its own."""
    rows = []
    for i in range(20):
        write_clip(tmp_path / f"{i}.wav", i % 4, seconds=0.1)
        text = None if i == 19 else f"number{i} speaking"
        response = "Someone is speaking." if i == 0 else "A loud voice."
        rows.append(make_pair(str(i), {"audio": f"{i}.wav", "text": text}, response=response))
    listed = found(write_pairs(tmp_path / "pairs.jsonl", rows)).train
    ears = make_ears(model, tmp_path / "taps", cached=False)
    prepare(model, ears, listed.clips(), taps=False)

    def make(dropout, mismatch, seed=0):
        return Disturbance(listed, ears, dropout=dropout, mismatch=mismatch, seed=seed), listed, ears

    return make


def test_dropout_is_as_often_as_asked_and_the_same_again(disturbed):
    change, _, _ = disturbed(0.3, 0.0)
    drawn = [change([["fox"]], "-", pair, visit)[0][0] for pair in range(20) for visit in range(50)]
    assert set(drawn) == {"", "fox"} and 0.25 < drawn.count("") / 1000 < 0.35
    again, _, _ = disturbed(0.3, 0.0)
    assert [again([["fox"]], "-", pair, visit)[0][0] for pair in range(20) for visit in range(50)] == drawn
    other, _, _ = disturbed(0.3, 0.0, seed=1)
    assert [other([["fox"]], "-", pair, 0)[0][0] for pair in range(20)] != drawn[::50]
    assert len({tuple(drawn[pair * 50 + visit] for pair in range(20)) for visit in range(50)}) > 40


def test_all_windows_of_a_clip_lose_their_words_together(disturbed):
    assert disturbed(1.0, 0.0)[0]([["a", "b"], ["c"]], "-", 0, 0) == [["", ""], [""]]


def test_mismatch_takes_the_words_of_another_clip(disturbed):
    change, _, _ = disturbed(0.0, 1.0)
    drawn = {change([["number3 speaking"]], "A loud voice.", 3, visit)[0][0] for visit in range(60)}
    assert "number3 speaking" not in drawn and len(drawn) > 10
    known = {f"number{i} speaking" for i in range(19)}
    assert len(drawn - known) == 1, "the words that Whisper wrote are words too"
    assert change([["number3", "speaking"]], "A loud voice.", 3, 0)[0][0] == "", (
        "of the whole clip: they follow"
    )


def test_a_response_that_repeats_the_words_keeps_them(disturbed):
    change, _, _ = disturbed(0.0, 1.0)
    assert change([["number0 speaking"]], "Someone is speaking.", 0, 0) == [["number0 speaking"]]


@pytest.mark.parametrize(
    ("response", "transcript", "shared"),
    [
        ("He says “Dinner is ready”.", "dinner is ready", True),
        ("A calm man in a quiet room.", "the man is in the room", True),
        ("A calm man.", "the man is in it", False),
        ("The pitch is high.", "", False),
        ("Он говорит громко", "громко сказал", True),
        ("他说吃饭了", "我们吃饭吧", True),
        ("他声音大", "我们吃饭吧", False),
    ],
)
def test_shared_words(response, transcript, shared):
    assert shares_words(response, transcript) is shared


def test_in_training_and_by_visit(disturbed, model):
    change, listed, ears = disturbed(0.5, 0.0)
    data = PairDataset(listed, ears, model.processor, disturb=change)
    plain = PairDataset(listed, ears, model.processor)
    lengths = {len(data[3 + visit * 20][0].input_ids) for visit in range(8)}
    assert lengths == {len(plain[3][0].input_ids), min(lengths)} and len(lengths) == 2
    assert data[3][0] == data[3][0]
