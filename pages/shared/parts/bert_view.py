"""What the page on BERT has in hand: heads as they are to be shown, their names, and one of them
made ready for the playground. No Streamlit here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from attention import heads as measures
from attention.bert import BertTrace, PieceTokens, cut_into_pieces, encode
from attention.dot_product import AttentionTrace
from attention.encoder import Bert
from attention.heads import NAMED_HEADS, NamedHead, join_words, sum_of_queries, without
from attention.scenario import MATRIX_NAMES, NONE_SELECTED, Matrix, Scenario
from attention.text import Tokens, tokenize
from pages.shared import arithmetic

MAX_PIECES = 64  # on the page, [CLS] and [SEP] among them
EARNS = 0.5  # from here on a head's figure earns it its name
STAND_IN = 12  # letters of a word piece that go into the playground's sentence


@dataclass(frozen=True, eq=False)
class View:
    """One sentence's heads as they are shown, N tokens each: word pieces or words, some hidden.

    weights (L, H, N, N); tokens: their N names; pieces: the word pieces that each stands for.
    queries: the places of those that look, at least one; key: of the one looked at, or None.
    total: what each row of the chosen head sums to before it is renormalised, (N,).
    """

    trace: BertTrace
    layer: int
    head: int
    weights: np.ndarray
    tokens: Tokens
    pieces: tuple[tuple[int, ...], ...]
    queries: tuple[int, ...]
    key: int | None
    specials: str
    by_word: bool
    total: np.ndarray

    @property
    def name(self) -> str:
        """The chosen head's, counted from 0: L3H1."""
        return f"L{self.layer}H{self.head}"

    @property
    def map(self) -> np.ndarray:
        """The chosen head's weights, (N, N)."""
        return self.weights[self.layer, self.head]

    @property
    def row(self) -> np.ndarray:
        """The weights of all that look, added up, (N,)."""
        return sum_of_queries(self.map, self.queries)

    @property
    def mean(self) -> np.ndarray:
        """The mean of all heads' maps, (N, N)."""
        return self.weights.mean(axis=(0, 1), dtype=np.float64)

    @cached_property
    def attention(self) -> AttentionTrace:
        """Every step of the chosen head's layer, for word pieces."""
        return self.trace.layers[self.layer].attention

    @property
    def pair(self) -> tuple[int, int] | None:
        """The word pieces whose arithmetic is shown: the first that looks, and of those looked at
        the one with the most weight."""
        if self.key is None:
            return None
        query = self.pieces[self.queries[0]][0]
        row = self.trace.weights[self.layer, self.head, query]
        return query, max(self.pieces[self.key], key=row.__getitem__)


def view(trace: BertTrace, scenario: Scenario) -> View:
    """Show a trace as the scenario asks for: words or pieces, special tokens or not, who looks."""
    shown = trace.tokens
    groups = [(piece,) for piece in range(len(shown))]
    texts, weights = shown.texts, trace.weights
    if scenario.by_word:
        groups = [
            tuple(p for p, word in enumerate(shown.word_of) if word == place)
            for place in range(len(shown.words))
        ]
        texts, weights = shown.words, join_words(weights, shown.word_of)
    hidden = []
    if scenario.specials != "shown":
        hidden = [place for place, group in enumerate(groups) if shown.special[group[0]]]
    plain = without(weights, hidden)
    renormalise = scenario.specials == "renormalised"
    weights = without(weights, hidden, renormalise=True) if renormalise else plain
    kept = measures.kept_tokens(len(groups), hidden).tolist()
    layer = min(scenario.layer, weights.shape[0] - 1)
    head = min(scenario.head, weights.shape[1] - 1)
    names = tuple(texts[place] for place in kept)
    made = View(
        trace=trace,
        layer=layer,
        head=head,
        weights=weights,
        tokens=Tokens(names, names),
        pieces=tuple(groups[place] for place in kept),
        queries=(),
        key=None,
        specials=scenario.specials,
        by_word=scenario.by_word,
        total=plain[layer, head].sum(axis=-1),
    )
    return _choose(made, scenario)


