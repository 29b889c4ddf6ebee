"""What is heard of training clips: the taps on disk are the encoder's, and never another run's."""

import logging
import pickle

import pytest
import torch

from desta2.data.audio import load_audio
from desta2.errors import AudioError
from desta2.train import ears as ears_module
from desta2.train import features
from desta2.train.collate import Collator
from desta2.train.dataset import ClipRef, PairDataset
from desta2.train.features import completed, prepare, sample_taps
from desta2.train.skips import Skips


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


def told(refs, text="fox"):
    return [(ref, text) for ref in refs]


def samples(ref):
    return load_audio(ref.path, start=ref.start, end=ref.end)


def assert_taps(ears, model, refs, rtol=2**-10):
    for ref in refs:
        expected = model.encode(model.processor.features([samples(ref)])).taps[:, 0]
        [taps] = ears(ref, "fox").windows
        assert taps.dtype == ears.cache.dtype
        torch.testing.assert_close(taps.float(), expected[:, : taps.shape[1]], rtol=rtol, atol=1e-4)


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 2**-10), ("bfloat16", 2**-7)])
def test_cached_taps_are_the_encoders_in_half_precision(
    tmp_path, model, refs, passes, make_ears, dtype, rtol
):
    ears = make_ears(model, tmp_path / "taps", dtype=dtype)
    assert prepare(model, ears, told(refs), taps=True) == 5
    assert passes == [2, 2, 1]
    assert_taps(ears, model, refs, rtol)
    assert not torch.equal(ears(refs[0], "").windows[0], ears(refs[1], "").windows[0])
    assert not torch.equal(ears(refs[3], "").windows[0], ears(refs[4], "").windows[0])


def test_a_second_run_encodes_nothing_and_reads_no_audio(
    tmp_path, model, refs, passes, make_ears, monkeypatch
):
    prepare(model, make_ears(model, tmp_path / "taps"), told(refs), taps=True)
    passes.clear()
    monkeypatch.setattr(ears_module, "load_audio", lambda *_, **__: pytest.fail("decoded"))
    monkeypatch.setattr("desta2.train.clipkeys._digest", lambda *_: pytest.fail("read"))
    again = make_ears(model, tmp_path / "taps")
    assert prepare(model, again, told(refs), taps=True) == 0
    assert passes == [] and [len(again(ref, "fox").windows) for ref in refs] == [1] * 5


@pytest.mark.parametrize("change", ["content", "part", "moved", "more"])
def test_taps_go_with_what_is_heard(tmp_path, model, refs, passes, make_ears, write_clip, change):
    prepare(model, make_ears(model, tmp_path / "taps"), told(refs), taps=True)
    passes.clear()
    if change == "content":
        write_clip(refs[2].path, 9, seconds=0.5)
    elif change == "part":
        refs[4] = ClipRef(refs[4].path, 0.2, 0.4)
    elif change == "moved":
        (tmp_path / "0.wav").rename(tmp_path / "zero.wav")
        refs[0] = ClipRef(str(tmp_path / "zero.wav"))
    else:
        write_clip(tmp_path / "5.wav", 5)
        refs.append(ClipRef(str(tmp_path / "5.wav")))
    ears = make_ears(model, tmp_path / "taps")
    prepare(model, ears, told(refs), taps=True)
    assert sum(passes) == (0 if change == "moved" else 1), "only what is new is encoded"
    assert_taps(ears, model, refs)


def test_other_taps_another_encoder_or_type_lie_apart(tmp_path, bases, make_model, refs, passes, make_ears):
    model, folder = make_model(bases), tmp_path / "taps"
    prepare(model, make_ears(model, folder), told(refs), taps=True)
    other = make_model(bases, tap_layers=[3, 2, 1, 0])  # of the same shape: a mix would pass unseen
    passes.clear()
    ears = make_ears(other, folder)
    prepare(other, ears, told(refs), taps=True)
    assert passes == [2, 2, 1]
    assert_taps(ears, other, refs)
    other.config.encoder_fingerprint = "another"
    assert prepare(other, make_ears(other, folder), told(refs), taps=True) == 5
    assert prepare(model, make_ears(model, folder, dtype="bfloat16"), told(refs), taps=True) == 5
    ears = make_ears(model, folder)
    assert prepare(model, ears, told(refs), taps=True) == 0
    assert_taps(ears, model, refs)


def test_speech_frames_alone_are_kept_where_the_model_reads_no_others(
    tmp_path, bases, make_model, refs, make_ears
):
    model = make_model(bases)
    model.config.encoder_frames = "speech"
    ears = make_ears(model, tmp_path / "taps")
    prepare(model, ears, told(refs), taps=True)
    assert [ears(ref, "").windows[0].shape[1] for ref in refs] == [15, 15, 15, 15, 8]
    assert [ears(ref, "").frames for ref in refs] == [[15]] * 4 + [[8]], "0.6 s and 0.3 s of 40 ms"
    assert_taps(ears, model, refs)


