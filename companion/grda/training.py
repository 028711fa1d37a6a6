"""Builds and trains every method: on domains with classes, on toy domains from several starts, on temperatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from companion.grda.baselines import ConditionalDiscriminator, DomainDiscriminator, fit_adda, graph_self_training
from companion.grda.data import Domains, Temperatures, ToyDomains, permute_graph, rotation_matrices
from companion.grda.evaluation import Outcome
from companion.grda.method import (
    INDEPENDENT,
    SHUFFLED,
    SYNCHRONIZED,
    AdversarialConfig,
    AdversarialModel,
    Encoder,
    GraphDiscriminator,
    Loss,
    cross_entropy,
    embed_graph,
    fit,
    mlp,
)

SOURCE, SOURCE_NO_Z, DANN, CDANN, ADDA = "source only", "source only, no z", "DANN", "CDANN", "ADDA"
GRDA_SYNCHRONIZED, GRDA_SHUFFLED, GRDA_INDEPENDENT = "GRDA, class-synchronized", "GRDA, shuffled", "GRDA, independent"
GRDA_PERMUTED = "GRDA, class-synchronized, permuted graph"
SELF_TRAINING = "graph self-training"
GRDA = "GRDA"  # on toy domains (all pairs) and on temperatures (pairs of the same year)


@dataclass(frozen=True)
class Variant:
    """What distinguishes a trained method: its discriminator, the pairs that this compares, z, and the graph."""

    discriminator: str = ""  # "graph", "domain", "conditional", or none
    pairing: str = ""  # pairs of a graph discriminator
    use_z: bool = True  # does the encoder use the domain embedding?
    permuted_graph: bool = False  # a wrong graph


VARIANTS: Mapping[str, Variant] = {
    SOURCE: Variant(),
    SOURCE_NO_Z: Variant(use_z=False),
    DANN: Variant("domain"),
    CDANN: Variant("conditional"),
    ADDA: Variant(),  # it adapts after training on the sources, see `fit_adda`
    GRDA_SYNCHRONIZED: Variant("graph", SYNCHRONIZED),
    GRDA_SHUFFLED: Variant("graph", SHUFFLED),
    GRDA_INDEPENDENT: Variant("graph", INDEPENDENT),
    GRDA_PERMUTED: Variant("graph", SYNCHRONIZED, permuted_graph=True),
}
TUNED_METHODS = tuple(name for name in VARIANTS if name != GRDA_PERMUTED)  # it is trained like the whole method
METHODS = (
    SOURCE, SOURCE_NO_Z, DANN, GRDA_SYNCHRONIZED, GRDA_SHUFFLED, GRDA_INDEPENDENT, GRDA_PERMUTED, SELF_TRAINING, CDANN,
    ADDA,
)  # fmt: skip
SELF_TRAINING_ROUNDS = 3  # how often a domain's classifier is trained on its own predictions


# ---------------------------------------------------------------- domains with classes


def train(domains: Domains, method: str, config: AdversarialConfig, seed: int) -> AdversarialModel:
    """Train one method. Networks and batches depend on `seed` alone, so all methods start from the same encoder."""
    variant = VARIANTS[method]
    if variant.permuted_graph:
        domains = permute_graph(domains, seed)
    model, generator = build(domains, method, config, seed), torch.Generator().manual_seed(seed)
    if method == ADDA:
        discriminator = discriminator_mlp(config, config.hidden_dim, 1).to(domains.x.device)
        epochs = fit_adda(model, discriminator, domains.x, domains.y, config, generator)
    else:
        epochs = fit(model, domains.x, domains.y, config, variant.pairing == SYNCHRONIZED, generator)
    for _ in epochs:
        pass
    return model


def build(
    domains: Domains, method: str, config: AdversarialConfig, seed: int, loss: Loss = cross_entropy
) -> AdversarialModel:
    """The untrained model: z from the graph, then E, F and the method's discriminator."""
    variant = VARIANTS[method]
    torch.manual_seed(seed)
    z = embed_graph(domains.adjacency, config.embed_dim, config.embed_steps, torch.Generator().manual_seed(seed))
    encoder = Encoder(domains.x.shape[-1], config.embed_dim if variant.use_z else 0, config.hidden_dim)
    predictor = mlp(config.hidden_dim, config.hidden_dim, config.hidden_dim, num_outputs(domains))
    discriminator = build_discriminator(domains, variant, config)
    parts = [part.to(domains.x.device) if part else None for part in (encoder, predictor, discriminator)]
    return AdversarialModel(parts[0], parts[1], parts[2], z, domains.sources, config.lam, loss)  # type: ignore[arg-type]