def _choose(made: View, scenario: Scenario) -> View:
    """Find who looks and who is looked at: what the scenario says where it is there to see, else
    the first pronoun or the last word, and where most of its weight goes."""
    place_of = {piece: place for place, group in enumerate(made.pieces) for piece in group}
    queries = sorted({place_of[piece] for piece in scenario.looking if piece in place_of})
    made = replace(made, queries=tuple(queries) or (place_of[first_choice(made.trace.tokens)],))
    if scenario.looked_at == NONE_SELECTED:
        return made
    key = place_of.get(scenario.looked_at)
    return replace(made, key=int(np.argmax(made.row)) if key is None else key)


def first_choice(tokens: PieceTokens) -> int:
    """The first pronoun, else the last word piece before [SEP]."""
    pronouns = measures.pronoun_places(tokens.texts)
    return pronouns[0] if pronouns else _ordinary(tokens)[-1]


def _ordinary(tokens: PieceTokens) -> list[int]:
    return [piece for piece, special in enumerate(tokens.special) if not special]


def beginning(sentence: str, model: Bert) -> tuple[str, int]:
    """The part of a sentence that fits on the page, and how many letters of it are left out."""
    fits = sentence
    while True:
        try:
            tokens = cut_into_pieces(fits, model)
        except ValueError:  # more than the model can read
            fits = fits[: len(fits) // 2]
            continue
        if len(tokens) <= MAX_PIECES:
            return fits, len(sentence) - len(fits)
        over = MAX_PIECES - 1  # the first that does not fit beside [SEP]
        word = tokens.word_of.index(tokens.word_of[over])
        fits = fits[: tokens.spans[word][0] or tokens.spans[over][0]]


def trace_of(sentence: str, model: Bert, masked: Sequence[int] = ()) -> BertTrace:
    """Run a sentence through the model; no token attends to the masked ones that are there."""
    count = len(cut_into_pieces(sentence, model)) if masked else 0
    return encode(sentence, model, hidden_tokens=[piece for piece in masked if piece < count])


# ---- the chosen head's arithmetic


class Cell(NamedTuple):
    """One cell of a head, printed: score → scaled → weight, and one number of query, key, output.

    component: which of the d_k numbers `q` and `k` open; column: the output's largest.
    """

    score: arithmetic.Sum
    scaled: arithmetic.Quotient
    weight: arithmetic.Softmax
    output: arithmetic.Sum
    q: arithmetic.Sum
    k: arithmetic.Sum
    component: int
    column: int


def cell(now: View, query: int, key: int, component: int | None) -> Cell:
    """Open one weight into its arithmetic; query and key are word pieces."""
    a, h = now.attention, now.head
    Q, K, V = a.Q[h], a.K[h], a.V[h]
    if component is None or component >= Q.shape[-1]:
        component = int(np.argmax(np.abs(Q[query] * K[key])))
    heads = a.heads[h]
    column = int(np.argmax(np.abs(heads[query])))
    score, scaled = float(a.scores[h, query, key]), float(a.scaled[h, query, key])
    return Cell(
        score=arithmetic.sum_of_products(Q[query], K[key], score),
        scaled=arithmetic.quotient(score, np.sqrt(Q.shape[-1]), scaled),
        weight=arithmetic.softmax_cell(a.scaled[h, query], now.trace.mask, key),
        output=arithmetic.sum_of_products(a.weights[h, query], V[:, column], heads[query, column]),
        q=_projected(now, "q", query, component, float(Q[query, component])),
        k=_projected(now, "k", key, component, float(K[key, component])),
        component=component,
        column=column,
    )


def _projected(now: View, letter: str, piece: int, component: int, total: float):
    """One number of a query or key: x times a column of W, and 1 times the bias as last term."""
    W, b = head_matrix(now, f"W_{letter}")
    x = now.trace.inputs[now.layer, piece]
    return arithmetic.sum_of_products(
        np.append(x, 1), np.append(W[:, component], b[component]), total
    )


def head_matrix(now: View, name: str) -> tuple[np.ndarray, np.ndarray]:
    """W (D, d) and bias (d,) of the chosen head, out of its layer's W_q, W_k or W_v."""
    p = now.trace.layers[now.layer].weights.attention
    W, b = getattr(p, name), getattr(p, name.replace("W", "b"))
    width = W.shape[1] // p.n_heads
    columns = slice(now.head * width, (now.head + 1) * width)
    return W[:, columns], b[columns]


def value_lengths(now: View, layer: int, head: int) -> np.ndarray:
    """How long what each token hands over is, through W_o, (T,). Kobayashi et al. 2020, eq. 3."""
    block = now.trace.layers[layer]
    p, V = block.weights.attention, block.attention.V[head]  # (T, d_v)
    d_v = V.shape[-1]
    return np.linalg.norm(V @ p.W_o[head * d_v : (head + 1) * d_v], axis=-1)


# ---- names


class Earned(NamedTuple):
    """A named head on this sentence: its figure, or None where there is nothing to measure, whether
    that earns the name, and the word pieces that it speaks of."""

    named: NamedHead
    figure: float | None
    earned: bool
    query: int | None = None
    key: int | None = None
    others: float = 0.0  # what the other rows pay to `key`, on average
    first_in: int = 0  # rows that pay most to `key`


def names(trace: BertTrace) -> tuple[Earned, ...]:
    """Measure every named head on this sentence, on word pieces with nothing hidden."""
    return tuple(_earned(named, trace) for named in NAMED_HEADS)


def _earned(named: NamedHead, trace: BertTrace) -> Earned:
    W, tokens = trace.weights[named.layer, named.head], trace.tokens
    if named.measure == "coreference_share":
        return _coreference(named, W, tokens)
    if named.measure == "column_share":
        ordinary = _ordinary(tokens)
        key = ordinary[int(np.argmax(W.mean(axis=0)[ordinary]))]
        figure = float(measures.column_share(W, key))
        first_in = int((W.argmax(axis=-1) == key).sum())
        return Earned(named, figure, figure >= EARNS, key=key, first_in=first_in)
    figure = float(getattr(measures, named.measure)(W))
    return Earned(named, figure, figure >= EARNS)


def _coreference(named: NamedHead, W: np.ndarray, tokens: PieceTokens) -> Earned:
    """Of the first pronoun that has a word before it: its weight on the one it looks at most."""
    pronouns = measures.pronoun_places(tokens.texts)
    before = [p for p in _ordinary(tokens) if p not in pronouns]
    query = next((p for p in pronouns if before and before[0] < p), None)
    if query is None:
        return Earned(named, None, False)
    before = [p for p in before if p < query]
    key = before[int(np.argmax(W[query, before]))]
    figure = float(measures.coreference_share(W, [(query, key)]))
    others = float(measures.column_share(W, key, except_queries=pronouns))
    return Earned(named, figure, figure >= EARNS and others < figure / 2, query, key, others)


# ---- into the playground


def carried(now: View) -> dict[str, object]:
    """The fields of a scenario in which the playground computes the chosen head, biases included.

    x·W + b is (x, 1)·(W over b): X gets a column of ones, each matrix its bias as last row.
    """
    T = len(now.trace.tokens)
    X = np.hstack([now.trace.inputs[now.layer], np.ones((T, 1), np.float32)])  # (T, D+1)
    stacked = {name: Matrix.of(np.vstack(head_matrix(now, name))) for name in MATRIX_NAMES}
    pair = now.pair
    return {
        "sentence": stand_in_sentence(now.trace.tokens),
        "matrices": "random",
        "embedding": "uploaded",
        "positions": "none",
        "scaling": True,
        "causal": False,
        "query": now.pieces[now.queries[0]][0],
        "key": pair[1] if pair else NONE_SELECTED,
        "cell": "",
        "X": Matrix.of(X),
        **stacked,
    }


def stand_in_sentence(tokens: PieceTokens) -> str:
    """Write the word pieces so that the playground cuts the text into just as many tokens."""
    words = [_one_token(text) for text in tokens.texts]
    sentence = " ".join(words)
    if len(tokenize(sentence)) != len(tokens):
        sentence = " ".join(["token"] * len(tokens))
    return sentence


def _one_token(text: str) -> str:
    plain = text.removeprefix("##")
    plain = plain.strip("[]") or plain
    plain = plain[:STAND_IN]
    return plain if len(tokenize(plain)) == 1 else "?"
