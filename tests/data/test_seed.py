"""Seed transcripts: lossless round trips for any text, the published seeds, and the stage on files."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from desta2.data.attributes import load_scheme
from desta2.data.seed import Turn, format_seed, parse_seed, seed, seed_clip
from desta2.errors import InputError
from desta2.records import Clip, Seed, read_records, write_records

PUBLISHED = Path(__file__).parents[3] / "shared" / "speech_ifeval" / "audio_id2seed_transcript.json"
FORMATS = ("v2", "v2.5")

NASTY = st.sampled_from(
    [
        "(",
        ")",
        "[",
        "]",
        '"',
        "'",
        ",",
        ":",
        "\\",
        "\n",
        "\r",
        " ",
        "n",
        "r",
        "a",
        ", ",
        ": ",
        " (",
        "(A: b)",
        "[00:00:00 - 00:00:05]",
        "\n[00:00:00 - 00:00:05] x",
        "\n[00:00-00:05]",
        "\u2028",
        "\u2029",
        "\x85",
        "\x00",
        "\x0b",
        "\x1c",
        "\t",
        "\ufeff",
        "\u200b",
        "\U0001f60b",
        "\\)",
        "\\n",
        "(Gender: Male)",
        '" (Gender: Male)',
        '"\n[00:00:01 - 00:00:02] "x" (Gender: Male)',
    ]
)
TEXT = st.one_of(st.lists(NASTY, max_size=12).map("".join), st.text(max_size=20))
ATTRIBUTES = st.dictionaries(TEXT, TEXT, max_size=4)


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    start = draw(st.integers(0, 500_000))
    return Turn(start, start + draw(st.integers(1, 9_000)), draw(TEXT), draw(ATTRIBUTES))


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=200, deadline=None)
@given(given_turns=st.lists(turns(), min_size=1, max_size=3))
@example([Turn(0, 5, 'she said "hello" (loudly)', {"Accent": "English (US)"})])
@example([Turn(0, 5, "text (Gender: Female)", {})])
@example([Turn(0, 5, "text (Gender: Female)  ", {})])
@example([Turn(0, 5, "", {}), Turn(5, 6, "", {"A": "b, C: d"})])
@example([Turn(0, 5, "twice (A: b, A: c)", {})])
@example([Turn(0, 5, "a\\", {"A": "x\\", "B": "y"})])
def test_reading_back_gives_the_same_turns(fmt, given_turns):
    assert parse_seed(format_seed(given_turns, fmt), fmt) == given_turns


@pytest.mark.parametrize("fmt", FORMATS)
@settings(deadline=None)
@given(
    start=st.floats(0, 1e6),
    length=st.floats(0, 1e5),
    text=TEXT,
)
def test_times_cover_the_turn_and_are_never_empty(fmt, start, length, text):
    [turn] = parse_seed(format_seed([Turn(start, start + length, text)], fmt), fmt)
    assert turn.start <= start < turn.start + 1
    assert turn.end > turn.start
    assert start + length - 0.001 <= turn.end <= max(turn.start + 1, start + length + 1)
    assert turn.text == text


@pytest.mark.parametrize(
    ("fmt", "turn", "line"),
    [
        (
            "v2",
            Turn(0, 4.2, "Hi there", {"Gender": "Male"}),
            '[00:00:00 - 00:00:05] "Hi there" (Gender: Male)',
        ),
        ("v2.5", Turn(0, 4.2, "Hi there", {"Gender": "Male"}), "[00:00-00:05] Hi there (Gender: Male)"),
        ("v2", Turn(3.9, 3.9, "Hi", {}), '[00:00:03 - 00:00:04] "Hi"'),
        ("v2", Turn(0, 5.0000001, "Hi", {}), '[00:00:00 - 00:00:05] "Hi"'),
        ("v2", Turn(3661, 400_000, "Hi", {}), '[01:01:01 - 111:06:40] "Hi"'),
        ("v2.5", Turn(3661, 7200, "Hi", {}), "[61:01-120:00] Hi"),
        ("v2", Turn(0, 1, "", {"Gender": "Male"}), "[00:00:00 - 00:00:01] (Gender: Male)"),
    ],
)
def test_the_written_form(fmt, turn, line):
    assert format_seed([turn], fmt) == line


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "text",
    ['she said "no", twice (I think): [sic]', "it's 5:30, isn't it?", '"All quoted"', "ends (laughing)"],
)
def test_ordinary_text_is_not_escaped(fmt, text):
    assert text in format_seed([Turn(0, 1, text, {"Intent": "ask, or tell (US)"})], fmt)
    assert "(Intent: ask, or tell (US))" in format_seed(
        [Turn(0, 1, text, {"Intent": "ask, or tell (US)"})], fmt
    )


@pytest.mark.parametrize(
    ("seed_text", "text", "attributes"),
    [
        (
            "[00:00:00 - 00:00:05] He sat.(Gender: Female, Emotion: sad)",
            "He sat.",
            {"Gender": "Female", "Emotion": "sad"},
        ),
        ("[00:00:00 - 00:00:05]He sat. (Gender: Female)", "He sat.", {"Gender": "Female"}),
        ('[00:00:00 - 00:00:05] "He sat."(Gender: Female)', "He sat.", {"Gender": "Female"}),
        (
            "[00:00:00 - 00:00:05] \"'I know,' he said. \"'Go!'(Gender: Male)",
            "\"'I know,' he said. \"'Go!'",
            {"Gender": "Male"},
        ),
        ("[00:00:00 - 00:00:05] He sat (at last)", "He sat (at last)", {}),
        ("[00:00:00 - 00:00:05] one\ntwo (Gender: Male)\n", "one\ntwo", {"Gender": "Male"}),
        ("[00:00:00 - 00:00:05] C:\\new)(Gender: Male)", "C:\\new)", {"Gender": "Male"}),
        ("[00:00:00 - 00:00:05]¶(Gender: Male)", "¶", {"Gender": "Male"}),
        (
            "[00:00:00 - 00:00:05] \U0001f3b5 \U0001f3b5(Gender: Male)",
            "\U0001f3b5 \U0001f3b5",
            {"Gender": "Male"},
        ),
        (
            "[00:00:00 - 00:00:05] ¡Sí! வணக்கம், \ufffd—$5(Gender: Male)",
            "¡Sí! வணக்கம், \ufffd—$5",
            {"Gender": "Male"},
        ),
    ],
)
def test_published_forms_are_read(seed_text, text, attributes):
    [turn] = parse_seed(seed_text)
    assert (turn.start, turn.end, turn.text, turn.attributes) == (0, 5, text, attributes)


def test_a_published_turn_of_no_length():
    [turn] = parse_seed("[00:00:00 - 00:00:00] you(Gender: Female, Emotion: disgusted)")
    assert (turn.start, turn.end, turn.text) == (0, 0, "you")
    [again] = parse_seed(format_seed([turn]))
    assert (again.end, again.text, again.attributes) == (1, "you", turn.attributes)


def test_windows_line_ends_between_turns():
    given_turns = [Turn(0, 2, "a", {"A": "b"}), Turn(2, 3, "c")]
    assert parse_seed(format_seed(given_turns).replace("\n", "\r\n")) == given_turns


def test_all_published_seeds():
    if not PUBLISHED.is_file():
        pytest.skip(f"the published seeds are not here: {PUBLISHED}")
    seeds = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert len(seeds) == 1600
    # An independent reading, which suffices for these: no text of theirs holds a bracket.
    form = re.compile(
        r"\[00:(\d\d):(\d\d) - 00:(\d\d):(\d\d)\] ?([^()\[\]]*)\(Gender: (\w+), Emotion: (\w+)\)"
    )
    for text in seeds.values():
        expected = form.fullmatch(text)
        [turn] = parse_seed(text)
        assert turn.text == expected[5]
        assert turn.attributes == {"Gender": expected[6], "Emotion": expected[7]}
        assert [turn.start, turn.end] == [int(expected[i]) * 60 + int(expected[i + 1]) for i in (1, 3)]
        for fmt in FORMATS:
            [again] = parse_seed(format_seed([turn], fmt), fmt)
            assert (again.text, again.attributes) == (turn.text, turn.attributes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: format_seed([Turn(0, 1, "a")], "v3"), "unknown seed format 'v3': choose 'v2' or 'v2.5'"),
        (lambda: parse_seed("[00:00:00 - 00:00:05] a", "2"), "unknown seed format '2'"),
        (lambda: format_seed([]), "no turns: give at least one"),
        (lambda: format_seed([Turn(2, 1, "a")]), "cannot last from 2 s to 1 s: expected 0 <= start <= end"),
        (lambda: format_seed([Turn(0, float("nan"), "a")]), "cannot last from 0 s to nan s"),
        (lambda: format_seed([Turn(0, float("inf"), "a")]), "cannot last from 0 s to inf s"),
        (
            lambda: parse_seed("hello (A: b)"),
            r"must start with its time, such as \[00:00:00 - 00:00:05\]; got 'hello",
        ),
        (lambda: parse_seed("", "v2.5"), r"such as \[00:00-00:05\]; got ''"),
        (lambda: parse_seed("[00:00:00 - 00:00:05] a (A: b, A: c)"), "an attribute is named twice"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call()


def nano_clip(**fields):
    defaults = dict(
        id="nano-1",
        audio="audio/nano-1.wav",
        duration=2.6,
        text="the red fox runs home",
        language="en",
        attributes={"accent": "Scottish", "gender": "Female"},
        measured={  # far from any limit that the shipped scheme may have
            "f0_median_hz": 500.0,
            "loudness_lufs": -65.0,
            "syllables_per_s": 20.0,
            "snr_db": 90.0,
            "c50_db": 90.0,
        },
    )
    return Clip.model_validate(defaults | fields)


def test_a_nano_clip():
    seeded = seed_clip(nano_clip(corpus_key=7), load_scheme(), "v2")
    assert seeded.seed == (
        '[00:00:00 - 00:00:03] "the red fox runs home" (Gender: Female, Accent: Scottish, Pitch: Very high, '
        "Volume: Very quiet, Speaking speed: Very fast, Noise level: Very clean, Reverberation: Very dry, "
        "Duration: 3s)"
    )
    assert seeded.seed_format == "v2"
    assert seeded.to_dict()["corpus_key"] == 7


def test_the_corpus_keeps_its_own_keys_whatever_their_names():
    seeded = seed_clip(nano_clip(cls=3, self="x", seed="old", seed_format="v9"))
    assert seeded.seed.startswith("[00:00:00") and seeded.seed_format == "v2"
    assert (seeded.to_dict()["cls"], seeded.to_dict()["self"]) == (3, "x")
    assert Seed.model_validate(seeded.to_dict()) == seeded


def test_times_count_from_the_start_of_the_clip():
    part = nano_clip(duration=None, start=60.0, end=63.5, attributes={}, measured={}, text=None)
    assert seed_clip(part, fmt="v2.5").seed == "[00:00-00:04]"


def test_unknown_length_is_an_error():
    with pytest.raises(InputError, match=r"clip 'nano-1' has no duration, .* run `desta2 annotate` first"):
        seed_clip(nano_clip(duration=None))


def test_each_segment_has_its_own_voice_and_shares_the_recording():
    clip = nano_clip(
        duration=6.0,
        attributes={"gender": "Female", "pitch": "High", "duration": "6s", "scene": "street"},
        segments=[
            {"start": 0.0, "end": 2.4, "text": "hello", "attributes": {"gender": "Male"}},
            {"start": 2.5, "end": 6.0, "text": "good bye", "attributes": {"emotion": "Sad"}},
        ],
    )
    recording = "Noise level: Very clean, Reverberation: Very dry"
    assert seed_clip(clip).seed.split("\n") == [
        f'[00:00:00 - 00:00:03] "hello" (Gender: Male, {recording}, Duration: 2s, Scene: street)',
        f'[00:00:02 - 00:00:06] "good bye" (Emotion: Sad, {recording}, Duration: 4s, Scene: street)',
    ]


@st.composite
def conversations(draw: st.DrawFn) -> Clip:
    """A clip of several speakers, with whatever texts and labels a corpus may hold."""
    label = TEXT.filter(lambda text: text.strip())
    keys = st.sampled_from(["gender", "emotion", "accent", "scene"])
    ends = sorted(draw(st.lists(st.integers(1, 500), min_size=2, max_size=4, unique=True)))
    segments = [
        {
            "start": float(start),
            "end": float(end),
            "text": draw(TEXT),
            "attributes": draw(st.dictionaries(keys, label)),
        }
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    return Clip.model_validate(
        {"id": "c", "audio": "a.wav", "duration": float(ends[-1]), "segments": segments}
    )


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=25, deadline=None)
@given(clip=conversations())
def test_who_said_what_when_survives_the_file(tmp_path_factory, fmt, clip):
    folder = tmp_path_factory.mktemp("conversation")
    write_records(folder / "clips.jsonl", [clip])
    seed(folder / "clips.jsonl", folder / "seeds.jsonl", fmt)
    [written] = read_records(folder / "seeds.jsonl", Seed)
    turns = parse_seed(written.seed, fmt)
    assert [(turn.start, turn.end, turn.text) for turn in turns] == [
        (segment.start, segment.end, segment.text) for segment in clip.segments
    ]
    for turn, segment in zip(turns, clip.segments, strict=True):
        said = {name.lower(): word for name, word in turn.attributes.items() if name != "Duration"}
        assert said == segment.attributes


def test_a_single_segment_takes_all_that_is_known():
    clip = nano_clip(segments=[{"start": 0.0, "end": 2.6, "text": "hi", "attributes": {"gender": "Male"}}])
    assert "Gender: Male, Accent: Scottish, Pitch: Very high" in seed_clip(clip).seed


def test_the_stage_writes_all_in_order_and_goes_on(tmp_path):
    clips = [nano_clip(id=f"c{i}", text=f"number {i}") for i in range(5)]
    write_records(tmp_path / "all.jsonl", clips)
    write_records(tmp_path / "some.jsonl", clips[:2])
    out = tmp_path / "seeds.jsonl"
    assert seed(tmp_path / "some.jsonl", out) == 2
    first = out.read_bytes()
    counts: list[int] = []
    assert seed(tmp_path / "all.jsonl", out, progress=counts.append) == 5
    assert counts == [1, 2, 3, 4, 5]
    assert out.read_bytes().startswith(first)
    written = list(read_records(out, Seed))
    assert [(s.id, parse_seed(s.seed)[0].text) for s in written] == [(c.id, c.text) for c in clips]


@pytest.mark.parametrize("name", ["seeds.jsonl", "seeds"])
def test_an_output_of_the_other_format_is_not_mixed(tmp_path, name):
    write_records(tmp_path / "clips.jsonl", [nano_clip()])
    seed(tmp_path / "clips.jsonl", tmp_path / name, "v2")
    with pytest.raises(InputError, match=r"holds seeds in format v2, asked for v2\.5: give another output"):
        seed(tmp_path / "clips.jsonl", tmp_path / name, "v2.5")


def test_audio_paths_stay_true_in_another_folder(tmp_path):
    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    (tmp_path / "corpus" / "audio" / "nano-1.wav").touch()
    elsewhere = nano_clip(id="nano-2", audio="of/a/data/root.wav")
    write_records(tmp_path / "corpus" / "clips.jsonl", [nano_clip(), elsewhere])
    seed(tmp_path / "corpus" / "clips.jsonl", tmp_path / "run" / "seeds.jsonl")
    paths = [s.audio for s in read_records(tmp_path / "run" / "seeds.jsonl", Seed)]
    assert paths == ["../corpus/audio/nano-1.wav", "of/a/data/root.wav"]


def test_estimates_are_left_out_where_only_the_corpus_is_wanted(tmp_path):
    clip = nano_clip(
        attributes={"gender": "Female", "emotion": "Sad", "noise_level": "Clean"},
        measured={"snr_db_estimated": 30.0, "c50_db": 90.0},
        estimated={"emotion": {"by": "m", "confidence": 0.9}, "noise_level": {"by": "WADA-SNR"}},
    )
    everything = "Gender: Female, Emotion: Sad, Noise level: Clean, Reverberation: Very dry, Duration: 3s"
    assert f"({everything})" in seed_clip(clip).seed
    known = seed_clip(clip, labels="corpus")
    assert "(Gender: Female, Reverberation: Very dry, Duration: 3s)" in known.seed
    assert known.to_dict()["estimated"] == clip.model_extra["estimated"]  # the record loses nothing
    assert known.attributes == clip.attributes

    write_records(tmp_path / "clips.jsonl", [clip])
    out = tmp_path / "seeds.jsonl"
    assert seed(tmp_path / "clips.jsonl", out, labels="corpus") == 1
    assert [s.seed for s in read_records(out, Seed)] == [known.seed]
    with pytest.raises(
        InputError, match=r"holds seeds with corpus labels, asked for all: give another output"
    ):
        seed(tmp_path / "clips.jsonl", out)


def test_the_scheme_beside_the_clips_is_used(tmp_path):
    write_records(tmp_path / "clips.jsonl", [nano_clip()])
    (tmp_path / "attributes.yaml").write_text("attributes: [{name: Accent}, {name: Gender}]\n")
    seed(tmp_path / "clips.jsonl", tmp_path / "seeds.jsonl")
    [found] = read_records(tmp_path / "seeds.jsonl", Seed)
    assert found.seed.endswith("(Accent: Scottish, Gender: Female)")
