"""The words of the nano world, by what they are good for.

Trade-off: few enough to be heard by a Whisper of a few million parameters, enough that a text is not known by
its first letters. No two sound alike (a test asks espeak-ng), and none is the value of an attribute
("happy", "clean"): a value in a description must come from the voice, never from the words.
"""

from __future__ import annotations

PEOPLE = (
    "teacher doctor farmer sailor baker painter singer driver soldier student mother father sister brother "
    "uncle neighbor lawyer butcher captain gardener dentist plumber grandmother cousin waiter policeman"
).split()
ANIMALS = (
    "dog cat horse fox rabbit bird tiger monkey elephant chicken spider dolphin snake donkey wolf penguin"
).split()
TRAITS = "old young tired clever lazy brave friendly famous polite nervous".split()
BEASTLY = "small gentle warm funny spotted".split()
FIERCE = "big hungry furious wild enormous".split()
COLOURS = "red blue green black white yellow golden silver purple".split()
WEAR = "heavy empty broken dusty cold round narrow wooden expensive ugly".split()

# Base form, past and -ing of what is done to things.
VERBS: dict[str, tuple[str, str]] = {
    "find": ("found", "finding"),
    "lose": ("lost", "losing"),
    "bring": ("brought", "bringing"),
    "buy": ("bought", "buying"),
    "sell": ("sold", "selling"),
    "borrow": ("borrowed", "borrowing"),
    "carry": ("carried", "carrying"),
    "open": ("opened", "opening"),
    "close": ("closed", "closing"),
    "paint": ("painted", "painting"),
    "move": ("moved", "moving"),
    "push": ("pushed", "pushing"),
    "wash": ("washed", "washing"),
    "fix": ("fixed", "fixing"),
    "drop": ("dropped", "dropping"),
    "hide": ("hid", "hiding"),
    "cook": ("cooked", "cooking"),
    "send": ("sent", "sending"),
    "build": ("built", "building"),
    "break": ("broke", "breaking"),
    "damage": ("damaged", "damaging"),
    "forget": ("forgot", "forgetting"),
    "steal": ("stole", "stealing"),
}
HARM = "break damage forget steal lose drop hide".split()  # what one is sorry for, whatever the thing
# What is usually done to what. Habits like these are what a recogniser's decoder can learn: without them
# every word would be as likely as any other, and speech as hard as random words.
_DEEDS = {
    "book letter ticket newspaper map photograph diary": "find lose send buy",
    "pencil candle lantern umbrella wallet necklace": "find lose drop hide",
    "table ladder mirror carpet cupboard sofa": "move wash paint push",
    "window garden gate drawer curtain": "open close fix",
    "basket bottle kettle bucket suitcase parcel": "open close carry bring",
    "camera guitar hammer bicycle telephone radio violin": "borrow fix sell",
    "jacket blanket button pillow sweater scarf": "borrow carry wash hide",
    "apple orange potato sandwich cheese pancake soup": "cook buy drop bring",
    "engine wagon tractor boat": "fix build push sell",
}
THINGS = [thing for things in _DEEDS for thing in things.split()]
DONE_TO = {thing: deeds.split() for things, deeds in _DEEDS.items() for thing in things.split()}
PLURALS = (
    "books letters bottles candles tickets apples potatoes pencils buttons flowers cookies mushrooms".split()
)
TO_PEOPLE = "followed watched remembered visited called married".split()

PLACES = {
    "in": "kitchen school church hospital office bathroom museum theater".split(),
    "near": "river mountain bridge airport fountain".split(),
    "behind": "market station factory".split(),
    "beside": "harbor library restaurant".split(),
    "inside": "castle forest tunnel".split(),
    "above": "village valley".split(),
    "at": "island beach".split(),
}
IDLE = "slept waited laughed danced worked rested sang jumped arrived walked argued whistled".split()
PAST_TIMES = "yesterday recently again".split()
COMING_TIMES = "today tonight tomorrow immediately".split()
MANNERS = "quickly together early slowly alone carefully".split()
TIMES = [*PAST_TIMES, *COMING_TIMES, *MANNERS]
NUMBERS = "two three four five six seven eight nine ten eleven twelve twenty".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()

# What one warns of, and why.
PERILS = {
    "floor road ice": "slippery wet",
    "stove iron pan": "hot burning",
    "knife glass": "sharp broken",
    "roof tower wall": "falling collapsing burning",
    "wire engine tunnel": "dangerous burning",
    "water mushroom": "poisonous dangerous",
}
# What one is sorry about, and glad of.
TROUBLES = "noise mess mistake trouble delay accident smell".split()
FAVORS = "help advice present breakfast dinner invitation lesson ride music".split()
