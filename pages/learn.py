"""Watch it learn: the head of the first screen, trained from random numbers before your eyes."""

from attention.training import loss_and_gradients
from pages.shared import lesson
from pages.shared.parts import learn

result = lesson.start(
    "Watch it learn",
    "The four matrices start as random numbers. Nobody tells the head where to look: it must "
    "*name* a word, each word itself and a pronoun the noun it stands for. Looking at that noun "
    "is the way to name it.",
)
learn.controls()
learn.live(result)
lesson.misconception(
    "a head is told which words belong together.",
    "the training text says only which *name* is right; where to look is what the gradient finds.",
)
lesson.symbols(
    r"\mathcal L=-\sum_i \log\,\mathrm{softmax}(o_i\,W_o\,C^\top)_{\,t_i}",
    {
        "o_i": "the output of word $i$",
        "W_o": "turns an output back into a word vector",
        "C": "the vectors of the words in the batch",
        "t_i": "the word that row $i$ should name",
    },
)
lesson.code(loss_and_gradients)
lesson.sources(
    "Adam: [Kingma & Ba 2015](https://arxiv.org/abs/1412.6980)",
    "weight decay: [Loshchilov & Hutter 2019](https://arxiv.org/abs/1711.05101)",
    "word vectors: [GloVe, Pennington et al. 2014](https://aclanthology.org/D14-1162/)",
)
lesson.foot()
