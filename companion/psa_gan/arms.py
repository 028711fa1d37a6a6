"""The arms of the experiment: PSA-GAN with one thing switched at a time, the recurrent GAN, and the bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from companion.psa_gan.baselines import RecurrentDiscriminator, RecurrentGenerator, bootstrap, weekly_profile
from companion.psa_gan.method import Attention, Discriminator, Generator, Maker, level_of
from companion.psa_gan.panel import Batch, Windows
from companion.psa_gan.training import Game, Recipe, Watch, grown, schedule, told, train

PSA, NO_GROWTH, NO_ATTENTION, NEITHER = "PSA-GAN", "no growth", "no attention", "neither"
NO_MOMENTS, NO_FADE, CONTEXT = "no moment loss", "no fading", "PSA-GAN-C"
RECURRENT, RECURRENT_PLAIN = "recurrent", "recurrent, no moment loss"
BOOTSTRAP = "bootstrap"


@dataclass(frozen=True)
class Sizes:
    """What all arms share: width C, size d of queries and keys, batch, steps, and how growth shares out the steps."""

    channels: int = 16
    attention: int = 8
    batch: int = 32
    steps: int = 300
    last: float = 0.6
    fading: float = 0.5
    amp: bool = False


class Arm(NamedTuple):
    """What an arm switches off or on."""

    growth: bool = True
    fade: bool = True
    attention: bool = True
    moments: bool = True
    recurrent: bool = False
    told: bool = False


ARMS = {
    PSA: Arm(),
    NO_GROWTH: Arm(growth=False),
    NO_ATTENTION: Arm(attention=False),
    NEITHER: Arm(growth=False, attention=False),
    NO_MOMENTS: Arm(moments=False),
    NO_FADE: Arm(fade=False),
    CONTEXT: Arm(told=True),
    RECURRENT: Arm(growth=False, recurrent=True),
    RECURRENT_PLAIN: Arm(growth=False, recurrent=True, moments=False),
}


def start(name: str, windows: Windows, recipe: Recipe, sizes: Sizes, seed: int) -> Game:
    """The players of an arm before their first step; networks start from `seed`."""
    arm, series, depth = ARMS[name], len(windows.names), level_of(windows.length)
    torch.manual_seed(seed)
    maker: Maker
    critic: torch.nn.Module
    if arm.recurrent:
        width = 2 * sizes.channels
        maker, critic = RecurrentGenerator(series, width), RecurrentDiscriminator(series, width)
    else:
        form = (series, depth, sizes.channels, sizes.attention if arm.attention else 0)
        maker, critic = Generator(*form, context=windows.before if arm.told else 0), Discriminator(*form)
    maker, critic = maker.to(windows.values.device), critic.to(windows.values.device)
    fading = sizes.fading if arm.fade else 0.0
    stages = schedule(depth, sizes.steps, sizes.last, fading) if arm.growth else grown(depth, sizes.steps)
    return Game(maker, critic, stages, recipe, float(arm.moments), sizes.batch, sizes.amp)


def fit(
    name: str, windows: Windows, part: str, recipe: Recipe, sizes: Sizes, seed: int, watch: Watch | None = None
) -> Game:
    """Train an arm on a part of the panel; batches too are drawn from `seed`."""
    game = start(name, windows, recipe, sizes, seed)
    return train(game, windows, part, torch.Generator().manual_seed(seed), watch)


@torch.no_grad()
def sample(game: Game, batch: Batch, stream: torch.Generator) -> Tensor:
    """Made windows (b, l) under the conditions of a batch, at full depth."""
    generator = game.generator.eval()
    z = generator.noise(len(batch.x), batch.x.shape[1], stream).to(batch.x.device)
    made = generator(batch.phi, batch.series, z, 1.0, told(batch))
    generator.train()
    return made


def strongest_attention(game: Game) -> float:
    """The largest |gamma| in the generator; 0 where there is no attention."""
    gammas = [float(part.gamma.detach().abs()) for part in game.generator.modules() if isinstance(part, Attention)]
    return max(gammas, default=0.0)


Sampler = Callable[[Batch], Tensor]


def sampler_of(game: Game, seed: int) -> Sampler:
    """A function from conditions to made windows, with its own stream of noise."""
    stream = torch.Generator().manual_seed(seed)
    return lambda batch: sample(game, batch, stream).cpu()


def bootstrap_sampler(windows: Windows, part: str, seed: int) -> Sampler:
    """The bootstrap, its profile and its donors from a part of the panel."""
    torch.manual_seed(seed)
    windows = windows.to(torch.device("cpu"))
    starts, known = windows.starts[part], torch.zeros_like(windows.values, dtype=torch.bool)
    for step in range(windows.length):
        known[starts[:, 0], starts[:, 1] + step] = True
    profile = weekly_profile(windows.values, windows.week, known)
    return lambda batch: bootstrap(
        profile, windows.week, windows.values, batch.series.cpu(), batch.hours.cpu(), starts, windows.length
    )
