"""GPT: a model that says the next word, its heads in sight while it writes."""

from attention.decoder import forward
from attention.gpt import generate
from attention.sampling import draw, keep_top_k, keep_top_p, next_probabilities, with_temperature
from pages.shared import frame, lesson
from pages.shared.parts import gpt

now = gpt.start(
    "GPT: the next word",
    "A GPT gives every word that it knows a probability to come next. One is drawn, joined to the "
    "text, and all begins again. No token looks ahead.",
    frame.begin(),
)
gpt.write_controls(now)
gpt.settings(now)
gpt.live(now)
gpt.cache(now)
lesson.misconception(
    "GPT looks at the whole text, also at what comes after a word.", gpt.about_what_follows(now)
)
lesson.misconception(
    "The first token gets so much weight: the code is wrong.", gpt.about_first(now)
)
lesson.symbols(
    r"p=\mathrm{softmax}\!\left(\frac{h\,E^\top}{\tau}\right)",
    {
        "h": "what the last layer makes of the token that looks",
        "E": "a vector for each word, mostly that of its embedding",
        r"h\,E^\top": "logits, a score for each word",
        r"\tau": "temperature",
        "p": "probabilities of the next word; top-k and top-p come before the softmax",
    },
)
lesson.code(generate, next_probabilities, with_temperature, keep_top_k, keep_top_p, draw, forward)
lesson.sources(
    "GPT: [Radford et al. 2018](https://cdn.openai.com/research-covers/language-unsupervised/"
    "language_understanding_paper.pdf)",
    "GPT-2: Radford et al. 2019",
    "top-k: [Fan et al. 2018](https://arxiv.org/abs/1805.04833)",
    "top-p: [Holtzman et al. 2020](https://arxiv.org/abs/1904.09751)",
    "sinks: [Xiao et al. 2023](https://arxiv.org/abs/2309.17453)",
    "lengths of values: [Kobayashi et al. 2020](https://arxiv.org/abs/2004.10102)",
    "SmolLM2: [Allal et al. 2025](https://arxiv.org/abs/2502.02737)",
)
gpt.clicks(now)
lesson.foot()
