from collections import Counter

import pytest
import torch

from desta2.data.seed import parse_seed
from desta2.nano import exam
from desta2.nano.aspects import ASPECTS
from desta2.nano.exam import draw_questions, exact_match
from desta2.nano.formats import INSTRUCTIONS
from desta2.nano.grammar import split_of
from desta2.nano.llm import LlmRecipe, answer, make_model
from desta2.nano.packing import SYSTEM
from desta2.nano.questions import KINDS
from desta2.nano.tokens import make_tokenizer

SUBJECTS = {
    *KINDS, *(f"{kind}, new wording" for kind in KINDS),
    "format", "format, new wording", "combination", "not clear",
}  # fmt: skip


@pytest.fixture(scope="module")
def questions():
    return list(draw_questions(560, seed=3))


def test_all_subjects_are_asked_equally_often(questions):
    counts = Counter(question.subject for question in questions)
    assert set(counts) == SUBJECTS
    assert set(counts.values()) == {20}


def test_sentences_are_of_no_training(questions):
    sentences = {s for question in questions for s in parse_seed(question.seed)[0].text.split(". ")}
    assert len(sentences) > 400
    assert {split_of(sentence) for sentence in sentences} == {"val"}


def test_not_clear_is_right_where_it_is_asked_for_and_nowhere_else(questions):
    for question in questions:
        unclear = "clear" in question.turns[-1][1].lower()
        assert unclear == (question.subject == "not clear"), question
    assert any(len(parse_seed(q.seed)[0].attributes) < len(ASPECTS) for q in questions if q.subject == "two")


def test_new_wordings_are_held_out_ones(questions):
    asked = {q.turns[-1][0] for q in questions if q.subject == "attribute, new wording"}
    assert asked <= {text for aspect in ASPECTS for text in aspect.held_out}
    asked = {q.turns[-1][0] for q in questions if q.subject == "attribute"}
    assert asked <= {text for aspect in ASPECTS for text in aspect.trained}
    capitals = INSTRUCTIONS["capitals"]
    shouted = [q for q in questions if "format" in q.subject and "capital" in q.turns[-1][0]]
    for question in shouted:
        wordings = capitals.held_out if "new" in question.subject else capitals.trained
        assert any(wording in question.turns[-1][0] for wording in wordings)


def test_a_follow_up_follows_an_answered_question(questions):
    lengths = {q.subject: len(q.turns) for q in questions}
    assert lengths["follow-up"] == lengths["follow-up, new wording"] == 2
    assert sum(lengths.values()) == len(SUBJECTS) + 2


def test_an_answer_is_right_if_greedy_decoding_writes_it(monkeypatch):
    """Of expected answers, half are what the model says and half are not."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, LlmRecipe(width=32, layers=3, heads=4, intermediate=32)).eval()
    with torch.no_grad():  # untrained, it would go on for ever
        model.lm_head.weight[tokenizer.eos_token_id] *= 8
    model.generation_config.max_new_tokens = 30
    questions, expected = [], []
    for i, question in enumerate(draw_questions(28, seed=4)):
        turns = [("system", SYSTEM), ("audio", question.seed)]
        for instruction, said in question.turns:
            turns += [("user", instruction), ("assistant", said)]
        prompt = [{"role": role, "content": content} for role, content in turns[:-1]]
        (said,) = answer(model, tokenizer, [prompt])
        whole = len(tokenizer.encode(said)) < 29 and tokenizer.decode(tokenizer.encode(said)) == said
        good = i % 2 == 0
        if whole:
            wanted = said if good else f"{said}!"
            asked = (*question.turns[:-1], (question.turns[-1][0], wanted))
            questions.append(exam.Question("good" if good else "bad", question.seed, asked))
            expected.append(good)
    monkeypatch.setattr(exam, "draw_questions", lambda n, seed, phrasing: questions)
    assert len(set(expected)) == 2
    assert exact_match(model, tokenizer) == {"good": 1.0, "bad": 0.0}
