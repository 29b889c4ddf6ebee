"""Captions say what the seed says, in another form than the LLM would choose."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data.backends import PromptStyle, Sampling
from desta2.data.respond import Asking, respond
from desta2.data.seed import Turn, format_seed
from desta2.errors import InputError
from desta2.evaluate.formats import obeys
from desta2.nano.language import ASPECTS, DESCRIBE
from desta2.nano.lessons import draw_facts, seed_text
from desta2.nano.study.captions import ASKED, CaptionBackend, caption, facts_of_seed
from desta2.records import Pair, Seed, read_records, write_records


@given(st.integers(0, 10_000))
def test_all_facts_are_in_the_caption(number):
    rng = Random(number)
    facts = draw_facts(rng, 1.0)
    written = caption(seed_text(facts, rng), rng)
    assert obeys("bullets", written)
    assert facts.text in written
    for key, value in facts.values.items():
        assert value in written, key
    assert facts_of_seed(seed_text(facts, rng)) == facts


def test_values_that_nobody_can_name_are_left_out():
    seed = format_seed([Turn(0, 3, "hello", {"Gender": "Female", "Age": "Twenties", "Accent": "Martian"})])
    assert facts_of_seed(seed).values == {"gender": "female"}
    with pytest.raises(InputError):
        caption("no seed at all", Random(0))


def test_they_are_what_the_llm_would_write_if_it_were_asked():
    assert f"{DESCRIBE} Answer in bullet points." == ASKED
    assert caption('[00:00:00 - 00:00:02] "hello" (Pitch: Low)', Random(5)).startswith("* ")


def test_captions_go_the_way_of_answers(tmp_path):
    seeds = [
        Seed(id=f"c{i}", audio=f"{i}.wav", text="hello", speaker=f"s{i}", seed_format="v2",
             seed=format_seed([Turn(0, 2, "hello", {aspect.label: "Low" for aspect in ASPECTS})]))
        for i in range(5)
    ]  # fmt: skip
    write_records(tmp_path / "seeds.jsonl", seeds)
    backend = CaptionBackend(PromptStyle("desta2", "Listen."))
    for _ in range(2):
        respond(tmp_path / "seeds.jsonl", tmp_path / "pairs", backend, Asking(sampling=Sampling(seed=3)))
    pairs = list(read_records(tmp_path / "pairs", Pair))
    assert [pair.id for pair in pairs] == [f"c{i}" for i in range(5)]
    assert {pair.provenance.llm for pair in pairs} == {"template captions (bullets)"}
    assert {(pair.provenance.backend, pair.provenance.prompt) for pair in pairs} == {("template", DESCRIBE)}
    assert all(pair.response == caption(pair.seed, Random(f"3/{pair.id}")) for pair in pairs)
