"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from companion.trans_encoder import evaluate, library, method, speed, theory, training
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Pairs

WIDTH, PIECES = 16, 40


def small_encoder(seed: int = 7, layers: int = 2) -> torch.nn.Module:
    """A BERT of width 16 with random weights and no dropout, in evaluation mode."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=PIECES, hidden_size=WIDTH, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertModel(config, add_pooling_layer=False).eval()


def small_cross(head: str = "cls") -> CrossEncoder:
    """The same as a cross-encoder, whose head is drawn by a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return CrossEncoder(small_encoder(), WIDTH, head)


def some_pairs(n: int = 12, seed: int = 7) -> Pairs:
    """Pairs of random sentences of three to nine word pieces."""
    generator = torch.Generator().manual_seed(seed)

    def sentence() -> Tensor:
        return torch.randint(5, PIECES, (int(torch.randint(3, 10, (1,), generator=generator)),), generator=generator)

    return Pairs([sentence() for _ in range(n)], [sentence() for _ in range(n)])


def logits_and_labels() -> tuple[Tensor, Tensor]:
    """Logits (50,) and labels (50,) strictly within 0 and 1, float64."""
    generator = torch.Generator().manual_seed(7)
    logits, labels = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    return 2 * logits, labels.sigmoid()


def loss_is_entropy_plus_divergence() -> float:
    """L_BCE(y, s) = H(y) + KL(y || s), with both terms summed by hand; at s = y it is H(y), and not 0."""
    logits, y = logits_and_labels()
    s = logits.sigmoid()
    entropy = -(y * y.log() + (1 - y) * (1 - y).log()).mean()
    divergence = (y * (y / s).log() + (1 - y) * ((1 - y) / (1 - s)).log()).mean()
    parts = method.soft_label_loss(logits, y) - entropy - divergence
    return float(parts.abs() + (method.soft_label_loss(y.logit(), y) - entropy).abs())


def slope_is_the_difference() -> float:
    """The gradient of L_BCE by a logit is (s(g) - y) / N, by autograd."""
    logits, y = logits_and_labels()
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(method.soft_label_loss(logits, y), logits)
    return float((slope - (logits.sigmoid() - y) / len(y)).abs().max().detach())


def library_losses_agree() -> float:
    """Our two losses against those of sentence-transformers, on the same outputs."""
    logits, y = (x.float() for x in logits_and_labels())
    one, other = torch.randn(2, len(y), WIDTH, generator=torch.Generator().manual_seed(7))
    return max(map(abs, library.loss_gaps(logits, y, one, other)))


def library_correlations_agree() -> float:
    """Our Spearman against the library's evaluators: of a bi-encoder's cosines, and of a cross-encoder's scores."""
    pairs = some_pairs(40)
    gold = torch.rand(len(pairs), generator=torch.Generator().manual_seed(7)).mul(6).round()
    bi, cross = BiEncoder(small_encoder()), small_cross()
    return max(map(abs, library.correlation_gaps(bi, cross, pairs, gold)))


def area_is_the_count() -> float:
    """ROC-AUC against its meaning: the share of pairs of a 1 and a 0 in which the 1 is scored higher, ties half."""
    logits, y = logits_and_labels()
    scores, same = logits.round(), (y > 0.6).long()
    ahead = scores[same == 1].unsqueeze(1) - scores[same == 0]
    return abs(evaluate.auc(scores, same) / 100 - float((ahead.sign() + 1).mean() / 2))


def best_constant_is_the_mean() -> float:
    """Of all constants the mean label has the least L_BCE: scipy's minimum against mean(y)."""
    _, y = logits_and_labels()
    found = minimize_scalar(lambda g: float(method.soft_label_loss(torch.full_like(y, g), y)), tol=1e-12)
    return abs(float(torch.tensor(found.x, dtype=torch.float64).sigmoid() - y.mean()))


def bi_is_symmetric() -> float:
    """c(a, b) = c(b, a), to rounding."""
    bi, pairs = BiEncoder(small_encoder()), some_pairs()
    return _far(training.score(bi, pairs), training.score(bi, pairs.turned()))


def both_orders_are_symmetric() -> float:
    """A cross-encoder scores (a, b) and (b, a) differently; the mean of both orders does not know which came first."""
    cross, pairs = small_cross(), some_pairs()
    one, other = (method.both_ways(cross, each, training.score) for each in (pairs, pairs.turned()))
    moved = _far(training.score(cross, pairs), training.score(cross, pairs.turned()))
    return _far(one, other) if moved > 0.01 else float("inf")


