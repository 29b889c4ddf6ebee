"""Classifiers: tiny random models in ordinary folders, compared with transformers' own pipeline."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    pipeline,
)

from desta2.data.attributes import Scheme, load_scheme
from desta2.data.classifiers import Classifiers
from desta2.data.estimates import estimates_of
from desta2.errors import CheckpointError, ConfigError
from desta2.records import Clip

RATE = 16_000
EMOTIONS = ("happy", "sad", "neutral", "other")
WORDS = "can you the red fox runs home please now where is it".split()


def spread(model):
    """Weights large enough that inputs make a visible difference."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if parameter.dim() == 1 else 0.5 * noise)
        model.classifier.weight.mul_(0.1)  # or one label would always be certain
    return model


def names(labels):
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def wav2vec2(folder, masks, labels=EMOTIONS, head=True):
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8, 8),
        conv_kernel=(10, 8), conv_stride=(5, 8), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer" if masks else "group", classifier_proj_size=8, vocab_size=8, **names(labels),
    )  # fmt: skip
    if head:
        spread(Wav2Vec2ForSequenceClassification(config)).save_pretrained(folder)
    else:
        Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=masks).save_pretrained(folder)
    return str(folder)


def whisper(folder):
    config = WhisperConfig(
        num_mel_bins=20, d_model=16, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32,
        max_source_positions=50, classifier_proj_size=8, vocab_size=8, pad_token_id=0, **names(EMOTIONS),
    )  # fmt: skip
    spread(WhisperForAudioClassification(config)).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, hop_length=320, chunk_length=2).save_pretrained(folder)
    return str(folder)


