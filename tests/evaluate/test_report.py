import base64
import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import soundfile
from page import EVIL, Page

from desta2.data.audio import write_wav
from desta2.errors import AudioError, InputError
from desta2.evaluate.report import Example, write_report
from desta2.evaluate.score import score_nano
from desta2.evaluate.stats import Interval
from desta2.records import Prediction


@pytest.fixture(scope="module")
def result():
    def item(clip, task, response, label, **extra):
        fields = {
            "id": f"c{clip}/{task}",
            "task": task,
            "instruction": "?",
            "response": response,
            "label": label,
        }
        return Prediction.model_validate({**fields, "speaker": f"s{clip}", **extra})

    def system(answers, shouted):
        items = [item(i, "attribute/speaking_speed", said, "fast") for i, said in enumerate(answers)]
        return [*items, item(0, "format/capitals", shouted, "fast", key="speaking_speed")]

    systems = {
        "speech": system(["fast", "slow", "fast", EVIL], "YES"),
        "cascade": system(["not clear"] * 4, "no"),
        "topline": system(["fast"] * 4, "no"),
    }
    return score_nano(systems, Interval(0.1234, 0.1, 0.15, 4))


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "a.wav"
    write_wav(path, 0.1 * np.sin(np.arange(8000, dtype=np.float32) / 10))
    return Example(path, f"seed {EVIL}", f"heard {EVIL}", [(f"ask {EVIL}", f"say {EVIL}")], f"note {EVIL}")


@pytest.fixture(scope="module")
def html(tmp_path_factory, result, example):
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    curve = [(1, 2.5), (10, 1.25), (20, 0.625)]
    path = write_report(folder, result, [example, example], {f"key {EVIL}": f"value {EVIL}"}, curve)
    assert path == folder / "report.html"
    assert [file.name for file in folder.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_refers_to_nothing_outside_itself(page):
    for tag, attrs in page.elements:
        assert tag not in ("script", "link", "iframe", "img", "image", "object", "base")
        for key, value in attrs.items():
            if key in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value.startswith(("data:audio/wav;base64,", "#"))
            if not key.startswith("xmlns"):
                assert "//" not in value or key == "src"
            assert not key.startswith("on")
    styles = page.words + " ".join(attrs.get("style", "") for _, attrs in page.elements)
    assert "@import" not in styles
    assert "http" not in styles
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")


def test_untrusted_text_stays_text(page):
    for word in ("seed", "heard", "ask", "say", "note"):
        assert page.words.count(f"{word} {EVIL}") == 2
    assert f"key {EVIL}" in page.words
    assert f"value {EVIL}" in page.words


def test_scores_are_shown_with_interval_and_n(page, result):
    words = " ".join(page.words.split())
    score = result["attribute_accuracy"]["speech"]
    assert f"Speech 50.0 % [{100 * score['low']:.1f}, {100 * score['high']:.1f}], n = 4" in words
    assert "speaking speed 50.0 % " in words
    assert "12.3 % [10.0, 15.0] over 4 utterances" in words
    assert (
        "0.0 % [0.0, 52.7] of the questions with speech, 100.0 % [47.3, 100.0] of the questions with cascade"
        in words
    )  # four speakers: 0.473⁴ = 0.05
    # The row of the label "fast" in the confusion table: slow, moderate, fast, not clear, other.
    assert "fast 1 0 2 0 1" in words


def test_plots_and_players_can_be_read_aloud(page):
    plots = page.all("svg")
    assert len(plots) == 3
    assert all(plot["role"] == "img" and "viewbox" in plot for plot in plots)
    assert "means: speech 50.0\u00a0%, cascade 0.0\u00a0%, topline 100.0\u00a0%" in plots[0]["aria-label"]
    assert "from 2.500 to 0.625 at step 20" in plots[2]["aria-label"]
    assert all(audio["aria-label"] and "controls" in audio for audio in page.all("audio"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_plots_share_no_names_and_take_the_colours_of_the_page(page):
    names = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(names) == len(set(names))
    used = {
        value[5:-1] for _, attrs in page.elements for value in attrs.values() if value.startswith("url(#")
    }
    used |= {attrs["xlink:href"][1:] for attrs in page.all("use")}
    assert used <= set(names)
    styles = [attrs.get("style", "") for _, attrs in page.elements]
    assert any("currentColor" in style for style in styles)
    assert not any("#010203" in style or "#040506" in style for style in styles)


def test_clips_are_inside(page, example):
    players = page.all("audio")
    assert len(players) == 2
    data = base64.b64decode(players[0]["src"].removeprefix("data:audio/wav;base64,"))
    samples, rate = soundfile.read(io.BytesIO(data))
    expected, _ = soundfile.read(example.audio_path)
    assert rate == 16000
    np.testing.assert_allclose(samples, expected, atol=1e-4)


def test_what_was_not_measured_is_said_or_left_out(tmp_path, result, html):
    before = dict(matplotlib.rcParams)
    path = write_report(tmp_path, {**result, "asr_wer": None}, [], {"not UTF-8": "\ud800"}, None)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "The word error rate was not measured." in page.words
    assert "Listen and read" not in page.words
    assert "Training" not in page.words
    assert len(page.all("svg")) == 2
    assert "<td>?</td>" in text
    assert dict(matplotlib.rcParams) == before
    plots = [text[text.index("<svg") : text.index("</svg>")] for text in (html, text)]
    assert plots[0] == plots[1]  # neither the time nor chance is in a plot


def test_errors_leave_an_older_report(tmp_path, result):
    (tmp_path / "report.html").write_text("older")
    lost = Example(tmp_path / "lost.wav", "", "", [])
    with pytest.raises(AudioError, match=r"lost\.wav: no such file"):
        write_report(tmp_path, result, [lost], {}, None)
    with pytest.raises(InputError, match=r"cannot write the report into .*report\.html: "):
        write_report(tmp_path / "report.html", result, [], {}, None)
    assert (tmp_path / "report.html").read_text() == "older"


def test_import_is_light():
    code = (
        "import sys, desta2.evaluate.report;"
        "print([m for m in ('torch', 'transformers', 'matplotlib', 'scipy', 'jiwer') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
