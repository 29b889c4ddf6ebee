"""Everything between a user's files and the model's tensors, and back.

The processor holds the Whisper feature extractor and both tokenizers. It saves nothing but the configuration:
the tokenizers belong to the frozen models and are loaded with them, so they cannot drift apart. It is called
as the processors of transformers' audio LLMs are, with one difference: a clip reaches the LLM as vectors and
as words, so its transcript has to be given too, unless the model has heard it (`Desta2Model.hear`).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoTokenizer, BatchFeature, ProcessorMixin

from desta2.errors import CheckpointError, InputError
from desta2.model import inputs, saving
from desta2.model.bases import of_bases
from desta2.model.chat import is_batch
from desta2.model.checkpoint import CONFIG_FILE, model_folder, resolve_base
from desta2.model.configuration import Desta2Config
from desta2.model.messages import LOCATOR, ClipPart, Turn, clips_of, normalise
from desta2.model.prompt import Prompt, build_prompt, prompt_text


class Desta2Processor(ProcessorMixin):
    """Audio → features, messages → prompt, token ids → text.

    Args:
        config: The model's configuration.
        feature_extractor: Of the frozen Whisper.
        tokenizer: Of the LLM.
        whisper_tokenizer: Of the frozen Whisper.
    """

    feature_extractor: Any
    tokenizer: Any
    whisper_tokenizer: Any

    def __init__(
        self, config: Desta2Config, feature_extractor: Any, tokenizer: Any, whisper_tokenizer: Any
    ) -> None:
        parts = (feature_extractor, tokenizer, whisper_tokenizer)
        super().__init__(*parts, chat_template=tokenizer.chat_template)  # type: ignore[no-untyped-call]
        self.config = config
        self._base_paths = {"llm_id": config.llm_id, "encoder_id": config.encoder_id}

    # Loading and saving

    @classmethod
    def from_bases(
        cls, config: Desta2Config, llm: str, encoder: str, **hub_options: Any
    ) -> "Desta2Processor":
        """Load the parts from the folders or hub ids of the frozen models."""
        try:
            processor = cls(
                config,
                feature_extractor=AutoFeatureExtractor.from_pretrained(encoder, **hub_options),
                tokenizer=AutoTokenizer.from_pretrained(llm, **hub_options),
                whisper_tokenizer=AutoTokenizer.from_pretrained(encoder, **hub_options),
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot load the processor of {llm} and {encoder}: {error}") from error
        processor._base_paths = {"llm_id": llm, "encoder_id": encoder}
        return processor

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, path_or_id: str | os.PathLike[str], *, config: Desta2Config | None = None, **hub_options: Any
    ) -> "Desta2Processor":
        """Load the processor of a model folder or hub id."""
        hub_options.pop("trust_remote_code", None)
        hub_options.pop("_from_auto", None)
        folder = model_folder(path_or_id, [CONFIG_FILE], **hub_options)
        config = config or Desta2Config.from_pretrained(folder)
        llm, encoder = resolve_base(config.llm_id, folder), resolve_base(config.encoder_id, folder)
        return cls.from_bases(config, llm, encoder, **of_bases(hub_options))

    def save_pretrained(self, save_directory: str | os.PathLike[str], **_: Any) -> None:  # type: ignore[override]
        """Write `config.json`, from which `from_pretrained` finds everything again."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        saving.save_config(self.config, self._base_paths, folder)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Send `config.json` to the hub; `Desta2Model.push_to_hub` sends it too, with the rest."""
        return saving.push(self.save_pretrained, repo_id, **options)

    def __repr__(self) -> str:
        return f"Desta2Processor(llm={self.config.llm_id!r}, encoder={self.config.encoder_id!r})"

    # Audio

    @property
    def window_seconds(self) -> float:
        """Longest clip that the encoder sees at once."""
        return float(self.feature_extractor.n_samples / self.feature_extractor.sampling_rate)

    def load_audio(self, audio: Any) -> np.ndarray:
        """Read a path, the bytes of a file, or samples at the model's rate, as (samples,) float32.

        Raises:
            AudioError: It cannot be read.
            InputError: It is longer than `max_clip_seconds` of the configuration.
        """
        from desta2.data.audio import load_audio

        rate = self.feature_extractor.sampling_rate  # what `load_audio` returns; files state their own
        samples = load_audio(audio, sampling_rate=rate if isinstance(audio, np.ndarray) else None)
        if len(samples) > self.config.max_clip_seconds * rate:
            raise InputError(
                f"the clip lasts {len(samples) / rate:.2f} s, but this model takes clips of at most "
                f"{self.config.max_clip_seconds:g} s (max_clip_seconds in its configuration); cut it, or "
                "raise the limit"
            )
        return samples

    def features(self, audios: Sequence[Any]) -> Tensor:
        """Log-mel features of clips (path, bytes or samples each): (n_audio, n_mels, frames).

        Raises:
            AudioError: One cannot be read.
            InputError: One is longer than the encoder's window (`windows.split` cuts such a clip).
        """
        arrays = [self.load_audio(audio) for audio in audios]
        rate = self.feature_extractor.sampling_rate
        for samples in arrays:
            if len(samples) > self.feature_extractor.n_samples:
                raise InputError(
                    f"the clip lasts {len(samples) / rate:.2f} s, but this Whisper hears at most "
                    f"{self.window_seconds:.2f} s at once; cut it into shorter clips"
                )
        return self.feature_extractor(arrays, sampling_rate=rate, return_tensors="pt").input_features

    def frames(self, n_samples: int) -> int:
        """How many encoder frames (20 ms) a clip of so many samples lasts: rounded up, at least one.

        Args:
            n_samples: At the model's rate.
        """
        hop = 2 * self.feature_extractor.hop_length  # the encoder's second convolution halves the frames
        return max(1, -(-n_samples // hop))

    # Text

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any] | Turn],
        transcripts: Sequence[str | Sequence[str] | None] | None = None,
        n_queries: int | None = None,
    ) -> Prompt:
        """`build_prompt` with this model's tokenizer and configuration."""
        return build_prompt(messages, self.tokenizer, self.config, transcripts, n_queries)

    def decode(self, token_ids: Any, skip_special_tokens: bool = True, **options: Any) -> str:
        """Text of an answer, by default without special tokens, and as the LLM wrote it.

        Some tokenizers ask for a clean-up that takes spaces away (`x != y` → `x!= y`); it is left out.
        """
        options = {"clean_up_tokenization_spaces": False, **options}
        return str(self.tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens, **options))

    def batch_decode(self, rows: Any, skip_special_tokens: bool = True, **options: Any) -> list[str]:
        """Texts of answers, by default without special tokens."""
        return [self.decode(row, skip_special_tokens, **options) for row in rows]

    # The house style of transformers

    @property
    def model_input_names(self) -> list[str]:
        """Keys of what `__call__` returns."""
        return ["input_ids", "attention_mask", "input_features", "frames", "audio_embeds", "audio_slots"]

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Any],
        *,
        transcripts: Sequence[Any] | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        return_dict: bool = True,
        **options: Any,
    ) -> Any:
        """Conversations → prompts as text, or → the model's inputs.

        Args:
            conversation: Messages in any accepted form, or a list of such lists.
            transcripts: One per clip, in order, or a list of such lists. By default what the messages say, or
                what the model heard where a `Heard` stands in place of audio. A text holds none: `__call__`
                takes them.
            add_generation_prompt: Whether an answer is to follow; False where the conversation ends with one.
            tokenize: False: text with `<|AUDIO|>` for each clip, for `__call__`. True: inputs for
                `Desta2Model.generate` and `forward`, whose ids are those of `build_prompt`.
            return_dict: False returns the ids alone.
            options: Others of transformers, as long as they ask for nothing that is not done.

        Returns:
            A text (or a list of texts), or what `__call__` returns.

        Raises:
            InputError, AudioError: The conversation cannot be used, or an option cannot be fulfilled.
        """
        inputs.refuse(options)
        batched = is_batch(conversation)
        conversations = [normalise(own) for own in (conversation if batched else [conversation])]
        build: dict[str, Any] = {
            "tokenizer": self.tokenizer,
            "config": self.config,
            "for_answer": add_generation_prompt,
        }
        if not tokenize:
            texts = [prompt_text(own, **build) for own in conversations]
            return texts if batched else texts[0]
        given = transcripts if batched else [transcripts]
        given = [None] * len(conversations) if given is None else list(given)
        if len(given) != len(conversations):
            raise InputError(f"{len(given)} lists of transcripts for {len(conversations)} conversations")
        prompts = [
            build_prompt(own, transcripts=inputs.words_of(clips_of(own), words), **build)
            for own, words in zip(conversations, given, strict=True)
        ]
        clips = [clip.audio for own in conversations for clip in clips_of(own) if clip.audio is not None]
        data = inputs.model_inputs(self, prompts, clips)
        return data if return_dict else data["input_ids"]

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        audio: Any = None,
        *,
        transcripts: Sequence[str | None] | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Prompts as text, and their clips → the model's inputs.

        Args:
            text: What `apply_chat_template` writes, or a list of it; None for the clips alone. Special tokens
                in it are the LLM's control tokens; none is added.
            audio: A clip (path, bytes, samples at the model's rate, or `Heard`), or a flat list of clips, in
                the order of the `<|AUDIO|>` in the texts.
            transcripts: One per clip; by default those of `Heard` clips.
            options: Others of transformers, as long as they ask for nothing that is not done.

        Returns:
            `input_ids` and `attention_mask` (batch, length), padded on the left; with clips `audio_slots`
            (n_audio, 2), and `input_features` (n_audio, n_mels, frames) or, where the model has heard them,
            `audio_embeds` (n_audio, n_queries, d_llm). With `encoder_frames` "speech" the features come with
            `frames` (n_audio,).

        Raises:
            InputError, AudioError: Texts, clips and transcripts do not belong together, or cannot be used.
        """
        inputs.refuse(options)
        clips = [] if audio is None else list(audio) if isinstance(audio, list | tuple) else [audio]
        if text is None:
            return BatchFeature(inputs.audio_inputs(self, clips))
        texts = [text] if isinstance(text, str) else list(text)
        n_places = sum(own.count(LOCATOR) for own in texts)
        if n_places != len(clips):
            raise InputError(f"the text has {n_places} {LOCATOR}, but {len(clips)} clips were given")
        words = iter(inputs.words_of([ClipPart(clip) for clip in clips], transcripts))
        prompts = [inputs.expanded(own, words, self.tokenizer, self.config) for own in texts]
        return inputs.model_inputs(self, prompts, clips)
