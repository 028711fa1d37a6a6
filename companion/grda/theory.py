"""What adversarial training aligns, without networks: tables of encodings and the best discriminator in closed form.

symbol           here                    shape
p(e | u)         table                   (V, S), row u holds the shares of S encodings in domain u; V domains
alpha(e)         posterior               (V, S), column e holds p(u | e), for domains that are equally frequent
A                adjacency               (V, V)
sigma(D*)        best_discriminator      (S, S), the probability that e and e' come from connected domains
L_d(D*)          table_loss              scalar
its maximum      max_loss                scalar, reached when e and e' are not informative about the graph
delta(e)         departures              (V, S), alpha(e) minus its mean: how different the domains are
r(A)             freedom                 number of independent directions in which they may differ
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from companion.grda.method import pair_weights

Weights = tuple[Tensor, Tensor]
TIE = 1e-6  # losses closer than this are equal


# ---------------------------------------------------------------- the value of the objective


def masses(table: Tensor, weights: Weights) -> Weights:
    """Probabilities that a pair has encodings e, e' and is connected, or unconnected: two (S, S) that sum to 1."""
    connected, unconnected = weights
    return table.T @ connected @ table, table.T @ unconnected @ table


def best_discriminator(table: Tensor, weights: Weights) -> Tensor:
    """sigma(D*(e, e')), (S, S): with i.i.d. pairs alpha(e)' A alpha(e')."""
    connected, unconnected = masses(table, weights)
    return connected / (connected + unconnected)


def table_loss(table: Tensor, weights: Weights) -> Tensor:
    """L_d(D*), a scalar in nats: the conditional entropy of "connected?" given e and e'; table (V, S)."""
    connected, unconnected = masses(table, weights)
    total = connected + unconnected
    return -(torch.xlogy(connected, connected / total) + torch.xlogy(unconnected, unconnected / total)).sum()


def max_loss(weights: Weights) -> float:
    """The largest value of L_d(D*): the entropy of "connected?" itself; ln 2 for balanced pairs."""
    share = torch.stack([weight.sum() for weight in weights])
    return float(-torch.xlogy(share, share).sum())


def maximize_loss(
    adjacency: Tensor, symbols: int, same_domain: bool, start: int, balanced: bool, steps: int
) -> list[Tensor]:
    """Maximize L_d(D*) over tables from a random start; returns the tables (V, S) after each step, the last optimal.

    This is the encoder's side of the objective alone: no labels, no networks, and always the best discriminator.
    """
    weights = pair_weights(adjacency, same_domain, balanced)
    generator = torch.Generator().manual_seed(start)
    scores = torch.randn(len(adjacency), symbols, generator=generator).to(adjacency).requires_grad_()
    optimizer = torch.optim.LBFGS([scores], tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe")
    path = [scores.detach().softmax(1)]

    def negative_loss() -> Tensor:
        loss = -table_loss(scores.softmax(1), weights)
        (scores.grad,) = torch.autograd.grad(loss, scores)
        return loss

    for _ in range(steps):
        optimizer.step(negative_loss)
        path.append(scores.detach().softmax(1))
    return path


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
    """Number of directions in which the domains may differ at an equilibrium; 0: all become the same.

    At the largest loss delta(e)' A delta(e') = 0 for all e and e'. The largest subspace with this property has
    dimension min(n+, n-) + n0, the numbers of positive, negative and zero eigenvalues of A on the allowed delta.
    """
    basis = constraints(adjacency.double())
    values = torch.linalg.eigvalsh(basis.T @ adjacency.double() @ basis)
    positive, negative = int((values > tolerance).sum()), int((values < -tolerance).sum())
    return min(positive, negative) + len(values) - positive - negative


# ---------------------------------------------------------------- graphs


def graph(nodes: int, edges: Sequence[tuple[int, int]]) -> Tensor:
    """The adjacency (nodes, nodes), float64, of an undirected graph."""
    adjacency = torch.zeros(nodes, nodes, dtype=torch.float64)
    for a, b in edges:
        adjacency[a, b] = adjacency[b, a] = 1.0
    return adjacency


def chain(nodes: int) -> Tensor:
    """A path 0 - 1 - 2 - ...; adjacency (nodes, nodes) float64."""
    return graph(nodes, [(i, i + 1) for i in range(nodes - 1)])


def ring(nodes: int) -> Tensor:
    """A cycle; adjacency (nodes, nodes) float64."""
    return graph(nodes, [(i, (i + 1) % nodes) for i in range(nodes)])


def clique(nodes: int) -> Tensor:
    """A complete graph; adjacency (nodes, nodes) float64."""
    return torch.ones(nodes, nodes, dtype=torch.float64) - torch.eye(nodes, dtype=torch.float64)


def star(leaves: int) -> Tensor:
    """Node 0 is the center; adjacency (leaves + 1, leaves + 1) float64."""
    return graph(leaves + 1, [(0, i) for i in range(1, leaves + 1)])


# ---------------------------------------------------------------- predictions for toy domains


def gram_loss(shares: Tensor, adjacency: Tensor) -> float:
    """L_d of the best discriminator of the form D(e)' D(e'); class shares (V, K) float64, adjacency (V, V).

    A Gram matrix is positive semidefinite: it cannot give a low probability to pairs of equal encodings.
    """
    connected, unconnected = masses(shares, pair_weights(adjacency, same_domain=True))
    q = (
        torch.randn(len(connected), len(connected), generator=torch.Generator().manual_seed(0))
        .double()
        .requires_grad_()
    )
    optimizer = torch.optim.LBFGS([q], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        logits = q @ q.T
        value = (connected * functional.softplus(-logits) + unconnected * functional.softplus(logits)).sum()
        (q.grad,) = torch.autograd.grad(value, q)
        return value

    optimizer.step(loss)
    return loss().item()


def uniform_loss(shares: Tensor) -> float:
    """The loss of DANN's best discriminator, the entropy of the domain given e; class shares (V, K)."""
    return float(-torch.xlogy(shares, posterior(shares)).sum() / len(shares))


def predicted_accuracy(shares: Tensor, adjacency: Tensor, targets: Sequence[int]) -> dict[str, float]:
    """Method -> accuracy on the targets, %, where the loss of its best discriminator is largest.

    shares (V, K) float64: class shares of each domain. The clusters of a target stay whole; which cluster is taken for
    which class is shifted cyclically, independently for each target. Equally large losses are averaged.
    """
    shifts = list(product(range(shares.shape[1]), repeat=len(targets)))
    losses: dict[str, list[float]] = {"DANN": [], "GRDA": []}
    for shift in shifts:
        assigned = shares.clone()
        for target, steps in zip(targets, shift, strict=True):
            assigned[target] = shares[target].roll(steps)
        losses["DANN"].append(uniform_loss(assigned))
        losses["GRDA"].append(gram_loss(assigned, adjacency))
    accuracy = np.array([[100 * (steps == 0) for steps in shift] for shift in shifts]).mean(1)
    return {name: float(accuracy[np.array(value) > max(value) - TIE].mean()) for name, value in losses.items()}
