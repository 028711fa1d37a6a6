"""Graph-relational domain adaptation (Xu et al., ICLR 2022): embed the domain graph, then play a game over it.

symbol      here                         shape
N           V, the domains               V = len(adjacency); the axis of domains always comes first
A           adjacency                    (V, V), 1 where two domains are related, symmetric, zero diagonal
x, y        x, y                         (V, n, m) inputs, (V, n) classes or (V, n, c) targets; n samples a domain
z_u         z                            (V, k), the embedding of each domain, learned first and then frozen
E(x, z)     Encoder                      (V, b, m), (V, k) -> (V, b, h); b samples a domain in a batch
F(e)        mlp                          (V, b, h) -> (V, b, classes)
D(e)        mlp                          (V, b, h) -> (V, b, d), "z-hat" of the paper
L_g         graph_loss                   scalar
L_f         prediction_loss              scalar, on source domains only
L_d         pair_loss, GraphCritic       scalar, on pairs of samples of all domains
lambda_d    lam                          float; the released code multiplies L_d by N as well, this one does not
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

SYNCHRONISED, SHUFFLED, INDEPENDENT = "class-synchronised", "shuffled", "independent"
PAIRINGS = (SYNCHRONISED, SHUFFLED, INDEPENDENT)

# ---------------------------------------------------------------- 1. the embedding of the domain graph


def graph_loss(z: Tensor, adjacency: Tensor) -> Tensor:
    """L_g: do the dot products of z (V, k) reconstruct the graph? Mean over pairs of two different domains."""
    apart = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    return functional.binary_cross_entropy_with_logits((z @ z.T)[apart], adjacency[apart])


def embed_graph(adjacency: Tensor, k: int, steps: int, generator: torch.Generator) -> Tensor:
    """Minimise L_g from a random start; returns z (V, k), each column centred and of unit variance, frozen."""
    z = torch.randn(len(adjacency), k, generator=generator).to(adjacency).requires_grad_()
    optimiser = torch.optim.Adam([z], lr=0.05)
    for _ in range(steps):
        (z.grad,) = torch.autograd.grad(graph_loss(z, adjacency), z)
        optimiser.step()
    found = z.detach()
    return (found - found.mean(0)) / found.std(0)


# ---------------------------------------------------------------- 2. the three players


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """E(x, z): a layer on x, two on z, three on both, and one that narrows; k = 0 leaves z out."""

    def __init__(self, inputs: int, k: int, width: int) -> None:
        super().__init__()
        both = 2 * width
        self.of_x = nn.Linear(inputs, width if k else both)
        self.of_z = mlp(k, width, width) if k else None
        self.joint = mlp(both, both, both, both, width)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (V, b, m), z (V, k) -> e (V, b, width)."""
        parts = [self.of_x(x)]
        if self.of_z is not None:
            parts.append(self.of_z(z).unsqueeze(1).expand(-1, x.shape[1], -1))  # one z for all samples of a domain
        return self.joint(torch.cat(parts, dim=-1).relu())


# ---------------------------------------------------------------- 3. the discriminator's loss


def pair_weights(adjacency: Tensor, same_domain: bool, balanced: bool = True) -> tuple[Tensor, Tensor]:
    """How much each pair of domains counts as connected, and as not connected: two (V, V) that sum to 1 together.

    `same_domain` keeps the pairs u1 = u2, which are not connected: i.i.d. pairs, as the objective has them. Without
    them the diagonal is zero, as in the released code. `balanced` gives connected and unconnected pairs half of the
    weight each, as the released code does; i.i.d. pairs have the share of edges.
    """
    apart = 1 - adjacency
    if not same_domain:
        apart = apart - torch.eye(len(adjacency)).to(adjacency)
    if balanced:
        return adjacency / (2 * adjacency.sum()), apart / (2 * apart.sum()).clamp(min=1)
    return adjacency / (adjacency + apart).sum(), apart / (adjacency + apart).sum()


def pair_logits(q: Tensor, aligned: bool) -> Tensor:
    """Dot products of q = D(e) (V, b, d): every sample with every sample, (V, b, V, b); or `aligned`, sample b of one
    domain with sample b of another, (V, 1, V, b); in its own domain a sample then meets its successor.
    """
    if not aligned:
        flat = q.flatten(0, 1)
        return (flat @ flat.T).view(*q.shape[:2], *q.shape[:2])
    beside = torch.einsum("ibd,jbd->ijb", q, q)
    own = (q * q.roll(1, dims=1)).sum(-1)
    same = torch.eye(len(q), dtype=torch.bool, device=q.device).unsqueeze(-1)
    return torch.where(same, own.unsqueeze(1), beside).unsqueeze(1)


def pair_loss(q: Tensor, weights: tuple[Tensor, Tensor], aligned: bool) -> Tensor:
    """L_d: do the dot products of q = D(e) (V, b, d) tell which domains are connected? A scalar.

    All pairs at once, then the mean of each block (V, V). A sample is never paired with itself. Eq. of L_d.
    """
    connected, apart = weights
    logits = pair_logits(q, aligned)
    plain, soft = logits.sum((1, 3)), functional.softplus(logits).sum((1, 3))  # (V, V): the sum of each block
    count = torch.full_like(connected, logits.shape[1] * logits.shape[3])
    if not aligned:
        own = (q * q).sum(-1)  # (V, b): the logit of a sample with itself
        plain = plain - torch.diag(own.sum(1))
        soft = soft - torch.diag(functional.softplus(own).sum(1))
        count = count - torch.diag(torch.full_like(connected[0], q.shape[1]))
    return (((connected + apart) * soft - connected * plain) / count).sum()  # -log sigmoid(l) = softplus(l) - l


