"""English nouns: singular, plural, article. Rules with the exceptions that names of things in photographs need."""

import re
from typing import Final

# Singular -> plural, by the last word of a name.
_IRREGULAR: Final = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "policeman": "policemen",
    "fireman": "firemen", "fisherman": "fishermen", "businessman": "businessmen", "foot": "feet", "tooth": "teeth",
    "goose": "geese", "mouse": "mice", "ox": "oxen", "die": "dice", "knife": "knives", "wife": "wives",
    "life": "lives", "half": "halves", "calf": "calves", "loaf": "loaves", "leaf": "leaves", "shelf": "shelves",
    "scarf": "scarves", "wolf": "wolves", "thief": "thieves", "potato": "potatoes", "tomato": "tomatoes",
    "hero": "heroes", "mango": "mangoes", "bus": "buses", "quiz": "quizzes", "cactus": "cacti",
}  # fmt: skip
_SAME: Final = frozenset(
    ["sheep", "deer", "fish", "bison", "moose", "salmon", "aircraft", "series", "offspring", "shrimp", "squid"]
)
# Things with two parts, which English only has in the plural: "a pair of scissors".
_PAIRS: Final = frozenset(
    [
        "scissors",
        "skis",
        "glasses",
        "sunglasses",
        "goggles",
        "pants",
        "trousers",
        "jeans",
        "shorts",
        "pliers",
        "tongs",
        "binoculars",
        "headphones",
        "leggings",
        "tights",
    ]
)
# Stuff, which has neither article nor plural.
_MASS: Final = frozenset([
    "broccoli", "luggage", "baggage", "furniture", "food", "bread", "rice", "grass", "water", "cattle", "silverware",
    "cutlery", "equipment", "clothing", "traffic", "livestock", "fruit", "wine", "beer", "sand", "snow",
])  # fmt: skip
_PLURALS: Final = {plural: singular for singular, plural in _IRREGULAR.items()}
# Names in -man that are no man, and in -men that are one thing; all others change as "man" does ("snowmen").
_NO_MAN: Final = frozenset(["human", "german", "roman", "ottoman", "shaman", "talisman", "caiman"])
_SINGULAR_IN_MEN: Final = frozenset(["specimen", "abdomen", "regimen", "omen", "stamen", "ramen", "acumen"])
_NO_PLURAL_END: Final = ("ss", "us", "is")
_SINGULAR_IN_S: Final = frozenset(["gas", "canvas", "atlas", "lens", "christmas", "news", "tennis"])
_SINGULAR_IN_IE: Final = frozenset(
    ["cookies", "movies", "brownies", "hoodies", "smoothies", "selfies", "zombies", "veggies", "birdies", "pixies"]
)
# Letters whose names begin with a vowel sound, for abbreviations: "an SUV", "a TV".
_VOWEL_LETTERS: Final = frozenset("AEFHILMNORSX")
_CONSONANT_SOUND: Final = re.compile(r"(u[bcfhjkqrst][aeiou]|uni(?![mn])|eu|ewe|one\b|once\b)", re.IGNORECASE)
_VOWEL_SOUND: Final = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)


def plural(name: str) -> str:
    """More than one of a name: "fire hydrants", "knives", "sheep"; names that are plural already stay."""
    start, last = _split(singular(name))
    low = last.lower()
    if low in _SAME or is_pair(name) or is_mass(name):
        return name
    if low in _IRREGULAR:
        return start + _IRREGULAR[low]
    if low.endswith("man") and low not in _NO_MAN:
        return start + last[:-2] + "en"
    if re.search(r"[^aeiou]y$", low):
        return start + last[:-1] + "ies"
    if low.endswith(("s", "x", "z", "ch", "sh")):
        return start + last + "es"
    return start + last + "s"


def singular(name: str) -> str:
    """One of a name: "knife" for "knives"; "scissors" and "sheep" stay."""
    start, last = _split(name)
    low = last.lower()
    if low in _SAME or is_pair(name) or is_mass(name) or low in _IRREGULAR or low in _SINGULAR_IN_S:
        return name
    man = f"{low[:-2]}an" if low.endswith("men") and low not in _SINGULAR_IN_MEN else None
    if irregular := _PLURALS.get(low, man):
        return start + irregular
    if low.endswith("ies") and len(low) > 4 and low not in _SINGULAR_IN_IE:
        return start + last[:-3] + "y"
    if low.endswith(("ches", "shes", "sses", "xes", "zzes")) or low[:-2] in _SINGULAR_IN_S:
        return start + last[:-2]
    if low.endswith("s") and not low.endswith(_NO_PLURAL_END) and len(low) > 2:
        return start + last[:-1]
    return name


def is_pair(name: str) -> bool:
    """Whether English has the name only in the plural, as "scissors" ("wine glasses" it has in both)."""
    start, last = _split(name.lower())
    return last in _PAIRS and not (last == "glasses" and start)


def is_mass(name: str) -> bool:
    """Whether the name is of stuff, as "broccoli"."""
    return _split(name.lower())[1] in _MASS


def article(name: str) -> str:
    """ "a" or "an", by the sound that the name begins with."""
    first = name.split(maxsplit=1)[0] if name.split() else ""
    word = first.strip("\"'“”‘’(")
    if not word:
        return "a"
    if re.fullmatch(r"[A-Z]{1,5}s?|[A-Z](-.*)?", word):
        return "an" if word[0] in _VOWEL_LETTERS else "a"
    if word[0].isdigit():
        return "an" if re.match(r"(8|11(?!\d)|18(?!\d))", word) else "a"
    if _VOWEL_SOUND.match(word):
        return "an"
    if _CONSONANT_SOUND.match(word):
        return "a"
    return "an" if word[0].lower() in "aeiou" else "a"


def _split(name: str) -> tuple[str, str]:
    """Everything before the last word, and the last word."""
    head, space, last = name.rpartition(" ")
    return head + space, last
