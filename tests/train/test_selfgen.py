import logging

import pytest

from desta2.model.configuration import Desta2Config
from desta2.records import Pair
from desta2.train.selfgen import warn_if_not_self_generated

CONFIG = Desta2Config(llm_id="meta/LLM-8B", llm_fingerprint="abc", layout="desta2", system_prompt="Listen.")


def pairs(*provenances):
    return [
        Pair(id=str(i), messages=[], response="r", seed="s", provenance={"prompt": "p", **told})
        for i, told in enumerate(provenances)
    ]


@pytest.mark.parametrize(
    "told",
    [
        {"llm": "/elsewhere/copy", "fingerprint": "abc", "layout": "desta2", "system_prompt": "Listen."},
        {"llm": "meta/LLM-8B", "fingerprint": "abc"},
        {"llm": "/models/llm-8b/"},  # by name, where there is no fingerprint
    ],
)
def test_self_generated_pairs_raise_no_warning(told, caplog):
    warn_if_not_self_generated(pairs(told, told), CONFIG)
    assert caplog.text == ""


def test_answers_of_another_llm_are_counted_and_named(caplog):
    with caplog.at_level(logging.WARNING):
        warn_if_not_self_generated(
            pairs(
                {"llm": "meta/LLM-8B", "fingerprint": "abc"},
                {"llm": "meta/LLM-8B", "fingerprint": "abd"},  # a revision of that name
                {"llm": "other/LLM"},
                {"llm": "other/LLM", "fingerprint": "xyz"},
            ),
            CONFIG,
        )
    assert (
        "NOT SELF-GENERATED: 3 of 4 pairs were answered by another LLM (other/LLM, meta/LLM-8B) than the one "
        "that is trained on them (meta/LLM-8B)"
    ) in caplog.text


def test_a_model_of_unknown_fingerprint_is_known_by_name(caplog):
    config = Desta2Config(llm_id="meta/LLM-8B")
    warn_if_not_self_generated(pairs({"llm": "LLM-8B", "fingerprint": "abc"}), config)
    assert caplog.text == ""


def test_prompts_of_another_kind_are_told(caplog):
    same = {"llm": "x", "fingerprint": "abc"}
    asked = [{**same, "layout": "desta2.5", "system_prompt": "Listen."}, {**same, "system_prompt": ""}, same]
    warn_if_not_self_generated(pairs(*asked), CONFIG)
    assert "2 of 3 pairs were asked for in another way than the model will be" in caplog.text
    assert "layout 'desta2.5', in training 'desta2'" in caplog.text
    assert "system_prompt '', in training 'Listen.'" in caplog.text


def test_so_are_other_variables_of_the_chat_template(caplog):
    asked = {"llm": "x", "fingerprint": "abc", "layout": "desta2", "system_prompt": "Listen."}
    told = pairs({**asked, "chat_template_kwargs": {"enable_thinking": False}}, asked)
    warn_if_not_self_generated(told, CONFIG)
    assert "1 of 2 pairs" in caplog.text
    assert "chat_template_kwargs {'enable_thinking': False}, in training None" in caplog.text
