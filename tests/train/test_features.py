"""What is heard of training clips: the taps on disk are the encoder's, and never another run's."""

import json
import os

import numpy as np
import pytest
import torch

from desta2.errors import AudioError
from desta2.train import features
from desta2.train.dataset import ClipRef
from desta2.train.features import LiveFeatures, TapCache, clip_features, write_transcripts


@pytest.fixture
def refs(tmp_path, write_clip):
    """Five clips, so that batches of two do not come out even; the last is a part of a file."""
    for i in range(5):
        write_clip(tmp_path / f"{i}.wav", i)
    return [
        *(ClipRef(str(tmp_path / f"{i}.wav")) for i in range(4)),
        ClipRef(str(tmp_path / "4.wav"), 0.1, 0.4),
    ]


@pytest.fixture
def passes(model, monkeypatch):
    """Sizes of the encoder passes that are made."""
    seen, encode = [], type(model).encode

    def spy(self, input_features):
        seen.append(len(input_features))
        return encode(self, input_features)

    monkeypatch.setattr(type(model), "encode", spy)
    monkeypatch.setattr(features, "_BATCH", 2)
    return seen


def assert_taps(cache, model, refs):
    for ref in refs:
        taps = model.encode(clip_features(model, [ref])).taps[:, 0]
        assert cache(ref).dtype == torch.float16
        torch.testing.assert_close(cache(ref).float(), taps, rtol=2**-10, atol=1e-4)


def test_cached_taps_are_the_encoders_in_half_precision(tmp_path, model, refs, passes):
    cache = TapCache(tmp_path, model, refs)
    assert passes == [2, 2, 1]
    assert_taps(cache, model, refs)
    assert not torch.equal(cache(refs[0]), cache(refs[1]))
    assert sorted(p.name for p in tmp_path.glob("taps*")) == ["taps.json", "taps.npy"]


def test_a_sample_is_as_the_adapter_wants_it(tmp_path, model, refs):
    cache = TapCache(tmp_path, model, refs)
    sample = cache.sample(3)
    assert sample.shape == (len(model.config.tap_layers), 3, 50, model.config.d_encoder)
    assert torch.equal(sample[:, 1], cache(refs[1]).float())
    assert cache.sample().shape[1] == 5


def test_features_made_anew_are_what_the_taps_come_from(tmp_path, model, refs):
    live, cache = LiveFeatures(model, refs), TapCache(tmp_path, model, refs)
    for ref in refs:
        taps = model.encode(live(ref)[None]).taps[:, 0]
        torch.testing.assert_close(cache(ref).float(), taps, rtol=2**-10, atol=1e-4)
    torch.testing.assert_close(live.sample(2), cache.sample(2), rtol=2**-10, atol=1e-4)


def test_a_second_run_encodes_nothing(tmp_path, model, refs, passes):
    first = TapCache(tmp_path, model, refs)
    before = [first(ref) for ref in refs]
    passes.clear()
    again = TapCache(tmp_path, model, refs)
    assert passes == []
    assert all(torch.equal(again(ref), taps) for ref, taps in zip(refs, before, strict=True))


def test_a_changed_clip_is_encoded_again(tmp_path, model, refs, passes, write_clip):
    TapCache(tmp_path, model, refs)
    passes.clear()
    write_clip(refs[2].path, 9, seconds=0.5)
    cache = TapCache(tmp_path, model, refs)
    assert passes == [2, 2, 1]
    assert_taps(cache, model, refs)


@pytest.mark.parametrize("change", ["order", "fewer", "cut", "time"])
def test_other_clips_are_encoded_again(tmp_path, model, refs, passes, change):
    TapCache(tmp_path, model, refs)
    passes.clear()
    other = {
        "order": refs[::-1],
        "fewer": refs[1:],
        "cut": [*refs[:4], ClipRef(refs[4].path, 0.2, 0.4)],
        "time": refs,
    }[change]
    if change == "time":  # as many bytes as before, written later
        os.utime(refs[0].path, ns=(1, 1))
    cache = TapCache(tmp_path, model, other)
    assert sum(passes) == len(other)
    assert_taps(cache, model, other)


def test_other_tap_layers_or_another_encoder_are_encoded_again(tmp_path, bases, make_model, refs, passes):
    TapCache(tmp_path, make_model(bases), refs)
    other = make_model(bases, tap_layers=[-1, 2])
    passes.clear()
    assert_taps(TapCache(tmp_path, other, refs), other, refs)
    assert passes[:3] == [2, 2, 1]
    passes.clear()
    other.config.encoder_fingerprint = "another"
    TapCache(tmp_path, other, refs)
    assert passes == [2, 2, 1]


@pytest.mark.parametrize("moment", ["while encoding", "before the note"])
def test_a_run_that_is_killed_leaves_no_wrong_cache(tmp_path, bases, make_model, refs, monkeypatch, moment):
    monkeypatch.setattr(features, "_BATCH", 2)
    model = make_model(bases, tap_layers=[0, 1, 2, 3])
    other = make_model(bases, tap_layers=[3, 2, 1, 0])  # of the same shape: a mix would pass unseen
    TapCache(tmp_path, model, refs)
    calls = []

    def killed(*_):
        calls.append(1)
        if len(calls) == 2 or moment == "before the note":
            raise KeyboardInterrupt
        return clip_features(*_)

    with monkeypatch.context() as patch:
        if moment == "while encoding":
            patch.setattr(features, "clip_features", killed)
        else:
            patch.setattr(features.json, "dumps", killed)
        with pytest.raises(KeyboardInterrupt):
            TapCache(tmp_path, other, refs)
    assert_taps(TapCache(tmp_path, model, refs), model, refs)
    assert_taps(TapCache(tmp_path, other, refs), other, refs)


def test_taps_without_their_note_are_not_trusted(tmp_path, model, refs, passes):
    """A kill between the two renames."""
    TapCache(tmp_path, model, refs)
    (tmp_path / "taps.json").unlink()
    np.save(tmp_path / "taps.npy", np.zeros(3))
    assert_taps(TapCache(tmp_path, model, refs), model, refs)
    assert json.loads((tmp_path / "taps.json").read_text())["tap_layers"] == model.config.tap_layers


def test_a_clip_that_is_not_there(tmp_path, model, refs):
    with pytest.raises(
        AudioError, match=r"gone\.wav: No such file or directory; training needs clips as local files"
    ):
        TapCache(tmp_path, model, [*refs, ClipRef(str(tmp_path / "gone.wav"))])


def test_transcripts_are_those_of_chat(model, refs, passes):
    from desta2.data.audio import load_audio

    written = write_transcripts(model, refs)
    assert passes == [2, 2, 1]
    heard = model.hear([load_audio(ref.path, start=ref.start, end=ref.end) for ref in refs])
    assert written == {ref: clip.transcript for ref, clip in zip(refs, heard, strict=True)}
    assert len(set(written.values())) > 1
