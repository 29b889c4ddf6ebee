"""Answers to texts are the LLM's own, or the check says where they are not."""

import pytest
import torch

from desta2.errors import InputError
from desta2.evaluate.forgetting.equality import FORMS, check_equality, shipped_prompts
from desta2.model.fast import quantise

SOME = {key: shipped_prompts()[key] for key in ("greeting", "system", "second turn", "lines")}


def test_the_models_answers_are_its_llms(model):
    found = check_equality(model, max_new_tokens=4)
    n = len(shipped_prompts()) * len(FORMS)
    assert (found["equal"], found["n"], found["differing"], found["refused"]) == (n, n, [], [])
    assert n >= 50
    assert len(found["prompts_hash"]) == len(found["answers_hash"]) == 64
    again = check_equality(model, SOME, max_new_tokens=4)
    assert again == check_equality(model, SOME, max_new_tokens=4)
    assert again["prompts_hash"] != found["prompts_hash"]


def test_changed_weights_show(bases, make_model):
    model = make_model(bases)
    same = check_equality(model, SOME, max_new_tokens=8)
    assert same["equal"] == same["n"] == 8
    with torch.no_grad():
        model.llm.lm_head.weight.mul_(-1)
    found = check_equality(model, SOME, max_new_tokens=8)
    assert found["equal"] == 0
    assert found["answers_hash"] == same["answers_hash"], "the LLM is loaded anew"
    assert [(one["id"], one["form"]) for one in found["differing"]] == [
        (key, form) for key in SOME for form in FORMS
    ]
    for one in found["differing"]:
        assert one["model"][: one["at"]] == one["llm"][: one["at"]]
        assert one["model"][one["at"] :] != one["llm"][one["at"] :]


def test_a_changed_prompt_shows(bases, make_model):
    model = make_model(bases)
    model.processor.tokenizer.chat_template += "{{ 'Sure' }}"
    found = check_equality(model, SOME, max_new_tokens=8)
    assert found["equal"] < found["n"]


def test_templates_without_a_system_role(bases, make_model, tmp_path):
    import shutil

    shutil.copytree(bases / "llm", tmp_path / "llm")
    (tmp_path / "whisper").symlink_to(bases / "whisper")
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    model = make_model(bases)
    template = strict + model.processor.tokenizer.chat_template
    tokenizer = model.processor.tokenizer.__class__.from_pretrained(tmp_path / "llm")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path / "llm")
    found = check_equality(make_model(tmp_path), SOME, max_new_tokens=4)
    assert (found["refused"], found["equal"], found["n"]) == (["system"], 6, 6)
    system = {"system": SOME["system"]}
    with pytest.raises(InputError, match="the LLM's chat template takes none of the texts"):
        check_equality(make_model(tmp_path), system)


def test_rounded_weights_are_refused(bases, make_model):
    model = make_model(bases)
    quantise(model.llm)
    with pytest.raises(InputError, match="the model's LLM is rounded to 8 bits"):
        check_equality(model, SOME)
