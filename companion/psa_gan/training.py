"""Training by stage: which level when, one step of each player, and a loop that can be cut and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.psa_gan.method import Maker, discriminator_loss, generator_loss, moment_loss, pool
from companion.psa_gan.panel import Batch, Windows

BETAS = (0.5, 0.99)


@dataclass(frozen=True)
class Stage:
    """So many steps at one level, the first `fading` of them with alpha on its way from 0 to 1."""

    level: int
    steps: int
    fading: int

    def alpha(self, step: int) -> float:
        """How much of the new level counts in this step of the stage, counted from 0."""
        return min(step / self.fading, 1.0) if self.fading else 1.0


def schedule(depth: int, steps: int, last: float, fading: float) -> list[Stage]:
    """Growth: a share `last` of the steps for the whole window, the others shared by the levels before it.

    fading: the share of each later stage in which its level fades in.
    """
    early = round(steps * (1 - last) / depth) if depth else 0
    counts = [early] * depth + [steps - early * depth]
    return [Stage(k, count, round(fading * count) if k else 0) for k, count in enumerate(counts)]


def grown(depth: int, steps: int) -> list[Stage]:
    """No growth: all steps for the whole window."""
    return [Stage(depth, steps, 0)]


class Recipe(NamedTuple):
    """What is chosen for each arm: the generator's learning rate, and how often that the discriminator's is."""

    lr: float
    ratio: float = 1.0

    @property
    def rates(self) -> tuple[float, float]:
        """The learning rates of the generator and of the discriminator."""
        return self.lr, self.ratio * self.lr

    def __str__(self) -> str:
        return f"lr {self.lr:g}, discriminator {self.ratio:g} x"


@dataclass
class Game:
    """Two players, what they are taught with, and their plan; `moment` is lambda_M, `losses` those of the last step."""

    generator: Maker
    discriminator: nn.Module
    stages: list[Stage]
    recipe: Recipe
    moment: float
    batch: int
    amp: bool = False
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimizers = [
            torch.optim.Adam(player.parameters(), lr, BETAS, fused=True)
            for player, lr in zip((self.generator, self.discriminator), self.recipe.rates, strict=True)
        ]


def rate(step: int, steps: int) -> float:
    """The share of the learning rate: all of it for half of the steps, then in a line to 0."""
    return min(1.0, 2 * (1 - step / steps))


def shrunk(batch: Batch, hours: int) -> tuple[Tensor, Tensor]:
    """Real windows and calendar pooled to so many hours: (b, hours), (b, hours, 8)."""
    times = batch.x.shape[1] // hours
    return pool(batch.x, times), pool(batch.phi, times)


def told(batch: Batch) -> Tensor | None:
    """The hours before the windows, (b, c), where the batch has them."""
    return batch.before if batch.before.shape[1] else None


def play(game: Game, batch: Batch, hours: int, alpha: float, stream: torch.Generator) -> None:
    """One step of each player on one batch, pooled to so many hours, with the same made windows."""
    real, phi = shrunk(batch, hours)
    device = real.device
    z = game.generator.noise(len(real), hours, stream).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=game.amp):
        fake = game.generator(phi, batch.series, z, alpha, told(batch))
        both = (torch.cat([real, fake.detach()]), torch.cat([phi, phi]), batch.series.repeat(2))
        scores = game.discriminator(*both, alpha).float()
    loss_d = discriminator_loss(*scores.chunk(2))
    _improve(game.optimizers[1], loss_d)
    game.discriminator.requires_grad_(False)
    with torch.autocast(device.type, torch.bfloat16, enabled=game.amp):
        deceived = game.discriminator(fake, phi, batch.series, alpha)
    loss_g, apart = generator_loss(deceived.float()), moment_loss(fake.float(), real)
    _improve(game.optimizers[0], loss_g + game.moment * apart)
    game.discriminator.requires_grad_(True)
    game.losses = {"discriminator": loss_d.item(), "generator": loss_g.item(), "moments": apart.item()}


def _improve(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


Watch = Callable[[Game, Stage, int], None]


def train(
    game: Game,
    windows: Windows,
    part: str,
    stream: torch.Generator,
    watch: Watch | None = None,
    checkpoint: Path | None = None,
    every: int = 1000,
) -> Game:
    """Play all steps on windows of a part of the panel. `watch` is told the stage and its step before it is made.

    checkpoint: a file that is written `every` so many steps; where it exists, training goes on from it and ends, to
    the last bit, where it would have ended without the break.
    Raises CompanionError where the file belongs to another plan.
    """
    done = load(checkpoint, game, stream) if checkpoint and checkpoint.is_file() else 0
    plan = [(stage, step) for stage in game.stages for step in range(stage.steps)]
    for count, (stage, step) in enumerate(plan[done:], start=done + 1):
        if watch:
            watch(game, stage, step)
        for optimizer, lr in zip(game.optimizers, game.recipe.rates, strict=True):
            optimizer.param_groups[0]["lr"] = lr * rate(count - 1, len(plan))
        hours = windows.length >> (game.stages[-1].level - stage.level)
        play(game, windows.draw(part, game.batch, stream), hours, stage.alpha(step), stream)
        if checkpoint and count % every == 0:
            save(checkpoint, game, stream, count)
    return game


def save(file: Path, game: Game, stream: torch.Generator, done: int) -> None:
    """Write all that the next step depends on; whole or not at all."""
    parts: dict[str, Any] = {
        "plan": [str(stage) for stage in game.stages],
        "done": done,
        "stream": stream.get_state(),
        "players": [game.generator.state_dict(), game.discriminator.state_dict()],
        "optimizers": [optimizer.state_dict() for optimizer in game.optimizers],
    }
    fresh = file.with_suffix(".part")
    torch.save(parts, fresh)
    fresh.replace(file)


def load(file: Path, game: Game, stream: torch.Generator) -> int:
    """Put a game back to where it was saved; returns how many steps were done."""
    parts = torch.load(file, weights_only=True)
    if parts["plan"] != [str(stage) for stage in game.stages]:
        raise CompanionError(f"{file.name} belongs to another plan of stages; remove it or give another file.")
    stream.set_state(parts["stream"])
    for player, state in zip((game.generator, game.discriminator), parts["players"], strict=True):
        player.load_state_dict(state)
    for optimizer, state in zip(game.optimizers, parts["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return int(parts["done"])
