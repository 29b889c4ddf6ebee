"""The table of tasks: what is shipped, how names are matched, and files of the user's own."""

import pytest

from desta2.errors import ConfigError
from desta2.evaluate.dynamic_superb.table import load_table

SHIPPED = load_table()


def test_the_shipped_table():
    sizes = {name: len(tasks) for name, tasks in SHIPPED.dimensions.items()}
    assert sizes == {
        "content": 11, "degradation": 19, "paralinguistics": 7, "semantics": 6, "speaker": 5, "audio": 7,
    }  # fmt: skip
    assert len(SHIPPED.averaged) == 48
    assert len(set(SHIPPED.averaged)) == 48
    assert not any("SoundClassification" in task or "Bird" in task for task in SHIPPED.averaged)


@pytest.mark.parametrize(
    ("spelling", "task"),
    [
        ("HowFarAreYou_3DSpeaker", "HowFarAreYou_3DSpeaker"),
        ("DynamicSuperb/HowFarAreYou_3DSpeaker", "HowFarAreYou_3DSpeaker"),
        ("NoiseDetection_VCTK-MUSAN-Gaussian", "NoiseDetection_VCTK_MUSAN-Gaussian"),  # the hub's
        ("NoiseDetectiongaussian_VCTKMusan", "NoiseDetection_VCTK_MUSAN-Gaussian"),  # the first release's
        ("Intent_Classification_FluentSpeechCommands_Action", "IntentClassification_FluentSpeechCommands-Action"),
        ("SpeechDetection_LibriSpeechTestClean", "SpeechDetection_LibriSpeech-TestClean"),
        ("SpeechDetection_LibriSpeech", None),
        ("", None),
    ],
)  # fmt: skip
def test_spellings(spelling, task):
    assert SHIPPED.resolve(spelling) == task


def test_every_task_and_spelling_means_one_task():
    for task in SHIPPED.dimension_of:
        for spelling in SHIPPED.spellings(task):
            assert SHIPPED.resolve(spelling) == task
    assert SHIPPED.spellings("NoiseDetection_VCTK_MUSAN-Gaussian")[1] == "NoiseDetection_VCTK-MUSAN-Gaussian"


def test_a_table_and_names_of_the_users_own(tmp_path):
    (tmp_path / "t.yaml").write_text(
        "dimensions: {mine: [A_B, SpeechDetection_LJSpeech], rest: [C]}\napart: [rest]\n"
    )
    (tmp_path / "n.yaml").write_text("the first: A_B\n")
    table = load_table(tmp_path / "t.yaml", tmp_path / "n.yaml")
    assert table.averaged == ["A_B", "SpeechDetection_LJSpeech"]
    assert table.dimension_of["C"] == "rest"
    assert table.resolve("The-First") == "A_B"
    assert table.resolve("HowFarAreYou_3DSpeaker") is None, "the shipped names are for tasks that are there"
    assert table.spellings("A_B") == ["A_B", "the first"]


@pytest.mark.parametrize(
    ("tasks", "names", "message"),
    [
        ("dimensions: {a: [X_Y, x-y]}", None, "t.yaml: x-y stands twice, or differs from X_Y in signs and case alone"),
        ("dimensions: {a: [X], b: [X]}", None, "t.yaml: X stands twice"),
        ("dimensions: {a: [X]}\napart: [b]", None, "t.yaml: 'apart' names 'b', which is no dimension"),
        ("dimension: {a: [X]}", None, "t.yaml: dimensions: Field required (desta2/evaluate/dynamic_superb/ has files"),
        ("dimensions: {a: [1]}", None, "t.yaml: dimensions.a.0: Input should be a valid string"),
        ("a: [", None, "t.yaml: is not valid YAML"),
        ("dimensions: {a: [Xylo, Y]}", "q: Xylos", "n.yaml: 'q' is said to be 'Xylos', which is no task (did you mean 'Xylo'?)"),
        ("dimensions: {a: [X, Y]}", "y: X", "n.yaml: 'y' is the name of the task Y itself"),
        ("dimensions: {a: [X]}", "[a]", "n.yaml: the file: Input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, tasks, names, message):
    (tmp_path / "t.yaml").write_text(tasks)
    (tmp_path / "n.yaml").write_text(names or "")
    with pytest.raises(ConfigError) as caught:
        load_table(tmp_path / "t.yaml", tmp_path / "n.yaml" if names else None)
    assert message in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: .*No such file"):
        load_table(tmp_path / "none.yaml")
