"""Correctness checks: what must hold for this code on any data; each returns an error that should be near zero."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from companion.trans_encoder import data, evaluation, method
from companion.trans_encoder.data import RANDOM_DIM, random_encoder, random_pairs
from companion.trans_encoder.method import BI, CROSS, BiEncoder, CrossEncoder, Pairs, StageConfig


def random_cross_encoder(head: str = "cls", cross_attention: bool = True) -> CrossEncoder:
    """A small cross-encoder with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return CrossEncoder(random_encoder(), RANDOM_DIM, head, cross_attention)


def logits_and_labels() -> tuple[Tensor, Tensor]:
    """Logits (50,) and labels (50,) strictly within 0 and 1, float64."""
    generator = torch.Generator().manual_seed(7)
    logits, labels = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    return 2 * logits, labels.sigmoid()


# ---------------------------------------------------------------- losses and metrics


def loss_is_entropy_plus_divergence() -> float:
    """L_BCE(y, s) = H(y) + KL(y || s), with both terms summed by hand; at s = y it is H(y), and not 0."""
    logits, y = logits_and_labels()
    s = logits.sigmoid()
    entropy = -(y * y.log() + (1 - y) * (1 - y).log()).mean()
    divergence = (y * (y / s).log() + (1 - y) * ((1 - y) / (1 - s)).log()).mean()
    difference = method.soft_label_loss(logits, y) - entropy - divergence
    return float(difference.abs() + (method.soft_label_loss(y.logit(), y) - entropy).abs())


def gradient_is_the_difference() -> float:
    """The gradient of L_BCE with respect to a logit is (s(g) - y) / N, by automatic differentiation."""
    logits, y = logits_and_labels()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(method.soft_label_loss(logits, y), logits)
    return float((gradient - (logits.sigmoid() - y) / len(y)).abs().max().detach())


def library_losses_agree() -> float:
    """Both losses equal those of sentence-transformers on the same outputs."""
    from sentence_transformers.cross_encoder import CrossEncoder as LibraryCrossEncoder
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    logits, y = (x.float() for x in logits_and_labels())
    first, second = torch.randn(2, len(y), RANDOM_DIM, generator=torch.Generator().manual_seed(7))

    class FixedLogits(LibraryCrossEncoder):
        """A cross-encoder of the library whose output is always `logits`."""

        num_labels, device = 1, torch.device("cpu")

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def preprocess(self, *inputs: object, **options: object) -> dict[str, Tensor]:
            return {}

        def forward(self, *inputs: object, **options: object) -> dict[str, Tensor]:
            return {"scores": logits}

    model: Any = FixedLogits()
    texts = [""] * len(y)
    cross = BinaryCrossEntropyLoss(model)([texts, texts], y) - method.soft_label_loss(logits, y)
    bi = CosineSimilarityLoss(model).compute_loss_from_embeddings([first, second], y)
    return max(abs(float(cross)), abs(float(bi - method.cosine_loss(torch.cosine_similarity(first, second), y))))


def library_correlations_agree() -> float:
    """Our Spearman equals that of the library's evaluators, for a bi-encoder and for a cross-encoder."""
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderCorrelationEvaluator
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    pairs, bi, cross = random_pairs(40), BiEncoder(random_encoder()), random_cross_encoder()
    gold = torch.rand(len(pairs), generator=torch.Generator().manual_seed(7)).mul(6).round()
    embeddings = method.embed_sentences(bi, [*pairs.first, *pairs.second])
    scores = method.score(cross, pairs).sigmoid()
    model: Any = SimpleNamespace(  # a text is the number of its sentence
        encode=lambda texts, **options: embeddings[[int(text) for text in texts]].numpy(),
        predict=lambda asked, **options: scores[[int(first) for first, _ in asked]].numpy(),
        model_card_data=SimpleNamespace(set_evaluation_metrics=lambda *values, **options: None),
    )
    first, second = ([str(i + start) for i in range(len(pairs))] for start in (0, len(pairs)))
    of_bi = EmbeddingSimilarityEvaluator(first, second, gold.tolist(), similarity_fn_names=["cosine"])(model)
    asked = [list(pair) for pair in zip(first, second, strict=True)]
    of_cross = CrossEncoderCorrelationEvaluator(asked, gold.tolist())(model)
    theirs = (of_bi["spearman_cosine"], of_cross["spearman"])
    ours = [evaluation.correlation(method.score(form, pairs), gold) / 100 for form in (bi, cross)]
    return float(np.abs(np.subtract(ours, theirs)).max())


def auc_is_the_count() -> float:
    """ROC-AUC against its meaning: the share of pairs of a 1 and a 0 in which the 1 is scored higher, ties half."""
    logits, y = logits_and_labels()
    scores, same = logits.round(), (y > 0.6).long()
    higher = scores[same == 1].unsqueeze(1) - scores[same == 0]
    return abs(evaluation.auc(scores, same) / 100 - float((higher.sign() + 1).mean() / 2))


def best_constant_is_the_mean() -> float:
    """Of all constant scores the mean label has the lowest L_BCE: the minimum by SciPy against mean(y)."""
    _, y = logits_and_labels()
    found = minimize_scalar(lambda g: float(method.soft_label_loss(torch.full_like(y, g), y)), tol=1e-12)
    return abs(float(torch.tensor(found.x, dtype=torch.float64).sigmoid() - y.mean()))


