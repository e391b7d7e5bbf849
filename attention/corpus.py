"""Sentences in which it is known what every pronoun means, made from templates.

A learned head needs examples, and no labelled text is shipped: `draw_example` fills templates with
words from `presets/word-lists.txt`, so what "it" stands for is known by construction. The sentences
need not make sense; they need nouns, pronouns and much else around them. A seed gives the same
sentences on every machine.

A fifth of the nouns and names (by a digest of the word) and all of `HELD_OUT_TEMPLATES` are kept
out of training; so are the content words of "The cat sat on the mat. It is eating now." and
well-known nouns of Winograd's sentences (Levesque et al. 2012), with their other forms.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from attention.projections import PRESETS


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NEVER_TRAINED = frozenset(
    _words("""cat cats mat mats sat sit sits sitting eating eat eats ate eaten
    animal animals street streets trophy trophies suitcase suitcases councilmen demonstrators
    permit lawyer lawyers witness ball balls table tables statue statues sculpture shelf fish
    worm worms steel""")
)

# A fifth of each of these lists is held out. Verbs, adjectives and the rest are all trained.
NOUNS = frozenset(
    _words("animals men women people groups herds bodies things plurals places surfaces")
    + _words("menames womennames")
)
# Each list begins with its everyday words; u^FAVOUR, u uniform, draws them more often.
FAVOUR = 1.7
ADJECTIVES = 0.15  # of the noun phrases have one
FILLED = 0.15  # of the sentences are long


@dataclass(frozen=True)
class Example:
    """One labelled sentence.

    `words` are its tokens. `means[i]` is the token that token i stands for: itself, or for a
    pronoun its antecedent. `leans[i]` is the token that token i leans on in a simple grammar: a
    determiner, adjective or preposition on its noun, a verb or predicate on its subject, an adverb
    on its verb, a pronoun on its antecedent, all else on itself. `pronouns` are the pronouns with
    an antecedent. A gap of positions may be put in before token `gap_at` (0: nowhere).
    """

    words: tuple[str, ...]
    means: tuple[int, ...]
    leans: tuple[int, ...]
    pronouns: tuple[int, ...]
    gap_at: int = 0


@dataclass(frozen=True)
class _Kind:
    """A kind of noun: its word list, number, pronouns, and how readily a pronoun means it."""

    words: str
    number: str  # "one" and "many" take a determiner, "time" its own, "name" none
    pronouns: tuple[str, ...]
    salience: int


_KINDS = {
    "animal": _Kind("animals", "one", ("it",), 3),
    "thing": _Kind("things", "one", ("it",), 2),
    "body": _Kind("bodies", "one", ("it",), 2),
    "place": _Kind("places", "one", ("it",), 1),
    "surface": _Kind("surfaces", "one", ("it",), 1),
    "time": _Kind("times", "time", ("it",), 0),
    "man": _Kind("men", "one", ("he",), 3),
    "woman": _Kind("women", "one", ("she",), 3),
    "him": _Kind("menames", "name", ("he",), 3),
    "her": _Kind("womennames", "name", ("she",), 3),
    "person": _Kind("people", "one", ("he", "she"), 2),
    "group": _Kind("groups", "many", ("they",), 3),
    "herd": _Kind("herds", "many", ("they",), 3),
    "speaker": _Kind("speakers", "name", (), 0),
    "things": _Kind("plurals", "many", ("they",), 2),
}
# A slot names a family; a kind said twice is drawn twice as often.
_FAMILIES = {
    "anything": "animal animal animal animal thing thing thing thing man woman him her person "
    "group herd things things body",
    "living": "animal animal animal man woman him her person group herd",
    "somebody": "man woman him her person man woman group",
    "doer": "man woman him her person group speaker",
    "human": "man woman him her person group",
    "object": "thing thing thing thing thing thing thing thing place things things",
    "spot": "place place surface thing",
}
_FORMS = {
    "it": {"he": "it", "him": "it", "his": "its"},
    "he": {"he": "he", "him": "him", "his": "his"},
    "she": {"he": "she", "him": "her", "his": "her"},
    "they": {"he": "they", "him": "them", "his": "their"},
}
_AGREEING = {"is": "are", "was": "were", "has": "have", "does": "do"}
_DETERMINERS = {
    "one": _words("the the the the the a a a my my your our this that one his her their every"),
    "many": _words("the the the the my your our these those some two three many his her their"),
    "name": [""],
    "time": _words("the the this that one every"),
}
_OWNERS = frozenset(_words("its his her their"))
PRONOUNS = frozenset(_words("it its he him his she her they them their"))


def _templates(text: str) -> tuple[str, ...]:
    """Read templates, one a line; one that begins with 3 stands there three times."""
    lines = (line.split(" ", 1) for line in text.strip().splitlines())
    return tuple(template for times, template in lines for _ in range(int(times)))


# A, B, C, T: noun phrases of the families named at the left. A.he, A.him, A.his: a pronoun for A.
# A.is, A.was, A.has, A.runs, A.meets: verbs that agree with A. CAPITALS draw from a word list; a
# trailing ? leaves the word out half of the time. / is where a long sentence gets its extra words.
TRAINING_TEMPLATES = _templates("""
1 A:anything B:spot | A STOOD WHERE B . / A.he A.is VERY? STATES NOW?
2 A:living B:spot | A FLED WHERE B . / A.he A.is DOING NOW?
2 A:living B:spot | A FLED HOW? WHERE B . / A.he A.was VERY? STATES
2 A:living B:spot | A FLED WHERE B . / A.he FLED HOW?
2 A:living | A FLED HOW? . / A.he A.was VERY? STATES
2 A:living C:spot | A FLED HOW? . / A.he FLED WHERE C
1 A:anything | A A.was VERY? STATES . / A.he STOOD HOW?
1 A:somebody B:object | A TOOK B HOW? . / A.he A.is VERY? STATES NOW?
1 A:somebody B:object | A TOOK B HOW? . / B.he B.is VERY? STATES NOW?
1 A:somebody B:object | A TOOK A.his B . / A.he A.was VERY? STATES
1 A:somebody B:object | A TOOK A.his B HOW? . / B.he B.was VERY? STATES
1 A:somebody B:animal | A MET B HOW? . / B.he B.was VERY? STATES
1 A:somebody B:animal C:spot | A MET B WHERE C . / B.he B.was VERY? STATES NOW?
1 A:somebody B:object C:spot | A TOOK B WHERE C . / B.he B.is VERY? STATES NOW?
1 A:somebody B:object C:spot | A TOOK B WHERE C . / A.he A.is VERY? STATES NOW?
2 A:doer B:object | A TOOK B . / B.he B.is VERY? STATES
2 A:doer B:object | A TOOK B . / B.he B.was VERY? STATES
2 A:doer B:object | A TOOK B . / B.he STOOD HOW?
2 A:doer B:object | A TOOK B . / B.he B.is VERY? PLEASANT
2 A:doer B:object C:spot | A TOOK B WHERE C . / B.he B.was VERY? STATES
1 A:doer B:animal | A MET B . / B.he B.was VERY? STATES
1 A:doer B:human | A MET B . / B.he B.was VERY? STATES
3 A:thing B:spot | A A.is WHERE B . / A.he A.is VERY? STATES
3 A:thing B:spot | A STOOD WHERE B . / A.he A.was VERY? STATES
3 A:things B:spot | A A.was WHERE B . / A.he A.was VERY? STATES
2 A:living B:spot | A A.runs WHERE B . / A.he A.is VERY? STATES
2 A:living B:spot | A A.runs WHERE B . / A.he A.runs HOW?
3 A:thing B:spot | A A.runs WHERE B . / A.he A.is VERY? STATES
2 A:doer B:object | A A.meets B . / B.he B.is VERY? STATES
1 A:human B:object | A A.meets B . / A.he A.is VERY? STATES
1 A:human B:object C:object | A TOOK B . / A.he A.meets C
2 A:human B:human | A MET B HOW? . / A.he A.was VERY? STATES
2 A:human B:human | A MET B HOW? . / B.he B.was VERY? STATES
2 A:human B:human | A MET A.his B . / A.he A.is VERY? STATES
2 A:human B:human | A MET A.his B . / B.he B.is VERY? STATES
2 A:human B:human C:spot | A MET B WHERE C . / A.he FLED HOW?
2 A:human B:human C:spot | A MET B WHERE C . / B.he FLED HOW?
1 A:human B:living | A MET B and / MET B.him HOW?
1 A:human B:object | A TOOK B and / TOOK B.him HOW?
2 A:living B:spot | A did not MEET B JOIN / A.he A.was VERY? STATES
1 A:somebody B:object | A did not MEET B JOIN / B.he B.was VERY? STATES
2 A:living | A FLED HOW? , JOIN / A.he A.was VERY? STATES
2 A:living B:spot | A FLED WHERE B , JOIN / A.he FLED HOW?
2 A:living B:spot C:spot | A FLED WHERE B and then / A.he FLED WHERE C
2 A:living B:living | A FLED HOW? . / A.he MET B HOW?
2 A:living B:object C:spot | A FLED WHERE C . / A.he TOOK B
1 A:anything B:anything | A A.was STATES . / A.he A.is VERY? PLEASANT B
1 A:anything | OPEN A STOOD HOW? . / A.he A.was VERY? STATES
2 A:living T:time | in T A FLED HOW? . / A.he A.was VERY? STATES
1 A:anything B:spot T:time | T A STOOD WHERE B . / A.he A.is STATES
2 A:living | A FLED . / NOW A.he A.is DOING
1 A:anything B:spot | A A.is WHERE B . / A.he A.is VERY? STATES
1 A:anything | this A.is A . / A.he A.is VERY? STATES
1 A:anything B:spot | there A.is A WHERE B . / A.he A.is VERY? STATES
1 A:somebody B:object | A A.has B . / B.he B.is VERY? STATES
1 A:somebody B:animal | A A.has B . / A.he MET B.him HOW?
2 A:living | when A FLED , / A.he A.was VERY? STATES
2 A:living B:object | when A MET B , / A.he FLED HOW?
1 A:anything | A who A.was STATES STOOD HOW? . / A.he A.was VERY? STATES
2 A:living B:spot C:human | A FLED WHERE B . / C MET A.him HOW?
1 A:anything | A A.is VERY? STATES . / i MEET A.him VERY?
2 A:living | A can RUN HOW? . / A.he will RUN NOW?
2 A:living B:object | A will MEET B . / A.he can RUN HOW?
2 A:human B:human | A and B FLED HOW? . / A.he A.was STATES
1 A:human B:object C:human | A showed C B . / A.he A.was VERY? STATES
1 A:human | A said that / A.he A.was VERY? STATES
1 A:somebody B:object | A lost A.his B . / A.he TOOK B.him HOW?
2 A:living C:thing | A FLED HOW? . / A.his C was VERY? STATES
""")

HELD_OUT_TEMPLATES = _templates("""
1 A:living B:spot | last night A A.was DOING WHERE B . A.he looked VERY? STATES
1 A:animal B:spot | A FLED WHERE B . A.he A.has been DOING
1 A:somebody B:object | A wanted to MEET B . B.he looked VERY? STATES
1 A:somebody B:object | A wanted to MEET B . A.he looked VERY? STATES
1 A:human B:human | as soon as A MET B , A.he began to RUN
1 A:living B:animal | B B.was never MET by A , but B.he seemed STATES
1 A:living B:spot | even though A A.was VERY? STATES , A.he FLED WHERE B
1 A:somebody B:object | A A.has TOOK B , which made A.him STATES
1 A:living B:spot | A did not cross B because A.he A.was too STATES
1 A:human B:human C:object | A gave B C . B.he B.was STATES
1 A:thing B:spot | somebody left A WHERE B , but A.he A.was STATES
""")


@cache
def is_held_out(noun: str) -> bool:
    """Return whether a noun or name is kept out of training: forced, or a fifth by its digest."""
    return noun in NEVER_TRAINED or one_in(5, noun)


def one_in(n: int, word: str) -> bool:
    """Return whether a word is one of the n-th part that its digest picks out."""
    digest = hashlib.blake2b(word.encode("utf-8"), digest_size=4).digest()
    return int.from_bytes(digest, "little") % n == 0


@cache
def read_lists(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read a file with words under each [name], and lines that begin with # left out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lists: dict[str, list[str]] = {}
    words: list[str] = []
    for line in lines:
        if line.startswith("["):
            words = lists[line.strip("[]")] = []
        elif not line.startswith("#"):
            words += line.split()
    return MappingProxyType({name: tuple(words) for name, words in lists.items()})


def word_lists() -> Mapping[str, tuple[str, ...]]:
    """Return the words of the sentences by kind, those of the training and those kept out."""
    return read_lists(PRESETS / "word-lists.txt")


@cache
def word_list(name: str, held_out: bool = False) -> tuple[str, ...]:
    """Return the words of a list that training draws, or with `held_out` those it never sees.

    Only nouns and names are held out; of the other lists both are the same.
    """
    words = word_lists()[name]
    if name in NOUNS:
        return tuple(word for word in words if is_held_out(word) == held_out)
    return tuple(word for word in words if word not in NEVER_TRAINED | _held_out_nouns())


@cache
def _held_out_nouns() -> frozenset[str]:
    """The nouns kept out, which must not come in as verbs either ("the cook", "to cook")."""
    nouns = (word for name in NOUNS for word in word_lists()[name])
    return frozenset(word for word in nouns if is_held_out(word))


def training_words() -> frozenset[str]:
    """Return every word that a sentence of the training can have."""
    texts = [template.partition("|")[2] for template in TRAINING_TEMPLATES]
    texts += [*_FILLERS, *map(" ".join, _DETERMINERS.values()), "an"]
    texts += [" ".join(forms.values()) for forms in _FORMS.values()]
    texts += [f"{one} {many}" for one, many in _AGREEING.items()]
    written = {word.rstrip("?") for text in texts for word in text.split()}  # and A.he and PLACES
    written = {word for word in written if not any(map(str.isupper, word)) and word != "/"}
    return written.union(*map(word_list, word_lists()))


def draw_example(rng: np.random.RandomState, *, held_out: bool = False) -> Example:
    """Draw one labelled sentence; with `held_out`, templates and nouns are those never trained."""
    templates = HELD_OUT_TEMPLATES if held_out else TRAINING_TEMPLATES
    while True:
        slots, text = _parse(pick(rng, templates))
        writer = _Writer(rng, slots, held_out)
        writer.write(text)
        if writer.is_clear():
            return writer.example()


def draw_examples(rng: np.random.RandomState, n: int, *, held_out: bool = False) -> list[Example]:
    """Draw `n` labelled sentences."""
    return [draw_example(rng, held_out=held_out) for _ in range(n)]


@cache
def _parse(template: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    families, text = template.split("|")
    return tuple(tuple(slot.split(":")) for slot in families.split()), _words(text)


def pick(rng: np.random.RandomState, options: Sequence):
    """Draw one of the options, each as likely."""
    return options[int(rng.random_sample() * len(options))]


_PREPOSITIONS = frozenset(_words("in at by into"))
_VERBS = frozenset(
    _words("did will can showed said lost looked wanted began gave left seemed made")
)


class _Writer:
    """Fills one template, word by word, and remembers what each word means and leans on."""

    def __init__(self, rng: np.random.RandomState, slots: tuple, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out
        self.kinds = {
            slot: _KINDS[pick(rng, _words(_FAMILIES.get(family, family)))] for slot, family in slots
        }
        self.spoken = {slot: pick(rng, kind.pronouns or ("",)) for slot, kind in self.kinds.items()}
        self.punctuated = rng.random_sample() < 0.5
        self.words: list[str] = []
        self.leans: list[int] = []
        self.heads: dict[str, int] = {}  # slot: the index of its noun
        self.pronouns: list[tuple[int, str]] = []
        self.gap_at = 0
        self.clear = True
        self._begin_clause()

    def write(self, text: tuple[str, ...]) -> None:
        for item in text:
            slot, _, form = item.partition(".")
            if item in self.kinds:
                self._noun_phrase(item)
            elif slot in self.kinds and form in ("he", "him", "his"):
                self._pronoun(slot, form)
            elif slot in self.kinds:
                self._verb(self._agreeing(slot, form))
            elif item == "/":
                self.gap_at = len(self.words)
                if self.rng.random_sample() < FILLED:
                    self._filler()
            elif not item.endswith("?") or self.rng.random_sample() < 0.5:
                self._word(item.rstrip("?"))
        if self.punctuated and self.rng.random_sample() < 0.8:
            self._add(".")

    def is_clear(self) -> bool:
        """Return whether every pronoun can be read in one way only."""
        return self.clear and all(self._means_only(slot, at) for at, slot in self.pronouns)

    def example(self) -> Example:
        means = list(range(len(self.words)))
        for at, slot in self.pronouns:
            means[at] = self.leans[at] = self.heads[slot]
        pronouns = tuple(at for at, _ in self.pronouns)
        return Example(tuple(self.words), tuple(means), tuple(self.leans), pronouns, self.gap_at)

    def _means_only(self, meant: str, at: int) -> bool:
        """Another noun before the pronoun that agrees with it must be less salient, or later."""
        for slot, kind in self.kinds.items():
            if slot == meant or self.heads[slot] > at or self.spoken[meant] not in kind.pronouns:
                continue
            is_later_thing = self.heads[slot] > self.heads[meant] and kind.salience < 3
            if kind.salience > self.kinds[meant].salience - (not is_later_thing):
                return False
        return True

    def _begin_clause(self) -> None:
        self.subject: int | None = None
        self.verb: int | None = None
        self.subject_may_change = True
        self.waiting: list[int] = []  # words that lean on what comes next

    def _add(self, word: str, leans: int | None = None) -> int:
        at = len(self.words)
        self.words.append(word)
        self.leans.append(at if leans is None else leans)
        return at

    def _draw(self, name: str) -> str:
        words = word_list(name, self.held_out)
        return words[int(self.rng.random_sample() ** FAVOUR * len(words))]

    def _nominal(self, at: int, may_be_subject: bool = True) -> None:
        """A noun or pronoun: what waited leans on it, and the first of a clause is its subject."""
        for earlier in self.waiting:
            self.leans[earlier] = at
        self.waiting = []
        if self.subject_may_change and may_be_subject:
            self.subject = at
            self.subject_may_change = False

    def _noun_phrase(self, slot: str) -> None:
        kind, rng = self.kinds[slot], self.rng
        phrase = [pick(rng, _DETERMINERS[kind.number])]
        if self.pronouns and self.words[-1] in _OWNERS:  # "its" is the determiner
            phrase = []
            self.clear = self.clear and kind.number != "name"
        if kind.number in ("one", "many") and rng.random_sample() < ADJECTIVES:
            phrase.append(self._draw("pleasant"))
        phrase.append(self._draw(kind.words))
        if phrase[0] == "a" and phrase[1][0] in "aeiou":
            phrase[0] = "an"
        *before, noun = (word for word in phrase if word)
        self.waiting += [self._add(word) for word in before]
        self.heads[slot] = self._add(noun)
        self._nominal(self.heads[slot], may_be_subject=kind.number != "time")

    def _pronoun(self, slot: str, form: str) -> None:
        at = self._add(_FORMS[self.spoken[slot]][form])
        self.pronouns.append((at, slot))
        if form == "his":
            self.waiting.append(at)
        else:
            self._nominal(at)

    def _agreeing(self, slot: str, form: str) -> str:
        many = self.kinds[slot].number == "many" or self.words[-1] in ("i", "we", "you")
        if form in ("runs", "meets"):
            return self._draw(form[:-1] if many else form)
        return _AGREEING[form] if many else form

    def _verb(self, word: str) -> None:
        self.verb = self._add(word, self.subject)
        self.subject_may_change = self.subject is None

    def _word(self, item: str) -> None:
        name = item.lower()
        if item in (".", ","):
            if self.punctuated:
                self._add(item)
            self._begin_clause()
        elif not item.isupper():
            self._literal(item)
        elif name in ("fled", "stood", "took", "met", "doing", "run", "meet"):
            self._verb(self._draw(name))
        elif name in ("where", "very"):
            self.waiting.append(self._add(self._draw(name)))
        elif name in ("how", "now"):
            self._add(self._draw(name), self.verb)
        elif name in ("states", "pleasant"):
            at = self._add(self._draw(name), self.subject)
            for earlier in self.waiting:
                self.leans[earlier] = at
            self.waiting = []
        else:
            self._add(self._draw(name))
            self._begin_clause()

    def _literal(self, word: str) -> None:
        if word in _PREPOSITIONS:
            self.waiting.append(self._add(word))
        elif word in _VERBS:
            self._verb(word)
        elif word in ("because", "but", "when", "and", "that", "which"):
            subject = self.subject
            self._add(word)
            self._begin_clause()
            if word == "and":  # "and loved it" keeps the subject, "and he left" has its own
                self.subject, self.subject_may_change = subject, True
        else:
            at = self._add(word)
            if word in ("i", "somebody", "this"):
                self._nominal(at)

    def _filler(self) -> None:
        """Add one to four phrases with nothing in them that a pronoun could mean."""
        for _ in range(1 + int(self.rng.random_sample() * 4)):
            for item in pick(self.rng, _FILLERS).split():
                if item.isupper():
                    name = item.lower()
                    words = word_list(name)
                    self._add(words[int(self.rng.random_sample() ** FAVOUR * len(words))])
                elif item != "." or self.punctuated:
                    self._add(item)
        self._begin_clause()


_FILLERS = tuple(
    """
