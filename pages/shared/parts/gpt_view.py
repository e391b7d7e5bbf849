"""What the page on GPT has in hand: the models that can be had, what one has written, its maps, the
words that may come next, and how long a word takes. No Streamlit here."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from attention.cache_size import cache_bytes
from attention.decoder import GPT, GptTrace
from attention.functions import softmax
from attention.gpt import Step, decode, encode, forward, generate, joined_weights, likeliest
from attention.gpt_files import smollm2_file
from attention.sampling import keep_top_k, keep_top_p, next_probabilities, with_temperature
from attention.scenario import MAX_WRITTEN, Scenario
from attention.text import Tokens, tokenize
from pages.shared.wording import in_markdown, number

MAX_PROMPT = 64  # tokens on the page, as on every page
SHOWN = 8  # words that get a bar of their own
MEASURED = 64  # tokens of the text that speed is measured on
POINTS = 9  # lengths at which it is measured without a cache
PATIENCE = 0.3  # seconds; what takes longer is measured once, not three times
END = "(end)"
FOLDER = Path(__file__).parents[3] / "gpt2"  # where the command on the page puts GPT-2
VARIABLE = "GPT_MODEL"  # of the environment: a model on one's own machine
NAMES = {
    "tiny": "tiny GPT (shipped)",
    "smollm2": "SmolLM2",
    "gpt2": "GPT-2",
    "own": "your own",
}


# ---- models


def models() -> dict[str, str | Path]:
    """What can be had on this machine: the name in a link, and what `load_gpt` takes."""
    found: dict[str, str | Path] = {"tiny": "tiny"}
    if smollm2_file() is not None:
        found["smollm2"] = "smollm2"
    if FOLDER.is_dir():
        found["gpt2"] = FOLDER
    if own := os.environ.get(VARIABLE):
        found["own"] = Path(own)
    return found


def parameters(model: GPT) -> int:
    """Count a model's numbers; those used twice count once."""
    arrays: dict[int, int] = {}

    def count(thing: object) -> None:
        if isinstance(thing, np.ndarray):
            arrays[thing.__array_interface__["data"][0]] = thing.size  # by place in memory
        elif isinstance(thing, tuple):
            for one in thing:
                count(one)
        elif hasattr(thing, "__dataclass_fields__"):
            for value in vars(thing).values():
                count(value)

    count(model)
    return sum(arrays.values())


# ---- the prompt


@dataclass(frozen=True)
class Prompt:
    """A sentence as a model reads it: T ids, their texts as they are shown, those for which the
    model has no word, and how many tokens do not fit on the page."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    unknown: tuple[bool, ...]
    n_left_out: int = 0


def read_prompt(sentence: str, model: GPT) -> Prompt:
    """Cut a sentence into the model's tokens; those beyond the page's limit are left out."""
    ids = encode(sentence.strip(), model)
    kept = ids[: min(MAX_PROMPT, model.max_tokens)]
    unknown = [False] * len(kept)
    if has_whole_words(model):
        texts = list(tokenize(sentence.strip()).texts[: len(kept)])  # as typed
        unknown = [text == model.tokenizer.UNKNOWN for text in model.tokenizer.texts(kept)]
    else:
        texts = pieces(kept, model)
    return Prompt(kept, tuple(texts), tuple(unknown), len(ids) - len(kept))


def has_whole_words(model: GPT) -> bool:
    """True where a token is a word of the sentence, and some words are unknown."""
    return hasattr(model.tokenizer, "UNKNOWN")


def pieces(ids: Sequence[int], model: GPT, before: str = "") -> list[str]:
    """Write tokens as they are shown, after the text `before`."""
    texts = []
    for i, text in zip(ids, model.tokenizer.texts(ids), strict=True):
        texts.append(END if i in model.tokenizer.end_ids else piece(text, before, model))
        before = text
    return texts


def piece(text: str, before: str, model: GPT) -> str:
    """Write one token: without the space before it, and with … where it goes on with a word."""
    if has_whole_words(model):
        return text
    if not text.strip():
        return text.replace("\n", "⏎").replace(" ", "␣") or "␣"
    goes_on = text[0].isalnum() and before[-1:].isalnum()
    return f"…{text}" if goes_on else text.strip()


# ---- what was written


class Writing:
    """One session's text as far as it was asked for; asked again, nothing is computed twice."""

    def __init__(self) -> None:
        self._model: GPT | None = None
        self._asked: tuple = ()
        self._steps: list[Step] = []
        self._source: Iterator[Step] = iter(())

    def steps(self, ids: tuple[int, ...], model: GPT, count: int, **options) -> tuple[Step, ...]:
        """Return the first `count` steps of `generate`, or fewer where the text ends before."""
        asked = (ids, tuple(options.items()))
        if self._model is not model or self._asked != asked:
            self._model, self._asked, self._steps = model, asked, []
            self._source = generate(ids, model, max_new=MAX_WRITTEN + 1, **options)
        try:
            self._steps += islice(self._source, max(count - len(self._steps), 0))
        except ValueError:
            self._model = None  # or the next to ask would take this for an end
            raise
        return tuple(self._steps[:count])


