"""Train the nano Whisper from random weights on nano speech.

A real `WhisperForConditionalGeneration` with everything scaled down: 8-second windows, 20 ms hop, 200 encoder
positions, one token per word of the grammar. A CTC loss over letters on the encoder output, faded out over
the training, shows the encoder early what is where; without it the decoder learns the language and ignores
the sound for most of a short training. Letters, because words share them: each is heard many times.

A second auxiliary loss, without labels, asks for the log-mels back from what enters the first layer. A real
Whisper is so wide that all of the sound gets that far; a narrow one that only has to find words drops what
is not in them, and the pitch of men could no longer be told there (38 % of three classes, by a probe).

Most clips last less than half a window. Batches hold clips of similar length, and most steps hear only as
much of the window as their longest clip needs, which costs less than half; positions are absolute, so that is
a valid beginning of the window. The rest of the steps hear whole windows, whose silence has to be learnt too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from desta2.errors import InputError
from desta2.nano.asr_speech import (
    POSITIONS_PER_SECOND,
    WINDOW_SECONDS,
    batches_of,
    load_speech,
    make_feature_extractor,
    warp,
)
from desta2.nano.grammar import WORDS
from desta2.nano.loop import LoopRecipe, fit
from desta2.nano.world import make_corpus

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration, WhisperTokenizer

log = logging.getLogger(__name__)
_WHOLE_EVERY = 10  # one step in so many hears whole windows, and
_WHOLE_FROM = 0.95  # all do from this share of the training on
_CTC_WEIGHT = 1.0
_MIRROR_WEIGHT = 5.0
_LETTERS = " .abcdefghijklmnopqrstuvwxyz"
_MAX_TEXT_TOKENS = 32
_SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip


@dataclass(frozen=True)
class AsrRecipe:
    """What the nano Whisper is made of and trained on.

    Attributes:
        clips: training clips to synthesise.
        validation_clips: held-out speakers and sentences, for the log.
        seed: of the corpus, the initial weights and the batches.
        width, encoder_layers, decoder_layers, heads: of the model.
        batch: clips a step.
        loop: steps and rates.
    """

    clips: int = 30_000
    validation_clips: int = 300
    seed: int = 0
    width: int = 192
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 4
    batch: int = 16
    loop: LoopRecipe = field(
        default_factory=lambda: LoopRecipe(steps=14_000, learning_rate=1.5e-3, warmup=300)
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
        max_source_positions=POSITIONS_PER_SECOND * WINDOW_SECONDS,
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


@contextmanager
def _window(whisper: WhisperForConditionalGeneration, frames: int) -> Iterator[None]:
    """Let the encoder take log-mels of so many frames, at the first positions of its window.

    Its `forward` wants exactly as many as the config says, and adds as many positions as the embedding has.
    """
    config, embedding = whisper.config, whisper.model.encoder.embed_positions
    whole = config.max_source_positions
    config.max_source_positions = embedding.num_embeddings = frames // 2
    try:
        yield
    finally:
        config.max_source_positions = embedding.num_embeddings = whole


class _WithHeads(nn.Module):
    """The model with its auxiliary heads; these are in checkpoints, not in the saved model."""

    def __init__(self, whisper: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer) -> None:
        super().__init__()
        self.whisper = whisper
        # Two predictions a frame: 25 frames a second are too few for the letters of fast speech.
        self.ctc = nn.Linear(whisper.config.d_model, 2 * (len(_LETTERS) + 1))
        self.mirror = nn.Linear(whisper.config.d_model, 2 * whisper.config.num_mel_bins)
        self.tokenizer = tokenizer
        self.prefix = list(tokenizer.prefix_tokens)
        self.end = tokenizer.eos_token_id

    def loss(
        self, features: Tensor, texts: list[str], ctc_weight: float, mirror_weight: float = _MIRROR_WEIGHT
    ) -> Tensor:
        """Cross-entropy of the words and the end token, plus both others; features (clips, 80, frames)."""
        words = [self.tokenizer.encode(f" {text}", add_special_tokens=False) for text in texts]
        rows = [self.prefix + ids + [self.end] for ids in words]
        width = max(map(len, rows))
        device = self.ctc.weight.device
        inputs = torch.full((len(rows), width - 1), self.end)
        labels = torch.full((len(rows), width - 1), -100)
        start = len(self.prefix) - 1
        for i, row in enumerate(rows):
            inputs[i, : len(row) - 1] = torch.tensor(row[:-1])
            labels[i, start : len(row) - 1] = torch.tensor(row[start + 1 :])
        with _window(self.whisper, features.shape[2]):
            features = features.to(device)
            output = self.whisper(
                input_features=features, decoder_input_ids=inputs.to(device), output_hidden_states=True
            )
        wanted = labels.flatten().to(device)
        loss = F.cross_entropy(output.logits.flatten(0, 1), wanted, label_smoothing=0.05)
        loss = loss + mirror_weight * self._mirror_loss(output.encoder_hidden_states[0], features)
        if ctc_weight > 0:
            loss = loss + ctc_weight * self._ctc_loss(output.encoder_last_hidden_state, texts)
        return loss

    def _mirror_loss(self, entering: Tensor, features: Tensor) -> Tensor:
        """Mean square of what is missing of the log-mels in what enters the first layer, two frames each."""
        given = features.transpose(1, 2).unflatten(1, (-1, 2)).flatten(2)  # (clips, positions, 2 × 80)
        return F.mse_loss(self.mirror(entering), given)

    def _ctc_loss(self, frames: Tensor, texts: list[str]) -> Tensor:
        """CTC loss over letters, per letter; frames (clips, positions, width)."""
        scores = self.ctc(frames).unflatten(-1, (2, -1)).flatten(1, 2)  # (clips, twice as many, letters)
        letters = [[_LETTERS.index(letter) for letter in text] for text in texts]
        return F.ctc_loss(
            scores.log_softmax(-1).transpose(0, 1),
            torch.tensor([index for row in letters for index in row], device=scores.device),
            torch.full((len(texts),), scores.shape[1]),
            torch.tensor([len(row) for row in letters]),
            blank=len(_LETTERS),
            zero_infinity=True,
        )


def transcribe(
    whisper: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, features: Tensor, batch: int = 50
) -> list[str]:
    """Greedy transcripts of log-mels (clips, 80, 400)."""
    texts: list[str] = []
    for part in features.split(batch):
        ids = whisper.generate(input_features=part.float().to(whisper.device))
        texts += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    return texts


def _words(texts: list[str]) -> list[str]:
    """Texts without the full stops, which are no words."""
    return [text.replace(".", "") for text in texts]


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
    speech = {split: load_speech(manifest, extractor) for split, manifest in manifests.items()}
    if (found := len(speech["train"].texts)) < recipe.batch:
        raise InputError(
            f"{manifests['train']} has {found} clips, expected at least one batch of {recipe.batch}; "
            "remove the corpus to have it made again"
        )
    whisper = make_model(tokenizer, recipe)
    model = _WithHeads(whisper, tokenizer)
    validation, _ = speech["val"].batch(torch.arange(len(speech["val"].texts)), whole=True)
    order, train = torch.Generator(), speech["train"]
    per_epoch = len(train.texts) // recipe.batch

    @lru_cache(maxsize=1)
    def epoch_of(number: int) -> list[Tensor]:
        return batches_of(train.positions, recipe.batch, order.manual_seed(recipe.seed * 1_000 + number))

    def batch_at(step: int) -> tuple[Tensor, list[str]]:
        epoch, position = divmod(step, per_epoch)
        rows = epoch_of(epoch)[position]
        whole = step % _WHOLE_EVERY == 0 or step >= _WHOLE_FROM * recipe.loop.steps
        features, texts = train.batch(rows, whole)
        return warp(features, order.manual_seed(recipe.seed * 1_000_000 + step)), texts

    def loss_of(batch: tuple[Tensor, list[str]], progress: float) -> Tensor:
        return model.loss(*batch, ctc_weight=_CTC_WEIGHT * max(0.0, 1 - progress / 0.8))

    def evaluate() -> dict[str, float]:
        heard = transcribe(whisper, tokenizer, validation)
        return {"wer": round(wer(_words(speech["val"].texts), _words(heard)), 4)}

    fit(model, batch_at, loss_of, recipe.loop, folder / "work", "nano Whisper", evaluate)
    target = folder / "model"
    whisper.cpu().half().save_pretrained(target)
    extractor.save_pretrained(target)
    tokenizer.save_pretrained(target)
    log.info("saved the nano Whisper to %s", target)
