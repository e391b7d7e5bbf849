"""Every term that the pages use, one sentence each, and the papers that their statements rest on.

Data and the way to find things in it; no Streamlit here. A new page adds itself to the terms that
it uses, and its sources to `TRAIL`; `tests/test_page_glossary.py` says what is missing.
"""

import re
from typing import NamedTuple

LINKS = 3  # pages to which a term links; it names the ones that say most about it first


class Term(NamedTuple):
    """A term, what it means in one sentence of Markdown, the pages that use it (those that explain
    it first), and other forms in which it stands there."""

    name: str
    meaning: str
    pages: tuple[str, ...]
    words: tuple[str, ...] = ()


class Source(NamedTuple):
    """A paper or text: who, when, its title, what it brought, and where it can be read."""

    authors: str
    year: int
    title: str
    brought: str
    url: str = ""


TERMS = (
    Term(
        "[CLS] and [SEP]",
        "Two tokens that BERT puts before and after every text; many heads rest on them.",
        ("bert",),
        ("CLS", "SEP"),
    ),
    Term(
        "Adam",
        "The rule by which most networks are trained: each number moves against its gradient, in "
        "steps sized by how large that gradient has been of late.",
        ("learn",),
    ),
    Term(
        "ALiBi",
        "A way to tell of order: the further apart two words stand, the more is taken off their "
        "scaled score.",
        ("order",),
    ),
    Term(
        "Attention",
        "Lets each word take in something from others, from each as much as the word’s query fits "
        "the other’s key.",
        (
            "start",
            "playground",
            "qkv",
            "heads",
            "memory",
            "order",
            "block",
            "learn",
            "softmax",
            "bert",
            "practice",
            "fails",
        ),
    ),
    Term(
        "Bag of words",
        "A text without its order: which words there are, not where they stand.",
        ("order", "start"),
    ),
    Term(
        "Batch",
        "The sentences that one step of training looks at together.",
        ("learn",),
    ),
    Term(
        "BERT",
        "A stack of Transformer blocks, published in 2018, in which every word may look at every "
        "other; it was trained to fill in hidden words.",
        ("bert", "block", "masks"),
    ),
    Term(
        "Bias",
        "A number, or a row of them, that is added whatever comes in; learned like the weight "
        "matrices.",
        ("block", "memory", "bert"),
        ("biases",),
    ),
    Term(
        "Block",
        "Attention and feed-forward, each with its residual connection and its norm; a Transformer "
        "is a stack of them.",
        ("block",),
    ),
    Term(
        "Cache of keys and values",
        "The keys and values of earlier words, kept while a model writes word by word, so that "
        "they need not be computed again.",
        (
            "gpt",
            "heads",
        ),
        ("cache", "KV cache"),
    ),
    Term(
        "Causal mask",
        "Lets a word look at itself and at what stands before it, never ahead.",
        ("masks", "order", "block", "memory", "playground"),
    ),
    Term(
        "Coreference",
        "That two words mean the same thing, as a pronoun and its noun do.",
        ("bert",),
    ),
    Term(
        "Cosine",
        "How far two vectors point the same way, whatever their lengths: 1 the same direction, 0 "
        "at right angles, −1 opposite.",
        ("scaling", "block"),
        ("cos",),
    ),
    Term(
        "Cross-attention",
        "Attention in which the queries come from one text and the keys and values from another, "
        "as in translation.",
        ("qkv",),
    ),
    Term(
        "Decoder",
        "The stack of blocks that writes, word by word, under a causal mask; GPT is one.",
        ("block",),
    ),
    Term(
        "Dot product",
        "Two vectors multiplied number by number, and the products added up.",
        ("start", "scaling"),
    ),
    Term(
        "Embedding",
        "Turning a word into a vector, and that vector itself; “word vector” means the same.",
        ("playground", "start"),
        ("embeddings",),
    ),
    Term(
        "Encoder",
        "The stack of blocks that reads a text, every word looking both ways; BERT is one.",
        ("block",),
    ),
    Term(
        "Entropy",
        "How evenly a row of weights is shared out: 0 when one word has it all, largest when all "
        "have the same.",
        ("scaling",),
    ),
    Term(
        "Feed-forward",
        "The part of a block that works on each word alone: a wide layer, a bend (GELU), and back "
        "to the vector’s width.",
        ("block",),
    ),
    Term(
        "Filling",
        "Tokens without meaning that bring sentences computed together to one length; also called "
        "padding.",
        ("masks",),
    ),
    Term(
        "Forget gate",
        "The gate of an LSTM that says how much of its memory is kept at each word.",
        ("memory",),
    ),
    Term(
        "Full precision",
        "Numbers of 32 bits, about seven digits; rounded copies take half the room or less.",
        ("bert",),
    ),
    Term(
        "Gate",
        "Numbers between 0 and 1, computed at each word, by which a recurrent network multiplies "
        "what it keeps or lets in.",
        ("memory",),
    ),
    Term(
        "GELU",
        "The bend in the feed-forward: keeps large numbers as they are and turns negative ones to "
        "nearly 0.",
        ("block",),
    ),
    Term(
        "GloVe",
        "Word vectors learned from which words stand near which in much text.",
        ("start", "learn", "playground"),
    ),
    Term(
        "GPT",
        "A stack of Transformer blocks with a causal mask, first published in 2018; it was trained "
        "to say the next word.",
        ("gpt", "block", "masks"),
    ),
    Term(
        "Gradient",
        "How a result moves when a number moves a little; training moves each number against its "
        "gradient.",
        ("scaling", "learn"),
    ),
    Term(
        "Grouped-query attention",
        "Several heads of queries share one head of keys and values, which keeps the cache small.",
        ("heads",),
        ("grouped-query",),
    ),
    Term(
        "GRU",
        "A recurrent network with two gates, simpler than an LSTM.",
        ("memory", "start"),
    ),
    Term(
        "Head",
        "One set of weight matrices for queries, keys and values, with the attention it computes; "
        "a layer has several side by side.",
        (
            "heads",
            "start",
            "playground",
            "learn",
            "memory",
            "scaling",
            "order",
            "block",
            "bert",
            "practice",
            "fails",
        ),
    ),
    Term(
        "Held-out",
        "Kept out of the training, to see whether what was learned also holds for what is new.",
        ("learn",),
    ),
    Term(
        "Key",
        "The vector by which a word can be found: other words’ queries are compared with it.",
        ("start", "qkv", "playground", "scaling", "heads", "masks", "order", "bert", "practice"),
        ("keys",),
    ),
    Term(
        "Layer",
        "One round of computing on all words; in a Transformer the same as a block.",
        ("block", "heads", "masks", "bert", "fails", "gpt"),
    ),
    Term(
        "Length of a vector",
        "The root of the sum of its squared numbers.",
        ("scaling", "block", "heads", "memory", "masks", "qkv"),
        ("length", "long"),
    ),
    Term(
        "Logit",
        "The score that a model gives a word, before a softmax over all words makes it a "
        "probability.",
        ("gpt",),
        ("logits",),
    ),
    Term(
        "Loss",
        "One number for how wrong the answers are; training makes it smaller.",
        ("learn",),
    ),
    Term(
        "LSTM",
        "A recurrent network with a second memory and gates that decide what it keeps.",
        ("memory", "start"),
    ),
    Term(
        "Map",
        "All weights of a sentence in one square: a row for each word that looks, a column for "
        "each word looked at.",
        ("bert", "qkv", "heads", "order"),
    ),
    Term(
        "Mask",
        "Says which words a word may look at; closed scores count as −∞, so their weight is 0.",
        ("masks", "start", "playground", "memory", "order", "block"),
    ),
    Term(
        "MiniLM",
        "A small BERT of 6 layers with 12 heads each, trained to attend as a larger model does.",
        ("bert",),
    ),
    Term(
        "Multi-head attention",
        "Several heads side by side, each with keys and values of its own; what they find is added "
        "up through $W_o$.",
        ("heads",),
        ("multi-head",),
    ),
    Term(
        "Multi-query attention",
        "All heads of queries share a single head of keys and values.",
        ("heads",),
        ("multi-query",),
    ),
    Term(
        "NaN",
        "“Not a number”: what a computer answers to 0 ÷ 0, and to anything computed from that.",
        ("masks",),
    ),
    Term(
        "Norm",
        "Layer norm takes the mean off a vector’s numbers and divides them by their standard "
        "deviation, so that every vector gets the same length.",
        ("block",),
        ("layer norm",),
    ),
    Term(
        "One-hot",
        "A vector with a single 1, in the column that belongs to one word, and zeros elsewhere.",
        ("playground", "start"),
    ),
    Term(
        "Output",
        "A word’s new vector: all values, each times its weight, added up.",
        ("start", "playground", "heads", "masks", "softmax", "order", "learn"),
    ),
    Term(
        "Position",
        "What tells attention where a word stands: numbers added to its vector, or a turn of its "
        "query and key.",
        ("order", "start", "playground", "memory"),
        ("positions",),
    ),
    Term(
        "Query",
        "The vector that says what a word looks for: it is compared with all keys.",
        ("start", "qkv", "playground", "scaling", "heads", "masks", "order", "memory", "bert"),
        ("queries",),
    ),
    Term(
        "Recurrent network",
        "Reads word by word and carries all it remembers in one state.",
        ("memory",),
    ),
    Term(
        "Residual connection",
        "What a part makes is added to what came in, instead of taking its place.",
        ("block",),
    ),
    Term(
        "RNN",
        "The plain recurrent network: word and state are mixed anew at each word.",
        ("memory", "start"),
    ),
    Term(
        "Rotary positions",
        "A way to tell of order: queries and keys are turned, further at each place, so that a "
        "score depends on how far apart two words stand.",
        ("order",),
        ("rotary",),
    ),
    Term(
        "Scaled score",
        "A score divided by $\\sqrt{d_k}$: what goes into the softmax.",
        ("scaling", "start", "softmax", "masks", "order", "playground"),
        ("scores, scaled", "scaled scores", "scaled"),
    ),
    Term(
        "Score",
        "The dot product of one word’s query and another’s key.",
        ("start", "scaling", "qkv", "playground", "softmax", "masks", "order", "memory"),
        ("scores",),
    ),
    Term(
        "Seed",
        "A number from which all random numbers follow: the same seed gives the same numbers.",
        ("playground", "heads", "block", "gpt"),
    ),
    Term(
        "Self-attention",
        "Attention in which queries, keys and values are all made from the same words.",
        ("start", "qkv"),
    ),
    Term(
        "Sink",
        "A token, mostly the first, to which heads give the attention that they have no other use "
        "for.",
        ("bert", "gpt"),
        ("sinks",),
    ),
    Term(
        "Sinusoidal positions",
        "A way to tell of order: each place has a pattern of sine and cosine waves, which is added "
        "to the word’s vector.",
        ("order",),
        ("sinusoidal",),
    ),
    Term(
        "Sliding window",
        "A mask that lets a word look only so many words to either side.",
        ("masks",),
    ),
    Term(
        "Softmax",
        "Turns a row of scores into weights: $e$ to the power of each, divided by the sum of all "
        "of them.",
        (
            "softmax",
            "start",
            "scaling",
            "qkv",
            "heads",
            "masks",
            "learn",
            "playground",
            "fails",
            "bert",
        ),
    ),
    Term(
        "Standard deviation",
        "How far numbers lie from their mean, typically: the root of the variance.",
        ("block",),
    ),
    Term(
        "State",
        "The numbers in which a recurrent network carries all that it has read.",
        ("memory", "start"),
    ),
    Term(
        "Temperature",
        "A number that divides the scores before the softmax: below 1 it picks more sharply, above "
        "1 more evenly.",
        ("scaling", "gpt"),
    ),
    Term(
        "Token",
        "A piece of text that gets one vector: here a word or a sign, in real models often a part "
        "of a word.",
        ("start", "bert", "gpt"),
        ("tokens",),
    ),
    Term(
        "Top-k",
        "Drawing the next word among the k likeliest alone.",
        ("gpt",),
    ),
    Term(
        "Top-p",
        "Drawing the next word among the fewest of the likeliest that together reach the "
        "probability p; also called nucleus sampling.",
        ("gpt",),
    ),
    Term(
        "Transformer",
        "A network made of blocks of attention and feed-forward, without recurrence; BERT and GPT "
        "are two.",
        ("block", "scaling"),
    ),
    Term(
        "Transposed",
        "A matrix with its rows and columns exchanged, written $S^\\top$.",
        ("qkv", "playground"),
    ),
    Term(
        "Update gate",
        "The gate of a GRU that says how much of its state is kept at each word.",
        ("memory",),
    ),
    Term(
        "Value",
        "The vector that a word hands over to those that look at it.",
        ("start", "qkv", "playground", "heads"),
        ("values",),
    ),
    Term(
        "Variance",
        "How widely numbers are spread: the mean of their squared distances from their mean.",
        ("scaling",),
    ),
    Term(
        "Vector",
        "A row of numbers; its width says how many.",
        (
            "start",
            "qkv",
            "block",
            "playground",
            "learn",
            "memory",
            "scaling",
            "order",
            "masks",
            "fails",
        ),
        ("vectors",),
    ),
    Term(
        "Weight decay",
        "At each step of training every number is pulled a little towards 0, so that none grows "
        "without need.",
        ("learn",),
    ),
    Term(
        "Weight matrix",
        "A table of learned numbers by which vectors are multiplied: $W_q$ makes queries, $W_k$ "
        "keys, $W_v$ values.",
        ("start", "qkv", "playground", "heads"),
        ("weight matrices", "parameters"),
    ),
    Term(
        "Weights",
        "Attention weights: what the softmax makes of a row of scores, none negative, together 1.",
        (
            "softmax",
            "start",
            "playground",
            "learn",
            "memory",
            "qkv",
            "scaling",
            "heads",
            "order",
            "masks",
            "bert",
            "fails",
            "gpt",
        ),
        ("weight",),
    ),
    Term(
        "Width",
        "How many numbers a vector has: $d_k$ for queries and keys, $D$ for the words’ vectors.",
        ("scaling", "start", "playground", "memory", "heads", "learn", "block"),
        ("wide",),
    ),
    Term(
        "Word piece",
        "A part of a word that gets a vector of its own, so that few pieces make all words.",
        ("bert",),
        ("word pieces", "pieces"),
    ),
    Term(
        "Word vector",
        "The vector that stands for a word wherever it occurs, learned so that words used alike "
        "have similar numbers.",
        ("start", "playground", "learn", "order", "scaling"),
        ("word vectors", "words’ vectors"),
    ),
)

