import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data.prompts import DESCRIBE, PromptPool, read_prompts
from desta2.errors import InputError


def test_one_prompt_is_always_drawn():
    pool = PromptPool.of(DESCRIBE)
    assert {pool.draw(str(i)) for i in range(50)} == {DESCRIBE}
    assert pool.fingerprint is None


def test_prompts_are_drawn_by_weight_and_always_the_same():
    pool = PromptPool(("a", "b", "c"), (1.0, 2.0, 5.0))
    counts = Counter(pool.draw(f"clip-{i}") for i in range(8000))
    assert [counts[prompt] / 1000 for prompt in "abc"] == pytest.approx([1, 2, 5], abs=0.2)
    again = PromptPool(("a", "b", "c"), (1.0, 2.0, 5.0))
    assert [pool.draw(f"{i}") for i in range(99)] == [again.draw(f"{i}") for i in range(99)]
    assert pool.fingerprint == again.fingerprint
    others = [PromptPool(("a", "b", "c"), (1.0, 2.0, 4.0)), PromptPool(("b", "a", "c"), (1.0, 2.0, 5.0))]
    assert len({pool.fingerprint, *(other.fingerprint for other in others)}) == 3


@given(st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=5), st.text())
def test_any_weights_and_any_id(weights, key):
    prompts = tuple(map(str, range(len(weights))))
    assert PromptPool(prompts, tuple(weights)).draw(key) in prompts


def test_files_of_prompts(tmp_path):
    (tmp_path / "p.txt").write_text("What is said?\n\n  Who speaks? \n", encoding="utf-8")
    assert read_prompts(tmp_path / "p.txt") == PromptPool.of("What is said?", "Who speaks?")
    lines = [{"prompt": "Two\nlines?", "weight": 3}, {"prompt": "Où?"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_prompts(tmp_path / "p.jsonl") == PromptPool(("Two\nlines?", "Où?"), (3.0, 1.0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", b"\n \n", "holds no prompts; give one a line"),
        ("p.txt", b"ok\nabout <|AUDIO|>?\n", r"p\.txt:2: the prompt 'about <\|AUDIO\|>\?' contains <\|AUDIO\|>"),
        ("p.txt", b"\xff\xfe", "cannot read the prompts"),
        ("p.jsonl", b'{"prompt": "a"}\n{', r"p\.jsonl:2: not valid JSON"),
        ("p.jsonl", b'{"prompt": 3}', "given {\"prompt\": 3}, expected"),
        ("p.jsonl", b'{"promt": "a"}', "expected {\"prompt\": \"a text\""),
        ("p.jsonl", b'["a"]', "expected {\"prompt\""),
        ("p.jsonl", b'{"prompt": "a", "weight": 0}', "has the weight 0.0; it must be above 0"),
        ("p.jsonl", b'{"prompt": "a", "weight": true}', "given"),
        ("p.jsonl", b'{"prompt": " "}', r"p\.jsonl:1: a prompt is empty"),
        ("none.txt", None, "cannot read the prompts .*none.txt"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_prompts(tmp_path / name)


def test_pools_that_make_no_sense():
    with pytest.raises(InputError, match="0 prompts with 0 weights: give one weight per prompt"):
        PromptPool((), ())
    with pytest.raises(InputError, match="1 prompts with 2 weights"):
        PromptPool(("a",), (1.0, 2.0))
