"""What GRDA is compared with: uniform alignment, self-training along the graph, and simple forecasts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from torch import Tensor, nn
from torch.nn import functional

from companion.grda.data import HALF_YEAR, Temperatures
from companion.grda.method import AdversarialConfig, AdversarialModel, batches, fit, set_gradients

RIDGE_LAMBDAS = tuple(np.logspace(-3, 3, 13).tolist())  # regularization strengths

# ---------------------------------------------------------------- uniform alignment


class DomainDiscriminator(nn.Module):
    """DANN: classify the domain from e, so that all p(e | u) become equal (Ganin et al., 2016)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, e: Tensor, scores: Tensor) -> Tensor:
        """The mean cross-entropy of the domain, a scalar, of e (V, b, h) and scores (V, b, classes)."""
        logits = self.net(self.inputs(e, scores))
        domain = torch.arange(len(e), device=e.device).repeat_interleave(e.shape[1])
        return functional.cross_entropy(logits.flatten(0, 1), domain)

    def inputs(self, e: Tensor, scores: Tensor) -> Tensor:
        """Inputs of the network, here e (V, b, h)."""
        return e


class ConditionalDiscriminator(DomainDiscriminator):
    """CDANN: classify the domain from e and the predicted class: p(e | u, class) become equal (Li et al., 2018)."""

    def inputs(self, e: Tensor, scores: Tensor) -> Tensor:
        """e with the predicted probabilities, (V, b, h + classes); without a gradient through the latter."""
        return torch.cat([e, scores.detach().softmax(-1)], dim=-1)


def fit_adda(
    model: AdversarialModel,
    discriminator: nn.Module,
    x: Tensor,
    y: Tensor,
    config: AdversarialConfig,
    generator: torch.Generator,
) -> Iterator[int]:
    """ADDA: half of the epochs on the sources alone; then a copy of E learns to encode targets like sources.

    discriminator: encodings (W, b, h) -> (W, b, 1), "is this a source?". Inference uses the copy (Tzeng et al., 2017).
    """
    half = replace(config, epochs=config.epochs // 2, half_life=config.half_life / 2)
    yield from fit(model, x, y, half, False, generator)
    source_encoder, model.encoder = model.encoder, copy.deepcopy(model.encoder)
    of_encoder, of_discriminator = list(model.encoder.parameters()), list(discriminator.parameters())
    encoder_optimizer = torch.optim.Adam(of_encoder, config.lr * config.lam, fused=True)
    discriminator_optimizer = torch.optim.Adam(of_discriminator, config.lr, fused=True)
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    for epoch in range(half.epochs, config.epochs):
        for indices in batches(len(y), y.shape[1], config.batch_size, False, generator):
            # 1. encodings of sources by the first encoder, of targets by its copy
            batch = x[rows, indices.to(x.device)]
            with torch.no_grad():
                real = source_encoder(batch[model.sources], model.z[model.sources])
            fake = model.encoder(batch[~model.sources], model.z[~model.sources])
            # 2. the discriminator learns to separate them, the copy learns the opposite labels
            of_real, of_fake = discriminator(real), discriminator(fake)
            discriminator_loss = functional.softplus(-of_real).mean() + functional.softplus(of_fake).mean()
            set_gradients(
                of_discriminator, torch.autograd.grad(discriminator_loss, of_discriminator, retain_graph=True)
            )
            encoder_loss = functional.softplus(-discriminator(fake)).mean()
            set_gradients(of_encoder, torch.autograd.grad(encoder_loss, of_encoder))
            # 3. the simultaneous update
            discriminator_optimizer.step()
            encoder_optimizer.step()
        yield epoch + 1


# ---------------------------------------------------------------- the graph without adversarial training


def graph_self_training(
    x: np.ndarray, y: np.ndarray, adjacency: np.ndarray, sources: np.ndarray, rounds: int
) -> tuple[np.ndarray, list[int]]:
    """Label one domain after the other, outwards from the sources, by linear classifiers (gradual self-training).

    x (V, n, m), y (V, n) of which only the sources' rows are read, adjacency (V, V), sources (V,) bool. The next domain
    is the one with most labeled neighbors. A logistic regression is trained on their labels or predictions, applied to
    the domain, and trained again on its own predictions there, `rounds` times. Returns all predictions (V, n) and the
    order of the domains.
    """
    predictions, labeled, order = np.where(sources[:, None], y, -1), sources.copy(), []
    while not labeled.all():
        neighbors = np.where(labeled, -1, adjacency[:, labeled].sum(1))
        domain = int(neighbors.argmax())
        near = np.flatnonzero(labeled & (adjacency[domain] > 0)) if neighbors[domain] else np.flatnonzero(labeled)
        x_near, y_near = x[near].reshape(-1, x.shape[-1]), predictions[near].ravel()
        prediction = LogisticRegression().fit(x_near, y_near).predict(x[domain])
        for _ in range(rounds):
            if len(np.unique(prediction)) > 1:
                prediction = LogisticRegression().fit(x[domain], prediction).predict(x[domain])
        predictions[domain], labeled[domain] = prediction, True
        order.append(domain)
    return predictions, order


# ---------------------------------------------------------------- forecasts without a network, each (48, 12, 6)


def ridge(data: Temperatures) -> np.ndarray:
    """Ridge regression on all source states; leave-one-out cross-validation there selects the regularization."""
    x, y = (part[data.sources].reshape(-1, HALF_YEAR) for part in (data.x, data.y))
    model = RidgeCV(alphas=RIDGE_LAMBDAS).fit(x, y)
    return model.predict(data.x.reshape(-1, HALF_YEAR)).reshape(data.y.shape)


def climatology(data: Temperatures) -> np.ndarray:
    """The source states' mean July to December, for every state and year."""
    return np.broadcast_to(data.y[data.sources].mean((0, 1)), data.y.shape)


def persistence(data: Temperatures) -> np.ndarray:
    """June's temperature for every month."""
    return np.broadcast_to(data.x[..., -1:], data.y.shape)


def mirror(data: Temperatures) -> np.ndarray:
    """The first half-year in reverse: July and August as June, September as May, … December as February."""
    return data.x[..., [5, 5, 4, 3, 2, 1]]


FORECASTS: Mapping[str, Callable[[Temperatures], np.ndarray]] = {
    "ridge": ridge,
    "climatology": climatology,
    "persistence": persistence,
    "mirror": mirror,
}