TRAIL = (
    Source(
        "Winograd",
        1972,
        "Understanding natural language",
        "two sentences that differ in one word, and in what a pronoun means",
    ),
    Source(
        "Bridle",
        1990,
        "Probabilistic interpretation of feedforward classification network outputs, with "
        "relationships to statistical pattern recognition",
        "named the softmax",
    ),
    Source("Elman", 1990, "Finding structure in time", "the plain recurrent network"),
    Source(
        "Hochreiter and Schmidhuber",
        1997,
        "Long short-term memory",
        "the LSTM: a memory that fades slowly",
    ),
    Source(
        "Gers et al.",
        2000,
        "Learning to forget: continual prediction with LSTM",
        "the forget gate",
    ),
    Source(
        "Levesque, Davis and Morgenstern",
        2012,
        "The Winograd schema challenge",
        "many such pairs, to test whether a machine understands",
        "https://cdn.aaai.org/ocs/4492/4492-21843-1-PB.pdf",
    ),
    Source(
        "Pascanu et al.",
        2013,
        "On the difficulty of training recurrent neural networks",
        "why gradients fade or explode over time",
        "https://arxiv.org/abs/1211.5063",
    ),
    Source(
        "Cho et al.",
        2014,
        "Learning phrase representations using RNN encoder–decoder for statistical machine "
        "translation",
        "the network later called GRU",
        "https://arxiv.org/abs/1406.1078",
    ),
    Source(
        "Pennington et al.",
        2014,
        "GloVe: global vectors for word representation",
        "the word vectors used here",
        "https://aclanthology.org/D14-1162/",
    ),
    Source(
        "Bahdanau et al.",
        2015,
        "Neural machine translation by jointly learning to align and translate",
        "attention, on top of a recurrent network",
        "https://arxiv.org/abs/1409.0473",
    ),
    Source(
        "Hinton et al.",
        2015,
        "Distilling the knowledge in a neural network",
        "a softmax with a temperature, to teach one network by another",
        "https://arxiv.org/abs/1503.02531",
    ),
    Source(
        "Jozefowicz et al.",
        2015,
        "An empirical exploration of recurrent network architectures",
        "how much a forget gate’s first bias matters",
        "https://proceedings.mlr.press/v37/jozefowicz15.html",
    ),
    Source(
        "Kingma and Ba",
        2015,
        "Adam: a method for stochastic optimization",
        "the rule of training used here",
        "https://arxiv.org/abs/1412.6980",
    ),
    Source(
        "Le et al.",
        2015,
        "A simple way to initialize recurrent networks of rectified linear units",
        "a plain network that begins by copying its state",
        "https://arxiv.org/abs/1504.00941",
    ),
    Source(
        "Ba et al.",
        2016,
        "Layer normalization",
        "layer norm",
        "https://arxiv.org/abs/1607.06450",
    ),
    Source(
        "Goodfellow et al.",
        2016,
        "Deep learning",
        "the textbook; here on overflow in the softmax",
        "https://www.deeplearningbook.org",
    ),
    Source(
        "He et al.",
        2016,
        "Deep residual learning for image recognition",
        "residual connections",
        "https://arxiv.org/abs/1512.03385",
    ),
    Source(
        "Hendrycks and Gimpel",
        2016,
        "Gaussian error linear units (GELUs)",
        "the bend of BERT and GPT",
        "https://arxiv.org/abs/1606.08415",
    ),
    Source(
        "Vaswani et al.",
        2017,
        "Attention is all you need",
        "the Transformer: attention without recurrence",
        "https://arxiv.org/abs/1706.03762",
    ),
    Source(
        "Fan et al.",
        2018,
        "Hierarchical neural story generation",
        "top-k",
        "https://arxiv.org/abs/1805.04833",
    ),
    Source(
        "Khandelwal et al.",
        2018,
        "Sharp nearby, fuzzy far away: how neural language models use context",
        "how far back a trained LSTM looks",
        "https://aclanthology.org/P18-1027",
    ),
    Source(
        "Radford et al.",
        2018,
        "Improving language understanding by generative pre-training",
        "GPT",
        "https://cdn.openai.com/research-covers/language-unsupervised/"
        "language_understanding_paper.pdf",
    ),
    Source(
        "Clark et al.",
        2019,
        "What does BERT look at? An analysis of BERT’s attention",
        "what heads of BERT look at",
        "https://arxiv.org/abs/1906.04341",
    ),
    Source(
        "Devlin et al.",
        2019,
        "BERT: pre-training of deep bidirectional Transformers for language understanding",
        "BERT",
        "https://arxiv.org/abs/1810.04805",
    ),
    Source(
        "Jain and Wallace",
        2019,
        "Attention is not explanation",
        "why weights alone do not say why",
        "https://arxiv.org/abs/1902.10186",
    ),
    Source(
        "Lee et al.",
        2019,
        "Set Transformer: a framework for attention-based permutation-invariant neural networks",
        "shuffled in, shuffled out",
        "https://arxiv.org/abs/1810.00825",
    ),
    Source(
        "Loshchilov and Hutter",
        2019,
        "Decoupled weight decay regularization",
        "weight decay beside Adam",
        "https://arxiv.org/abs/1711.05101",
    ),
    Source(
        "Michel et al.",
        2019,
        "Are sixteen heads really better than one?",
        "how many heads can be silenced",
        "https://arxiv.org/abs/1905.10650",
    ),
    Source(
        "Radford et al.",
        2019,
        "Language models are unsupervised multitask learners",
        "GPT-2",
    ),
    Source(
        "Shazeer",
        2019,
        "Fast Transformer decoding: one write-head is all you need",
        "multi-query attention",
        "https://arxiv.org/abs/1911.02150",
    ),
    Source(
        "Voita et al.",
        2019,
        "Analyzing multi-head self-attention: specialized heads do the heavy lifting, the rest can "
        "be pruned",
        "which heads matter",
        "https://arxiv.org/abs/1905.09418",
    ),
    Source(
        "Wiegreffe and Pinter",
        2019,
        "Attention is not not explanation",
        "when weights can explain something after all",
        "https://arxiv.org/abs/1908.04626",
    ),
    Source(
        "Beltagy et al.",
        2020,
        "Longformer: the long-document Transformer",
        "sliding windows for long texts",
        "https://arxiv.org/abs/2004.05150",
    ),
    Source(
        "Holtzman et al.",
        2020,
        "The curious case of neural text degeneration",
        "top-p",
        "https://arxiv.org/abs/1904.09751",
    ),
    Source(
        "Kitaev et al.",
        2020,
        "Reformer: the efficient Transformer",
        "queries and keys from one matrix",
        "https://arxiv.org/abs/2001.04451",
    ),
    Source(
        "Kobayashi et al.",
        2020,
        "Attention is not only a weight: analyzing Transformers with vector norms",
        "a weight counts only with the length of the value",
        "https://arxiv.org/abs/2004.10102",
    ),
    Source(
        "Wang et al.",
        2020,
        "MiniLM: deep self-attention distillation for task-agnostic compression of pre-trained "
        "Transformers",
        "MiniLM, the small BERT of these pages",
        "https://arxiv.org/abs/2002.10957",
    ),
    Source(
        "Xiong et al.",
        2020,
        "On layer normalization in the Transformer architecture",
        "what changes with the norm first",
        "https://arxiv.org/abs/2002.04745",
    ),
    Source(
        "Geva et al.",
        2021,
        "Transformer feed-forward layers are key-value memories",
        "what two thirds of a Transformer’s numbers do",
        "https://arxiv.org/abs/2012.14913",
    ),
    Source(
        "Su et al.",
        2021,
        "RoFormer: enhanced Transformer with rotary position embedding",
        "rotary positions",
        "https://arxiv.org/abs/2104.09864",
    ),
    Source(
        "Haviv et al.",
        2022,
        "Transformer language models without positional encodings still learn positional "
        "information",
        "order through the causal mask alone",
        "https://arxiv.org/abs/2203.16634",
    ),
    Source(
        "Press et al.",
        2022,
        "Train short, test long: attention with linear biases enables input length extrapolation",
        "ALiBi",
        "https://arxiv.org/abs/2108.12409",
    ),
    Source(
        "Ainslie et al.",
        2023,
        "GQA: training generalized multi-query Transformer models from multi-head checkpoints",
        "grouped-query attention",
        "https://arxiv.org/abs/2305.13245",
    ),
    Source(
        "Jiang et al.",
        2023,
        "Mistral 7B",
        "a sliding window that looks back only, at work",
        "https://arxiv.org/abs/2310.06825",
    ),
    Source(
        "Xiao et al.",
        2023,
        "Efficient streaming language models with attention sinks",
        "why so much attention goes to the first word",
        "https://arxiv.org/abs/2309.17453",
    ),
    Source(
        "Grattafiori et al.",
        2024,
        "The Llama 3 herd of models",
        "the sizes of a large model of today",
        "https://arxiv.org/abs/2407.21783",
    ),
    Source(
        "Allal et al.",
        2025,
        "SmolLM2: when Smol goes big, data-centric training of a small language model",
        "a GPT small enough for one’s own machine",
        "https://arxiv.org/abs/2502.02737",
    ),
    Source(
        "“Self Attention for dummies”",
        2025,
        "",
        "the post that these pages let you touch",
    ),
)