def ranks_ignore_scale() -> float:
    """Spearman's correlation is invariant to an increasing change of the labels; the squared error is not."""
    logits, y = logits_and_labels()
    same = abs(evaluation.correlation(logits, y) - evaluation.correlation(logits, y**3))
    moved = (method.cosine_loss(logits.tanh(), y) - method.cosine_loss(logits.tanh(), y**3)).abs()
    return same if moved > 0.01 else float("inf")


# ---------------------------------------------------------------- the two architectures


def bi_encoder_is_symmetric() -> float:
    """c(a, b) = c(b, a), to rounding."""
    bi, pairs = BiEncoder(random_encoder()), random_pairs()
    return _distance(method.score(bi, pairs), method.score(bi, pairs.swapped()))


def mean_of_both_orders_is_symmetric() -> float:
    """A cross-encoder scores (a, b) and (b, a) differently; the mean of both orders is the same for both."""
    cross, pairs = random_cross_encoder(), random_pairs()
    asymmetry = _distance(method.score(cross, pairs), method.score(cross, pairs.swapped()))
    error = _distance(method.symmetric_score(cross, pairs), method.symmetric_score(cross, pairs.swapped()))
    return error if asymmetry > 0.01 else float("inf")


def padding_changes_nothing() -> float:
    """Both architectures score a pair alone as in a batch with longer pairs."""
    pairs, errors = random_pairs(), []
    models: list[method.Model] = [BiEncoder(random_encoder()), random_cross_encoder()]
    for model in models:
        alone = torch.cat([method.score(model, pairs[torch.tensor([i])]) for i in range(len(pairs))])
        errors.append(_distance(method.score(model, pairs), alone))
    return max(errors)


def masked_attention_is_local() -> float:
    """Without cross-attention the states of the first sentence do not depend on the second."""
    return max(_changes_of_first_states(cross_attention=False))


def cross_attention_changes_states() -> float:
    """The opposite: with cross-attention they do; the smallest change, which should be far from zero."""
    return min(_changes_of_first_states(cross_attention=True))


def _changes_of_first_states(cross_attention: bool) -> list[float]:
    """For each pair, by how much the states of a change if another sentence takes the place of b."""
    cross = random_cross_encoder("cosine", cross_attention)
    pairs, other = random_pairs(), random_pairs(seed=8)
    changes = []
    for a, b, c in zip(pairs.first, pairs.second, other.second, strict=True):
        with torch.no_grad():
            with_b, with_c = (cross.states(Pairs([a], [second]))[0][:, : len(a)] for second in (b, c))
        changes.append(_distance(with_b, with_c))
    return changes


# ---------------------------------------------------------------- distillation


def own_labels_have_no_gradient() -> float:
    """A bi-encoder on its own labels has loss 0 and gradient 0: without another model there is nothing to learn."""
    bi, pairs = BiEncoder(random_encoder()), random_pairs()
    loss = method.cosine_loss(bi(pairs), method.score(bi, pairs))
    gradients = torch.autograd.grad(loss, list(bi.parameters()), allow_unused=True)
    return float(loss.detach()) + max(float(each.abs().max()) for each in gradients if each is not None)


def distillation_passes_labels_only() -> float:
    """The models that start the distillation are not changed by it: the largest change of a weight."""
    bi, cross, pairs = BiEncoder(random_encoder()), random_cross_encoder(), random_pairs()
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in (bi, cross)]
    config = StageConfig(epochs=1, batch_size=4, lr=1e-2, amp=False)

    def train_student(model: method.Model, some: Pairs, labels: Tensor, loss: method.Loss) -> None:
        method.train_on_labels(model, some, labels, loss, config, seed=0)

    list(method.distill([bi], [cross], [pairs], 1, train_student))
    after = [model.state_dict() for model in (bi, cross)]
    return max(_distance(old[name], new[name]) for old, new in zip(before, after, strict=True) for name in old)


def mean_label_divides_the_noise(k: int = 4, n: int = 200_000) -> float:
    """The mean of K unbiased labels with independent noise has an error variance of theirs over K (ratio less 1)."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(k, n, generator=generator, dtype=torch.float64)
    return float((method.mean_labels(list(noise)).var() * k / noise.var() - 1).abs())


def closed_form_is_the_simulation() -> float:
    """The closed form of the simulated noisy labels against 4,000 drawn sets of 50 pairs."""
    rng, worst = np.random.default_rng(7), 0.0
    for own, shared, teachers, expressed in ((1.0, 0.0, 1, 5), (1.0, 0.5, 2, 20), (2.0, 0.3, 4, 50)):
        drawn = data.simulated_correlation(own, shared, teachers, expressed, 50, 4_000, rng)
        expected = [data.expected_correlation(own, shared, teachers, share) for share in (1.0, expressed / 50)]
        worst = max(worst, float(np.abs(np.subtract(drawn, expected)).max()))
    return worst


def passes_are_counted() -> float:
    """Counted forward passes for all pairs of 2, 5 and 11 sentences against n and n (n - 1) / 2."""
    sizes = (2, 5, 11)
    rows = evaluation.runtime(BiEncoder(random_encoder()), random_cross_encoder(), random_pairs(11).first, 0, sizes)
    counted = [row.value for row in rows if row.metric == evaluation.PASSES]
    expected = [evaluation.passes(encoder_type, n) for encoder_type in (BI, CROSS) for n in sizes]
    return float(np.abs(np.subtract(counted, expected)).max())


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())
