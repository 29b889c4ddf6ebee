"""Train the nano Whisper from random weights on nano speech.

A real `WhisperForConditionalGeneration` with everything scaled down: 4-second windows, 20 ms hop, 100 encoder
positions, one token per word of the grammar. A CTC loss over letters on the encoder output, faded out over
the training, shows the encoder early what is where; without it the decoder learns the language and ignores
the sound for most of a short training. Letters, because words share them: each is heard many times.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from desta2.data.audio import load_audio
from desta2.errors import InputError
from desta2.nano.grammar import WORDS
from desta2.nano.loop import LoopRecipe, fit
from desta2.nano.world import make_corpus
from desta2.progress import track
from desta2.records import Clip, read_records

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

log = logging.getLogger(__name__)
WINDOW_SECONDS = 4
_CTC_WEIGHT = 1.0
_LETTERS = " abcdefghijklmnopqrstuvwxyz"
_MAX_TEXT_TOKENS = 24
_SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip


@dataclass(frozen=True)
class AsrRecipe:
    """The recipe of the shipped weights.

    Attributes:
        clips: training clips to synthesise.
        validation_clips: held-out speakers and sentences, for the log.
        seed: of the corpus, the initial weights and the batches.
        width, encoder_layers, decoder_layers, heads: of the model.
        batch: clips a step.
        loop: steps and rates.
    """

    clips: int = 24_000
    validation_clips: int = 300
    seed: int = 0
    width: int = 160
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 4
    batch: int = 16
    loop: LoopRecipe = field(
        default_factory=lambda: LoopRecipe(steps=10_500, learning_rate=1.5e-3, warmup=300)
    )


def make_tokenizer() -> WhisperTokenizer:
    """A Whisper tokenizer in which every word of the grammar is one token; other text falls back to bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import WhisperTokenizer

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4_000, min_frequency=1, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([f" {word}" for word in WORDS], trainer)
    model = json.loads(bpe.to_str())["model"]
    tokenizer = WhisperTokenizer(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]])
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SPECIAL)})
    tokenizer.set_prefix_tokens(language="en", task="transcribe", predict_timestamps=False)
    return tokenizer


def make_feature_extractor() -> WhisperFeatureExtractor:
    """80 log-mel bins, 20 ms hop, 4-second windows: (80, 200) a clip."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=80, hop_length=320, chunk_length=WINDOW_SECONDS, n_fft=400)


def make_model(tokenizer: WhisperTokenizer, recipe: AsrRecipe) -> WhisperForConditionalGeneration:
    """Random weights of the recipe's size."""
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    ids: dict[str, Any] = {token: tokenizer.convert_tokens_to_ids(token) for token in _SPECIAL}
    end = ids["<|endoftext|>"]
    torch.manual_seed(recipe.seed)
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=recipe.width,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        encoder_attention_heads=recipe.heads,
        decoder_attention_heads=recipe.heads,
        encoder_ffn_dim=4 * recipe.width,
        decoder_ffn_dim=4 * recipe.width,
        max_source_positions=25 * WINDOW_SECONDS,
        max_target_positions=48,
        dropout=0.0,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    model = WhisperForConditionalGeneration(config)
    for convolution in (model.model.encoder.conv1, model.model.encoder.conv2):
        # As drawn, the sound reaches the first layer at a tenth of the size of the position embeddings.
        nn.init.kaiming_normal_(convolution.weight)
    model.generation_config = GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        language="en",
        task="transcribe",
        return_timestamps=False,
        max_new_tokens=_MAX_TEXT_TOKENS,
    )
    return model


@dataclass
class _Speech:
    """A corpus as tensors: log-mels, float16 (clips, 80, 200), and texts."""

    features: Tensor
    texts: list[str]


def _load(manifest: Path, extractor: WhisperFeatureExtractor) -> _Speech:
    """Log-mels of a corpus, computed once and kept beside its manifest."""
    clips = list(read_records(manifest, Clip))
    cache = manifest.parent / "log-mel.npy"
    if not cache.exists() or cache.stat().st_mtime < manifest.stat().st_mtime:  # another corpus since
        shape = (len(clips), extractor.feature_size, extractor.nb_max_frames)
        array = np.lib.format.open_memmap(cache.with_suffix(".tmp"), mode="w+", dtype=np.float16, shape=shape)
        for i, clip in enumerate(track(clips, total=len(clips), description="log-mel")):
            samples = load_audio(manifest.parent / clip.audio)
            array[i] = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features[0]
        array.flush()
        cache.with_suffix(".tmp").rename(cache)
    features = torch.from_numpy(np.load(cache))
    return _Speech(features, [clip.text or "" for clip in clips])


def warp(features: Tensor, rng: torch.Generator) -> Tensor:
    """Stretch the frequency axis of log-mels (clips, bins, frames) by up to ±8 %, a factor for each clip.

    Vocal tract length perturbation (Jaitly and Hinton, 2013): the few timbres of espeak become many.
    """
    clips, bins, frames = features.shape
    factors = 0.92 + 0.16 * torch.rand(clips, 1, generator=rng)
    places = (torch.arange(bins) * factors).clamp(max=bins - 1)
    below = places.long().clamp(max=bins - 2)
    share = (places - below)[:, :, None]
    rows = below[:, :, None].expand(-1, -1, frames)
    return features.gather(1, rows) * (1 - share) + features.gather(1, rows + 1) * share