def sampling(scenario: Scenario) -> dict:
    """The settings of the draw, as `generate` takes them."""
    return {
        "temperature": scenario.gpt_temperature,
        "top_k": scenario.top_k or None,
        "top_p": scenario.top_p,
        "seed": scenario.gpt_seed,
    }


@dataclass(frozen=True, eq=False)
class View:
    """A prompt and what the model wrote behind it, T tokens together, with every head's map.

    steps: those that wrote the words, and one more, whose word is not drawn on the page yet; where
    the text has ended there is none more.  layer, head, row: what is open.
    """

    model: GPT
    source: str
    scenario: Scenario
    prompt: Prompt
    steps: tuple[Step, ...]

    @property
    def written(self) -> tuple[Step, ...]:
        """The steps whose words stand in the text."""
        return self.steps[: self.scenario.written]

    @property
    def is_exhausted(self) -> bool:
        """True where the model draws no further word; it has not read the last one either."""
        return len(self.steps) <= self.scenario.written

    @property
    def ending(self) -> str:
        """Why no further word can come, or nothing."""
        if self.written and self.written[-1].is_end:
            return "The text has ended."
        if self.is_exhausted:
            return f"{self.model.name} has no more than {self.model.max_tokens} places."
        if self.scenario.written == MAX_WRITTEN:
            return f"This page writes at most {MAX_WRITTEN} words."
        return ""

    @property
    def traces(self) -> tuple[GptTrace, ...]:
        """The passes over the text, each going on from the one before."""
        return tuple(step.trace for step in self.steps)

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens that the model has read, (T,)."""
        return self.traces[-1].context.ids

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens that the model has read, as they are shown, (T,)."""
        n = len(self.prompt.ids)
        before = self.model.tokenizer.texts(self.prompt.ids[-1:])[0]
        texts = (*self.prompt.texts, *pieces(self.ids[n:], self.model, before))
        return Tokens(texts, texts)

    @property
    def unknown(self) -> tuple[bool, ...]:
        """The tokens for which the model has no word, (T,)."""
        return self.prompt.unknown + (False,) * (len(self.ids) - len(self.prompt.ids))

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights of all heads, (L, H, T, T)."""
        traces = self.traces
        return np.stack([joined_weights(traces, i) for i in range(len(self.model.layers))])

    @property
    def layer(self) -> int:
        return min(self.scenario.gpt_layer, len(self.model.layers) - 1)

    @property
    def head(self) -> int:
        return min(self.scenario.gpt_head, self.model.n_heads - 1)

    @property
    def name(self) -> str:
        """The open head's, counted from 0: L1H1."""
        return f"L{self.layer}H{self.head}"

    @property
    def map(self) -> np.ndarray:
        """The open head's weights, (T, T)."""
        return self.weights[self.layer, self.head]

    @property
    def row(self) -> int:
        """The token that looks, and whose next word is shown: the last unless chosen."""
        last = len(self.ids) - 1
        row = self.scenario.gpt_row
        return last if row is None or row > last else row

    @property
    def logits(self) -> np.ndarray:
        """The score of every word to come after the token that looks, (V,)."""
        late = self.row - len(self.prompt.ids) + 1
        return self.traces[late].logits[-1] if late > 0 else self.traces[0].logits[self.row]

    @property
    def follower(self) -> int | None:
        """The token that does come after the one that looks, or None where none is yet."""
        if self.row + 1 < len(self.ids):
            return self.ids[self.row + 1]
        return self.written[-1].id if self.is_exhausted else None

    @property
    def continuation(self) -> str:
        """What the model wrote, as a text that goes on from the prompt."""
        new = [step.id for step in self.written if not step.is_end]
        start = decode(self.prompt.ids, self.model)
        whole = decode([*self.prompt.ids, *new], self.model)
        return whole[len(start) :] if whole.startswith(start) else decode(new, self.model)


