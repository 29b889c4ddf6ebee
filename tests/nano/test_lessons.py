from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data.seed import parse_seed, seed_clip
from desta2.nano import lessons
from desta2.nano.aspects import ASPECT, ASPECTS, spoken_value
from desta2.nano.formats import HELD_OUT_COMBINATIONS, INSTRUCTIONS, fits
from desta2.nano.grammar import split_of
from desta2.nano.lessons import (
    GROWTH,
    draw_conversation,
    draw_exchange,
    draw_facts,
    draw_keys,
    draw_repetition,
    draw_text,
    seed_text,
)
from desta2.nano.questions import Facts
from desta2.nano.wordings import DESCRIBE
from desta2.records import Clip

# Facts and seeds


@given(st.integers(), st.floats(GROWTH, 1.0))
@settings(max_examples=60)
def test_seeds_give_the_facts_away_and_nothing_else(seed, progress):
    rng = Random(seed)
    facts = draw_facts(rng, progress)
    (turn,) = parse_seed(seed_text(facts, rng))
    assert turn.text == facts.text
    values = {
        ASPECTS[[a.label for a in ASPECTS].index(name)].key: word for name, word in turn.attributes.items()
    }
    assert {key: spoken_value(key, word) for key, word in values.items()} == dict(facts.values)


def test_seeds_are_written_as_the_seed_stage_writes_them():
    """With every attribute known, for clips a little shorter or longer than whole seconds."""
    for i in range(30):
        rng = Random(i)
        facts = draw_facts(rng, 1.0)
        values = {aspect.key: facts.values.get(aspect.key, aspect.options[0]) for aspect in ASPECTS}
        seconds = int(values.pop("duration").split()[0])
        attributes = {key: value[0].upper() + value[1:] for key, value in values.items()}
        whole = {**values, "duration": f"{seconds} second{'s' * (seconds > 1)}"}
        written = {seed_text(Facts(facts.text, whole), Random(j)) for j in range(20)}
        stage = {
            seed_clip(
                Clip(id="a", audio="a.wav", duration=duration, text=facts.text, attributes=attributes)
            ).seed
            for duration in (seconds - 0.3, seconds + 0.3)
        }
        assert written == stage


def test_seeds_grow():
    def drawn(progress):
        facts = [draw_facts(Random(i), progress) for i in range(200)]
        return max(len(f.words) for f in facts), sum(len(f.values) for f in facts) / len(facts)

    words, attributes = zip(*(drawn(share * GROWTH) for share in (0.0, 0.25, 0.5, 0.75, 1.0)), strict=True)
    assert words[0] == 1
    assert list(words) == sorted(words)
    assert list(attributes) == sorted(attributes)
    assert attributes[0] <= 1.1
    assert drawn(1.0) == (words[-1], attributes[-1])
    assert max(len(draw_facts(Random(i), GROWTH).values) for i in range(50)) == len(ASPECTS)


def test_clips_say_one_sentence_or_several_of_the_split():
    texts = [draw_text(Random(i), "val") for i in range(300)]
    counts = Counter(text.count(". ") + 1 for text in texts)
    assert set(counts) == {1, 2, 3}
    assert 0.15 < 1 - counts[1] / 300 < 0.35
    assert {split_of(sentence) for text in texts for sentence in text.split(". ")} == {"val"}
    assert not any(text.endswith(".") for text in texts)


def test_no_sentence_of_another_split_is_taught():
    texts = [draw_facts(Random(i), 1.0).text for i in range(300)]
    several = [sentence for text in texts if ". " in text for sentence in text.split(". ")]
    assert len(several) > 20
    assert {split_of(sentence) for sentence in several} == {"train"}


# Questions


def test_what_is_not_known_is_asked_for_now_and_then():
    facts = Facts("red", {"pitch": "low", "gender": "male", "accent": "British"})
    keys = [draw_keys(facts, 1, Random(i))[0] for i in range(1_000)]
    assert 0.08 < sum(key not in facts.values for key in keys) / 1_000 < 0.16
    assert len(set(draw_keys(Facts("red", {}), 3, Random(0)))) == 3
    every = Facts("red", {key: ASPECT[key].options[0] for key in ASPECT})
    assert len(set(draw_keys(every, len(ASPECT), Random(0)))) == len(ASPECT)


def test_all_kinds_of_questions_come():
    kinds = Counter(draw_exchange(draw_facts(Random(i), 1.0), Random(i), 1.0).kind for i in range(400))
    assert set(kinds) == {
        "describe", "attribute", "two", "options", "yes-no", "transcribe", "count", "word", "steps",
    }  # fmt: skip
    assert min(kinds.values()) > 8


def test_formats_come_after_a_tenth():
    def instructions(progress):
        return [
            instruction
            for i in range(300)
            for instruction, _ in draw_conversation(draw_facts(Random(i), progress), Random(i), progress)
        ]

    assert not [text for text in instructions(0.05) if "JSON" in text or "capital letters" in text]
    assert [text for text in instructions(1.0) if "JSON" in text]


def test_negations_come_when_seeds_have_grown():
    def questions(progress):
        return [
            draw_exchange(draw_facts(Random(i), progress), Random(i), progress).question for i in range(400)
        ]

    assert not [question for question in questions(GROWTH - 0.01) if " not " in question]
    assert [question for question in questions(GROWTH) if " not " in question]
    assert [question for question in questions(0.0) if question.startswith("Would you say")]


def test_a_second_turn_follows_now_and_then():
    talks = [draw_conversation(draw_facts(Random(i), 1.0), Random(i), 1.0) for i in range(300)]
    two = [talk for talk in talks if len(talk) == 2]
    assert 40 < len(two) < 120
    assert [talk for talk in two if talk[1][0].startswith(("And the", "What about the"))]


def test_nothing_that_is_held_out_is_taught(monkeypatch):
    combined = []
    combine = lessons.combine

    def noted(exchange, fmt, facts, rng):
        combined.append((exchange.kind, fmt.name if fmt else "", exchange))
        return combine(exchange, fmt, facts, rng)

    monkeypatch.setattr(lessons, "combine", noted)
    instructions = [
        instruction
        for i in range(2_000)
        for instruction, _ in draw_conversation(draw_facts(Random(i), 1.0), Random(i), 1.0)
    ]
    together = {(kind, name) for kind, name, _ in combined}
    assert not together & HELD_OUT_COMBINATIONS
    possible = {
        (kind, name) for kind, _, exchange in combined for name in INSTRUCTIONS if fits(name, exchange)
    }
    assert possible - HELD_OUT_COMBINATIONS == {pair for pair in together if pair[1]}
    whole = {exchange.question for _, _, exchange in combined}
    assert not whole & {text for aspect in ASPECTS for text in aspect.held_out}
    assert not [text for text in instructions if "Write JSON." in text or "Start with" in text]
    assert not [text for text in instructions if "Choose the" in text or "And now the" in text]
    assert any(text.startswith(DESCRIBE) for text in instructions)


def test_words_are_repeated_or_numbered():
    kinds = set()
    for i in range(20):
        instruction, answer = draw_repetition(Random(i))
        words = instruction.partition(": ")[2].split()
        assert 2 <= len(words) <= 10
        numbered = " ".join(f"{number} {word}" for number, word in enumerate(words, 1)) + "."
        assert answer in (" ".join(words), numbered)
        kinds.add(answer == numbered)
    assert kinds == {True, False}