def num_outputs(domains: Domains) -> int:
    """Outputs of F: the number of classes, or of the targets of a regression."""
    return int(domains.y.max()) + 1 if domains.y.dim() == 2 else domains.y.shape[-1]


def build_discriminator(domains: Domains, variant: Variant, config: AdversarialConfig) -> nn.Module | None:
    """The discriminator with its loss; None for methods that align nothing (ADDA has its own)."""
    if variant.discriminator == "graph":
        independent = variant.pairing == INDEPENDENT  # all pairs, those within a domain included: the objective
        net = discriminator_mlp(config, config.hidden_dim, config.embed_dim)
        return GraphDiscriminator(net, domains.adjacency, aligned=not independent, same_domain=independent)
    if variant.discriminator == "domain":
        return DomainDiscriminator(discriminator_mlp(config, config.hidden_dim, len(domains.x)))
    if variant.discriminator == "conditional":
        in_dim = config.hidden_dim + num_outputs(domains)
        return ConditionalDiscriminator(discriminator_mlp(config, in_dim, len(domains.x)))
    return None


def discriminator_mlp(config: AdversarialConfig, in_dim: int, out_dim: int) -> nn.Sequential:
    """The network of every discriminator: four hidden layers."""
    return mlp(in_dim, *[config.hidden_dim] * 4, out_dim)


def predictions(domains: Domains, method: str, config: AdversarialConfig, seed: int) -> Tensor:
    """The class that a method predicts for each sample, (V, n) int64; it is trained first."""
    if method == SELF_TRAINING:
        parts = (domains.x, domains.y, domains.adjacency, domains.sources)
        x, y, adjacency, sources = (part.cpu().numpy() for part in parts)
        predicted, _ = graph_self_training(x, y, adjacency, sources, SELF_TRAINING_ROUNDS)
        return torch.from_numpy(predicted).to(domains.y.device)
    return train(domains, method, config, seed).predict(domains.x).argmax(-1)


# ---------------------------------------------------------------- toy domains

TOY_METHODS = (SOURCE, DANN, GRDA)
START_ROTATIONS = (-0.75, -0.25, 0.25, 0.75)  # where the targets' angles start, as a part of the largest rotation


class ToySetting(NamedTuple):
    """Hyperparameters of a method on toy domains: lambda, and the learning rate of all networks."""

    lam: float
    lr: float

    def __str__(self) -> str:
        return f"lambda {self.lam:g}, lr {self.lr:g}"


# Toy domains -> (lambda, learning rate) of source only, DANN and GRDA: the best accuracy, "selected", in the stored
# study "tuning toy domains"; some are tied.
TUNED = {
    "triangle with tail": ((0.3, 0.03), (0.3, 0.03), (3, 0.03)),
    "triangle with tail, milder": ((0.3, 0.03), (0.3, 0.01), (0.3, 0.03)),
    "triangle with tail, three classes": ((0.3, 0.01), (0.3, 0.03), (3, 0.01)),
    "triangle with tail, small turns": ((0.3, 0.03), (0.3, 0.03), (0.3, 0.03)),
    "triangle with tail, matrices": ((0.3, 0.03), (3, 0.03), (0.3, 0.01)),
    "triangle with tail, paper's encoder": ((0.3, 0.03), (3, 0.01), (0.3, 0.01)),
    "triangle with tail, wrong graph": ((0.3, 0.03), (0.3, 0.03), (3, 0.03)),
    "triangle with tail, false condition": ((0.3, 0.01), (0.3, 0.01), (3, 0.01)),
    "two triangles with tail": ((0.3, 0.03), (0.3, 0.03), (3, 0.03)),
    "chain of 5, middle": ((0.3, 0.03), (0.3, 0.03), (3, 0.03)),
    "chain of 4, ends": ((0.3, 0.03), (0.3, 0.03), (0.3, 0.03)),
    "chain of 3, end": ((0.3, 0.03), (0.3, 0.03), (3, 0.03)),
    "chain of 3, middle": ((0.3, 0.01), (0.3, 0.01), (0.3, 0.03)),
    "star, one leaf": ((0.3, 0.01), (3, 0.01), (0.3, 0.03)),
}
TOY_TUNED: Mapping[str, Mapping[str, ToySetting]] = {
    name: {method: ToySetting(*tuned) for method, tuned in zip(TOY_METHODS, settings, strict=True)}
    for name, settings in TUNED.items()
}


