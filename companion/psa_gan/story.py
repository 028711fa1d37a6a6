"""One training told in pictures: what the same noise becomes level by level, and how a level comes in."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor

from companion.psa_gan.arms import PSA, Sizes, fit
from companion.psa_gan.jump import with_random_skip
from companion.psa_gan.method import Generator, Maker, level_of, pool, upsample
from companion.psa_gan.panel import Batch, Windows
from companion.psa_gan.training import Game, Recipe, Stage, shrunk

ALPHAS = (0.0, 0.5, 1.0)


@dataclass
class Story:
    """Under the conditions of `shown`: made windows at the end of each level, the last level coming in, the game.

    levels: (real pooled, made), each (b, 8 * 2^k). old (b, l): before the last level, upsampled. fades: way of starting
    the skip -> one (b, l) for each of ALPHAS.
    """

    shown: Batch
    z: Tensor
    levels: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    old: Tensor = field(default_factory=lambda: torch.empty(0))
    fades: dict[str, list[Tensor]] = field(default_factory=dict)
    game: Game | None = None


@torch.no_grad()
def asked(generator: Maker, batch: Batch, z: Tensor, hours: int, alpha: float = 1.0) -> Tensor:
    """Windows (b, hours) of a copy of the generator, which itself is not touched."""
    return deepcopy(generator).eval()(shrunk(batch, hours)[1], batch.series, z, alpha)


def tell(windows: Windows, part: str, recipe: Recipe, sizes: Sizes, seed: int, count: int = 3) -> Story:
    """Train PSA-GAN once and keep what `count` windows of that part look like on the way."""
    batch = windows.draw(part, count, torch.Generator().manual_seed(seed))
    story = Story(batch, torch.randn(count, 8, 1, generator=torch.Generator().manual_seed(seed)))

    def watch(game: Game, stage: Stage, step: int) -> None:
        if step == 0 and stage.level:
            keep(story, game.generator, windows.length >> (level_of(windows.length) - stage.level + 1))
            if stage is game.stages[-1] and isinstance(game.generator, Generator):
                come_in(story, game.generator, seed)

    story.game = fit(PSA, windows, part, recipe, sizes, seed, watch)
    keep(story, story.game.generator, windows.length)
    return story


def keep(story: Story, generator: Maker, hours: int) -> None:
    """Note the real windows and the made ones at this length."""
    story.levels.append((shrunk(story.shown, hours)[0], asked(generator, story.shown, story.z, hours)))


def come_in(story: Story, generator: Generator, seed: int) -> None:
    """Note the last level on its way in, behind the skip as it is and behind a random one."""
    hours = story.shown.x.shape[1]
    random = with_random_skip(generator, level_of(hours), seed)
    story.old = upsample(asked(generator, story.shown, story.z, hours // 2))
    for name, net in {"skip starts as the identity": generator, "skip starts at random": random}.items():
        story.fades[name] = [asked(net, story.shown, story.z, hours, alpha) for alpha in ALPHAS]


def eight_numbers() -> dict[str, Tensor]:
    """The lesson's toy: eight hours, their pairs' means, those upsampled, and what a fade makes of a new level."""
    window = torch.tensor([[2.0, 4.0, 6.0, 8.0, 7.0, 5.0, 3.0, 1.0]])
    new = torch.tensor([[2.0, 3.0, 6.0, 9.0, 7.0, 6.0, 2.0, 1.0]])
    old = upsample(pool(window))
    fades = {f"alpha {alpha:g}": alpha * new + (1 - alpha) * old for alpha in ALPHAS}
    return {"window": window, "pooled": pool(window), "upsampled": old, **fades}