class GraphCritic(nn.Module):
    """The graph discriminator D with its loss L_d on the encodings of a batch."""

    def __init__(self, discriminator: nn.Module, adjacency: Tensor, aligned: bool, same_domain: bool) -> None:
        super().__init__()
        self.discriminator, self.aligned = discriminator, aligned
        self.weights = pair_weights(adjacency, same_domain)

    def forward(self, e: Tensor, scores: Tensor) -> Tensor:
        """e (V, b, h) -> L_d; the class scores (V, b, classes) are not looked at."""
        return pair_loss(self.discriminator(e), self.weights, self.aligned)


# ---------------------------------------------------------------- 4. the game

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(scores: Tensor, y: Tensor) -> Tensor:
    """scores (S, b, classes), y (S, b) -> the mean cross-entropy."""
    return functional.cross_entropy(scores.flatten(0, 1), y.flatten())


@dataclass
class Game:
    """The players, the frozen z (V, k), which domains are sources (V,) bool, and the weight of L_d.

    Without a critic there is no opponent: training on the sources alone.
    """

    encoder: nn.Module
    predictor: nn.Module
    critic: nn.Module | None
    z: Tensor
    sources: Tensor
    lam: float
    loss: Loss = cross_entropy

    def losses(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """L_f on the sources and L_d on all domains, of one batch x (V, b, m), y (V, b)."""
        e = self.encoder(x, self.z)
        scores = self.predictor(e)
        prediction_loss = self.loss(scores[self.sources], y[self.sources])
        return prediction_loss, self.critic(e, scores) if self.critic else None

    def gradients(self, x: Tensor, y: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Each player's own gradient: E and F descend L_f - lambda L_d, D descends L_d and sees nothing else."""
        prediction_loss, critic_loss = self.losses(x, y)
        if critic_loss is None or self.critic is None:
            return torch.autograd.grad(prediction_loss, self.learners()), ()
        against = torch.autograd.grad(critic_loss, tuple(self.critic.parameters()), retain_graph=True)
        return torch.autograd.grad(prediction_loss - self.lam * critic_loss, self.learners()), against

    def learners(self) -> tuple[nn.Parameter, ...]:
        """The parameters of E and F."""
        return (*self.encoder.parameters(), *self.predictor.parameters())

    def predict(self, x: Tensor) -> Tensor:
        """F(E(x, z_u)) for x (V, n, m): every domain with its own z."""
        with torch.no_grad():
            return self.predictor(self.encoder(x, self.z))


def shared_graph_gradients(game: Game, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """What D receives if L_d and L_f - lambda L_d are back-propagated one after the other and D is not cleared.

    The released code's update since 30 January 2022: the two gradients of D add up to (1 - lambda) times the right one.
    """
    assert game.critic is not None
    prediction_loss, critic_loss = game.losses(x, y)
    assert critic_loss is not None
    mine = tuple(game.critic.parameters())
    first = torch.autograd.grad(critic_loss, mine, retain_graph=True)
    second = torch.autograd.grad(prediction_loss - game.lam * critic_loss, mine)
    return tuple(a + b for a, b in zip(first, second, strict=True))


# ---------------------------------------------------------------- 5. batches and training


def batches(domains: int, samples: int, size: int, one_order: bool, generator: torch.Generator) -> Iterator[Tensor]:
    """One epoch of sample numbers (V, size): each domain in an order of its own, or all in one and the same order.

    One order is what the released loader uses. As each domain stores class 0 before class 1, sample b then has the
    same class in every domain, in the target domains too.
    """
    rows = 1 if one_order else domains
    order = torch.rand(rows, samples, generator=generator).argsort(1).expand(domains, -1)
    yield from (order[:, i : i + size] for i in range(0, samples - size + 1, size))


@dataclass(frozen=True)
class Training:
    """How long and how fast: epochs, samples a domain in a batch, learning rate, its half-life in epochs; bfloat16?"""

    epochs: int
    batch: int
    lr: float
    half_life: float
    amp: bool = False


def fit(
    game: Game, x: Tensor, y: Tensor, training: Training, one_order: bool, generator: torch.Generator
) -> Iterator[int]:
    """Play the game on x (V, n, m), y (V, n); yields the number of each finished epoch, 1, 2, ..."""
    players = [list(game.learners()), list(game.critic.parameters()) if game.critic else []]
    optimisers = [torch.optim.Adam(player, training.lr, fused=True) for player in players if player]
    domains = torch.arange(len(x), device=x.device).unsqueeze(1)
    for epoch in range(training.epochs):
        _slow_down(optimisers, training.lr * math.exp(-math.log(2) * epoch / training.half_life))
        for rows in batches(len(y), y.shape[1], training.batch, one_order, generator):
            at = rows.to(x.device)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=training.amp):
                gradients = game.gradients(x[domains, at], y[domains, at])
            _update(optimisers, players, gradients)
        yield epoch + 1


def _slow_down(optimisers: list[torch.optim.Adam], lr: float) -> None:
    for optimiser in optimisers:
        optimiser.param_groups[0]["lr"] = lr


def _update(
    optimisers: list[torch.optim.Adam], players: list[list[nn.Parameter]], gradients: tuple[tuple[Tensor, ...], ...]
) -> None:
    """One simultaneous step of all players, each with its own gradient."""
    for optimiser, player, gradient in zip(optimisers, players, gradients, strict=False):
        for parameter, slope in zip(player, gradient, strict=True):
            parameter.grad = slope
        optimiser.step()
