"""The page of `desta2 ui` in a real browser. With DESTA2_SCREENSHOTS=FOLDER it leaves the docs' pictures."""

import json
import os
import re
from pathlib import Path

import pytest
from serving import started

sync_api = pytest.importorskip("playwright.sync_api")

EXAMPLES = Path(__file__).parents[2] / "examples"
DESCRIBE = "What can you hear from the audio?"
BROWSER = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
MICROPHONE = [
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={EXAMPLES / 'caribbean.wav'}",
]
SHOTS = os.environ.get("DESTA2_SCREENSHOTS")
LEFT_A_TAB = "signal is aborted without reason"  # what gradio says of a request that it gave up itself

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def address():
    with started("ui") as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET + MICROPHONE)
        yield browser
        browser.close()


@pytest.fixture
def page(address, browser):
    """A fresh visitor; in the end, that nothing was asked of another machine, and no script failed."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.set_default_timeout(30_000)
    page.goto(address)
    page.locator("#question textarea").wait_for()
    yield page
    page.close()
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert elsewhere == []
    assert [error for error in failed if LEFT_A_TAB not in error] == []


def upload(page, *names):
    box = page.locator("input[type=file]").first
    box.set_input_files([EXAMPLES / name for name in names])
    for name in names:
        page.locator("#question").get_by_text(re.compile(Path(name).stem[:6])).or_(
            page.locator("#question .thumbnail-item, #question [data-testid*=thumbnail]")
        ).first.wait_for()


def ask(page, question):
    """Ask, and wait for the whole answer."""
    answers = page.locator("#conversation .bot.message")
    before = answers.count()
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "n => document.querySelectorAll('#conversation .bot.message').length > n", arg=before
    )
    page.locator("#question button.submit-button").wait_for()
    page.wait_for_timeout(300)
    return answers.last.inner_text().strip()


def shot(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


def test_a_clip_is_uploaded_asked_about_and_the_answer_streams(page):
    upload(page, "scottish.wav")
    page.evaluate(
        """() => {window.lengths = []; new MutationObserver(() => {
            const all = document.querySelectorAll('#conversation .bot.message');
            if (all.length) window.lengths.push(all[all.length - 1].innerText.length);
        }).observe(document.querySelector('#conversation'), {childList: true, subtree: true, characterData: true})}"""
    )
    answer = ask(page, DESCRIBE)
    assert "Scottish" in answer
    assert len(set(page.evaluate("window.lengths"))) > 5, "it came in pieces"
    assert page.locator(
        "#conversation audio, #conversation [data-testid*=waveform], #conversation .waveform-container"
    ).count()
    assert ask(page, "Is the speaker a man or a woman? Answer in capital letters.").isupper()
    shot(page, "ui-chat")


def test_several_clips_in_one_question(page):
    upload(page, "scottish.wav", "british.wav")
    assert ask(page, "How loud is the speech?")


def test_the_microphone(page):
    page.locator(
        "#question button[aria-label*=icrophone], #question button[data-testid*=microphone], #question .microphone-button"
    ).first.click()
    record = page.locator("#question button.record-button, #question button.record")
    record.first.click()
    page.wait_for_timeout(4000)
    page.locator("#question button.stop-button, #question button.stop-button-paused").first.click()
    page.wait_for_timeout(1500)
    assert "says" in ask(page, DESCRIBE)


def test_an_error_is_shown_readably(page):
    page.locator("input[type=file]").first.set_input_files(
        {"name": "broken.wav", "mimeType": "audio/wav", "buffer": b"RIFF" + b"\0" * 50}
    )
    page.wait_for_timeout(1500)
    page.locator("#question textarea").fill(DESCRIBE)
    page.keyboard.press("Enter")
    toast = page.locator(".toast-body, .toast-text").first
    toast.wait_for()
    assert (
        "broken.wav" in toast.inner_text() or "the clip" in toast.inner_text() or "wav" in toast.inner_text()
    )
    assert "Traceback" not in page.content()


def test_the_conversation_is_exported(page, tmp_path):
    upload(page, "scottish.wav")
    answer = ask(page, DESCRIBE)
    with page.expect_download() as download:
        page.locator("#export").click()
        page.wait_for_timeout(1500)
        if not download.is_done():
            page.locator("#export").click()
    download.value.save_as(tmp_path / "conversation.json")
    messages = json.loads((tmp_path / "conversation.json").read_text())["messages"]
    assert messages[0]["content"][0] == {"type": "audio", "audio": "scottish.wav"}
    assert messages[1] == {"role": "assistant", "content": answer}


def test_the_inspector(page):
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#clip input[type=file]").set_input_files(EXAMPLES / "british.wav")
    seed = page.locator("#seed textarea")
    page.wait_for_function("() => document.querySelector('#seed textarea').value.includes('Pitch')")
    transcript = page.locator("#transcript textarea").input_value()
    assert f'"{transcript}" (' in seed.input_value()
    assert "f0_median_hz" in page.locator("#measured").inner_text()
    page.locator("#compare").click()
    page.wait_for_function("() => document.querySelector('#read textarea').value")
    assert "not clear" in page.locator("#read textarea").input_value()
    assert "The gender is female" in page.locator("#heard textarea").input_value()
    if SHOTS:
        page.set_viewport_size({"width": 1280, "height": 1560})
        page.wait_for_timeout(500)
    shot(page, "ui-inspect")


def test_a_phone_is_wide_enough(page):
    page.set_viewport_size({"width": 390, "height": 844})
    upload(page, "scottish.wav")
    ask(page, DESCRIBE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#question").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    shot(page, "ui-phone")
    page.get_by_role("tab", name="Inspect").click()
    page.locator("#compare").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
