"""Other LLMs than Llama: sliding windows, scaled embeddings, other positions; rows still answer as alone."""

import asyncio

import pytest
import torch
from families import FAMILIES, write_family
from serving import in_loop, question_of, whole

from desta2.model import Desta2Model
from desta2.model.messages import ask
from desta2.model.sampling import Sampling

QUESTIONS = ("Is the voice loud or quiet?", "Who is speaking? Describe the words.", "Loud?")


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_any_family_answer_as_alone(name, bases, clips, tmp_path):
    llm, family = write_family(name, tmp_path / "llm"), FAMILIES[name]
    small = {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32, "layout": family.layout}
    # In float64, as a random LLM is often undecided between tokens, and rounding would decide.
    options = {"dtype": torch.float64, "system_prompt": None, **small}
    model = Desta2Model.from_bases(str(llm), str(bases / "whisper"), **options)
    conversations = [ask(clips[i % 2], question) for i, question in enumerate(QUESTIONS)]
    questions = [question_of(model, own) for own in conversations]
    way = Sampling(do_sample=False, max_new_tokens=50)  # beyond the sliding windows of these LLMs

    async def work(speaker):
        async def later(number):
            await asyncio.sleep(0.02 * number)
            return await whole(speaker, questions[number], way)

        return await asyncio.gather(*map(later, range(len(questions))))

    for own, (text, _, tokens) in zip(conversations, in_loop(model, work), strict=True):
        expected = model.chat(own, do_sample=False, max_new_tokens=50)
        assert (text, tokens) == (expected.text, len(expected.token_ids))
