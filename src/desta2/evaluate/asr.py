"""Speech recognition by instruction: the transcript that an answer holds, and its error rates.

A model that follows instructions rarely answers with the bare words: it says "Here is the text:" or puts them
in quotes or JSON. What is compared is therefore first taken out of the answer, by the rules here or by a
judge (`extracted`). The trade-off: rules are free and the same for everyone, and they only take off what they
know; what they do not know counts as errors, never as words left out in the model's favour.

Texts are compared without case and punctuation: NFKC, case folded, every mark, sign and symbol a space. These
are the rules of Whisper's basic normaliser (Radford et al., 2022, arXiv 2212.04356, appendix C) but for
brackets, whose content is kept; with them the published word error rates of DeSTA2's responses to
Speech-IFEval come out item by item. Numbers and abbreviations stay as they are written: "27th" is not "twenty
seventh".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from desta2.errors import InputError
from desta2.evaluate.clips import audio_of, clips_file
from desta2.evaluate.rows import Entry, Row, cluster_of, row_if_any
from desta2.evaluate.stats import Score
from desta2.evaluate.systems import Question
from desta2.evaluate.words import score_line
from desta2.records import Clip, Prediction, read_records

INSTRUCTION = "Write down what is said in the audio, word for word, and nothing else."
_TASK = "asr"
_LEAD_IN_WORDS, _LEAD_INS = 20, 3
_LEAD_IN = re.compile(
    r"\b(text|transcript\w*|written|wrote|writing|spoken|speak\w*|says?|said|saying|audio|answer|statement)\b",
    re.IGNORECASE,
)
_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SPOKEN_KEY = re.compile(r"text|transcri|utterance|speech|spoken|sentence|words|content|statement|said", re.I)
_NAMES = {
    "wer": "word error rate",
    "cer": "character error rate",
    "mean_wer": "mean of the items' word error rates",
}
_QUOTES = (('"', '"'), ("“", "”"), ("«", "»"), ("<<", ">>"), ("'", "'"))


class Rates(TypedDict):
    """Error rates, ready for JSON.

    `wer` is all word errors ÷ all words, `cer` the same of characters without spaces, `mean_wer` the mean of
    the items' own word error rates.
    """

    wer: Score
    cer: Score
    mean_wer: Score
    n: int


class AsrScores(Rates):
    """The rates by rule; `judged` are those of a judge's transcripts, where there are some."""

    judged: NotRequired[Rates]


def normalise_transcript(text: str) -> str:
    """A text as it is compared; see the module."""
    folded = unicodedata.normalize("NFKC", text.casefold())
    return " ".join("".join(" " if unicodedata.category(c)[0] in "MSP" else c for c in folded).split())


def extract_transcript(response: str) -> str:
    """The transcript in an answer: behind "Here is the text:" and the like, out of JSON, out of quotes."""
    text = _unfenced(_without_lead_in(_unfenced(response.strip())))
    if text.startswith("{") and (spoken := _spoken_field(text)) is not None:
        return spoken
    first, _, more = text.partition("\n\n")
    quoted = _unquoted(first)
    # What follows words that are clearly set apart is about them, or a farewell.
    return quoted if more and quoted != first else _unquoted(text)


def _without_lead_in(text: str) -> str:
    """What follows the colon of a short first line that speaks of text, or before mere quotes or JSON."""
    for _ in range(_LEAD_INS):
        head, _, rest = (part.strip() for part in text.partition(":"))
        if not rest or "\n" in head or len(head.split()) > _LEAD_IN_WORDS or not head[:1].isalnum():
            break
        if _unquoted(rest) == rest and not rest.startswith("{") and not _LEAD_IN.search(head):
            break
        text = rest
    return text


def _unfenced(text: str) -> str:
    """The inside of a Markdown code block."""
    if not text.startswith("```"):
        return text
    first, _, inner = text.partition("\n")
    return (inner or first.strip("`")).strip().removesuffix("```").strip()


def _spoken_field(text: str) -> str | None:
    """The value of the one field that can hold what was said; JSON may be cut or faulty around it."""
    fields = _FIELD.findall(text)
    spoken = [value for key, value in fields if _SPOKEN_KEY.search(key)] or [value for _, value in fields]
    return re.sub(r"\\(.)", r"\1", spoken[0]) if len(spoken) == 1 else None


def _unquoted(text: str) -> str:
    """Without the quotes around all of it."""
    for opening, closing in _QUOTES:
        inner = text.removeprefix(opening).removesuffix(closing)
        if len(text) == len(opening) + len(inner) + len(closing) and inner:
            return inner.strip()
    return text


