"""The shipped lexicon is sound; one's own is checked when it is read."""

import pytest
import yaml

from desta2.data.attributes import load_scheme
from desta2.data.check import lexicon
from desta2.data.check.lexicon import load_lexicon
from desta2.errors import ConfigError


def test_it_knows_the_attributes_that_we_measure():
    found = load_lexicon()
    names = [a.name for a in load_scheme().attributes if a.name not in ("Duration", "Intent")]
    assert all(found.attribute_of(name) for name in names)
    for attribute in load_scheme().attributes:
        words = found.words_of(found.attribute_of(attribute.name)) if attribute.words else {}
        for word in attribute.words:
            assert any(pattern.fullmatch(word.lower()) for pattern in words.values()), word


def test_words_of_one_attribute_mean_one_value():
    found = load_lexicon()
    for key, attribute in found.attributes.items():
        patterns = found.words_of(key)
        for value, words in attribute.values.items():
            for word in words:
                means = [other for other, pattern in patterns.items() if pattern.fullmatch(word)]
                assert means in ([value], []), (key, word, means)  # [] for a pattern such as 2[0-9]


@pytest.fixture
def edited(tmp_path):
    """`edited(change)`: the message that a changed lexicon gives."""

    def message(change):
        from pathlib import Path

        content = yaml.safe_load(Path(lexicon.__file__).with_name("lexicon.yaml").read_text())
        change(content)
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(ConfigError) as error:
            load_lexicon(path)
        return str(error.value).replace(str(path), "my.yaml")

    return message


def test_mistakes(edited):
    def set_in(*place_and_value):
        *place, last, value = place_and_value

        def change(content):
            for key in place:
                content = content[key]
            content[last] = value

        return change

    assert edited(set_in("denail", [])).startswith("unknown key 'denail' in my.yaml; did you mean 'denial'?")
    assert "not a regular expression: '(?:([a-z)'" in edited(set_in("denial", ["([a-z"]))
    assert "a claim must hold {value} once: 'pitch is'" in edited(
        set_in("attributes", "pitch", "claims", ["pitch is"])
    )
    assert "'wider' or 'phrases' name values that are not listed: loud" in edited(
        set_in("attributes", "pitch", "wider", {"low": ["loud"]})
    )
