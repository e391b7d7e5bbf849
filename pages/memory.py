"""Memory: how much an RNN, an LSTM, a GRU and attention still feel of each word read."""

from attention.recurrent import attention_influence, influence, recurrent, share
from pages.shared import lesson
from pages.shared.parts import memory

result = lesson.start(
    "Memory: RNN, LSTM, GRU and attention",
    "Recurrent networks read word by word and carry everything in one **state** of fixed size; "
    "what was read long ago fades in it. Attention looks back at every word directly.",
)
felt = memory.your_sentence(result)
memory.states(result, felt)
memory.longer(result)
memory.care(result, felt)
lesson.misconception("RNNs forget everything.", memory.about_forgetting(result, felt))
lesson.symbols(
    r"\begin{gathered}h_t=\tanh(W x_t+U h_{t-1}+b)\\"
    r"\mathrm{felt}_j=\left\|\frac{\partial h_t}{\partial x_j}\right\|\qquad "
    r"\mathrm{share}_j=\frac{\mathrm{felt}_j}{\sum_i \mathrm{felt}_i}\end{gathered}",
    {
        "x_t": "vector of word $t$",
        "h_t": "state after reading it",
        "W, U, b": "the network’s own numbers (this is the plain RNN; LSTM and GRU add gates)",
        "\\partial h_t/\\partial x_j": "how the state moves when word $j$’s numbers move a little, "
        "one number for each pair",
        "\\|\\cdot\\|": "their length: the root of the sum of their squares",
    },
)
lesson.code(memory.felt_words, recurrent, influence, share, attention_influence)
lesson.sources(
    "Elman 1990 (RNN)",
    "Hochreiter and Schmidhuber 1997; Gers et al. 2000 (LSTM)",
    "[Cho et al. 2014](https://arxiv.org/abs/1406.1078) (GRU)",
    "why it fades: [Pascanu et al. 2013](https://arxiv.org/abs/1211.5063)",
    "beginnings: [Le et al. 2015](https://arxiv.org/abs/1504.00941), "
    "[Jozefowicz et al. 2015](https://proceedings.mlr.press/v37/jozefowicz15.html)",
    "[Khandelwal et al. 2018](https://aclanthology.org/P18-1027)",
)
lesson.foot()