def find(text: str, titles: dict[str, str] | None = None) -> tuple[Term, ...]:
    """The terms in which each word of `text` occurs: in name, forms, meaning or a page's title.

    A term that is called just so comes first, then those whose name holds the text. titles:
    page -> title; only the pages that a term links to count.
    """
    asked = text.casefold().split()
    whole = " ".join(asked)
    found = [
        term for term in TERMS if all(word in _all_words(term, titles or {}) for word in asked)
    ]
    return tuple(
        sorted(found, key=lambda term: (whole not in _forms(term), whole not in str(_forms(term))))
    )


def find_sources(text: str) -> tuple[Source, ...]:
    """The sources in which each word of `text` occurs."""
    asked = text.casefold().split()
    return tuple(
        source
        for source in TRAIL
        if all(word in " ".join(map(str, source)).casefold() for word in asked)
    )


def written(source: Source) -> str:
    """A source in Markdown: who and when, with a link to it, its title, and what it brought."""
    who = f"{source.authors} {source.year}"
    title = f", *{source.title}*" if source.title else ""
    return f"{f'[{who}]({source.url})' if source.url else who}{title}: {source.brought}"


def named(name: str) -> Term:
    """The term with this name or form. Raises KeyError with its name if there is none."""
    for term in TERMS:
        if name.casefold() in _forms(term):
            return term
    raise KeyError(f"“{name}” is not in the glossary; add it to TERMS")


def of_page(page: str) -> tuple[Term, ...]:
    """The terms that a page uses."""
    return tuple(term for term in TERMS if page in term.pages)


def plain(markdown: str) -> str:
    """A meaning without its Markdown and LaTeX, for a search or a tooltip."""
    text = markdown.replace("\\sqrt{d_k}", "√d_k").replace("^\\top", "ᵀ")
    return re.sub(r"[$*\\{}]", "", text)


def _forms(term: Term) -> list[str]:
    return [form.casefold() for form in (term.name, *term.words)]


def _all_words(term: Term, titles: dict[str, str]) -> str:
    pages = (titles.get(page, "") for page in term.pages[:LINKS])
    return " ".join((*_forms(term), plain(term.meaning), *pages)).casefold()