def bert(folder, labels=("command", "question", "statement")):
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder
    )
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16, **names(labels),
    )  # fmt: skip
    spread(BertForSequenceClassification(config)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("classifiers")
    return {
        "plain": wav2vec2(root / "plain", masks=False),
        "masked": wav2vec2(root / "masked", masks=True),
        "whisper": whisper(root / "whisper"),
        "number": wav2vec2(root / "number", masks=True, labels=("c50",)),
        "unnamed": wav2vec2(root / "unnamed", masks=True, labels=("LABEL_0", "LABEL_1")),
        "headless": wav2vec2(root / "headless", masks=True, head=False),
        "bert": bert(root / "bert"),
    }


def scheme(**classifiers):
    given = load_scheme().model_dump() | {"classifiers": classifiers}
    return Scheme.model_validate(given)


@pytest.fixture(scope="module")
def sounds():
    """Six clips of different lengths and spectra by id."""
    rng = np.random.default_rng(0)
    found = {}
    for i in range(6):
        t = np.arange(round((0.4 + 0.13 * i) * RATE)) / RATE
        wave = 0.3 * np.sin(2 * np.pi * (150 + 400 * i) * t) + 0.05 * rng.standard_normal(len(t))
        found[f"c{i}"] = wave.astype(np.float32)
    return found


def clips_of(sounds):
    return [Clip(id=name, audio=f"{name}.wav") for name in sounds]


def labelled(classifiers, sounds):
    return classifiers.label(clips_of(sounds), lambda clip: sounds[clip.id])


@pytest.mark.parametrize("kind", ["plain", "masked", "whisper"])
def test_labels_are_those_of_transformers_and_owe_nothing_to_the_batch(folders, sounds, kind):
    emotion = {"model": folders[kind], "threshold": 0.0}
    classifiers = Classifiers(scheme(emotion=emotion))
    together = labelled(classifiers, sounds)
    alone = [classifiers.label([clip], lambda clip: sounds[clip.id])[0] for clip in clips_of(sounds)]
    reference = pipeline("audio-classification", model=folders[kind])
    assert len({estimates_of(clip)["emotion"]["confidence"] for clip in together}) > 1
    for clip, single in zip(together, alone, strict=True):
        best, *_ = reference({"raw": sounds[clip.id], "sampling_rate": RATE})
        assert clip.attributes == single.attributes == {"emotion": best["label"].capitalize()}
        source = estimates_of(clip)["emotion"]
        assert source["by"] == folders[kind]
        assert source["confidence"] == pytest.approx(best["score"], abs=2e-3)
        assert source["confidence"] == pytest.approx(estimates_of(single)["emotion"]["confidence"], abs=2e-3)


def test_below_the_threshold_nothing_is_said(folders, sounds):
    free = labelled(Classifiers(scheme(emotion={"model": folders["plain"], "threshold": 0.0})), sounds)
    confidences = [estimates_of(clip)["emotion"]["confidence"] for clip in free]
    limit = float(np.median(confidences))
    strict = labelled(Classifiers(scheme(emotion={"model": folders["plain"], "threshold": limit})), sounds)
    named = ["emotion" in clip.attributes for clip in strict]
    assert 0 < sum(named) < len(named)
    assert all(
        clip.attributes == {} and not clip.model_extra
        for clip, is_named in zip(strict, named, strict=True)
        if not is_named
    )
    assert all(
        confidence >= limit - 1e-3
        for confidence, is_named in zip(confidences, named, strict=True)
        if is_named
    )


def test_labels_become_words_and_those_without_a_word_name_nothing(folders, sounds):
    free = labelled(Classifiers(scheme(emotion={"model": folders["plain"], "threshold": 0.0})), sounds)
    words = {"happy": "Aroused", "sad": "Aroused"}
    mapped = labelled(
        Classifiers(scheme(emotion={"model": folders["plain"], "threshold": 0.0, "labels": words})), sounds
    )
    reference = pipeline("audio-classification", model=folders["plain"], top_k=4)
    for clip, raw in zip(mapped, free, strict=True):
        scores = {
            row["label"]: row["score"] for row in reference({"raw": sounds[clip.id], "sampling_rate": RATE})
        }
        both = scores["happy"] + scores["sad"]
        if both > max(scores["neutral"], scores["other"]):
            assert clip.attributes == {"emotion": "Aroused"}
            assert estimates_of(clip)["emotion"]["confidence"] == pytest.approx(both, abs=2e-3)
        else:
            assert clip.attributes == {}
            assert raw.attributes["emotion"] in ("Neutral", "Other")


def test_labels_of_the_corpus_win_and_no_audio_is_opened_for_them(folders):
    clip = Clip(id="a", audio="a", attributes={"Emotion": "Calm"})
    classifiers = Classifiers(scheme(emotion={"model": folders["plain"]}))
    assert classifiers.label([clip], lambda _: pytest.fail("opened")) == [clip]


def test_nobody_is_asked_whose_voice_it_is_where_several_speak(folders, sounds):
    turns = [{"start": 0, "end": 1}, {"start": 1, "end": 2}]
    clip = Clip.model_validate({"id": "c0", "audio": "a", "segments": turns})
    classifiers = Classifiers(
        scheme(
            emotion={"model": folders["plain"], "threshold": 0.0},
            noise_level={"model": folders["plain"], "threshold": 0.0},
        )
    )
    [found] = classifiers.label([clip], lambda clip: sounds[clip.id])
    assert set(found.attributes) == {"noise_level"}


def test_very_short_clips_are_left_out(folders):
    clip = Clip(id="a", audio="a")
    classifiers = Classifiers(scheme(emotion={"model": folders["plain"], "threshold": 0.0}))
    assert classifiers.label([clip], lambda _: np.zeros(800, np.float32)) == [clip]


def test_only_the_beginning_of_a_long_clip_is_heard(folders, sounds):
    classifiers = Classifiers(scheme(emotion={"model": folders["plain"], "threshold": 0.0}))
    start = np.resize(sounds["c1"], 30 * RATE)
    clip = Clip(id="a", audio="a")
    longer = np.concatenate([start, np.resize(sounds["c4"], 5 * RATE)])
    assert classifiers.label([clip], lambda _: longer) == classifiers.label([clip], lambda _: start)


def test_intent_from_the_text(folders):
    texts = ["can you please", "the red fox runs home now", "where is it", "is it home where the fox runs"]
    clips = [Clip(id=text, audio="a", text=text) for text in texts]
    mute = Clip(id="mute", audio="a")
    classifiers = Classifiers(scheme(intent={"model": folders["bert"], "input": "text", "threshold": 0.0}))
    *found, unknown = classifiers.label([*clips, mute], lambda _: pytest.fail("opened"))
    assert unknown == mute
    reference = pipeline("text-classification", model=folders["bert"])
    for clip, best in zip(found, reference(texts), strict=True):
        assert clip.attributes == {"intent": best["label"].capitalize()}
        assert estimates_of(clip)["intent"]["confidence"] == pytest.approx(best["score"], abs=2e-3)


def test_a_text_that_is_too_long_is_cut(folders):
    classifiers = Classifiers(scheme(intent={"model": folders["bert"], "input": "text", "threshold": 0.0}))
    clip = Clip(id="a", audio="a", text="the red fox runs home " * 20)
    assert classifiers.label([clip], lambda _: pytest.fail("opened"))[0].attributes


def test_a_model_that_gives_a_number(folders, sounds):
    found = labelled(Classifiers(scheme(reverberation={"model": folders["number"]})), sounds)
    reverberation = load_scheme().of("reverberation")
    reference = pipeline("audio-classification", model=folders["number"], top_k=1, function_to_apply="none")
    for clip in found:
        [value] = reference({"raw": sounds[clip.id], "sampling_rate": RATE})
        assert clip.measured == {"c50_db_estimated": pytest.approx(value["score"], abs=0.01)}
        assert clip.attributes == {"reverberation": reverberation.word(clip.measured["c50_db_estimated"])}
        assert estimates_of(clip) == {"reverberation": {"by": folders["number"]}}
        assert math.isfinite(clip.measured["c50_db_estimated"])


@pytest.mark.parametrize(
    ("classifier", "error", "message"),
    [
        (
            {"emotion": {"model": "none/such"}},
            CheckpointError,
            "cannot load the audio classifier none/such: ",
        ),
        (
            {"emotion": {"model": "headless"}},
            CheckpointError,
            "is no trained audio classifier: it lacks classifier",
        ),
        ({"emotion": {"model": "bert"}}, CheckpointError, "cannot load the audio classifier"),
        (
            {"gender": {"model": "unnamed"}},
            ConfigError,
            r"classifier of 'gender': .*unnamed does not say what its 2 labels mean; give them words: "
            "labels: {LABEL_0: Female, LABEL_1: Male}",
        ),
        (
            {"emotion": {"model": "plain", "labels": {"hapy": "Happy"}}},
            ConfigError,
            r"classifier of 'emotion': .*plain has no label 'hapy' \(did you mean 'happy'\?\)",
        ),
        (
            {"emotion": {"model": "plain", "labels": {"xyz": "Happy"}}},
            ConfigError,
            "has no label 'xyz': happy, sad, neutral, other",
        ),
        (
            {"emotion": {"model": "number"}},
            ConfigError,
            "classifier of 'emotion': .*number gives a number, but the scheme names no number for Emotion",
        ),
    ],
)
def test_models_that_do_not_fit_are_explained(folders, classifier, error, message):
    [(key, config)] = classifier.items()
    config = config | {"model": folders.get(config["model"], config["model"])}
    with pytest.raises(error, match=message):
        Classifiers(scheme(**{key: config}))


def test_a_model_for_another_rate_is_refused(tmp_path):
    folder = wav2vec2(tmp_path / "m", masks=True)
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(folder)
    with pytest.raises(CheckpointError, match="takes audio at 8000 Hz; give a model for 16000 Hz"):
        Classifiers(scheme(emotion={"model": folder}))
