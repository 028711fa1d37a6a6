"""What distillation is compared with: common words, a student of its own scores, shuffled labels, a bottleneck, PCA.

PCA is principal component analysis; TF-IDF weighs a word by its frequency in a text over its frequency in all texts.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace

import torch
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from companion.data.sentences import SentencePairs
from companion.trans_encoder.method import BiEncoder, Pairs, TrainStudent, cosine_loss, score


def tfidf_cosine(fitted_on: SentencePairs, pairs: SentencePairs) -> Tensor:
    """The cosine of two bags of words, (n,), weighted by TF-IDF as counted in `fitted_on`: no language model."""
    vectorizer = TfidfVectorizer(sublinear_tf=True).fit([*fitted_on.first, *fitted_on.second])
    first, second = vectorizer.transform(pairs.first), vectorizer.transform(pairs.second)
    return torch.from_numpy(first.multiply(second).sum(1)).flatten().float()


def distill_own_scores(start: BiEncoder, pairs: Pairs, train_student: TrainStudent, amp: bool = False) -> BiEncoder:
    """A copy of a bi-encoder, trained on its own scores: step 3 without a cross-encoder (the paper's Table 14)."""
    student = copy.deepcopy(start)
    train_student(student, pairs, score(start, pairs, amp), cosine_loss)
    return student


def shuffle_labels(labels: Tensor, seed: int) -> Tensor:
    """Labels (2N,) of pairs in both orders, permuted among the pairs; both orders of a pair get the same label."""
    order = torch.randperm(len(labels) // 2, generator=torch.Generator().manual_seed(seed))
    return labels[: len(order)][order].repeat(2)


class Bottleneck(nn.Module):
    """A frozen encoder followed by a trained projection of its states to k dimensions: (x - mean) W, W (d, k).

    It handicaps a bi-encoder, so that there is something to gain from its own cross-encoder.
    """

    def __init__(self, encoder: nn.Module, mean: Tensor, projection: Tensor) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.mean, self.projection = nn.Buffer(mean), nn.Parameter(projection)

    def forward(self, *inputs: Tensor) -> SimpleNamespace:
        """The projected states (n, tokens, k), under the name that a language model gives its own."""
        states = self.encoder(*inputs).last_hidden_state
        return SimpleNamespace(last_hidden_state=(states - self.mean) @ self.projection)

    def train(self, mode: bool = True) -> Bottleneck:
        """Set the training mode; the frozen encoder stays in evaluation mode, without dropout."""
        super().train(mode)
        self.encoder.eval()
        return self


def random_projection(hidden_dim: int, k: int, seed: int) -> Tensor:
    """W (hidden_dim, k) with random orthonormal columns."""
    return torch.linalg.qr(torch.randn(hidden_dim, k, generator=torch.Generator().manual_seed(seed)))[0]


def pca_projection(embeddings: Tensor, k: int) -> Tensor:
    """W (d, k), the k principal directions of embeddings (n, d): what a bottleneck of this size could have."""
    return torch.from_numpy(PCA(k, random_state=0).fit(embeddings.numpy()).components_.T.copy()).float()
