"""The dataset card: what it counts, what it does not know, what a person wrote, and data that is markup."""

from pathlib import Path

import pytest
import yaml

from desta2.data.card import CARD_FILE, PLOT_FILE, render_card, write_card
from desta2.data.check.base import Finding
from desta2.data.check.empty import Empty
from desta2.data.check.item import Item
from desta2.data.check.report import Report
from desta2.data.check.statistics import MOST_VALUES, ClipFacts, Statistics
from desta2.records import Clip, write_records


@pytest.fixture
def statistics(make_pair):
    """`statistics((pair fields, facts), …)`."""

    def count(*pairs):
        found = Statistics()
        for number, (fields, facts) in enumerate(pairs):
            found.add(Item(make_pair(**({"id": f"p{number}"} | fields)), Path("pairs")), facts)
        return found

    return count


@pytest.fixture
def report():
    found = Report([Empty()], 3)
    found.count("p0", "f:1", {})
    found.count("p1", "f:2", {"empty": Finding("the answer has no letter or digit")})
    return found


def seed(seconds, attributes):
    return f'[00:00:00 - 00:00:{seconds:02d}] "text number {seconds}" ({attributes})'


def test_what_is_counted(statistics):
    found = statistics(
        (
            {"seed": seed(3, "Gender: Male"), "audio": "a.wav"},
            {"duration": 2.5, "speaker": "s1", "language": "en"},
        ),
        (
            {"seed": seed(3, "Gender: Male"), "audio": "a.wav"},
            {"duration": 2.5, "speaker": "s1", "language": "en"},
        ),
        ({"seed": seed(5, "Gender: Female, Pitch: Low"), "dataset": "VCTK"}, {}),
        ({"seed": "", "duration": 1.25, "speaker": "s2", "source": "own", "response": "word " * 25}, {}),
        ({"seed": ""}, {}),
    )
    assert (found.pairs, found.clips, found.seconds) == (5, 4, 2.5 + 5 + 1.25)
    assert (found.rounded, found.unknown_length) == (1, 1)
    assert (found.speakers, found.languages, found.sources) == (
        {"s1": 2, "s2": 1},
        {"en": 2},
        {"VCTK": 1, "own": 1},
    )
    assert found.attributes == {"Gender": {"Male": 2, "Female": 1}, "Pitch": {"Low": 1}}
    assert found.clip_seconds == {2: 1, 5: 1, 1: 1}
    assert found.answer_words == {10: 4, 20: 1}


def test_free_text_values_do_not_fill_the_memory(statistics):
    found = statistics(*[({"seed": seed(3, f"Intent: to do {n}")}, {}) for n in range(MOST_VALUES + 5)])
    assert len(found.attributes["Intent"]) == MOST_VALUES + 1
    assert found.attributes["Intent"]["(others)"] == 5


def test_facts_from_seeds(tmp_path):
    write_records(tmp_path / "s.jsonl", [Clip(id="a", audio="a.wav", duration=2.5, speaker="s", text="no")])
    facts = ClipFacts(tmp_path / "s.jsonl")
    assert facts.of("a") == {"duration": 2.5, "speaker": "s"}
    assert facts.of("b") == {} == ClipFacts(None).of("a")


def test_the_card(statistics, report):
    card = render_card(
        statistics(
            ({"seed": seed(3, "Gender: Male")}, {"duration": 3600.0, "speaker": "s1", "language": "en-GB"}),
            ({"seed": seed(5, "Gender: Male")}, {"duration": 1800.0, "source": "VCTK"}),
        ),
        report,
        "my pairs",
    )
    _, metadata, body = card.split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "language": ["en"],
        "pretty_name": "my pairs",
        "size_categories": ["n<1K"],
        "task_categories": ["audio-text-to-text"],
        "tags": ["desta2", "speech", "audio", "self-generated"],
        "configs": [{"config_name": "default", "data_files": "part-*.jsonl"}],
    }
    for line in (
        "| pairs | 2 |",
        "| clips | 2 |",
        "| hours of audio | 1.50 |",
        "| speakers | 1 (known for 1 of 2 pairs) |",
        "| Gender | 100% | Male 2 |",
        "| VCTK | 1 |",
        "| some/llm | Not recorded. | What can you hear from the audio? | Not recorded. | Not recorded. | 2 |",
        "looked at 2 pairs: 1 passed and are here,",
        "| empty | has no word | 1 | 50.00% |  |",
    ):
        assert line in body
    assert f"({PLOT_FILE})" in body


def test_nothing_is_known(report):
    card = render_card(Statistics(), report, "none")
    assert "language:" not in card.split("---\n")[1]
    for line in ("| speakers | Not recorded. |", "The seeds have no attributes.", "Languages: Not recorded."):
        assert line in card


def test_what_is_not_known_of_lengths(statistics, report):
    card = render_card(statistics(({"seed": ""}, {}), ({"seed": seed(36, "A: B")}, {})), report, "x")
    assert (
        "| hours of audio | 0.01 (of 1 clips only the whole seconds of their seed are known, which are rounded up)"
        " (without 1 clips of unknown length) |"
    ) in card


def test_data_is_no_markup(statistics, report):
    hostile = "a|b\n---\n<script>x</script> ![](http://x) $x$ \x1b[31m"
    facts = {"source": hostile, "speaker": hostile, "language": hostile}
    card = render_card(
        statistics(({"seed": seed(3, "Gen|der: <b>"), "prompt": hostile}, facts)), report, hostile
    )
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body and "\x1b" not in card
    assert r"a\|b --- \<script\>x\</script\> \!\[\](http://x) \$x\$" in body
    assert r"| Gen\|der | 100% | \<b\> 1 |" in body


def test_the_picture(tmp_path, statistics, report):
    pairs = [({"seed": seed(n % 9 + 1, f"Gender: Male, Intent: $to {n}$\x07")}, {}) for n in range(30)]
    write_card(tmp_path, statistics(*pairs), report)
    assert (tmp_path / PLOT_FILE).read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / PLOT_FILE).read_bytes()
    write_card(tmp_path, statistics(*pairs), report)
    assert (tmp_path / PLOT_FILE).read_bytes() == first  # equal pairs, equal picture
    write_card(tmp_path, Statistics(), report)  # nothing to draw is drawn too
    assert sorted(file.name for file in tmp_path.iterdir()) == [CARD_FILE, PLOT_FILE]


def test_a_card_that_a_person_touched_is_kept(tmp_path, statistics, report, caplog):
    write_card(tmp_path, statistics(({}, {})), report)
    card = tmp_path / CARD_FILE
    write_card(tmp_path, statistics(({}, {}), ({}, {})), report)
    assert "| pairs | 2 |" in card.read_text()
    card.write_text(card.read_text().replace("| pairs | 2 |", "| pairs | two |"))
    write_card(tmp_path, Statistics(), report)
    assert "| pairs | two |" in card.read_text()
    assert caplog.messages == [
        f"{card} was written or edited by a person and is kept: it may not fit the pairs any more"
    ]
