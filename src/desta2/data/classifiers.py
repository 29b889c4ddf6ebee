"""Attributes that a model hears, or reads from the text: gender, age, accent, emotion, intent, what you like.

The models are the user's choice, by hub id or folder in the scheme (`classifiers`): none is shipped, because
each is right for some languages and recordings only, and has a licence of its own. They are opened as
ordinary transformers models for audio or text classification.

Trade-off: one process with batches on the accelerator, after the measuring processes, instead of a model in
each of them. A clip's label does not depend on what shares its batch: clips are padded only for models that
mask the padding or always take the same length. A model with one output is a regression: its number is
stored, as the estimate of what the attribute is measured by, and named by the attribute's bins.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from desta2.data.attributes import ESTIMATED, Attribute, Classifier, Scheme, attribute_words, key_of
from desta2.data.audio import SAMPLE_RATE
from desta2.data.estimates import mark_estimates
from desta2.data.speed import spoken_text
from desta2.errors import CheckpointError, ConfigError
from desta2.records import Clip

LONGEST_S = 30.0
"""Seconds that a model hears: of a longer clip the first ones, since a voice stays what it is."""

_SHORTEST_S = 0.1  # less is shorter than the models' first convolutions
_DECIMALS = 3

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class _Verdict:
    """What a model says of a clip: a word with its probability, or a number."""

    word: str | None = None
    number: float | None = None
    confidence: float | None = None


class Classifiers:
    """The models of a scheme, loaded.

    Args:
        scheme: attributes and `classifiers`.

    Raises:
        CheckpointError: a model cannot be loaded, or is no classifier of its input.
        ConfigError: its labels do not fit those of the scheme.
    """

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._models: dict[str, _AudioModel | _TextModel] = {}
        for key, config in scheme.classifiers.items():
            attribute = scheme.of(key)
            assert attribute is not None  # the scheme has checked it
            kind = _TextModel if config.input == "text" else _AudioModel
            self._models[key] = kind(attribute, config)

    def label(self, clips: Sequence[Clip], samples_of: Callable[[Clip], Samples]) -> list[Clip]:
        """Name what the clips do not have yet.

        Args:
            clips: a batch; what they have already, from the corpus or measured, is kept. Attributes of a
                voice are not asked for in clips of several speakers.
            samples_of: gives the audio of a clip, (samples,) at 16 kHz. Called at most once per clip.

        Returns:
            the clips with words in `attributes` (and numbers in `measured`), marked as estimates.
        """
        found = list(clips)
        heard: dict[str, Samples] = {}
        for key, model in self._models.items():
            open_places = [place for place, clip in enumerate(found) if self._is_open(clip, key)]
            inputs: dict[int, Any] = {}
            for place in open_places:
                clip = found[place]
                if isinstance(model, _TextModel):
                    given: Any = spoken_text(clip)
                else:
                    if clip.id not in heard:
                        heard[clip.id] = samples_of(clip)[: round(LONGEST_S * SAMPLE_RATE)]
                    given = heard[clip.id] if len(heard[clip.id]) >= _SHORTEST_S * SAMPLE_RATE else None
                if given is not None and len(given):
                    inputs[place] = given
            for place, verdict in zip(inputs, model.verdicts(list(inputs.values())), strict=True):
                found[place] = self._with(found[place], key, verdict, model.name)
        return found

    def _is_open(self, clip: Clip, key: str) -> bool:
        attribute = self._scheme.of(key)
        assert attribute is not None
        several = len(clip.segments or ()) > 1
        known = any(key_of(name) == key and label.strip() for name, label in clip.attributes.items())
        return not known and not (several and attribute.scope == "voice")

    def _with(self, clip: Clip, key: str, verdict: _Verdict, model: str) -> Clip:
        attribute = self._scheme.of(key)
        assert attribute is not None
        word, measured = verdict.word, clip.measured
        if verdict.number is not None:
            measured = measured | {f"{attribute.measured}{ESTIMATED}": verdict.number}
            word = attribute_words({}, measured, self._scheme).get(attribute.name)
        if word is None:
            return clip
        source = {"by": model} | ({} if verdict.confidence is None else {"confidence": verdict.confidence})
        named = clip.model_copy(update={"attributes": clip.attributes | {key: word}, "measured": measured})
        return mark_estimates(named, {key: source})


class _Model:
    """What classifiers of audio and of text have in common."""

    def __init__(self, attribute: Attribute, config: Classifier, auto: Any) -> None:
        import torch

        self.name = config.model
        self._config = config
        self._model = _load_model(auto, config)
        self._model.to(torch.accelerator.current_accelerator() or "cpu")
        self._regression = self._model.config.num_labels == 1
        if self._regression and attribute.measured is None:
            raise ConfigError(
                f"classifier of {attribute.key!r}: {config.model} gives a number, but the scheme names "
                f"no number for {attribute.name}; give it 'measured' and 'bins', or another model"
            )
        self._words = {} if self._regression else _words_of(attribute, config, self._model.config.id2label)

    def _verdicts(self, features: Mapping[str, Any]) -> list[_Verdict]:
        """What the model says of a batch of inputs."""
        import torch

        with torch.inference_mode():
            inputs = {name: value.to(self._model.device) for name, value in features.items()}
            logits = self._model(**inputs).logits.float().cpu()  # (clips, labels)
        if self._regression:
            return [_Verdict(number=round(float(value), 2)) for value in logits[:, 0]]
        return [self._chosen(row) for row in logits.softmax(-1).tolist()]

    def _chosen(self, probabilities: Sequence[float]) -> _Verdict:
        """The likeliest word; labels that stand for the same word add up, those without one stand alone."""
        sums: dict[str | int, float] = {}
        for index, probability in enumerate(probabilities):
            word = self._words.get(index, index)
            sums[word] = sums.get(word, 0.0) + probability
        best, confidence = max(sums.items(), key=lambda item: item[1])
        if isinstance(best, int) or confidence < self._config.threshold:
            return _Verdict()
        return _Verdict(word=best, confidence=round(confidence, _DECIMALS))


class _AudioModel(_Model):
    def __init__(self, attribute: Attribute, config: Classifier) -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

        super().__init__(attribute, config, AutoModelForAudioClassification)
        self._extractor = _load(AutoFeatureExtractor, config)
        rate = self._extractor.sampling_rate
        if rate != SAMPLE_RATE:
            raise CheckpointError(
                f"{config.model} takes audio at {rate} Hz; give a model for {SAMPLE_RATE} Hz"
            )

    def verdicts(self, clips: Sequence[Samples]) -> list[_Verdict]:
        """What the model says of each clip."""
        return [verdict for features in self._batches(clips) for verdict in self._verdicts(features)]

    def _batches(self, clips: Sequence[Samples]) -> Iterator[Mapping[str, Any]]:
        """All clips at once where padding them changes nothing, else one by one."""
        import torch

        options = {"sampling_rate": SAMPLE_RATE, "return_tensors": "pt"}
        single = [self._extractor(clip, **options) for clip in clips]
        shapes = {tuple((name, value.shape) for name, value in features.items()) for features in single}
        if len(shapes) == 1:
            yield {name: torch.cat([features[name] for features in single]) for name in single[0]}
        elif single and getattr(self._extractor, "return_attention_mask", False):
            yield self._extractor(list(clips), padding=True, return_attention_mask=True, **options)
        else:
            yield from single


class _TextModel(_Model):
    def __init__(self, attribute: Attribute, config: Classifier) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        super().__init__(attribute, config, AutoModelForSequenceClassification)
        self._tokenizer = _load(AutoTokenizer, config)
        self._longest = min(self._tokenizer.model_max_length, _positions(self._model.config))

    def verdicts(self, texts: Sequence[str]) -> list[_Verdict]:
        """What the model says of each text; one that is longer than the model takes is cut."""
        if not texts:
            return []
        return self._verdicts(
            self._tokenizer(
                list(texts), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
            )
        )


def _positions(config: Any) -> int:
    # RoBERTa's family counts positions from 2 on.
    return int(getattr(config, "max_position_embeddings", 514)) - 2


def _load(auto: Any, config: Classifier, **options: Any) -> Any:
    try:
        return auto.from_pretrained(config.model, **options)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot load the {config.input} classifier {config.model}: {error}") from error


def _load_model(auto: Any, config: Classifier) -> Any:
    import torch

    model, about = _load(auto, config, dtype=torch.float32, output_loading_info=True)
    if about["missing_keys"]:  # transformers would draw them at random
        raise CheckpointError(
            f"{config.model} is no trained {config.input} classifier: it lacks "
            f"{min(about['missing_keys'])}; give a model with a classification head"
        )
    return model.eval()


def _words_of(attribute: Attribute, config: Classifier, labels: Mapping[int, str]) -> dict[int, str]:
    """Which word each of the model's labels stands for; labels without a word are not there."""
    from desta2.data.sources.labels import canonical

    place = f"classifier of {attribute.key!r}"
    if config.labels is None:
        if all(str(label).startswith("LABEL_") for label in labels.values()):
            raise ConfigError(
                f"{place}: {config.model} does not say what its {len(labels)} labels mean; give them words: "
                "labels: {LABEL_0: Female, LABEL_1: Male}"
            )
        words = {index: canonical(attribute.key, str(label)) for index, label in labels.items()}
        return {index: word[:1].upper() + word[1:] for index, word in words.items() if word}
    for label in config.labels:
        if label not in labels.values():
            close = difflib.get_close_matches(label, list(labels.values()), n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else f": {', '.join(labels.values())}"
            raise ConfigError(f"{place}: {config.model} has no label {label!r}{hint}")
    return {index: config.labels[label] for index, label in labels.items() if label in config.labels}
