"""What the relay is measured against: words in common, a bi-encoder on its own scores, shuffled labels, PCA."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace

import torch
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from companion.data.glosses import SentencePairs
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Fit, Model, Pairs, Rows, Score, cosine_loss


def common_words(fitted: SentencePairs, pairs: SentencePairs) -> Tensor:
    """The cosine of two bags of words, (n,), each word weighed by TF-IDF as counted in `fitted`: no model at all."""
    words = TfidfVectorizer(sublinear_tf=True).fit([*fitted.first, *fitted.second])
    one, other = words.transform(pairs.first), words.transform(pairs.second)
    return torch.from_numpy(one.multiply(other).sum(1)).flatten().float()


def own_scores(start: BiEncoder, pairs: Pairs, fit: Fit, score: Score) -> BiEncoder:
    """One more round of a bi-encoder on its own scores: the bi stage of the relay without the other form (Table 14)."""
    student = copy.deepcopy(start)
    fit(student, pairs, score(start, pairs), cosine_loss)
    return student


def shuffling(fit: Fit, seed: int) -> Fit:
    """The same training, but a cross-encoder's labels go to other pairs; both orders of a pair keep one label."""

    def shuffled(model: Model, pairs: Pairs, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        if isinstance(model, CrossEncoder):
            mixed = torch.randperm(len(labels) // 2, generator=torch.Generator().manual_seed(seed))
            labels = labels[: len(mixed)][mixed].repeat(2)
        fit(model, pairs, labels, loss)

    return shuffled


class Narrow(nn.Module):
    """A frozen encoder whose states are seen through k directions only: (x - centre) W, with W (d, k) to be trained.

    It handicaps a bi-encoder, so that its own cross-encoder has something to tell it.
    """

    def __init__(self, encoder: nn.Module, centre: Tensor, directions: Tensor) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.centre, self.directions = nn.Buffer(centre), nn.Parameter(directions)

    def forward(self, *inputs: Tensor) -> SimpleNamespace:
        """The narrow states (n, pieces, k), under the name that a language model gives its own."""
        states = self.encoder(*inputs).last_hidden_state
        return SimpleNamespace(last_hidden_state=(states - self.centre) @ self.directions)

    def train(self, mode: bool = True) -> Narrow:
        """The frozen encoder never drops anything out."""
        super().train(mode)
        self.encoder.eval()
        return self


def vectors(bi: BiEncoder, sentences: Rows, batch: int = 256) -> Tensor:
    """f(x) of sentences, (n, d), without gradients."""
    order = torch.tensor([len(row) for row in sentences]).argsort()
    bi.eval()
    with torch.inference_mode():
        found = [bi.vectors([sentences[i] for i in rows]).float() for rows in order.split(batch)]
    return torch.cat(found)[order.argsort()]


def random_directions(width: int, k: int, seed: int) -> Tensor:
    """W (width, k) with orthonormal columns, drawn by seed."""
    return torch.linalg.qr(torch.randn(width, k, generator=torch.Generator().manual_seed(seed)))[0]


def principal_directions(found: Tensor, k: int) -> Tensor:
    """W (d, k), the k directions in which vectors (n, d) vary most: what a student of this width could have."""
    return torch.from_numpy(PCA(k, random_state=0).fit(found.numpy()).components_.T.copy()).float()
