"""Several heads: split, attend, merge; what each adds, and what sharing keys and values saves."""

from attention.cache_size import cache_bytes
from attention.multi_head import merge_heads, multi_head_attention, split_heads
from pages.shared import lesson
from pages.shared.parts import heads

result = lesson.start(
    "Several heads",
    "One head can look for one thing at a time. So a layer has several, side by side, each with "
    "weight matrices of its own. $W_o$ turns what each found into its part of the output, and "
    "**the parts are added up**.",
)
many = heads.maps(result)
heads.silencing(result, many)
heads.cache(result, many)
lesson.misconception("Each head is told what to look for.", heads.about_jobs(result, many))
lesson.misconception(
    "The average of the heads’ maps is “the” attention.", heads.about_averages(result, many)
)
lesson.symbols(
    r"\begin{gathered}"
    r"\mathrm{head}_h=\mathrm{softmax}\!\left(\frac{Q_h K_g^\top}{\sqrt{d_k}}\right)V_g\\"
    r"O=[\mathrm{head}_1\,\cdots\,\mathrm{head}_H]\,W_o=\sum_h \mathrm{head}_h\,W_o^{(h)}\\"
    r"\mathrm{share}_h=\frac{c_h\cdot o}{o\cdot o}\end{gathered}",
    {
        "H": "heads",
        "Q_h": "queries of head $h$: its own columns of $X\\,W_q$",
        "K_g, V_g": "keys and values of its group; with multi-head $g=h$",
        "W_o^{(h)}": "the rows of $W_o$ that meet head $h$",
        "c_h": "a word’s row of $\\mathrm{head}_h\\,W_o^{(h)}$: the head’s part",
        "o": "its row of $O$: the sum of all parts",
    },
)
lesson.code(multi_head_attention, split_heads, merge_heads, heads.parts, heads.shares, cache_bytes)
lesson.sources(
    "[Vaswani et al. 2017](https://arxiv.org/abs/1706.03762), section 3.2.2",
    "multi-query: [Shazeer 2019](https://arxiv.org/abs/1911.02150), section 3",
    "grouped-query: [Ainslie et al. 2023](https://arxiv.org/abs/2305.13245), section 2.2",
    "silencing: [Michel et al. 2019](https://arxiv.org/abs/1905.10650), "
    "[Voita et al. 2019](https://arxiv.org/abs/1905.09418)",
    "Llama 3.1: [Grattafiori et al. 2024](https://arxiv.org/abs/2407.21783), table 3",
)
lesson.foot()