def view(scenario: Scenario, source: str, model: GPT, writing: Writing) -> View | None:
    """Read the scenario's sentence, and write as many words as it says; None without a token.

    Raises ValueError where the model's numbers leave their range.
    """
    prompt = read_prompt(scenario.sentence, model)
    if not prompt.ids:
        return None
    steps = writing.steps(prompt.ids, model, scenario.written + 1, **sampling(scenario))
    return View(model, source, scenario, prompt, steps)


# ---- the next word


@dataclass(frozen=True, eq=False)
class Candidates:
    """The likeliest next words: what they get as the logits say, and after the three settings.

    texts, ids, plain, final, out: the n likeliest, in order; out says which setting left a word
    out.  n_rest, rest: how many words are not among them, and what they get together, plain and
    final.  dropped: how many words each setting left out, and what these had together until then.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    plain: np.ndarray
    final: np.ndarray
    out: tuple[str, ...]
    n_rest: int
    rest: tuple[float, float]
    dropped: dict[str, tuple[int, float]]

    @property
    def n_kept(self) -> int:
        """How many words can be drawn."""
        return len(self.ids) + self.n_rest - sum(count for count, _ in self.dropped.values())


def candidates(now: View, n: int = SHOWN) -> Candidates:
    """Carry the logits of the token that looks through temperature, top-k and top-p, one by one."""
    options = {key: value for key, value in sampling(now.scenario).items() if key != "seed"}
    plain = softmax(now.logits)
    final = next_probabilities(now.logits, **options)
    cooled = with_temperature(now.logits, options["temperature"])
    by_k = keep_top_k(cooled, options["top_k"])
    by_p = keep_top_p(by_k, options["top_p"])
    out = np.full(len(plain), "", dtype="U11")
    dropped, before = {}, now.logits
    for setting, after in (("temperature", cooled), ("top-k", by_k), ("top-p", by_p)):
        gone = np.isneginf(after) & ~np.isneginf(before)
        out[gone] = setting
        if gone.any():
            dropped[setting] = int(gone.sum()), float(softmax(before)[gone].sum())
        before = after
    ids = likeliest(now.logits, n)
    rest = np.ones(len(plain), bool)
    rest[ids] = False
    before_text = now.model.tokenizer.texts([now.ids[now.row]])[0]
    texts = [pieces([i], now.model, before_text)[0] for i in ids.tolist()]
    return Candidates(
        ids=tuple(ids.tolist()),
        texts=tuple(texts),
        plain=plain[ids],
        final=final[ids],
        out=tuple(out[ids].tolist()),
        n_rest=int(rest.sum()),
        rest=(float(plain[rest].sum()), float(final[rest].sum())),
        dropped=dropped,
    )


class Question(NamedTuple):
    """Which word comes next? Options for a prediction, and those that are right."""

    options: tuple[str, ...]
    right: tuple[str, ...]


def question(now: View, ranks: Sequence[int] = (0, 1, 3, 8)) -> Question:
    """Ask for the likeliest word after the prompt, among less likely ones, in order of the ids.

    Words that look alike are asked for once. The answer does not depend on the settings, none of
    which changes the order.
    """
    logits = now.traces[0].logits[-1]
    before = now.model.tokenizer.texts(now.prompt.ids[-1:])[0]
    order = likeliest(logits, max(ranks) + 1).tolist()
    chosen = sorted({order[rank] for rank in ranks if rank < len(order)})
    shown = {i: pieces([i], now.model, before)[0] for i in chosen}
    right = {shown[i] for i in chosen if logits[i] == logits.max()}
    options = dict.fromkeys(in_markdown(text) for text in shown.values())
    return Question(tuple(options), tuple(o for o in options if o in set(map(in_markdown, right))))


# ---- the cache


def size_of_cache(model: GPT, n_tokens: int) -> int:
    """The bytes of the keys and values of so many tokens, all layers and heads together."""
    p = model.layers[0].projections
    d_k, d_v = p.W_k.shape[1] // p.n_kv_heads, p.W_v.shape[1] // p.n_kv_heads
    return cache_bytes(
        n_tokens,
        p.n_kv_heads,
        d_k,
        d_v,
        n_layers=len(model.layers),
        bytes_per_number=p.W_k.dtype.itemsize,
    )


@dataclass(frozen=True)
class Speed:
    """Milliseconds for one more word behind a text of so many tokens, with a cache and without."""

    lengths: tuple[int, ...]
    with_cache: tuple[float, ...]
    without: tuple[float, ...]

    @property
    def gain(self) -> float:
        """How many times as fast the cache is, at the longest text."""
        return self.without[-1] / self.with_cache[-1]


def measure(ids: Sequence[int], model: GPT) -> Speed:
    """Time one more word at several lengths; the text is repeated until it is long enough, which
    changes the time of no pass. What takes long is timed once, all else three times, the fastest
    counting."""
    longest = min(MEASURED, model.max_tokens)
    text = tuple(islice(cycle(ids), longest))
    lengths = sorted({round(n) for n in np.linspace(min(4, longest), longest, POINTS)})
    with_cache = _fastest(lambda: _with_cache(text, model))
    without = [_fastest(lambda n=n: [_timed(text[:n], model)[0]])[0] for n in lengths]
    return Speed(
        tuple(lengths),
        tuple(1000 * with_cache[n - 1] for n in lengths),
        tuple(1000 * seconds for seconds in without),
    )


def _with_cache(text: Sequence[int], model: GPT) -> list[float]:
    """The seconds of each token, given the cache of those before it."""
    seconds, cache = [], None
    for i in text:
        took, trace = _timed([i], model, cache)
        seconds.append(took)
        cache = trace.cache
    return seconds


def _timed(ids: Sequence[int], model: GPT, cache=None) -> tuple[float, GptTrace]:
    start = time.perf_counter()
    trace = forward(ids, model, cache)
    return time.perf_counter() - start, trace


def _fastest(run) -> np.ndarray:
    """The shortest time of each part of a run, out of one or three runs."""
    start = time.perf_counter()
    times = [run()]
    if time.perf_counter() - start < PATIENCE:
        times += [run(), run()]
    return np.min(times, axis=0)


# ---- what comes after does not count, and the first token


def later_row(now: View) -> int:
    """A row that has something behind it: the one that looks, or of a last one the middle."""
    T = len(now.ids)
    return now.row if now.row < T - 1 else max((T - 1) // 2, 0)


def moved_by_what_follows(now: View, row: int) -> float:
    """The largest difference in any head's weights of a row when the text stops behind it."""
    alone = forward(now.ids[: row + 1], now.model)
    own = np.stack([layer.attention.weights[:, -1] for layer in alone.layers])  # (L, H, row+1)
    return float(np.abs(own - now.weights[:, :, row, : row + 1]).max())


