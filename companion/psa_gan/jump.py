"""What the output does when a level is added: nothing, if it fades in behind a skip that changes nothing."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from companion.lab.evidence import Measurement
from companion.psa_gan.method import Generator, level_of, pool, upsample
from companion.psa_gan.panel import Batch

FADED, AT_ONCE, RANDOM_SKIP = "faded in", "at once", "faded in, random skip"


def with_random_skip(generator: Generator, level: int, seed: int) -> Generator:
    """A copy whose skip to this level starts as the released code starts it: at random."""
    copy = deepcopy(generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        channels = next(copy.skips[level - 1].parameters()).shape[1]
        copy.skips[level - 1] = nn.Linear(channels, channels, dtype=next(generator.parameters()).dtype)
    return copy


@torch.no_grad()
def before_and_after(generator: Generator, batch: Batch, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Windows (b, l) before the level of these hours is added, and after, for three ways to add it."""
    level = level_of(batch.x.shape[1])
    z = generator.noise(len(batch.x), 0, torch.Generator().manual_seed(seed)).to(batch.x.device)
    random = with_random_skip(generator, level, seed)
    ways = {FADED: (generator, 0.0), AT_ONCE: (generator, 1.0), RANDOM_SKIP: (random, 0.0)}
    for net, _ in ways.values():
        net.eval()
    old = upsample(generator(pool(batch.phi), batch.series, z))
    found = {name: (old, net(batch.phi, batch.series, z, alpha)) for name, (net, alpha) in ways.items()}
    generator.train()
    return found


def jumps(generator: Generator, batch: Batch, seed: int) -> list[Measurement]:
    """Root mean square change of the output, in standard deviations of the output before, for each way."""
    rows = []
    for name, (old, new) in before_and_after(generator, batch, seed).items():
        jump = float((new - old).square().mean().sqrt() / old.std())
        rows.append(Measurement("jump", name, "last level", seed, jump))
    return rows
