"""The page: a chat with clips, and an inspector. Widgets only; what they do is in `chat`.

Nothing is asked of any other machine: fonts are those of the system, analytics are off, and what the page
loads comes from the same server.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported

import gradio as gr

from desta2.errors import Desta2Error
from desta2.spectrogram import spectrogram
from desta2.ui.chat import Chat, messages_of

_QUESTIONS = (
    "What can you hear from the audio?",
    "Is the speaker a man or a woman? Answer in capital letters.",
    "How loud is the speech?",
)
_FONTS = ("system-ui", "sans-serif")
THEME = gr.themes.Soft(primary_hue="teal", font=_FONTS, font_mono=("ui-monospace", "monospace"))
CSS = """
footer, button[aria-label="Share"], button[title="Share"] {display: none !important}
#seed textarea {font-family: ui-monospace, monospace}
@media (max-width: 640px) {.gradio-container {padding: 4px !important} h1 {font-size: 1.3rem}}
"""


def build(chat: Chat, name: str, examples: list[Path]) -> gr.Blocks:
    """The page.

    Args:
        chat: Answers.
        name: Of the model.
        examples: Clips to try.
    """
    with gr.Blocks(title="desta2", analytics_enabled=False, fill_height=True) as page:
        gr.Markdown(f"# desta2 · {name}\nAsk about speech: what is said, who says it, how, and where.")
        with gr.Tab("Chat"):
            _add_chat(chat, examples)
        with gr.Tab("Inspect"):
            _add_inspector(chat, examples)
    return page


def _add_chat(chat: Chat, examples: list[Path]) -> None:
    def answer(
        asked: dict[str, Any], history: list[dict[str, Any]], temperature: float, longest: int
    ) -> Iterator[str]:
        with _shown():
            yield from chat.answer(history, asked, temperature, longest)

    conversation = gr.Chatbot(
        label="Conversation",
        height="60vh",
        buttons=["copy", "copy_all"],
        placeholder="Record or upload one or more clips, and ask.",
        elem_id="conversation",
    )
    box = gr.MultimodalTextbox(
        sources=["microphone", "upload"],
        file_types=["audio"],
        file_count="multiple",
        placeholder="Your question",
        show_label=False,
        elem_id="question",
    )
    temperature = gr.Slider(
        0, 1.5, 0, step=0.1, label="Temperature", info="0 takes the likeliest word each time", render=False
    )
    longest = gr.Slider(8, 512, 256, step=8, label="Longest answer, in tokens", render=False)
    gr.ChatInterface(
        answer,
        multimodal=True,
        chatbot=conversation,
        textbox=box,
        additional_inputs=[temperature, longest],
        additional_inputs_accordion=gr.Accordion("Settings", open=False),
        examples=[
            [{"text": question, "files": [str(clip)]}, 0, 256]
            for question, clip in zip(_QUESTIONS, examples, strict=False)
        ],
        cache_examples=False,
        analytics_enabled=False,
    )
    export = gr.DownloadButton("Export the conversation", size="sm", elem_id="export")
    export.click(_export, conversation, export)


def _add_inspector(chat: Chat, examples: list[Path]) -> None:
    clip = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Clip",
        elem_id="clip",
        format="wav",
        buttons=["download"],
    )
    if examples:
        gr.Examples([[str(path)] for path in examples], clip, label="Clips to try")
    picture = gr.Plot(label="Spectrogram and F0")
    with gr.Row():
        measured = gr.Dataframe(
            headers=["what", "value"], label="Measured", elem_id="measured", min_width=280
        )
        with gr.Column(min_width=280):
            words = gr.Textbox(label="Transcript, by Whisper", elem_id="transcript", interactive=False)
            seed = gr.Textbox(
                label="Seed transcript that would be written", lines=3, elem_id="seed", interactive=False
            )
    question = gr.Textbox(_QUESTIONS[0], label="Question", elem_id="inspected-question")
    ask = gr.Button("Ask with and without the adapter", variant="primary", elem_id="compare")
    with gr.Row():
        heard = gr.Textbox(label="With the adapter: it hears", lines=3, elem_id="heard", min_width=280)
        read = gr.Textbox(label="Without: it reads the transcript", lines=3, elem_id="read", min_width=280)

    def inspect(path: str | None) -> tuple[Any, list[list[str]], str, str, str, str]:
        if path is None:
            return None, [], "", "", "", ""
        with _shown():
            found = chat.inspect(path)
        numbers = [[key, f"{value:g}"] for key, value in found.to_dict()["measured"].items()]
        rows = [*numbers, *map(list, found.attributes.items())]
        return spectrogram(found.samples), rows, found.transcript, found.seed, "", ""

    def compare(path: str | None, question: str) -> tuple[str, str]:
        if path is None:
            raise gr.Error("Please record or upload a clip first.", duration=None)
        with _shown():
            both = chat.both(path, question)
        return both.heard, both.read

    clip.change(inspect, clip, [picture, measured, words, seed, heard, read])
    ask.click(compare, [clip, question], [heard, read])


@contextmanager
def _shown() -> Iterator[None]:
    """Errors of ours as messages on the page; others stay what they are, and the page hides them."""
    try:
        yield
    except Desta2Error as error:
        raise gr.Error(str(error), duration=None) from error


def _export(history: list[dict[str, Any]]) -> str:
    """A file of the conversation; clips are named, not contained."""
    messages = messages_of(history or [])
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if part["type"] == "audio":
                part["audio"] = Path(part["audio"]).name
    folder = Path(tempfile.mkdtemp(prefix="desta2-"))
    file = folder / "conversation.json"
    file.write_text(json.dumps({"messages": messages}, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return str(file)