@dataclass(frozen=True)
class Sink:
    """What the first token gets of the later rows: on average over heads, as much as rows that
    spread evenly would give it, and in the head that gives it most; and how long what it hands
    over there is, beside the others."""

    mean: float
    even: float
    layer: int
    head: int
    most: float
    length: float
    others: float


def sink(now: View) -> Sink | None:
    """Measure the first token; None for a text of one token."""
    T = len(now.ids)
    if T < 2:
        return None
    shares = now.weights[:, :, 1:, 0].mean(axis=-1, dtype=np.float64)  # (L, H)
    layer, head = (int(i) for i in np.unravel_index(int(shares.argmax()), shares.shape))
    lengths = value_lengths(now, layer, head)
    return Sink(
        mean=float(shares.mean()),
        even=float((1 / np.arange(2, T + 1)).mean()),
        layer=layer,
        head=head,
        most=float(shares[layer, head]),
        length=float(lengths[0]),
        others=float(lengths[1:].mean()),
    )


def value_lengths(now: View, layer: int, head: int) -> np.ndarray:
    """How long what each token hands over is, through W_o, (T,). Kobayashi et al. 2020, eq. 3."""
    p = now.model.layers[layer].projections
    V = now.traces[-1].layers[layer].attention.V  # (H_kv, T, d_v)
    v = V[head // (p.n_heads // p.n_kv_heads)]
    d_v = v.shape[-1]
    return np.linalg.norm(v @ p.W_o[head * d_v : (head + 1) * d_v], axis=-1)


# ---- how the tiny model answers a question

GATHERS, FINDS = (0, 1), (1, 1)  # layer and head: a full stop looks at who; a word finds the stop
ENOUGH = 0.5


class TwoSteps(NamedTuple):
    """Places: the word that asks, the sign it looks at in the one head, and the word that this had
    looked at in the other; with both weights, and the probability of that word to come next."""

    asks: int
    sign: int
    word: int
    finds: float
    gathers: float
    probability: float


def two_steps(now: View) -> TwoSteps | None:
    """How the tiny model finds an answer, where both heads do what they were found to do here."""
    if now.source != "tiny":
        return None
    asks = now.row
    found = now.weights[(*FINDS, asks)]
    sign = int(found.argmax())
    gathered = now.weights[(*GATHERS, sign)]
    word = int(gathered.argmax())
    probability = float(softmax(now.logits)[now.ids[word]])
    steps = TwoSteps(asks, sign, word, float(found[sign]), float(gathered[word]), probability)
    earned = min(steps.finds, steps.gathers, probability) >= ENOUGH
    return steps if earned and word < sign < asks and now.tokens.texts[sign] == "." else None


# ---- the arithmetic of a probability


class Share(NamedTuple):
    """(logit − largest) ÷ temperature = exponent; e^exponent = power; power ÷ total = result."""

    logit: str
    largest: str
    exponent: str
    power: str
    total: str
    result: str


def share(now: View, word: int) -> Share | None:
    """Print the probability of a word that can be drawn, so that each line recomputes from what
    stands on it; None at temperature 0, which is a limit, and for a word that is left out."""
    options = sampling(now.scenario)
    temperature = options["temperature"]
    cooled = with_temperature(now.logits, temperature)
    kept = np.isfinite(keep_top_p(keep_top_k(cooled, options["top_k"]), options["top_p"]))
    if not kept[word] or temperature == 0:
        return None
    logits = now.logits.astype(np.float64)
    powers = np.exp((logits[kept] - logits.max()) / temperature)
    goal = round(float(np.exp((logits[word] - logits.max()) / temperature) / powers.sum()), 3)
    for decimals in range(2, 12):
        z, largest = round(float(logits[word]), decimals), round(float(logits.max()), decimals)
        exponent = round((z - largest) / temperature, decimals)
        power = round(math.exp(exponent), decimals + 1)
        total = round(float(powers.sum()), decimals + 1)
        if round(power / total, 3) == goal:
            break
    return Share(
        number(z, decimals),
        number(largest, decimals),
        number(exponent, decimals),
        number(power, decimals + 1),
        number(total, decimals + 1),
        number(goal, 3),
    )
