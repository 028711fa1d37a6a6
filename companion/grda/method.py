"""Graph-relational domain adaptation (Xu et al., ICLR 2022): embed the domain graph, then train adversarially on it.

symbol      here                            shape
N           V, the number of domains        V = len(adjacency); the axis of domains always comes first
A           adjacency                       (V, V), 1 where two domains are related, symmetric, zero diagonal
x, y        x, y                            (V, n, m) inputs, (V, n) classes or (V, n, c) targets; n samples per domain
z_u         z                               (V, k), the embedding of each domain, learned first and then frozen
E(x, z)     Encoder                         (V, b, m), (V, k) -> (V, b, h); b samples per domain in a batch
F(e)        mlp                             (V, b, h) -> (V, b, classes)
D(e)        mlp                             (V, b, h) -> (V, b, d), "z-hat" of the paper
L_g         graph_loss                      scalar
L_f         prediction_loss                 scalar, on source domains only
L_d         pair_loss, GraphDiscriminator   scalar, on pairs of samples of all domains
lambda_d    lam                             float; the released code multiplies L_d by N as well, this one does not
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.lab.config import TrainConfig

# Which samples the discriminator compares: one order for all domains, one order per domain, or all pairs.
SYNCHRONIZED, SHUFFLED, INDEPENDENT = "class-synchronized", "shuffled", "independent"
EMBEDDING_LR = 0.05  # learning rate of the domain embedding

# ---------------------------------------------------------------- 1. the embedding of the domain graph


def graph_loss(z: Tensor, adjacency: Tensor) -> Tensor:
    """L_g: do the dot products of z (V, k) reconstruct adjacency (V, V)? Mean over pairs of two different domains."""
    different = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    return functional.binary_cross_entropy_with_logits((z @ z.T)[different], adjacency[different])


def embed_graph(adjacency: Tensor, k: int, steps: int, generator: torch.Generator) -> Tensor:
    """Minimize L_g from a random start; returns z (V, k) float32, each column standardized, without gradient."""
    z = torch.randn(len(adjacency), k, generator=generator).to(adjacency).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=EMBEDDING_LR)
    for _ in range(steps):
        (z.grad,) = torch.autograd.grad(graph_loss(z, adjacency), z)
        optimizer.step()
    embedding = z.detach()
    return (embedding - embedding.mean(0)) / embedding.std(0)


# ---------------------------------------------------------------- 2. the networks


def mlp(*dims: int) -> nn.Sequential:
    """Linear layers of these dimensions with ReLU between them."""
    layers: list[nn.Module] = []
    for in_dim, out_dim in pairwise(dims):
        layers += [nn.Linear(in_dim, out_dim), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """E(x, z): one layer on x, two on z, then four on both; embed_dim = 0 leaves z out."""

    def __init__(self, in_dim: int, embed_dim: int, hidden_dim: int) -> None:
        super().__init__()
        joint_dim = 2 * hidden_dim
        self.x_layer = nn.Linear(in_dim, hidden_dim if embed_dim else joint_dim)
        self.z_layers = mlp(embed_dim, hidden_dim, hidden_dim) if embed_dim else None
        self.joint_layers = mlp(joint_dim, joint_dim, joint_dim, joint_dim, hidden_dim)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (V, b, m), z (V, k) -> e (V, b, hidden_dim)."""
        parts = [self.x_layer(x)]
        if self.z_layers is not None:  # one z for all samples of a domain
            parts.append(self.z_layers(z).unsqueeze(1).expand(-1, x.shape[1], -1))
        return self.joint_layers(torch.cat(parts, dim=-1).relu())


# ---------------------------------------------------------------- 3. the discriminator's loss


def pair_weights(adjacency: Tensor, same_domain: bool, balanced: bool = True) -> tuple[Tensor, Tensor]:
    """Weights of connected and of unconnected pairs of domains: two (V, V) whose entries sum to 1 together.

    `same_domain` includes the pairs u1 = u2, which are not connected: i.i.d. pairs, as in the objective. Without
    them the diagonal is zero, as in the released code. `balanced` gives connected and unconnected pairs half of the
    weight each, as the released code does; otherwise every pair has the same weight, as for i.i.d. pairs.
    """
    unconnected = 1 - adjacency
    if not same_domain:
        unconnected = unconnected - torch.eye(len(adjacency)).to(adjacency)
    if balanced:
        return adjacency / (2 * adjacency.sum()), unconnected / (2 * unconnected.sum()).clamp(min=1)
    total = (adjacency + unconnected).sum()
    return adjacency / total, unconnected / total


