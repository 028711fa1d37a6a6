"""What the game aligns, without networks: encodings that are tables, and the best discriminator in closed form.

symbol           here                    shape
p(e | u)         table                   (V, S), row u holds the shares of S encodings in domain u; V domains
alpha(e)         posterior               (V, S), column e holds p(u | e), for domains that are equally frequent
A                adjacency               (V, V)
sigma(D*)        best_discriminator      (S, S), the probability that e and e' come from connected domains
L_d(D*)          table_loss              scalar
its ceiling      ceiling                 scalar, reached when e and e' say nothing about the graph
delta(e)         departures              (V, S), alpha(e) minus its mean: how far a domain may stay different
r(A)             freedom                 in how many independent directions it may
"""

from __future__ import annotations

import torch
from torch import Tensor

from companion.grda.method import pair_weights

Weights = tuple[Tensor, Tensor]


# ---------------------------------------------------------------- the game's value


def masses(table: Tensor, weights: Weights) -> Weights:
    """How often two encodings meet in connected domains, and in unconnected ones: two (S, S) that sum to 1 together."""
    connected, apart = weights
    return table.T @ connected @ table, table.T @ apart @ table


def best_discriminator(table: Tensor, weights: Weights) -> Tensor:
    """sigma(D*(e, e')), (S, S): with i.i.d. pairs alpha(e)' A alpha(e')."""
    connected, apart = masses(table, weights)
    return connected / (connected + apart)


def table_loss(table: Tensor, weights: Weights) -> Tensor:
    """L_d at the best discriminator, a scalar: the entropy that is left about "connected?" once e and e' are seen."""
    connected, apart = masses(table, weights)
    both = connected + apart
    return -(torch.xlogy(connected, connected / both) + torch.xlogy(apart, apart / both)).sum()


def ceiling(weights: Weights) -> float:
    """The largest value of L_d(D*): the entropy of "connected?" itself; ln 2 for balanced pairs."""
    share = torch.stack([weight.sum() for weight in weights])
    return float(-torch.xlogy(share, share).sum())


def climb(adjacency: Tensor, symbols: int, same_domain: bool, start: int, balanced: bool, steps: int) -> list[Tensor]:
    """Let the encodings climb L_d(D*) from a random table; returns the tables (V, S) passed, the last one at the top.

    This is the encoder's side of the game alone: no labels, no networks, and an opponent that always plays its best.
    """
    weights = pair_weights(adjacency, same_domain, balanced)
    generator = torch.Generator().manual_seed(start)
    scores = torch.randn(len(adjacency), symbols, generator=generator).to(adjacency).requires_grad_()
    optimiser = torch.optim.LBFGS([scores], tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe")
    passed = [scores.detach().softmax(1)]

    def descend() -> Tensor:
        loss = -table_loss(scores.softmax(1), weights)
        (scores.grad,) = torch.autograd.grad(loss, scores)
        return loss

    for _ in range(steps):
        optimiser.step(descend)
        passed.append(scores.detach().softmax(1))
    return passed


# ---------------------------------------------------------------- what an equilibrium leaves free


def posterior(table: Tensor) -> Tensor:
    """alpha(e), (V, S): which domain an encoding comes from, if all are equally frequent."""
    return table / table.sum(0)


def departures(table: Tensor) -> Tensor:
    """delta(e) = alpha(e) - its mean, (V, S); all zero if every domain has the same distribution of encodings."""
    return posterior(table) - 1 / len(table)


def constraints(adjacency: Tensor) -> Tensor:
    """An orthonormal basis (V, r) of all delta with 1' delta = 0 and (A 1)' delta = 0."""
    ones = torch.ones(len(adjacency), 1).to(adjacency)
    fixed = torch.cat([ones, adjacency @ ones], dim=1)
    _, values, axes = torch.linalg.svd(fixed.T, full_matrices=True)
    return axes[int((values > 1e-9 * values[0]).sum()) :].T


def freedom(adjacency: Tensor, tolerance: float = 1e-6) -> int:
    """In how many directions the domains may differ at an equilibrium: 0 means that all must become the same.

    At the ceiling delta(e)' A delta(e') = 0 for all e and e'. The largest subspace with this property has dimension
    min(n+, n-) + n0, the numbers of positive, negative and zero eigenvalues of A where delta may lie.
    """
    basis = constraints(adjacency.double())
    values = torch.linalg.eigvalsh(basis.T @ adjacency.double() @ basis)
    above, below = int((values > tolerance).sum()), int((values < -tolerance).sum())
    return min(above, below) + len(values) - above - below


# ---------------------------------------------------------------- graphs by hand


def graph(nodes: int, edges: list[tuple[int, int]]) -> Tensor:
    """The adjacency (nodes, nodes), float64, of an undirected graph."""
    adjacency = torch.zeros(nodes, nodes, dtype=torch.float64)
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1.0
    return adjacency


def chain(nodes: int) -> Tensor:
    """0 - 1 - 2 - ..."""
    return graph(nodes, [(i, i + 1) for i in range(nodes - 1)])


def ring(nodes: int) -> Tensor:
    """A chain whose ends meet."""
    return graph(nodes, [(i, (i + 1) % nodes) for i in range(nodes)])


def clique(nodes: int) -> Tensor:
    """Everybody is connected with everybody."""
    return torch.ones(nodes, nodes, dtype=torch.float64) - torch.eye(nodes, dtype=torch.float64)


def star(leaves: int) -> Tensor:
    """Node 0 is the centre."""
    return graph(leaves + 1, [(0, i) for i in range(1, leaves + 1)])
