"""Our losses and our evaluators against those of sentence-transformers, which is imported only where it is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.trans_encoder import evaluate, method, training
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Pairs


class Dressed:
    """One of our forms as the library's evaluators call theirs; a sentence is its word pieces' numbers as text."""

    def __init__(self, form: method.Model) -> None:
        self.form = form
        self.model_card_data = SimpleNamespace(set_evaluation_metrics=lambda *given, **options: None)

    def predict(self, pairs: list[list[str]], **options: Any) -> np.ndarray:
        """Scores of pairs of texts, (n,), as a cross-encoder gives them."""
        first, second = ([unwritten(text) for text in texts] for texts in zip(*pairs, strict=True))
        return training.score(self.form, Pairs(first, second)).sigmoid().numpy()

    def encode(self, texts: list[str], **options: Any) -> np.ndarray:
        """Vectors of texts, (n, d), as a bi-encoder gives them."""
        assert isinstance(self.form, BiEncoder)
        with torch.inference_mode():
            return self.form.vectors([unwritten(text) for text in texts]).numpy()


def written(row: Tensor) -> str:
    """Word pieces' numbers as text."""
    return " ".join(map(str, row.tolist()))


def unwritten(text: str) -> Tensor:
    """Text as word pieces' numbers."""
    return torch.tensor([int(word) for word in text.split()])


def loss_gaps(logits: Tensor, labels: Tensor, one: Tensor, other: Tensor) -> tuple[float, float]:
    """Our two losses less the library's: for logits and labels (n,), and for vectors `one` and `other` (n, d)."""
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    given: Any = _given(logits)
    texts = [""] * len(labels)
    cross = BinaryCrossEntropyLoss(given)([texts, texts], labels) - method.soft_label_loss(logits, labels)
    bi = CosineSimilarityLoss(given).compute_loss_from_embeddings([one, other], labels)
    return float(cross), float(bi - method.cosine_loss(torch.cosine_similarity(one, other), labels))


def _given(scores: Tensor) -> object:
    from sentence_transformers.cross_encoder import CrossEncoder as LibraryCross

    class Given(LibraryCross):
        """A cross-encoder of the library that says what it is given."""

        num_labels, device = 1, torch.device("cpu")

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def preprocess(self, *inputs: object, **options: object) -> dict[str, Tensor]:
            return {}

        def forward(self, *inputs: object, **options: object) -> dict[str, Tensor]:
            return {"scores": scores}

    return Given()


def correlation_gaps(bi: BiEncoder, cross: CrossEncoder, pairs: Pairs, gold: Tensor) -> tuple[float, float]:
    """Our Spearman of each form's scores with gold (n,), less that of the library's evaluator; both over 100."""
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderCorrelationEvaluator
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    first, second = ([written(row) for row in rows] for rows in (pairs.first, pairs.second))
    as_bi: Any = Dressed(bi)
    as_cross: Any = Dressed(cross)
    vectors = EmbeddingSimilarityEvaluator(first, second, gold.tolist(), similarity_fn_names=["cosine"])
    joint = CrossEncoderCorrelationEvaluator([list(pair) for pair in zip(first, second, strict=True)], gold.tolist())
    theirs = vectors(as_bi)["spearman_cosine"], joint(as_cross)["spearman"]
    ours = [evaluate.correlation(training.score(form, pairs), gold) / 100 for form in (bi, cross)]
    return float(ours[0] - theirs[0]), float(ours[1] - theirs[1])
