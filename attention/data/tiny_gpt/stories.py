"""Little stories for the tiny GPT, made from our own words and templates; nothing is downloaded.

The same seed gives the same stories. Each story keeps to its characters, so that whoever wants to
say how it goes on must look back: a pronoun agrees with its noun, a thing found is the thing that
was lost, and a question at the end asks for something said before.

Some pairs (see `is_held_out`) never meet in training as question and answer, so that a right
answer to them cannot have been learned by heart.
"""

import hashlib
import random

from attention.text import tokenize


def _words(text: str) -> list[str]:
    return text.split()


ANIMALS = _words(
    """cat dog bird fox mouse horse bear rabbit frog duck hen goat cow pig sheep lion wolf owl
    monkey donkey"""
)
WOMEN = _words("girl woman queen mother sister grandmother princess teacher")
MEN = _words("boy man king father brother grandfather prince farmer")
FOOD = _words("fish bread apple cake soup cheese egg carrot pear honey nut banana")
THINGS = _words("ball book cup hat key box letter stone flower lamp ring coat bell drum boat shoe")
SEATS = _words("mat chair table bed rug sofa bench wall roof floor")
PLACES = _words("garden house forest valley kitchen park street cave field village school barn")
COLOURS = _words("red blue green yellow white black brown")
SIZES = _words("small big tall young little")
MOODS = _words("hungry tired happy sad cold wet angry thirsty quiet afraid")
DOING = _words("eating sleeping waiting playing singing running reading laughing swimming resting")
SAT = _words("sat slept stood waited lay")
WENT = _words("went walked ran came")
FOUND = _words("found saw took wanted liked")
LOST = _words("lost dropped forgot hid")

PRONOUNS = {
    **dict.fromkeys(ANIMALS, ("it", "it", "its")),
    **dict.fromkeys(WOMEN, ("she", "her", "her")),
    **dict.fromkeys(MEN, ("he", "him", "his")),
}
CHARACTERS = list(PRONOUNS)


def story(rng: random.Random) -> str:
    """Return one story of about 10 to 60 words, in lower case."""
    return rng.choice((sitting, sitting, losing, giving, walking, *2 * (meals, places, owners)))(
        rng
    )


def sitting(rng: random.Random) -> str:
    """The cat sat on the mat. It is eating now."""
    who = rng.choice(CHARACTERS)
    it = PRONOUNS[who][0]
    text = f"the {who} {rng.choice(SAT)} on the {rng.choice(SEATS)}. {it} "
    text += rng.choice((f"is {rng.choice(DOING)} now.", f"was {rng.choice(MOODS)}."))
    if rng.random() < 0.5:
        other = rng.choice([c for c in CHARACTERS if PRONOUNS[c][0] != it])
        text += f" the {other} {rng.choice(FOUND)} the {who}."
        text += f" {rng.choice((it, PRONOUNS[other][0]))} is {rng.choice(DOING)} now."
    return text


def losing(rng: random.Random) -> str:
    """The girl had a red ball. She lost the ball in the park. ..."""
    who, finder = rng.sample(CHARACTERS, 2)
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    it, _, its = PRONOUNS[who]
    return (
        f"the {who} had a {rng.choice(COLOURS)} {thing}. {it} {rng.choice(LOST)} the {thing} "
        f"in the {place}. {it} was sad. the {finder} went to the {place} and found the {thing}. "
        f"{PRONOUNS[finder][0]} gave the {thing} to the {who}. now the {who} has {its} {thing} "
        f"again, and {it} is happy."
    )


def giving(rng: random.Random) -> str:
    """The king gave the apple to the dog because it was hungry."""
    giver = rng.choice(WOMEN + MEN)
    other = rng.choice([c for c in CHARACTERS if PRONOUNS[c][0] != PRONOUNS[giver][0]])
    food = rng.choice(FOOD)
    he, it = PRONOUNS[giver][0], PRONOUNS[other][0]
    return (
        f"the {giver} gave the {food} to the {other} because {it} was hungry. "
        f"{it} ate the {food}. then {he} gave {PRONOUNS[other][1]} a {rng.choice(THINGS)}. "
        f"the {other} was {rng.choice(MOODS)}, but the {giver} was {rng.choice(MOODS)}."
    )


def walking(rng: random.Random) -> str:
    """Once there was a small fox. It lived in the forest. ..."""
    who = rng.choice(CHARACTERS)
    it, _, its = PRONOUNS[who]
    home, place = rng.sample(PLACES, 2)
    thing = rng.choice(THINGS)
    return (
        f"once there was a {rng.choice(SIZES)} {who}. {it} lived in the {home}. one day {it} "
        f"{rng.choice(WENT)} to the {place}. there {it} saw a {rng.choice(COLOURS)} {thing}. "
        f"{it} took the {thing} and {rng.choice(WENT)} back to the {home}. "
        f"the {who} likes {its} {thing}."
    )


def meals(rng: random.Random) -> str:
    """The cat ate the fish. The dog ate the bread. Who ate the fish? The cat ate the fish."""
    return asked(
        rng, CHARACTERS, "the {} ate the {}.", FOOD, "who ate the {1}? the {0} ate the {1}."
    )


def places(rng: random.Random) -> str:
    """The king is in the park. The cow is in the barn. Who is in the barn? The cow is in ..."""
    question = "who is in the {1}? the {0} is in the {1}."
    return asked(rng, CHARACTERS, "the {} is in the {}.", PLACES, question)


def owners(rng: random.Random) -> str:
    """The boy has a drum. The hen has a key. Who has the drum? The boy has the drum."""
    return asked(
        rng, CHARACTERS, "the {} has a {}.", THINGS, "who has the {1}? the {0} has the {1}."
    )


def asked(rng: random.Random, firsts, fact: str, seconds, answer: str) -> str:
    """State two to four facts about different words, then ask for one to three of them."""
    n = rng.randint(2, 4)
    pairs = list(zip(rng.sample(firsts, n), rng.sample(seconds, n), strict=True))
    allowed = [pair for pair in pairs if not is_held_out(*pair)] or pairs[:0]
    facts = [fact.format(*pair) for pair in pairs]
    questions = rng.sample(allowed, min(len(allowed), rng.randint(1, 3)))
    return " ".join(facts + [answer.format(*pair) for pair in questions])


def is_held_out(first: str, second: str) -> bool:
    """Whether this pair is never asked for in training: a tenth of all, by a digest."""
    return hashlib.blake2b(f"{first} {second}".encode(), digest_size=1).digest()[0] < 26


def vocabulary() -> list[str]:
    """Return every word of the stories, punctuation included, in alphabetical order."""
    rng = random.Random("vocabulary")
    seen = {word for _ in range(3000) for word in tokenize(story(rng)).words}
    return sorted(seen)
