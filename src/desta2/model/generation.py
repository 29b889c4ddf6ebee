"""What a model says: hear, generate, chat, stream. `Desta2Model` inherits it; the work is done in `chat`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

import torch
from torch import Tensor

from desta2.errors import InputError
from desta2.model import bases
from desta2.model.chat import ChatOutput, Question, answer, is_batch, prepare, stream
from desta2.model.hearing import Heard, hear
from desta2.model.memory import Memory
from desta2.model.messages import ask
from desta2.model.sampling import ChatOptions, Sampling, Seeded

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


class Speaking:
    """The part of a `Desta2Model` that answers.

    Attributes:
        memory: The clips heard last; see `Memory` for its bound.
    """

    llm: Any
    memory: Memory

    def hear(
        self,
        audios: Sequence[Any],
        transcripts: Sequence[str | None] | None = None,
        language: str | None = None,
    ) -> list[Heard]:
        """Hear clips once, to stand in any number of messages in place of their audio; see `hearing.hear`."""
        return hear(cast("Desta2Model", self), audios, transcripts, language)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        input_features: Tensor | None = None,
        audio_embeds: Tensor | None = None,
        audio_slots: Tensor | None = None,
        frames: Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """Generate with the LLM's `generate` and its generation config.

        Without clips the LLM gets the ids alone, exactly as if it were called directly. With clips it gets
        them beside the vectors, for the penalties for repetition that a generation config may ask for.

        Args:
            input_ids, attention_mask, input_features, audio_slots, frames: As in `forward`; padded on the
                left.
            audio_embeds: (n_audio, n_queries, d_llm) of clips that were heard before, instead of features.
            options: Passed on to the LLM's `generate`.

        Returns:
            New token ids only, (batch, new); with `return_dict_in_generate` what transformers makes, in which
            they are the `sequences`.
        """
        model = cast("Desta2Model", self)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        options = {**self._pad_option(options), **options}
        if audio_embeds is None and input_features is not None:
            audio_embeds = model.get_audio_features(input_features, frames)
        if audio_embeds is not None and len(audio_embeds):
            options["inputs_embeds"] = model.embed(input_ids, audio_embeds, audio_slots)
            input_ids = _without_placeholders(input_ids, audio_slots, audio_embeds.shape[1])
        found: Any = self.llm.generate(input_ids, attention_mask=mask, **options)
        if isinstance(found, Tensor):
            return found[:, input_ids.shape[1] :]
        found.sequences = found.sequences[:, input_ids.shape[1] :]
        return found

    def _pad_option(self, options: Mapping[str, Any]) -> dict[str, int]:
        """An end token as padding where the LLM names none; transformers would do it too, with a warning."""
        config = self.llm.generation_config
        ends = options.get("eos_token_id", config.eos_token_id)
        if config.pad_token_id is not None or not ends:
            return {}
        return {"pad_token_id": int(ends[0] if isinstance(ends, list) else ends)}

    @overload
    def chat(
        self, messages: Sequence[Mapping[str, Any]], question: None = ..., **options: Unpack[ChatOptions]
    ) -> ChatOutput: ...

    @overload
    def chat(
        self,
        messages: Sequence[Sequence[Mapping[str, Any]]],
        question: None = ...,
        **options: Unpack[ChatOptions],
    ) -> list[ChatOutput]: ...

    @overload
    def chat(self, messages: Any, question: str, **options: Unpack[ChatOptions]) -> ChatOutput: ...

    def chat(
        self, messages: Any, question: str | None = None, **options: Unpack[ChatOptions]
    ) -> ChatOutput | list[ChatOutput]:
        """Answer a conversation, or each of a list of conversations, or a question about a clip.

        An answer ends at an end token of the LLM's generation config, or at the end of turn of its chat
        template. Clips that were heard lately are not encoded again (`memory`).

        Args:
            messages: Messages in any accepted form, or a list of such lists; with `question`, a clip (path,
                bytes, samples or `Heard`) or a list of clips.
            question: What is asked about the clip.
            options: All by name:
                max_new_tokens: Longest answer. Default: the LLM's generation config, or 256.
                do_sample, temperature, top_p: Default: the LLM's generation config.
                seed: Makes sampling reproducible (each conversation starts from it) and leaves torch's own
                    generators as they are.
                stop: A text, or several: an answer ends before the first of them.
                transcripts: One per clip (None: Whisper writes it), or a list of such lists.
                language: What is spoken in the clips ("de", "german"); default: a multilingual Whisper
                    detects it for each.
                use_audio: False answers from the transcripts alone: the cascade.

        Returns:
            A `ChatOutput`, or a list of them.

        Raises:
            InputError, AudioError: The messages, a clip or an option cannot be used.
            RunError: Speech is to be detected, and the detector is not installed.
        """
        if question is not None:
            messages = ask(messages, question)
        one = not is_batch(messages)
        questions, sampling = self._ask([messages] if one else messages, one, options)
        # With a seed one by one: a batch would share one stream of random numbers.
        batches = [questions] if sampling.seed is None else [[question] for question in questions]
        outputs = []
        for batch in batches:
            with Seeded(sampling.seed, bases.device_of(self.llm)):
                outputs += answer(cast("Desta2Model", self), batch, sampling)
        return outputs[0] if one else outputs

    def stream(
        self, messages: Sequence[Mapping[str, Any]], **options: Unpack[ChatOptions]
    ) -> Generator[str, None, ChatOutput]:
        """Answer a conversation piece by piece.

        The clips are heard before this returns, and mistakes raised; the LLM starts with the first piece
        that is asked for, stands still between pieces, and stops when the generator is closed.

        Args:
            messages, options: As in `chat`.

        Returns:
            A generator of texts, none empty, which joined are the `text` of `chat`. It returns the
            `ChatOutput`: `output = yield from model.stream(…)`.

        Raises:
            InputError, AudioError, RunError: As `chat`, and for a list of conversations.
        """
        if is_batch(messages):
            raise InputError("stream answers one conversation, got a list of them; use chat for a batch")
        [question], sampling = self._ask([messages], True, options)
        return stream(cast("Desta2Model", self), question, sampling)

    def _ask(
        self, conversations: Sequence[Sequence[Any]], one: bool, options: ChatOptions
    ) -> tuple[list[Question], Sampling]:
        """Conversations heard and written as prompts, and how to answer them."""
        rest: dict[str, Any] = dict(options)
        transcripts, language = rest.pop("transcripts", None), rest.pop("language", None)
        use_audio = rest.pop("use_audio", True)
        sampling = Sampling(**rest)
        given = [transcripts] if one else [None] * len(conversations) if transcripts is None else transcripts
        if len(given) != len(conversations):
            raise InputError(f"{len(given)} lists of transcripts for {len(conversations)} conversations")
        return prepare(cast("Desta2Model", self), conversations, given, language, use_audio), sampling


def _without_placeholders(input_ids: Tensor, audio_slots: Any, n_queries: int) -> Tensor:
    """Ids with each prompt's last one at its audio positions: it has that anyway, so no penalty changes."""
    slots = audio_slots.to(input_ids.device)
    rows, positions = slots[:, :1], slots[:, 1:] + torch.arange(n_queries, device=slots.device)
    return input_ids.index_put((rows, positions), input_ids[rows, -1])
