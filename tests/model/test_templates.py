"""What chat templates do with system turns, and their variables."""

import copy
from types import SimpleNamespace

import pytest
from families import CHATML, FAMILIES, GEMMA, PHI3, THINKING, _tokenizer

from desta2.errors import InputError
from desta2.model.prompt import build_prompt, response_ids, seed_messages
from desta2.model.templates import end_of_turn_id, fate_of_system_turn

SYSTEM = "Focus on the audio."
SPOKEN = [
    {
        "role": "user",
        "content": [{"type": "audio", "audio": "a.wav", "text": "fox"}, {"type": "text", "text": "Loud?"}],
    }
]
WRITTEN = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]


@pytest.fixture
def of(tokenizer):
    """`of(template)`: a tokenizer with another template."""

    def make(template):
        other = copy.deepcopy(tokenizer)
        other.chat_template = template
        return other

    return make


def config(layout="desta2.5", system_prompt=SYSTEM, **more):
    return SimpleNamespace(
        layout=layout, system_prompt=system_prompt, n_queries=2, bos_policy="template", **more
    )


def text(messages, tokenizer, config):
    prompt = build_prompt(messages, tokenizer, config)
    held = {start + i for start, length in prompt.audio_slots for i in range(length)}
    return "".join("<Q>" if i in held else tokenizer.decode([t]) for i, t in enumerate(prompt.input_ids))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_fate_of_a_system_turn_is_found(name, of):
    assert fate_of_system_turn(of(FAMILIES[name].template)) == FAMILIES[name].system


@pytest.mark.parametrize(("template", "start", "end"), [
    (GEMMA, "<|begin_of_text|><start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"),
    (PHI3, "<|begin_of_text|><|user|>\n", "<|end|>\n<|assistant|>\n"),
])  # fmt: skip
def test_without_a_system_role_the_users_turn_begins_with_it(of, template, start, end):
    clip = "<start_audio><Q><Q>fox<end_audio>\nLoud?"
    assert text(SPOKEN, of(template), config()) == f"{start}{SYSTEM}\n\n{clip}{end}"
    own = [{"role": "system", "content": "Be <|eot_id|> brief."}, *SPOKEN]
    assert text(own, of(template), config()) == f"{start}Be <|eot_id|> brief.\n\n{clip}{end}"
    longer = [*SPOKEN, {"role": "assistant", "content": "No."}, *SPOKEN]
    assert text(longer, of(template), config()).count(SYSTEM) == 1
    seeded = seed_messages("fox", "Loud?")
    assert text(seeded, of(template), config()) == f"{start}{SYSTEM}\n\n{clip.replace('<Q>', '')}{end}"
    assert text(SPOKEN, of(template), config(system_prompt=None)) == f"{start}{clip}{end}"


def test_text_is_the_templates_own_unless_it_refuses(of):
    """What the LLM's template leaves out without a word is left out here too: no clip, no difference."""
    assert text(WRITTEN, of(PHI3), config()) == "<|begin_of_text|><|user|>\nHello?<|end|>\n<|assistant|>\n"
    assert text(WRITTEN, of(GEMMA), config()).startswith(
        "<|begin_of_text|><start_of_turn>user\nBe brief.\n\nHello?"
    )
    assert text(WRITTEN, of(CHATML), config()).startswith("<|im_start|>system\nBe brief.<|im_end|>\n")


def test_a_system_turn_with_no_user_after_it_is_still_refused(of):
    with pytest.raises(InputError, match=r"refuses the turns \(system\): System role not supported"):
        build_prompt(WRITTEN[:1], of(GEMMA), config())
    odd = [WRITTEN[0], {"role": "assistant", "content": "Hello"}]
    with pytest.raises(
        InputError, match=r"refuses the turns \(system, assistant\): System role not supported$"
    ):
        build_prompt(odd, of(GEMMA), config())


def test_templates_without_an_audio_role_say_which_layout_has_none(of):
    advice = r"many templates have no such role; layout 'desta2\.5' puts clips into the user's turn"
    with pytest.raises(InputError, match=rf"refuses the turns \(audio, user\): .*alternate.* \({advice}\)$"):
        build_prompt(SPOKEN, of(GEMMA), config("desta2", system_prompt=None))
    with pytest.raises(
        InputError, match=rf"of 1 marked places it wrote 0; it may drop .*'audio' \({advice}\)$"
    ):
        build_prompt(SPOKEN, of(THINKING), config("desta2"))


def test_variables_reach_the_template():
    tokenizer = _tokenizer(FAMILIES["qwen3"])
    silent = config(chat_template_kwargs={"enable_thinking": False})
    thought = "<think>\n\n</think>\n\n"
    for messages in (SPOKEN, WRITTEN):
        loud = text(messages, tokenizer, config())
        assert loud.endswith("<|im_start|>assistant\n")
        assert text(messages, tokenizer, silent) == loud + thought
    own = tokenizer.apply_chat_template(WRITTEN, add_generation_prompt=True, enable_thinking=False)[
        "input_ids"
    ]
    assert build_prompt(WRITTEN, tokenizer, silent).input_ids == own
    assert own.count(tokenizer.convert_tokens_to_ids("<think>")) == 1
    # A thought in a training target is the LLM's own token, not its letters.
    answer = response_ids("<think>\nA fox?\n</think>\n\nYes.", tokenizer)
    assert answer[0] == tokenizer.convert_tokens_to_ids("<think>")
    assert answer[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    earlier = [*WRITTEN, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes."}, WRITTEN[1]]
    assert "Hm." not in text(earlier, tokenizer, config())


def test_mistakes(of):
    assert fate_of_system_turn(of("{{ raise_exception('No.') }}")) == "written"
    for messages in (SPOKEN, WRITTEN):
        with pytest.raises(InputError, match="has no chat template"):
            build_prompt(messages, of(None), config())
    endless = of("{{ messages[0]['content'] }}")
    endless.eos_token = None
    with pytest.raises(
        InputError, match="neither the LLM's chat template nor its tokenizer has a token that ends"
    ):
        end_of_turn_id(endless)