class DomainMatrices(nn.Module):
    """E(x, z) = W(z) x with a matrix for each domain, initialized to a rotation by `angles` (V,)."""

    def __init__(self, angles: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(rotation_matrices(angles).astype(np.float32)))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (V, b, 2), z (V, V) one-hot -> (V, b, 2)."""
        return torch.einsum("vbm,vu,uhm->vbh", x, z, self.weight)


class DomainRotation(nn.Module):
    """E(x, z) = R(z) x with an angle for each domain: it can neither scale nor shift a domain."""

    def __init__(self, angles: np.ndarray) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.from_numpy(angles.astype(np.float32)))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (V, b, 2), z (V, V) one-hot -> (V, b, 2)."""
        angle = z @ self.angle
        cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
        return torch.stack([cosine * x[..., 0] - sine * x[..., 1], sine * x[..., 0] + cosine * x[..., 1]], dim=-1)


def start_angles(toy: ToyDomains, domains: Domains, start: float) -> np.ndarray:
    """Initial angle of each domain in radians, (V,): 0 for sources, a part of the largest rotation for targets."""
    return np.where(domains.sources.numpy(), 0, start * toy.max_rotation)


def build_toy(
    toy: ToyDomains, domains: Domains, method: str, config: AdversarialConfig, start: float, seed: int
) -> AdversarialModel:
    """The untrained model of one method and one start; all pairs are compared, those within a domain included."""
    torch.manual_seed(seed)
    num_domains, classes = np.array(toy.shares).shape
    angles, hidden_dim = start_angles(toy, domains, start), config.hidden_dim
    z, out_dim, predictor = torch.eye(num_domains), 2, mlp(2, classes)
    encoder: nn.Module = DomainMatrices(angles) if toy.encoder == "matrices" else DomainRotation(angles)
    if toy.encoder == "mlp":
        z = embed_graph(domains.adjacency, num_domains, config.embed_steps, torch.Generator().manual_seed(seed))
        encoder = Encoder(2, num_domains, hidden_dim)
        out_dim, predictor = hidden_dim, mlp(hidden_dim, hidden_dim, classes)
    discriminators = {
        DANN: DomainDiscriminator(mlp(out_dim, hidden_dim, hidden_dim, num_domains)),
        GRDA: GraphDiscriminator(mlp(out_dim, hidden_dim, hidden_dim, num_domains), domains.adjacency, False, True),
    }
    return AdversarialModel(encoder, predictor, discriminators.get(method), z, domains.sources, config.lam)


def train_toy(toy: ToyDomains, domains: Domains, method: str, config: AdversarialConfig, seed: int) -> list[Outcome]:
    """Train from each start. The criterion is L_d on all points or, without a discriminator, the mean confidence."""
    outcomes = []
    for i, start in enumerate(START_ROTATIONS):
        model = build_toy(toy, domains, method, config, start, len(START_ROTATIONS) * seed + i)
        for _ in fit(model, domains.x, domains.y, config, False, torch.Generator().manual_seed(seed)):
            pass
        with torch.no_grad():
            scores = model.predict(domains.x)[~domains.sources]
            loss = model.losses(domains.x, domains.y)[1]
        correct = (scores.argmax(-1) == domains.y[~domains.sources]).float().mean()
        criterion = scores.softmax(-1).amax(-1).mean() if loss is None else loss
        outcomes.append(Outcome(100 * float(correct), float(criterion)))
    return outcomes


def self_train_toy(toy: ToyDomains, domains: Domains, rounds: int) -> list[Outcome]:
    """Self-training along the graph from each start. The criterion is the confidence of a classifier of the sources."""
    is_source, y = domains.sources.numpy(), domains.y.numpy()
    classifier = LogisticRegression().fit(domains.x[domains.sources].flatten(0, 1), y[is_source].ravel())
    outcomes = []
    for start in START_ROTATIONS:
        x = np.einsum("vnm,vhm->vnh", domains.x.numpy(), rotation_matrices(start_angles(toy, domains, start)))
        predicted, _ = graph_self_training(x, y, domains.adjacency.numpy(), is_source, rounds)
        confidence = classifier.predict_proba(x[~is_source].reshape(-1, 2)).max(1).mean()
        outcomes.append(Outcome(100 * float((predicted == y)[~is_source].mean()), float(confidence)))
    return outcomes


# ---------------------------------------------------------------- temperatures


def squared_error(predicted: Tensor, y: Tensor) -> Tensor:
    """The squared error summed over the six months, a mean over states and years; predicted, y (S, b, 6)."""
    return (predicted - y).square().sum(-1).mean()


def forecast(data: Temperatures, method: str, config: AdversarialConfig, seed: int, device: torch.device) -> np.ndarray:
    """Predictions of July to December, (48, 12, 6), by a method; pairs are of the same year, for all states."""
    domains = data.domains().to(device)
    model = build(domains, method, config, seed, squared_error)
    for _ in fit(model, domains.x, domains.y, config, True, torch.Generator().manual_seed(seed)):
        pass
    return model.predict(domains.x).cpu().numpy()