def pair_logits(q: Tensor, aligned: bool) -> Tensor:
    """Dot products of q = D(e) (V, b, d): every sample with every sample, (V, b, V, b).

    If `aligned`, sample b of one domain with sample b of another only, (V, 1, V, b); within a domain, sample b is
    then compared with sample b + 1.
    """
    if not aligned:
        flat = q.flatten(0, 1)
        return (flat @ flat.T).view(*q.shape[:2], *q.shape[:2])
    across = torch.einsum("ibd,jbd->ijb", q, q)
    within = (q * q.roll(1, dims=1)).sum(-1)
    same = torch.eye(len(q), dtype=torch.bool, device=q.device).unsqueeze(-1)
    return torch.where(same, within.unsqueeze(1), across).unsqueeze(1)


def pair_loss(q: Tensor, weights: tuple[Tensor, Tensor], aligned: bool) -> Tensor:
    """L_d: do the dot products of q = D(e) (V, b, d) predict which domains are connected? A scalar.

    weights: those of connected and of unconnected pairs, two (V, V), see `pair_weights`. The mean over each pair of
    domains is weighted. A sample is never paired with itself.
    """
    connected, unconnected = weights
    logits = pair_logits(q, aligned)
    # Sums over the samples of each pair of domains, (V, V)
    plain, soft = logits.sum((1, 3)), functional.softplus(logits).sum((1, 3))
    count = torch.full_like(connected, logits.shape[1] * logits.shape[3])
    if not aligned:
        own = (q * q).sum(-1)  # (V, b): the logit of a sample with itself
        plain = plain - torch.diag(own.sum(1))
        soft = soft - torch.diag(functional.softplus(own).sum(1))
        count = count - torch.diag(torch.full_like(connected[0], q.shape[1]))
    return (((connected + unconnected) * soft - connected * plain) / count).sum()  # -log sigmoid(l) = softplus(l) - l


class GraphDiscriminator(nn.Module):
    """The graph discriminator D with its loss L_d on the encodings of a batch."""

    def __init__(self, net: nn.Module, adjacency: Tensor, aligned: bool, same_domain: bool) -> None:
        super().__init__()
        self.net, self.aligned = net, aligned
        self.weights = pair_weights(adjacency, same_domain)

    def forward(self, e: Tensor, scores: Tensor) -> Tensor:
        """L_d, a scalar, of e (V, b, h); the class scores (V, b, classes) are not used."""
        return pair_loss(self.net(e), self.weights, self.aligned)


# ---------------------------------------------------------------- 4. the adversarial objective

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(scores: Tensor, y: Tensor) -> Tensor:
    """scores (S, b, classes), y (S, b) -> the mean cross-entropy."""
    return functional.cross_entropy(scores.flatten(0, 1), y.flatten())