class _WithCtc(nn.Module):
    """The model with the auxiliary CTC head; the head is in checkpoints, not in the saved model."""

    def __init__(self, whisper: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer) -> None:
        super().__init__()
        self.whisper = whisper
        # Two predictions a frame: 25 frames a second are too few for the letters of fast speech.
        self.ctc = nn.Linear(whisper.config.d_model, 2 * (len(_LETTERS) + 1))
        self.tokenizer = tokenizer
        self.prefix = list(tokenizer.prefix_tokens)
        self.end = tokenizer.eos_token_id

    def loss(self, features: Tensor, texts: list[str], ctc_weight: float) -> Tensor:
        """Cross-entropy of the words and the end token, plus the CTC loss; features (clips, 80, 200)."""
        words = [self.tokenizer.encode(f" {text}", add_special_tokens=False) for text in texts]
        rows = [self.prefix + ids + [self.end] for ids in words]
        width = max(map(len, rows))
        inputs = torch.full((len(rows), width - 1), self.end)
        labels = torch.full((len(rows), width - 1), -100)
        start = len(self.prefix) - 1
        for i, row in enumerate(rows):
            inputs[i, : len(row) - 1] = torch.tensor(row[:-1])
            labels[i, start : len(row) - 1] = torch.tensor(row[start + 1 :])
        output = self.whisper(input_features=features, decoder_input_ids=inputs)
        loss = F.cross_entropy(output.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.05)
        if ctc_weight > 0:
            loss = loss + ctc_weight * self._ctc_loss(output.encoder_last_hidden_state, texts)
        return loss

    def _ctc_loss(self, frames: Tensor, texts: list[str]) -> Tensor:
        """CTC loss over letters, per letter; frames (clips, 100, width)."""
        scores = self.ctc(frames).unflatten(-1, (2, -1)).flatten(1, 2)  # (clips, 200, letters + blank)
        letters = [[_LETTERS.index(letter) for letter in text] for text in texts]
        return F.ctc_loss(
            scores.log_softmax(-1).transpose(0, 1),
            torch.tensor([index for row in letters for index in row]),
            torch.full((len(texts),), scores.shape[1]),
            torch.tensor([len(row) for row in letters]),
            blank=len(_LETTERS),
            zero_infinity=True,
        )


def transcribe(
    whisper: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, features: Tensor, batch: int = 50
) -> list[str]:
    """Greedy transcripts of log-mels (clips, 80, 200)."""
    texts: list[str] = []
    for part in features.split(batch):
        ids = whisper.generate(input_features=part.float())
        texts += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return texts


def train_asr(folder: Path, recipe: AsrRecipe = AsrRecipe(), corpus: Path | None = None) -> None:
    """Train from nothing; continue where an earlier call was stopped.

    Args:
        folder: gets `model/` (Hugging Face format, fp16), `work/` (checkpoint, log).
        recipe: sizes, steps and seed.
        corpus: folder for the synthesised clips; `folder/corpus` by default. Re-used if it is there.

    Raises:
        InputError: the corpus that is there has fewer clips than one batch.
    """
    from jiwer import wer

    corpus = corpus or folder / "corpus"
    manifests = {}
    for split, n in (("train", recipe.clips), ("val", recipe.validation_clips)):
        manifests[split] = corpus / split / "clips.jsonl"
        if not manifests[split].exists():
            make_corpus(n, corpus / split, split, recipe.seed)
    extractor, tokenizer = make_feature_extractor(), make_tokenizer()
    speech = {split: _load(manifest, extractor) for split, manifest in manifests.items()}
    if (found := len(speech["train"].texts)) < recipe.batch:
        raise InputError(
            f"{manifests['train']} has {found} clips, expected at least one batch of {recipe.batch}; "
            "remove the corpus to have it made again"
        )
    whisper = make_model(tokenizer, recipe)
    model = _WithCtc(whisper, tokenizer)
    order = torch.Generator()

    def batch_at(step: int) -> tuple[Tensor, list[str]]:
        train = speech["train"]
        per_epoch = len(train.texts) // recipe.batch
        epoch, position = divmod(step, per_epoch)
        order.manual_seed(recipe.seed * 1_000 + epoch)
        rows = torch.randperm(len(train.texts), generator=order)[position * recipe.batch :][: recipe.batch]
        order.manual_seed(recipe.seed * 1_000_000 + step)
        return warp(train.features[rows].float(), order), [train.texts[i] for i in rows.tolist()]

    def loss_of(batch: tuple[Tensor, list[str]], progress: float) -> Tensor:
        return model.loss(*batch, ctc_weight=_CTC_WEIGHT * max(0.0, 1 - progress / 0.8))

    def evaluate() -> dict[str, float]:
        heard = transcribe(whisper, tokenizer, speech["val"].features)
        return {"wer": round(wer(speech["val"].texts, heard), 4)}

    fit(model, batch_at, loss_of, recipe.loop, folder / "work", "nano Whisper", evaluate)
    target = folder / "model"
    whisper.half().save_pretrained(target)
    extractor.save_pretrained(target)
    tokenizer.save_pretrained(target)
    log.info("saved the nano Whisper to %s", target)
