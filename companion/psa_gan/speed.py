"""What a step costs: of each player, at the paper's shapes and at longer windows, beside the recurrent GAN."""

from __future__ import annotations

import torch

from companion.lab.runtime import call_seconds
from companion.lab.evidence import Measurement
from companion.psa_gan.arms import Sizes, start
from companion.psa_gan.method import discriminator_loss, generator_loss, moment_loss
from companion.psa_gan.panel import Windows
from companion.psa_gan.training import Game, Recipe


def step_seconds(game: Game, windows: Windows, repeats: int) -> dict[str, float]:
    """Seconds of a step of generator and of discriminator, each with its backward pass: the best of some, by name."""
    stream = torch.Generator().manual_seed(0)
    batch = windows.draw("train", game.batch, stream)
    z = game.generator.noise(len(batch.x), batch.x.shape[1], stream).to(batch.x.device)
    fake = game.generator(batch.phi, batch.series, z).detach()

    def generator() -> None:
        made = game.generator(batch.phi, batch.series, z)
        score = game.discriminator(made, batch.phi, batch.series)
        (generator_loss(score) + moment_loss(made, batch.x)).backward()

    def discriminator() -> None:
        scores = [game.discriminator(x, batch.phi, batch.series) for x in (batch.x, fake)]
        discriminator_loss(*scores).backward()

    found = {}
    for name, work in {"generator step": generator, "discriminator step": discriminator}.items():
        work()
        found[name] = min(call_seconds(work, windows.values.device) for _ in range(repeats))
    return found


def cost(windows: Windows, arms: tuple[str, ...], sizes: Sizes, repeats: int, seed: int) -> list[Measurement]:
    """log10 of the seconds of a step of each player, and of both, of each arm at the length of these windows."""
    rows, place = [], f"length {windows.length}, batch {sizes.batch}"
    for arm in arms:
        found = step_seconds(start(arm, windows, Recipe(1e-3), sizes, seed), windows, repeats)
        found["both steps"] = sum(found.values())
        rows += [
            Measurement("seconds", f"{arm}: {name}", place, seed, float(torch.tensor(value).log10()))
            for name, value in found.items()
        ]
    return rows
