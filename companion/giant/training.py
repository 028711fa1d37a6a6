"""Step 3 at work: the encoder is tuned a level at a time, from coarse to fine.

symbol      identifier   shape
z           z            (N, h): the vectors of all nodes after a level
w, b        head         (K_t, h), (K_t,)
top-b       beam         (N, b) int64, and `likely` (N, b): their scores
theta       encoder      what is tuned, and kept
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from companion.giant.method import (
    Encoder,
    LabelTree,
    Recipe,
    bootstrap,
    dense,
    descend,
    hinge,
    level_targets,
    random_head,
    unit,
)


@dataclass
class Level:
    """What was learnt at one level: the vectors of all nodes after it, its head and beam, the loss of every step."""

    clusters: int
    z: Tensor
    head: nn.Linear
    beam: Tensor
    likely: Tensor
    losses: list[float]


def encode(encoder: Encoder, nodes: Tensor, block: int = 4096) -> Tensor:
    """The vectors of nodes (n,), (n, h), each of length sqrt(h); no gradient."""
    with torch.no_grad():
        return torch.cat([unit(encoder(part)).cpu() for part in nodes.split(block)])


def fit(
    encoder: Encoder,
    links: sparse.csr_matrix,
    tree: LabelTree,
    rows: Tensor,
    recipe: Recipe,
    seed: int,
    folder: Path | None = None,
) -> list[Level]:
    """Tune the encoder on the instances `rows` (n,), a level of the tree at a time, from coarse to fine.

    folder: where each finished level is kept, so that a run that was cut goes on with the next one.
    """
    torch.manual_seed(seed)
    nodes = len(tree.leaves)
    z, beam = encode(encoder, torch.arange(nodes)), torch.zeros(nodes, 1, dtype=torch.int64)
    levels = [Level(1, z, nn.Linear(z.shape[1], 1), beam, torch.zeros(nodes, 1), [])]
    for t, epochs in enumerate(recipe.epochs, start=1):
        kept = folder / f"level_{t}.pt" if folder else None
        if kept and kept.is_file():
            levels.append(resume(encoder, kept))
            continue
        counts, above = (level_targets(links, tree, level) for level in (t, t - 1))
        booted = t >= recipe.bootstrap_from
        levels.append(fit_level(encoder, counts, above, levels[-1], tree.children(t), rows, recipe, epochs, booted))
        if kept:
            torch.save({"encoder": encoder.state_dict(), "level": levels[-1], "state": torch.get_rng_state()}, kept)
    return levels[1:]


def resume(encoder: Encoder, kept: Path) -> Level:
    """Put the encoder and the random numbers where they stood when a level was done; returns that level."""
    saved = torch.load(kept, weights_only=False)
    encoder.load_state_dict(saved["encoder"])
    torch.set_rng_state(saved["state"])
    return saved["level"]


def fit_level(
    encoder: Encoder,
    counts: sparse.csr_matrix,
    above: sparse.csr_matrix,
    parent: Level,
    children: int,
    rows: Tensor,
    recipe: Recipe,
    epochs: int,
    bootstrapped: bool,
) -> Level:
    """One level: start the head, tune encoder and head together, then find every node's likeliest clusters."""
    z, targets = parent.z[rows], dense(counts, rows)
    active = (dense(above, rows) > 0).scatter(1, parent.beam[rows], True)
    head = random_head(z.shape[1], counts.shape[1])
    if bootstrapped:
        head = bootstrap(z, targets, active, children, recipe.ridge)
    losses = tune(encoder, head, rows, targets, active.repeat_interleave(children, dim=1), recipe, epochs)
    head = head.cpu()
    after = encode(encoder, torch.arange(counts.shape[0]))
    beam, likely = search(after, head, parent, children, recipe.beam)
    return Level(counts.shape[1], after, head, beam, likely, losses)


def tune(
    encoder: Encoder, head: nn.Linear, rows: Tensor, counts: Tensor, mask: Tensor, recipe: Recipe, epochs: int
) -> list[float]:
    """Minimise the masked hinge over encoder and head, with a rate that falls linearly to 0; the loss of every step."""
    head = head.to(encoder.device)

    def loss(part: Tensor) -> Tensor:
        wanted, active = counts[part].to(encoder.device), mask[part].to(encoder.device)
        return hinge(head(unit(encoder(rows[part]))), wanted, active)

    return descend(encoder, head, loss, len(rows), recipe, epochs)


def search(z: Tensor, head: nn.Linear, parent: Level, children: int, b: int) -> tuple[Tensor, Tensor]:
    """The b likeliest clusters below the beam of the level above: (n, b) int64, and their scores (n, b).

    A cluster's score is its parent's score less its own hinge, max(0, 1 - s)^2: what it would cost were it right.
    """
    with torch.no_grad():
        path = torch.full((len(z), parent.clusters), -torch.inf).scatter(1, parent.beam, parent.likely)
        likely = path.repeat_interleave(children, dim=1) - functional.relu(1 - head(z)).square()
        found = likely.topk(min(b, likely.shape[1]), dim=1)
    return found.indices, found.values


def precision(level: Level, counts: sparse.csr_matrix, rows: Tensor, k: int = 1) -> float:
    """Precision@k in per cent: of the k likeliest clusters of nodes `rows`, how many hold a neighbour."""
    hit = dense(counts, rows).gather(1, level.beam[rows, :k]) > 0
    return 100 * float(hit.float().mean())
