import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.serve.keys import Keys, new_key


def written(tmp_path, *lines):
    file = tmp_path / "keys"
    file.write_text("\n".join(lines))
    return file


def test_a_key_is_known_by_its_hash_alone(tmp_path):
    key, line = new_key("anna")
    other, second = new_key("bob-2")
    file = written(tmp_path, "# keys", "", line, second)
    assert key not in file.read_text()
    keys = Keys.read(file)
    assert keys.name_of(key) == "anna"
    assert keys.name_of(other) == "bob-2"
    assert keys.name_of(key[:-1]) is None
    assert keys.name_of(line.partition(":")[2]) is None, "a hash is no key"
    assert new_key("anna")[0] != key


@given(st.text())
def test_no_other_text_is_a_key(text):
    _, line = new_key("anna")
    assert Keys({"anna": bytes.fromhex(line.partition(":")[2])}).name_of(text) is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["desta2-secret"], "line 1 is not NAME:HASH"),
        (["# none"], "has no API key; 'desta2 serve --new-key NAME' makes one"),
        (["a:" + "0" * 64, "a:" + "1" * 64], "line 2: there is a key named a already"),
        (["a b:" + "0" * 64], "line 1 is not NAME:HASH"),
    ],
)
def test_mistakes_in_a_file_of_keys(lines, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        Keys.read(written(tmp_path, *lines))
    assert "secret" not in str(caught.value), "a key in the wrong place is not shown"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Keys.read(tmp_path / "none")


def test_names_are_simple():
    with pytest.raises(InputError, match="must be 1 to 64 letters"):
        new_key("a:b")
