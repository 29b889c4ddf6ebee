import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.evaluate.speech_ifeval.sentences import count_sentences


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, " \n"),
        (1, "no mark at all\nnor here"),
        (1, "One."),
        (2, "One. Two."),
        (2, "One. two"),
        (2, '"Oh! Is it?"'),
        (2, 'What is "How did you know?" - were you asking?'),
        (2, '"How?", she asked.'),
        (2, "Really?! Yes..."),
        (2, "**One.** Two."),
        (2, "(One.)\n\nTwo"),
        (2, "Great! 😊"),
        (1, 'He said "yes."'),
        (1, "It takes 3.5 s at www.a.org/b.c?d=e!f"),
        (1, "Mr. Neverbent and Dr. J. Smith of St. Louis"),
        (2, "So do I. He too."),
        (1, "apples, pears, etc. and e.g. plums at 5 p.m. today"),
        (2, "It is 5 p.m. He left."),
        (1, "the U.S. economy"),
        (1, "Well... maybe"),
        (2, "Well... Maybe not"),
        (2, 'Well... "Maybe not"'),
        (4, "1. One.\n2. Two"),
        (1, "..."),
        (2, "He is an antidr. He left."),
    ],
)
def test_count(count, text):
    assert count_sentences(text) == count


@given(st.text(st.characters(), max_size=200))
def test_counts_lie_between_what_is_there_and_the_marks(text):
    count = count_sentences(text)
    assert bool(text.strip()) <= count <= 1 + sum(map(text.count, ".!?"))


SENTENCES = st.builds("".join, st.tuples(st.text("bdfhk", min_size=5), st.sampled_from(".!?")))


@given(st.lists(SENTENCES, min_size=1), st.sampled_from([" ", "\n", "\n\n", '" "']))
def test_sentences_in_a_row_are_counted(sentences, between):
    assert count_sentences(between.join(sentences)) == len(sentences)