def padding_changes_nothing() -> float:
    """Both forms score a pair alone as they score it among longer ones."""
    pairs = some_pairs()
    forms: list[method.Model] = [BiEncoder(small_encoder()), small_cross()]
    alone = [torch.cat([training.score(form, pairs[torch.tensor([i])]) for i in range(len(pairs))]) for form in forms]
    return max(_far(training.score(form, pairs), each) for form, each in zip(forms, alone, strict=True))


def blind_sees_nothing() -> float:
    """Denied cross-attention, the states of the first sentence do not depend on the second: only the joint head does.

    The first sentence's mean state is read off with two different second sentences.
    """
    pairs, other = some_pairs(), some_pairs(seed=8)
    blind = CrossEncoder(small_encoder(), WIDTH, head="cosine", blind=True)
    return max(_moved(blind, a, b, c) for a, b, c in zip(pairs.first, pairs.second, other.second, strict=True))


def sight_changes_scores() -> float:
    """The counter-check: with cross-attention the same states do move; how much they move, to be far from zero."""
    pairs, other = some_pairs(), some_pairs(seed=8)
    cross = CrossEncoder(small_encoder(), WIDTH, head="cosine")
    return min(_moved(cross, a, b, c) for a, b, c in zip(pairs.first, pairs.second, other.second, strict=True))


def own_labels_teach_nothing() -> float:
    """A bi-encoder on its own labels: loss 0 and gradient 0 at once, so that no gain is free without the other form."""
    bi, pairs = BiEncoder(small_encoder()), some_pairs()
    labels = training.score(bi, pairs)
    loss = method.cosine_loss(bi(pairs), labels)
    slopes = torch.autograd.grad(loss, list(bi.parameters()), allow_unused=True)
    return float(loss.detach()) + max(float(slope.abs().max()) for slope in slopes if slope is not None)


def average_divides_the_noise(k: int = 4, n: int = 200_000) -> float:
    """The mean of K unbiased labellers with independent noise: its error variance is theirs over K (ratio less 1)."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(k, n, generator=generator, dtype=torch.float64)
    return float((method.together(list(noise)).var() * k / noise.var() - 1).abs())


def ranks_ignore_scale() -> float:
    """Spearman's correlation does not see an increasing change of the labels; the squared error does."""
    logits, y = logits_and_labels()
    same = abs(evaluate.correlation(logits, y) - evaluate.correlation(logits, y**3))
    moved = (method.cosine_loss(logits.tanh(), y) - method.cosine_loss(logits.tanh(), y**3)).abs()
    return same if moved > 0.01 else float("inf")


def theory_is_the_simulation() -> float:
    """The closed form of what averaging and a student's narrowness are worth, against 4,000 drawn sets of 50 pairs."""
    rng, worst = np.random.default_rng(7), 0.0
    for own, shared, labellers, expressed in ((1.0, 0.0, 1, 5), (1.0, 0.5, 2, 20), (2.0, 0.3, 4, 50)):
        drawn = theory.simulated(own, shared, labellers, expressed, 50, 4_000, rng)
        told = [theory.expected_correlation(own, shared, labellers, share) for share in (1.0, expressed / 50)]
        worst = max(worst, float(np.abs(np.subtract(drawn, told)).max()))
    return worst


def passes_are_counted() -> float:
    """How far the passes that the encoders make for all pairs of 2 to 11 sentences are from n and n (n - 1) / 2."""
    bi, cross = BiEncoder(small_encoder()), small_cross()
    rows = speed.cost(bi, cross, some_pairs(11).first, 0, sizes := (2, 5, 11))
    made = [row.value for row in rows if row.metric == speed.PASSES]
    told = [*map(speed.bi_passes, sizes), *map(speed.cross_passes, sizes)]
    return max(abs(one - other) for one, other in zip(made, told, strict=True))


def relay_passes_labels_only() -> float:
    """Refreshing: the models that start the relay are not trained by it; what they weighed before, they weigh after."""
    bi, cross, pairs = BiEncoder(small_encoder()), small_cross(), some_pairs()
    before = [{name: value.clone() for name, value in model.state_dict().items()} for model in (bi, cross)]
    recipe = training.Recipe(epochs=1, batch=4, lr=1e-2)

    def fit(model: method.Model, some: Pairs, labels: Tensor, loss: training.Loss) -> None:
        training.fit(model, some, labels, loss, recipe, seed=0)

    list(method.relay([bi], [cross], [pairs], 1, fit, training.score))
    pairs_of = zip(before, (bi, cross), strict=True)
    return max(_far(value, model.state_dict()[name]) for old, model in pairs_of for name, value in old.items())


def _moved(cross: CrossEncoder, a: Tensor, b: Tensor, c: Tensor) -> float:
    with torch.no_grad():
        one, other = (cross.states(Pairs([a], [second]))[0][:, : len(a)] for second in (b, c))
    return _far(one, other)


def _far(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())