@dataclass
class AdversarialModel:
    """E, F and D, the frozen z (V, k), which domains are sources (V,) bool, and lambda, the weight of L_d.

    discriminator(e, scores) returns L_d. Without it the model is trained on the sources only.
    """

    encoder: nn.Module
    predictor: nn.Module
    discriminator: nn.Module | None
    z: Tensor
    sources: Tensor
    lam: float
    loss: Loss = cross_entropy

    def losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """L_f on the sources and L_d on all domains, of one batch x (V, b, m), y (V, b)."""
        e = self.encoder(x, self.z)
        scores = self.predictor(e)
        prediction_loss = self.loss(scores[self.sources], y[self.sources])
        return prediction_loss, self.discriminator(e, scores) if self.discriminator else None

    def gradients(self, x: Tensor, y: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The gradients of E and F, of L_f - lambda L_d, and those of D, of L_d alone: min over E, F, max over D."""
        prediction_loss, discriminator_loss = self.losses(x, y)
        if discriminator_loss is None or self.discriminator is None:
            return torch.autograd.grad(prediction_loss, self.encoder_predictor_parameters()), ()
        of_d = torch.autograd.grad(discriminator_loss, tuple(self.discriminator.parameters()), retain_graph=True)
        objective = prediction_loss - self.lam * discriminator_loss
        return torch.autograd.grad(objective, self.encoder_predictor_parameters()), of_d

    def encoder_predictor_parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters of E and F."""
        return (*self.encoder.parameters(), *self.predictor.parameters())

    def predict(self, x: Tensor) -> Tensor:
        """F(E(x, z_u)) for x (V, n, m): every domain with its own z; (V, n, classes) or (V, n, c)."""
        with torch.no_grad():
            return self.predictor(self.encoder(x, self.z))


def shared_graph_gradients(model: AdversarialModel, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """What D receives if L_d and L_f - lambda L_d are back-propagated in turn without clearing D's gradient.

    The released code's update since 30 January 2022: the two gradients of D add up to (1 - lambda) times the right one.
    """
    assert model.discriminator is not None
    prediction_loss, discriminator_loss = model.losses(x, y)
    assert discriminator_loss is not None
    of_d = tuple(model.discriminator.parameters())
    first = torch.autograd.grad(discriminator_loss, of_d, retain_graph=True)
    second = torch.autograd.grad(prediction_loss - model.lam * discriminator_loss, of_d)
    return tuple(a + b for a, b in zip(first, second, strict=True))


# ---------------------------------------------------------------- 5. batches and training


def batches(
    num_domains: int, samples: int, batch_size: int, one_order: bool, generator: torch.Generator
) -> Iterator[Tensor]:
    """One epoch of sample indices (V, batch_size) int64: one random order per domain, or one order for all domains.

    The released loader uses one order. Each domain stores class 0 before class 1, so sample b then has the same class
    in every domain, target domains included. An incomplete last batch is left out.
    """
    rows = 1 if one_order else num_domains
    order = torch.rand(rows, samples, generator=generator).argsort(1).expand(num_domains, -1)
    for first in range(0, samples - batch_size + 1, batch_size):
        yield order[:, first : first + batch_size]


@dataclass(frozen=True)
class AdversarialConfig(TrainConfig):
    """How one method is trained: sizes of the networks, lambda, and a learning rate that halves every half_life epochs.

    For ADDA `lam` is the learning rate of the target encoder as a multiple of the discriminator's.
    """

    lam: float = 0.0  # weight of the discriminator's loss
    half_life: float = 40.0  # epochs in which the learning rate halves
    hidden_dim: int = 32  # hidden units per layer
    embed_dim: int = 2  # dimensions of z and of the graph discriminator's output
    embed_steps: int = 300  # optimizer steps of the domain embedding


def fit(
    model: AdversarialModel,
    x: Tensor,
    y: Tensor,
    config: AdversarialConfig,
    one_order: bool,
    generator: torch.Generator,
) -> Iterator[int]:
    """Train E, F and D on x (V, n, m), y (V, n) or (V, n, c); yields the number of each finished epoch, 1, 2, ..."""
    discriminator = list(model.discriminator.parameters()) if model.discriminator else []
    networks = [part for part in (list(model.encoder_predictor_parameters()), discriminator) if part]
    optimizers = [torch.optim.Adam(parameters, config.lr, fused=True) for parameters in networks]
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    for epoch in range(config.epochs):
        # 1. the learning rate of this epoch
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = config.lr * math.exp(-math.log(2) * epoch / config.half_life)
        for indices in batches(len(y), y.shape[1], config.batch_size, one_order, generator):
            # 2. the samples of all domains
            columns = indices.to(x.device)
            # 3. one forward pass, and the gradients of E and F and those of D
            with torch.autocast(x.device.type, torch.bfloat16, enabled=config.amp):
                gradients = model.gradients(x[rows, columns], y[rows, columns])
            # 4. the simultaneous update
            for optimizer, parameters, gradient in zip(optimizers, networks, gradients, strict=False):
                set_gradients(parameters, gradient)
                optimizer.step()
        yield epoch + 1


def set_gradients(parameters: list[nn.Parameter], gradients: tuple[Tensor, ...]) -> None:
    """Store a gradient in each parameter, for the optimizer's step."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
