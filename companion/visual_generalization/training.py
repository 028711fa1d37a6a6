"""One function that trains any approach on the images of one split; and the images themselves, labelled or in pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion.visual_generalization import method
from companion.visual_generalization.method import Grid
from companion.visual_generalization.models import Shape, perceptron
from companion.visual_generalization.registry import build
from companion.visual_generalization.representation import PCA, Representation
from companion.visual_generalization.worlds import World

TRIES = 12
CHECKPOINT_EVERY = 5000  # steps


@dataclass(frozen=True)
class Recipe:
    """How long and with what an approach is trained; the same for all of them but for the learning rate."""

    epochs: int = 6
    batch: int = 128
    amp: bool = False
    steps: int = 0  # if given, in place of epochs


@dataclass(frozen=True)
class Examples:
    """Training images (N, C, S, S) and their targets (N, F); pairs: (N / 2, C, S, S), each beside one of the first."""

    images: Tensor
    targets: Tensor
    pairs: Tensor


class ReadOut(nn.Module):
    """A frozen representation, its codes brought to unit scale on the training images, and a perceptron."""

    mean: Tensor
    spread: Tensor

    def __init__(self, body: Representation, codes: Tensor, shape: Shape) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", codes.mean(0))
        self.register_buffer("spread", codes.std(0).clamp_min(1e-3))
        self.head = perceptron((codes.shape[1], *shape.readout, shape.factors))

    def scaled(self, codes: Tensor) -> Tensor:
        """Codes with mean 0 and spread 1 on the training images."""
        return (codes - self.mean) / self.spread

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        return self.head(self.scaled(self.body.codes(images)))


# ---------------------------------------------------------------- images


def pairs_of(factors: Tensor, mask: Tensor, grid: Grid, generator: torch.Generator) -> Tensor:
    """Partners (B, F) of factors (B, F): some factors changed, the others kept, never outside the training mask.

    The number of factors to change is drawn from 1 to |V| and they from V, as in the supplement's "locatello" pairs; a
    partner that falls outside the mask is drawn again, and after twelve tries the image is its own partner.
    """
    partner, open_ = factors.clone(), torch.ones(len(factors), dtype=torch.bool)
    v, sizes = torch.tensor(grid.taking_part), torch.tensor(grid.sizes)
    for _ in range(TRIES):
        rank = torch.rand(len(factors), len(v), generator=generator).argsort(1)
        change = torch.zeros(factors.shape, dtype=torch.bool)
        change[:, v] = rank < torch.randint(1, len(v) + 1, (len(factors), 1), generator=generator)
        fresh = (torch.rand(factors.shape, generator=generator) * sizes).long()
        tried = torch.where(change, fresh, factors)
        good = open_ & mask[tuple(tried.T)]
        partner[good] = tried[good]
        open_ &= ~good
    return partner


def examples(world: World, mask: Tensor, count: int, pool: int, seed: int, device: torch.device) -> Examples:
    """`count` images that a mask (bool, the grid's shape) allows, their targets, and partners for the first half."""
    generator = torch.Generator().manual_seed(seed)
    flat = method.sample(mask, count, generator)
    factors = world.grid.factors(flat)
    partners = pairs_of(factors[: len(flat) // 2], mask, world.grid, generator)
    images, others = (world.images(which.to(device), pool) for which in (flat, world.grid.numbers(partners)))
    return Examples(images, world.grid.targets(factors.to(device)), others)


# ---------------------------------------------------------------- training


def train(
    name: str, data: Examples, shape: Shape, recipe: Recipe, rate: float, seed: int, folder: Path | None = None
) -> nn.Module:
    """Any approach, trained: images (B, C, S, S) to factors (B, F).

    With labels it regresses on the factors; otherwise it learns a representation first, which is frozen for a read-out
    on the same images. With a folder, training goes on where it was cut off.
    """
    net = build(name, shape, seed).to(data.images.device)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not isinstance(net, Representation):
        return _fit(net, _regression(net, data.images, data.targets), len(data.images), recipe, rate, seed, folder)
    _represent(net, data, recipe, rate, seed, folder)
    with torch.no_grad():
        codes = torch.cat([net.codes(part) for part in data.images.split(1000)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = ReadOut(net.requires_grad_(False), codes, shape).to(codes.device)
    inner = _regression(reader.head, reader.scaled(codes), data.targets)
    _fit(reader.head, inner, len(codes), recipe, rate, seed, folder and folder / "readout")
    return reader.eval()


def _regression(net: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """The paper's loss: squared error summed over factors, mean over the batch."""
    return lambda rows: (net(inputs[rows]).float() - targets[rows]).square().sum(1).mean()


def _represent(
    net: Representation, data: Examples, recipe: Recipe, rate: float, seed: int, folder: Path | None
) -> None:
    if isinstance(net, PCA):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net.fit(data.images)
        return
    others = data.pairs if net.pairs else data.images
    _fit(net, lambda rows: net.loss(data.images[rows], others[rows]), len(others), recipe, rate, seed, folder)


def _fit(
    net: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    recipe: Recipe,
    rate: float,
    seed: int,
    folder: Path | None,
) -> nn.Module:
    """Adam with a one-cycle rate on shuffled batches; the random numbers of a step depend on seed and step alone."""
    device = next(net.parameters()).device
    a_round = max(count // recipe.batch, 1)
    steps = recipe.steps or recipe.epochs * a_round
    optimiser = torch.optim.Adam(net.parameters(), rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2))
    parts: dict[str, Any] = {"net": net, "optimiser": optimiser, "schedule": schedule}
    for step in range(_resume(folder, parts), steps):
        with torch.random.fork_rng(), torch.autocast(device.type, torch.bfloat16, recipe.amp):
            torch.manual_seed(seed * 1_000_003 + step)
            value = loss(_batch(count, recipe.batch, step, a_round, seed).to(device))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        if folder and (step + 1) % CHECKPOINT_EVERY == 0:
            _keep(folder, parts, step + 1)
    return net.eval()


def _batch(count: int, size: int, step: int, a_round: int, seed: int) -> Tensor:
    """The images of a step: every round of steps goes through a fresh order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + step // a_round))
    start = step % a_round * size
    return order[start : start + size]


def _resume(folder: Path | None, parts: dict[str, Any]) -> int:
    """The step to go on from; 0 where nothing was kept."""
    if folder is None or not (folder / "checkpoint.pt").is_file():
        return 0
    kept = torch.load(folder / "checkpoint.pt", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(kept[name])
    return int(kept["step"])


def _keep(folder: Path, parts: dict[str, Any], step: int) -> None:
    """Write a checkpoint whole, then move it over the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step}, folder / "fresh.pt")
    (folder / "fresh.pt").replace(folder / "checkpoint.pt")


@torch.no_grad()
def predict(net: nn.Module, images: Tensor) -> Tensor:
    """Factors (B, F) of images (B, C, S, S), a thousand at a time."""
    return torch.cat([net(part) for part in images.split(1000)])