and HOW and HOW|OPEN OPEN|of course|as always|for a long time|the whole time|more and more
again and again|very very HOW|in the end|as far as we know|at least for now|if not HOW|like before
nothing happened .|the weather was STATES .|everything was STATES .|we waited HOW .|and so on
WHERE the PLACES|WHERE the PLACES and the PLACES|all day long|the sun was shining .
we talked about the weather and the THINGS .|there was no noise .|i do not know why .
""".strip()
    .replace("\n", "|")
    .split("|")
)


def judged_sentences(name: str) -> list[Example]:
    """Read `presets/<name>-sentences.txt`, "The [dog] slept. {It} is tired." on every line.

    Raises ValueError for a line that does not mark one antecedent and one pronoun.
    """
    lines = (PRESETS / f"{name}-sentences.txt").read_text(encoding="utf-8").splitlines()
    return [_marked(line) for line in lines if line and not line.startswith("#")]


def _marked(line: str) -> Example:
    tokens = re.findall(r"[\[{]?\w+[\]}]?|[^\w\s]", line.lower())
    nouns = [i for i, token in enumerate(tokens) if token.startswith("[")]
    pronouns = [i for i, token in enumerate(tokens) if token.startswith("{")]
    if len(nouns) != 1 or len(pronouns) != 1:
        raise ValueError(
            f"{line!r} marks {len(nouns)} antecedents and {len(pronouns)} pronouns; "
            f"mark one [noun] and one {{pronoun}}."
        )
    words = tuple(token.strip("[]{}") for token in tokens)
    means = tuple(nouns[0] if i == pronouns[0] else i for i in range(len(words)))
    return Example(words, means, means, tuple(pronouns))


def without_punctuation(example: Example) -> Example:
    """Return the same sentence with its full stops, commas and other marks left out."""
    kept = [i for i, word in enumerate(example.words) if word[0].isalnum()]
    new = {old: index for index, old in enumerate(kept)}
    return Example(
        words=tuple(example.words[i] for i in kept),
        means=tuple(new[example.means[i]] for i in kept),
        leans=tuple(new.get(example.leans[i], new[i]) for i in kept),
        pronouns=tuple(new[i] for i in example.pronouns),
        gap_at=sum(i < example.gap_at for i in kept),
    )
