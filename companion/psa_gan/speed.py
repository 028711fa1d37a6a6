"""What a step costs: of each player, at the paper's shapes and at longer windows, beside the recurrent GAN."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from companion.lab.evidence import Measurement
from companion.psa_gan.arms import Sizes, start
from companion.psa_gan.method import discriminator_loss, generator_loss, moment_loss
from companion.psa_gan.panel import Windows
from companion.psa_gan.training import Game, Recipe


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds of one call, the best of some: CPU seconds of this process, or on a GPU those of the clock."""
    work()
    found = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clock = time.perf_counter if device.type == "cuda" else time.process_time
        begin = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(clock() - begin)
    return max(min(found), 1e-6)


def step_seconds(game: Game, windows: Windows, repeats: int) -> dict[str, float]:
    """Seconds of one step of the generator and of one of the discriminator, with their backward passes."""
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

    work = {"generator step": generator, "discriminator step": discriminator}
    return {name: seconds(each, windows.values.device, repeats) for name, each in work.items()}


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
