"""The attributes that the nano LLM can talk about, and the wordings in which they are asked for.

Wordings that are peculiar to an attribute are written out; those that any attribute can be asked in are made
from patterns, of its name, what it is said of, and adjectives. The trade-off: some of these read a little
stiff, but an LLM that meets each part in many combinations reads one that is new; with a dozen wordings an
attribute it knew sentences by heart instead. `held_out` ones are in nobody's training, though every word of
them is: what is tested is the wording, not the vocabulary.

Emotions are the synthetic prosodic styles of the nano world (rate, range, loudness, contour), named after
what they imitate; intents follow from the kind of the sentence. Age is the attribute that no nano clip has:
the LLM learns it from text like any other, and asked about a nano clip it is right to say that it is not
clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from desta2.nano.phrasing import SENTENCES, Phrasing, sentence

UNKNOWN = "not clear"
_BY_NAME = (
    "What is the {name}?", "Tell me the {name}.", "Can you tell me the {name}?", "Which {name} do you hear?",
    "What {name} do you hear?", "What kind of {name} do you hear?", "What kind of {name} is this?",
    "Say which {name} you hear.", "Tell me what {name} you hear.",
)  # fmt: skip
_OF_SUBJECT = (
    "What is the {name} of the {subject}?", "Tell me the {name} of the {subject}.",
    "Can you tell me the {name} of the {subject}?", "Which {name} does the {subject} have?",
    "What {name} does the {subject} have?", "Say which {name} the {subject} has.",
    "Tell me which {name} the {subject} has.", "Tell me what the {name} of the {subject} is.",
)  # fmt: skip
_BY_ADJECTIVE = (
    "How {adjective} is the {subject}?", "How {adjective} does the {subject} sound?",
    "Tell me how {adjective} the {subject} is.", "Say how {adjective} the {subject} sounds.",
    "Can you tell me how {adjective} the {subject} is?",
)  # fmt: skip


@dataclass(frozen=True)
class Aspect:
    """One attribute that can be asked about.

    Attributes:
        key: its key in clip records.
        label: its name in seed transcripts.
        name: its name in sentences.
        options: all values as sentences write them.
        aside: another sentence with the same meaning, for descriptions.
        subjects: what it is said of.
        adjectives: how the subjects may be, in its respect.
        questions: wordings of its own that the LLM is trained on.
        held_out: wordings that it never sees; every word of them occurs in some trained wording.
    """

    key: str
    label: str
    name: str
    options: tuple[str, ...]
    aside: str
    subjects: tuple[str, ...]
    adjectives: tuple[str, ...]
    questions: tuple[str, ...]
    held_out: tuple[str, ...]

    def say(self, value: str | None, phrasing: Phrasing = SENTENCES) -> str:
        """The sentence that states a value, or that it is not known."""
        return sentence(phrasing.attribute, self.name, UNKNOWN if value is None else value)

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """All wordings that the LLM is trained on: its own, and those from patterns."""
        made = [pattern.format(name=self.name) for pattern in _BY_NAME]
        for subject in self.subjects:
            made += [pattern.format(name=self.name, subject=subject) for pattern in _OF_SUBJECT]
            made += [
                pattern.format(adjective=adjective, subject=subject)
                for pattern in _BY_ADJECTIVE
                for adjective in self.adjectives
            ]
        return tuple(text for text in dict.fromkeys((*self.questions, *made)) if text not in self.held_out)


ASPECTS: tuple[Aspect, ...] = (
    Aspect(
        "gender", "Gender", "gender", ("female", "male"), "The speaker is {}.",
        ("speaker", "voice", "person", "person speaking"), (),
        (
            "Is the person a man or a woman?",
            "Is the voice male or female?",
            "Is the person male or female?",
            "What is the gender of the speaker?", "Is the speaker a man or a woman?",
            "Is the speaker male or female?", "Tell me the gender.", "Which gender do you hear?",
            "Is this the voice of a woman or a man?", "What gender does the speaker have?",
            "Do you hear a man or a woman?", "Say which gender the voice has.",
            "Who is speaking, a man or a woman?",
            "Can you tell me the gender of the person?",
        ),
        (
            "Is this speaker a woman or a man?", "Tell me the gender of the voice.",
            "Which gender does the person have?", "Is the person speaking male or female?",
        ),
    ),
    Aspect(
        "age", "Age", "age", ("child", "teenage", "adult", "elderly"), "The age seems to be {}.",
        ("speaker", "voice", "person", "person speaking"), ("old", "young"),
        (
            "What is the age of the speaker?", "How old is the speaker?", "Tell me the age.",
            "Which age do you hear?", "How young is the voice?", "Say which age the voice has.",
            "Can you tell me the age of the person?", "How old does the person sound?",
            "At what age does the person speak?", "Of which age is the speaker?", "How old is this person?",
        ),
        (
            "How old is the person speaking?", "Tell me the age of the voice.",
            "Which age does the speaker have?", "How old does the voice sound?",
        ),
    ),
    Aspect(
        "accent", "Accent", "accent", ("American", "British", "Scottish", "Caribbean"),
        "The speaker has a {} accent.",
        ("speaker", "voice", "person", "person speaking"), (),
        (
            "Where is the person from?",
            "Where is the voice from?",
            "Where does the person come from?",
            "Where does the voice come from?",
            "What is the accent of the speaker?", "Which accent do you hear?", "Tell me the accent.",
            "What accent does the speaker have?", "Where is the accent from?",
            "Say which accent the voice has.",
            "Can you tell me the accent of the speaker?", "Which accent does the person speak with?",
            "Where does the person speaking come from?", "In which accent is this said?",
            "What kind of accent is this?",
        ),
        (
            "Which accent does the voice have?", "Where is the speaker from?",
            "Where does the speaker come from?",
            "What kind of accent do you hear?",
        ),
    ),
    Aspect(
        "emotion", "Emotion", "emotion", ("neutral", "happy", "sad", "angry", "afraid"),
        "The speaker sounds {}.",
        ("speaker", "voice", "person", "person speaking"), (),
        (
            "How does the person feel?",
            "Tell me how the speaker feels.",
            "Can you tell me how the person feels?",
            "Say how the person speaking feels.",
            "What is the emotion of the speaker?", "Which emotion do you hear?", "Tell me the emotion.",
            "How does the speaker feel?", "What emotion does the voice have?",
            "In which mood is the speaker?",
            "Say which emotion the voice has.", "Can you tell me the emotion of the person?",
            "Say how the person feels.", "What is the mood of the voice?", "What kind of emotion is this?",
        ),
        (
            "Which emotion does the speaker have?", "What is the mood of the speaker?",
            "Can you tell me how the speaker feels?", "What kind of emotion do you hear?",
        ),
    ),
    Aspect(
        "pitch", "Pitch", "pitch", ("low", "medium", "high"), "The voice has a {} pitch.",
        ("voice", "speaker", "speech", "person"), ("high", "low"),
        (
            "What is the pitch of the voice?", "How high is the voice?", "Tell me the pitch.",
            "Which pitch does the voice have?", "How low is the pitch?", "Which pitch do you hear?",
            "Say which pitch the voice has.", "Can you tell me the pitch of the speaker?",
            "At what pitch does the person speak?", "How high does the speaker sound?",
            "What kind of pitch is this?",
        ),
        (
            "How high is the pitch?", "What pitch do you hear?", "At which pitch does the speaker talk?",
            "How low does the voice sound?",
        ),
    ),
    Aspect(
        "volume", "Volume", "volume", ("quiet", "normal", "loud"), "The speech is {}.",
        ("speech", "voice", "audio", "speaker", "person"), ("loud", "quiet"),
        (
            "What is the volume of the speech?", "How loud is the speech?", "Tell me the volume.",
            "How quiet is the voice?", "Which volume does the audio have?", "How loud does the person speak?",
            "Say which volume the speech has.", "Can you tell me the volume of the audio?",
            "At what volume does the speaker talk?", "Which volume do you hear?",
            "How loud does the voice sound?",
        ),
        (
            "How loud is the audio?", "What volume does the speaker have?",
            "At which volume does the person talk?",
            "How quiet does the speech sound?",
        ),
    ),
    Aspect(
        "speaking_speed", "Speaking speed", "speaking speed", ("slow", "moderate", "fast"), "The pace is {}.",
        ("speech", "speaker", "voice", "person"), ("fast", "slow"),
        (
            "How fast does the person talk?",
            "How slow does the speaker speak?",
            "How fast does the speaker speak?",
            "What is the speaking speed?", "How fast does the speaker talk?", "Tell me the speaking speed.",
            "How slow is the pace?", "What is the pace of the speech?", "Which speaking speed do you hear?",
            "Say how fast the person speaks.", "Can you tell me the speed of the speech?",
            "At what speed does the person speak?", "How fast are the words said?",
            "Which pace does the speaker have?",
        ),
        (
            "How fast is the speech?", "Tell me the pace of the speaker.",
            "At which speed does the speaker talk?",
            "How slow does the person speak?",
        ),
    ),
    Aspect(
        "noise_level", "Noise level", "noise level", ("noisy", "mild", "clean"), "The background is {}.",
        ("audio", "background", "speech"), ("noisy", "clean"),
        (
            "How much noise is in the background?",
            "How much noise do you hear?",
            "What is the noise level?", "How noisy is the audio?", "Tell me the noise level.",
            "How clean is the background?", "Which noise level do you hear?", "How much noise is there?",
            "Say how noisy the audio is.", "Can you tell me the noise level of the audio?",
            "What kind of background noise is there?", "How clean does the audio sound?",
            "How strong is the noise in the background?",
        ),
        (
            "How noisy is the background?", "What noise do you hear?", "How much background noise is there?",
            "Tell me how clean the audio is.",
        ),
    ),
    Aspect(
        "reverberation", "Reverberation", "reverberation", ("echoing", "light", "dry"), "The room sounds {}.",
        ("audio", "room", "speech"), ("echoing", "dry"),
        (
            "How much reverberation do you hear?",
            "How much echo do you hear?",
            "What is the reverberation?", "How does the room sound?", "Tell me the reverberation.",
            "How echoing is the room?", "Which reverberation does the audio have?",
            "How much reverberation is there?",
            "Say how the room sounds.", "Can you tell me the reverberation of the audio?",
            "How dry is the room?",
            "What kind of room is this?", "How strong is the echo of the room?",
        ),
        (
            "Tell me the reverberation of the room.", "What reverberation do you hear?",
            "How much echo is there?", "How dry does the room sound?",
        ),
    ),
    Aspect(
        "duration", "Duration", "duration", ("1 second", *(f"{n} seconds" for n in range(2, 9))),
        "The audio lasts {}.",
        ("audio", "speech"), (),
        (
            "How long does the audio last?",
            "How long does the speaker talk?",
            "For how long does the speech last?",
            "For how long does the person talk?",
            "How much time does the speaker take?",
            "What is the duration of the audio?", "How long is the audio?", "Tell me the duration.",
            "How many seconds does the audio have?", "How long does the speech last?",
            "Say how long the audio is.", "Can you tell me the length of the audio?",
            "How many seconds are there?", "For how many seconds does the person speak?",
            "What is the length in seconds?", "How much time does the speech take?",
        ),
        (
            "How many seconds does the speech last?", "What is the duration of the speech?",
            "For how long does the speaker talk?", "How much time does the audio take?",
        ),
    ),
    Aspect(
        "intent", "Intent", "intent",
        ("informing", "asking", "requesting", "warning", "thanking", "apologizing"),
        "The intent seems to be {}.",
        ("speaker", "speech", "person", "person speaking"), (),
        (
            "What is the speaker doing?",
            "What does the speaker want?",
            "What does the person speaking want to do?",
            "What is the person speaking doing with these words?",
            "What is the intent of the speaker?", "Which intent do you hear?", "Tell me the intent.",
            "What does the speaker want to do?", "What intent does the speaker have?", "Why is this said?",
            "Say which intent the speech has.", "Can you tell me the intent of the person?",
            "What is the person doing with these words?", "What is the purpose of the speech?",
            "What kind of intent is this?",
        ),
        (
            "Which intent does the person have?", "What is the purpose of the speaker?",
            "What does the person want to do?", "What is the speaker doing with these words?",
        ),
    ),
)  # fmt: skip
ASPECT = {aspect.key: aspect for aspect in ASPECTS}


def spoken_value(key: str, written: str) -> str | None:
    """How sentences write a value that a seed writes: "Female" → "female", "3s" → "3 seconds".

    None for a value outside the aspect's options.
    """
    if key == "duration":
        seconds = written.removesuffix("s")
        written = "1 second" if seconds == "1" else f"{seconds} seconds"
    return next((option for option in ASPECT[key].options if option.lower() == written.lower()), None)


def written_value(key: str, spoken: str) -> str:
    """How a seed writes a value that sentences write: the inverse of `spoken_value`."""
    return f"{spoken.split()[0]}s" if key == "duration" else spoken[0].upper() + spoken[1:]
