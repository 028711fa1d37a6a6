"""The arms: every method of the lesson trained on one world, with the same networks, steps and start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from companion.grda import baselines
from companion.grda.method import (
    INDEPENDENT,
    PAIRINGS,
    SYNCHRONISED,
    Encoder,
    Game,
    GraphCritic,
    Loss,
    Training,
    cross_entropy,
    embed_graph,
    fit,
    mlp,
)
from companion.grda.worlds import World, permuted

SOURCE, SOURCE_NO_Z, DANN, CDANN, ADDA, WALK = "source only", "source only, no z", "DANN", "CDANN", "ADDA", "graph walk"
GRDA = {pairing: f"GRDA, {pairing}" for pairing in PAIRINGS}
PERMUTED = f"GRDA, {SYNCHRONISED}, permuted graph"
NEURAL = (SOURCE, SOURCE_NO_Z, DANN, CDANN, ADDA, *GRDA.values())


@dataclass(frozen=True)
class Recipe:
    """What is chosen for each arm: the learning rate, and the weight of the discriminator's loss.

    For ADDA `lam` is the target encoder's learning rate against the discriminator's.
    """

    lr: float
    lam: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """What all arms share: width of the networks, size of z and of D's output, epochs, batch a domain, half-life."""

    width: int = 32
    k: int = 2
    embed_steps: int = 300
    epochs: int = 60
    batch: int = 20
    half_life: float = 40
    amp: bool = False


def train(
    world: World, arm: str, recipe: Recipe, sizes: Sizes, seed: int, watch: Callable[[Game], None] | None = None
) -> Game:
    """Train one arm; `watch` is called after each epoch. Networks start from `seed`, the same for all arms."""
    if arm == PERMUTED:
        world, arm = permuted(world, seed), GRDA[SYNCHRONISED]
    game = start(world, arm, recipe, sizes, seed)
    stream = torch.Generator().manual_seed(seed)
    training = Training(sizes.epochs, sizes.batch, recipe.lr, sizes.half_life, sizes.amp)
    epochs = fit(game, world.x, world.y, training, arm == GRDA[SYNCHRONISED], stream)
    if arm == ADDA:
        critic = _tower(sizes, sizes.width, 1).to(world.x.device)
        epochs = baselines.fit_adda(game, critic, world.x, world.y, training, recipe.lam, stream)
    for _ in epochs:
        if watch:
            watch(game)
    return game


def start(world: World, arm: str, recipe: Recipe, sizes: Sizes, seed: int, loss: Loss = cross_entropy) -> Game:
    """The players before the first move: z from the graph, then E, F and the arm's critic."""
    torch.manual_seed(seed)
    z = embed_graph(world.adjacency, sizes.k, sizes.embed_steps, torch.Generator().manual_seed(seed))
    encoder = Encoder(world.x.shape[-1], 0 if arm == SOURCE_NO_Z else sizes.k, sizes.width)
    predictor = mlp(sizes.width, sizes.width, sizes.width, outputs(world))
    critic = critic_of(arm, world, sizes)
    parts = [part.to(world.x.device) if part else None for part in (encoder, predictor, critic)]
    return Game(parts[0], parts[1], parts[2], z, world.sources, recipe.lam, loss)  # type: ignore[arg-type]


def outputs(world: World) -> int:
    """How many numbers F must give: classes, or the targets of a regression."""
    return int(world.y.max()) + 1 if world.y.dim() == 2 else world.y.shape[-1]


def critic_of(arm: str, world: World, sizes: Sizes) -> nn.Module | None:
    """The arm's discriminator with its loss; none for arms that align nothing (ADDA brings its own)."""
    domains, pairing = len(world.x), {name: pairing for pairing, name in GRDA.items()}.get(arm)
    if pairing:
        paper = pairing == INDEPENDENT  # all pairs, with those of one domain: what the objective says
        return GraphCritic(_tower(sizes, sizes.width, sizes.k), world.adjacency, not paper, paper)
    if arm == DANN:
        return baselines.DomainCritic(_tower(sizes, sizes.width, domains))
    if arm == CDANN:
        return baselines.ConditionalCritic(_tower(sizes, sizes.width + outputs(world), domains))
    return None


def _tower(sizes: Sizes, inputs: int, out: int) -> nn.Sequential:
    return mlp(inputs, *[sizes.width] * 4, out)


def guesses(world: World, arm: str, recipe: Recipe, sizes: Sizes, seed: int) -> Tensor:
    """The class that an arm gives to each sample, (V, n)."""
    if arm == WALK:
        x, y, adjacency, sources = (part.cpu().numpy() for part in (world.x, world.y, world.adjacency, world.sources))
        found, _ = baselines.self_training(x, y, adjacency, sources, rounds=3)
        return torch.from_numpy(found).to(world.y.device)
    return train(world, arm, recipe, sizes, seed).predict(world.x).argmax(-1)
