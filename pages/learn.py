"""Watch it learn: the head of the first screen, trained from random numbers before your eyes."""

from attention.training import loss_and_gradients
from pages.shared import lesson
from pages.shared.parts import learn

result = lesson.start(
    "Watch it learn",
    "$W_q$, $W_k$, $W_v$ and $W_o$ start as random numbers. For each training sentence it is known "
    "where a word should look: at itself, or for a pronoun at the noun it stands for. Every step "
    "moves the matrices a little against the gradient of the loss, so that the head looks there "
    "more. Pronouns count most; other rows stay rough.",
    own_matrices=True,
)
learn.controls()
learn.live(result)
lesson.misconception(
    "it has read a lot of English.",
    "after 2,500 steps of 32 it has read 80,000 sentences filled into templates, over word vectors "
    "that were there before (GloVe's, tuned on such sentences). The words cat, mat, sat and eating "
    "never occur in them: it finds “cat” because the vector of “cat” is like those of the animals "
    "it has seen.",
)
lesson.symbols(
    r"\begin{gathered}\mathcal L=\sum_i c_i\,(\ell_i+3\,(1-w_{i\to t_i}))\\"
    r"\ell_i=-\log\,\mathrm{softmax}(o_i\,W_o\,C^\top)_{\,t_i}\end{gathered}",
    {
        "w": "weights: what is looked elsewhere counts three times",
        "\\ell_i": "how badly it names its word",
        "o_i": "the output of word $i$",
        "W_o": "turns an output back into a word vector",
        "C": "the vectors of the words in the batch",
        "t_i": "the word that word $i$ should look at and name",
        "c_i": "how much word $i$ counts, a pronoun a hundred times",
    },
)
lesson.code(loss_and_gradients)
lesson.sources(
    "Adam: [Kingma & Ba 2015](https://arxiv.org/abs/1412.6980)",
    "weight decay: [Loshchilov & Hutter 2019](https://arxiv.org/abs/1711.05101)",
    "word vectors: [GloVe, Pennington et al. 2014](https://aclanthology.org/D14-1162/)",
)
lesson.foot()