def test_a_full_cache_says_so_and_training_goes_on(tmp_path, model, refs, passes, make_ears, caplog):
    one = 4 * 50 * 16 * 2 / 1e9
    ears = make_ears(model, tmp_path / "taps", limit_gb=2.5 * one + 2e-6)
    with caplog.at_level(logging.WARNING):
        prepare(model, ears, told(refs), taps=True)
    assert [ears(ref, "").windows[0].dim() for ref in refs] == [3, 3, 2, 2, 2]
    assert caplog.text.count("keeps no more taps: it holds data.cache_gb=") == 1
    assert passes == [2, 2], "what cannot be kept is not encoded ahead"


def test_a_disk_that_refuses_stops_no_run(tmp_path, model, refs, make_ears, caplog, monkeypatch):
    def refuses(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("desta2.train.cache_files.os.fsync", refuses)
    ears = make_ears(model, tmp_path / "taps")
    prepare(model, ears, told(refs), taps=True)
    assert "keeps no more taps: the disk refuses (No space left on device)" in caplog.text
    assert ears(refs[0], "").windows[0].dim() == 2
    assert make_ears(model, tmp_path / "taps").cache.get(ears.keys.of(refs[0])) is None


# As the clips come


@pytest.fixture
def dataset(tmp_path, model, refs, found, make_pair, write_pairs):
    """`dataset(ears)`: three pairs, with one, two and one clips; the last repeats a clip of the first."""
    rows = [make_pair("a", "0.wav"), make_pair("b", "1.wav", "2.wav"), make_pair("c", "0.wav")]
    listed = found(write_pairs(tmp_path / "pairs.jsonl", rows)).train
    return lambda ears: PairDataset(listed, ears, model.processor)


def test_the_first_epoch_hears_what_later_ones_read(tmp_path, model, dataset, passes, make_ears, refs):
    ears = make_ears(model, tmp_path / "taps")
    prepare(model, ears, told(refs[1:2]), taps=True)  # one of a batch is there already
    data, collate = dataset(ears), Collator("taps")
    passes.clear()
    rows = [data[i] for i in range(3)]
    batch = completed(model, ears.cache, collate(rows))
    assert passes == [2] and batch.keys() == {"input_ids", "attention_mask", "labels", "audio_slots", "taps"}
    later = collate([data[i] for i in range(3)])
    assert "unheard" not in later and torch.equal(batch["taps"], later["taps"])
    assert completed(model, ears.cache, later) is later
    passes.clear()
    again = completed(model, ears.cache, collate(rows))  # a loader's process may not have seen the news
    assert passes == [] and torch.equal(again["taps"], batch["taps"])
    assert_taps(ears, model, refs[:3])


def test_a_batch_without_any_taps(tmp_path, model, dataset, make_ears):
    ears = make_ears(model, tmp_path / "taps", limit_gb=1e-9)
    data = dataset(ears)
    with torch.no_grad():
        for _ in range(2):  # nothing fits into the cache
            batch = completed(model, ears.cache, Collator("taps")([data[1]]))
            live = Collator("input_features")([dataset(make_ears(model, tmp_path, cached=False))[1]])
            assert model(**batch).loss == pytest.approx(model(**live).loss.item(), abs=1e-3)


def test_ears_of_other_processes_see_what_is_written(tmp_path, model, refs, make_ears):
    ears = make_ears(model, tmp_path / "taps")
    other = pickle.loads(pickle.dumps(ears))
    assert other(refs[0], "fox").key is not None
    prepare(model, ears, told(refs), taps=True)
    assert other(refs[0], "fox").key is None
    assert torch.equal(other(refs[0], "").windows[0], ears(refs[0], "").windows[0])


def test_decoding_processes_change_nothing(tmp_path, model, refs, passes, make_ears):
    one, two = (make_ears(model, tmp_path / name) for name in ("one", "two"))
    (tmp_path / "broken.wav").write_bytes(b"RIFF and nothing else")
    clips = [*told(refs[:3], None), (ClipRef(str(tmp_path / "broken.wav")), None), *told(refs[3:])]
    with pytest.raises(AudioError, match=r"broken\.wav: ") as raised:
        prepare(model, two, clips, taps=True, workers=1)
    assert "Traceback" not in str(raised.value)
    skips = Skips(tmp_path / "skipped.jsonl")
    assert prepare(model, one, clips, taps=True, skips=skips) == 5
    prepare(model, two, clips, taps=True, skips=skips, workers=2)
    assert skips.count() == 1
    for ref, text in (*told(refs[:3], None), *told(refs[3:])):
        heard, same = one(ref, text), two(ref, text)
        assert heard.texts == same.texts and torch.equal(heard.windows[0], same.windows[0])


def test_a_sample_does_not_depend_on_what_is_cached(tmp_path, model, refs, make_ears):
    fresh, filled = (make_ears(model, tmp_path / name) for name in ("fresh", "filled"))
    prepare(model, filled, told(refs), taps=True)
    first, second = (sample_taps(model, ears, iter(told(refs))) for ears in (fresh, filled))
    assert torch.equal(first, second)


def test_a_sample_is_as_the_adapter_wants_it(tmp_path, model, refs, passes, make_ears):
    live, cached = make_ears(model, tmp_path, cached=False), make_ears(model, tmp_path / "taps")
    prepare(model, cached, told(refs), taps=True)
    sample = sample_taps(model, cached, iter(told(refs)), 3)
    assert sample.shape == (len(model.config.tap_layers), 1, 3 * 50, model.config.d_encoder)
    assert torch.equal(sample[:, 0, 50:100], cached(refs[1], "").windows[0].float())
    torch.testing.assert_close(
        sample_taps(model, live, iter(told(refs))),
        sample_taps(model, cached, iter(told(refs))),
        rtol=2**-10,
        atol=1e-4,
    )


# Transcripts


@pytest.mark.parametrize("taps", [True, False])
def test_transcripts_are_those_of_chat(tmp_path, model, refs, passes, make_ears, taps):
    ears = make_ears(model, tmp_path / "taps", cached=taps)
    prepare(model, ears, told(refs, None), taps=taps)
    assert passes == [2, 2, 1], "one pass for words and taps"
    heard = [clip.transcript for clip in model.hear([samples(ref) for ref in refs])]
    assert ["".join(ears(ref, None).texts) for ref in refs] == heard
    assert len(set(heard)) > 1
    passes.clear()
    again = make_ears(model, tmp_path / "taps", cached=taps)
    assert prepare(model, again, told(refs, None), taps=taps) == 0 and passes == []
    assert ["".join(again(ref, None).texts) for ref in refs] == heard


def test_words_go_with_how_whisper_was_asked(tmp_path, bases, make_model, refs, make_ears):
    model = make_model(bases)
    prepare(model, make_ears(model, tmp_path), told(refs, None), taps=True)
    shorter = make_model(bases, max_transcript_tokens=2)
    ears = make_ears(shorter, tmp_path)
    assert prepare(shorter, ears, told(refs, None), taps=True) == 5
    assert ears.texts(refs[0], None) == [shorter.hear([samples(refs[0])])[0].transcript]


def test_the_same_audio_with_and_without_words(tmp_path, model, refs, make_ears, write_clip):
    """Two names in one batch: the one whose words are known must not stand for the other."""
    write_clip(tmp_path / "copy.wav", 0)
    ears = make_ears(model, tmp_path / "taps")
    copy = ClipRef(str(tmp_path / "copy.wav"))
    prepare(model, ears, [(refs[0], "fox"), (copy, None)], taps=True)
    assert ears(copy, None).texts == [model.hear([samples(refs[0])])[0].transcript]
    assert ears(refs[0], "fox").texts == ("fox",)


def test_a_transcript_is_cut_between_characters_alone(tmp_path, model, refs, make_ears, monkeypatch):
    """Whisper's tokens are parts of characters; where its limit cuts one, nothing broken may be learned."""
    limit = model.config.max_transcript_tokens
    ids = model.processor.whisper_tokenizer("fox 漢漢漢漢", add_special_tokens=False).input_ids
    decode = model.processor.whisper_tokenizer.decode
    assert decode(ids[:limit]).endswith("\ufffd")
    inside = next(n for n in range(limit - 1, 0, -1) if decode(ids[:n]).endswith("\ufffd"))
    ended = [*ids[:inside], *[model.whisper.config.pad_token_id] * (limit - inside)]
    cut = torch.tensor([ids[:limit], ended])
    monkeypatch.setattr(model.whisper, "generate", lambda **options: cut)
    ears = make_ears(model, tmp_path)
    prepare(model, ears, told(refs[:2], None), taps=False)
    texts = ["".join(ears.texts(ref, None)) for ref in refs[:2]]
    assert texts[0] == decode(ids[:limit]).rstrip("\ufffd")
    assert texts[1].endswith("\ufffd"), (
        "that one ended by itself: it is what Whisper said, as it would be alone"
    )


def test_a_clip_that_is_not_there(tmp_path, model, refs, make_ears):
    lost = [*told(refs), (ClipRef(str(tmp_path / "gone.wav")), "fox")]
    ears = make_ears(model, tmp_path / "taps")
    gone = r"gone\.wav: No such file or directory; training needs clips as local files"
    with pytest.raises(AudioError, match=gone):
        prepare(model, ears, lost, taps=True)
    skips = Skips(tmp_path / "skipped.jsonl")
    prepare(model, ears, lost, taps=True, skips=skips)
    assert skips.count() == 1
    assert_taps(ears, model, refs)