def score_asr(predictions: Sequence[Prediction], extracted: Mapping[str, str] | None = None) -> AsrScores:
    """Error rates of transcripts; intervals resample speakers, or else clips.

    Args:
        predictions: their labels are what was said.
        extracted: id → the transcript in the answer, by a judge, which is scored beside that by rule.
            Predictions without one count in no rate by the judge, whose `n` is smaller then; who judges has
            to name them.

    Raises:
        InputError: there is nothing to score, a label has no words, or there are transcripts by a judge, but
            of none of the predictions.
    """
    if not predictions:
        raise InputError("there are no predictions to score")
    rates = _rates(asr_rows(predictions), len(predictions))
    by_rule: AsrScores = {
        "wer": rates["wer"],
        "cer": rates["cer"],
        "mean_wer": rates["mean_wer"],
        "n": rates["n"],
    }
    if extracted is None:
        return by_rule
    judged = [item for item in predictions if item.id in extracted]
    if not judged:
        raise InputError(f"none of the {len(predictions)} predictions has a transcript by the judge")
    transcripts = [extracted[item.id] for item in judged]
    return {**by_rule, "judged": _rates(_rows(judged, transcripts), len(judged))}


def _rates(rows: Sequence[Row], n: int) -> Rates:
    wer, cer, mean_wer = (row.score().to_dict() for row in rows)
    return {"wer": wer, "cer": cer, "mean_wer": mean_wer, "n": n}


def asr_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """The three error rates by rule, item by item; InputError where a label has no words."""
    return _rows(predictions, [extract_transcript(item.response) for item in predictions])


def _rows(predictions: Sequence[Prediction], transcripts: Sequence[str]) -> list[Row]:
    words, characters, rates = [], [], []
    for item, said in zip(predictions, transcripts, strict=True):
        reference = normalise_transcript(item.label or "")
        if not reference:
            raise InputError(f"{item.id!r} has the label {item.label!r}, expected the words that were said")
        (wrong_words, of_words), (wrong_signs, of_signs) = _errors(reference, normalise_transcript(said))
        cluster = cluster_of(item)
        words.append(Entry(item.id, wrong_words, cluster, size=of_words))
        characters.append(Entry(item.id, wrong_signs, cluster, size=of_signs))
        rates.append(Entry(item.id, wrong_words / of_words, cluster))
    columns = zip(_NAMES.values(), (words, characters, rates), strict=True)
    return [row for name, entries in columns for row in row_if_any(name, 0, "error", entries)]


def _errors(reference: str, heard: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Wrong and all words, and wrong and all characters, of normalised texts."""
    import jiwer

    signs = reference.replace(" ", "")
    by_word = jiwer.process_words(reference, heard)
    by_sign = jiwer.process_characters(signs, heard.replace(" ", ""))
    return (
        (by_word.substitutions + by_word.deletions + by_word.insertions, len(reference.split())),
        (by_sign.substitutions + by_sign.deletions + by_sign.insertions, len(signs)),
    )


class Asr:
    """Transcription of clips whose words are known; see `Benchmark`."""

    def questions(self, data: Path) -> Iterator[Question]:
        """One question for every clip with a text.

        Args:
            data: a file of clips or a folder with `clips.jsonl`.

        Raises:
            InputError: there is none.
        """
        manifest = clips_file(data)
        return (_question(clip, manifest) for clip in read_records(manifest, Clip) if clip.text)

    def score(
        self, predictions: Sequence[Prediction], extracted: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """See `score_asr`."""
        return dict(score_asr(predictions, extracted))

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """See `asr_rows`."""
        return asr_rows(predictions)

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """A line for each rate."""
        lines = [score_line(name, scores[key]) for key, name in _NAMES.items()]
        if judged := scores.get("judged"):
            lines.append(f"in the transcripts by the judge, who gave {judged['n']}:")
            lines += [score_line(name, judged[key]) for key, name in _NAMES.items()]
        return "\n".join(lines)


def _question(clip: Clip, manifest: Path) -> Question:
    audio = audio_of(clip, manifest)
    fields = {
        "task": _TASK,
        "instruction": INSTRUCTION,
        "label": clip.text,
        "audio": clip.audio,
        "clip": clip.id,
    }
    speaker = {"speaker": clip.speaker} if clip.speaker else {}
    content = [{"type": "audio", "audio": audio}, {"type": "text", "text": INSTRUCTION}]
    return Question(clip.id, [{"role": "user", "content": content}], fields | speaker)
