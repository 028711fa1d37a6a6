"""Builds and trains every compared model: variants of PSA-GAN, a recurrent GAN, and the bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from companion.errors import CompanionError
from companion.psa_gan.baselines import RecurrentDiscriminator, RecurrentGenerator, bootstrap, weekly_profile
from companion.psa_gan.data import Windows
from companion.psa_gan.evaluation import with_random_skip
from companion.psa_gan.method import (
    GAN,
    Attention,
    BaseGenerator,
    Batch,
    Discriminator,
    Generator,
    Stage,
    context_of,
    level_of,
    lr_factor,
    pool,
    pool_batch,
    schedule,
    train_step,
    upsample,
    without_growing,
)

PSA, NO_GROWTH, NO_ATTENTION, NEITHER = "PSA-GAN", "no growth", "no attention", "neither"
NO_MOMENTS, NO_FADE, CONTEXT = "no moment loss", "no fading", "PSA-GAN-C"
RECURRENT, RECURRENT_PLAIN = "recurrent", "recurrent, no moment loss"
BOOTSTRAP = "bootstrap"
ALPHAS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class GANConfig:
    """How a GAN is built and trained; all but the two learning rates is the same for all methods."""

    lr: float = 2e-3  # learning rate of the generator
    lr_ratio: float = 1.0  # learning rate of the discriminator, in multiples of the generator's
    channels: int = 16  # channels C of the hidden layers
    attention_dim: int = 8  # dimension d of queries and keys
    batch_size: int = 32  # windows per step
    steps: int = 300  # training steps of each network
    last: float = 0.6  # share of the steps for the whole window
    fading: float = 0.5  # share of a stage in which its level fades in
    amp: bool = False  # bfloat16 autocast


@dataclass(frozen=True)
class Variant:
    """What a method has: the components of PSA-GAN, or a recurrent network in its place."""

    growth: bool = True
    fade: bool = True
    attention: bool = True
    moments: bool = True
    recurrent: bool = False
    context: bool = False


VARIANTS = {
    PSA: Variant(),
    NO_GROWTH: Variant(growth=False),
    NO_ATTENTION: Variant(attention=False),
    NEITHER: Variant(growth=False, attention=False),
    NO_MOMENTS: Variant(moments=False),
    NO_FADE: Variant(fade=False),
    CONTEXT: Variant(context=True),
    RECURRENT: Variant(growth=False, recurrent=True),
    RECURRENT_PLAIN: Variant(growth=False, recurrent=True, moments=False),
}


def build(name: str, windows: Windows, config: GANConfig, seed: int) -> GAN:
    """The networks of a method before their first step, initialized from `seed`."""
    variant, series, depth = VARIANTS[name], len(windows.names), level_of(windows.length)
    torch.manual_seed(seed)
    generator: BaseGenerator
    discriminator: torch.nn.Module
    if variant.recurrent:
        width = 2 * config.channels
        generator, discriminator = RecurrentGenerator(series, width), RecurrentDiscriminator(series, width)
    else:
        sizes = (series, depth, config.channels, config.attention_dim if variant.attention else 0)
        generator = Generator(*sizes, context=windows.before if variant.context else 0)
        discriminator = Discriminator(*sizes)
    generator, discriminator = generator.to(windows.values.device), discriminator.to(windows.values.device)
    fading = config.fading if variant.fade else 0.0
    growing = schedule(depth, config.steps, config.last, fading)
    stages = growing if variant.growth else without_growing(depth, config.steps)
    lr = (config.lr, config.lr_ratio * config.lr)
    return GAN(generator, discriminator, stages, lr, float(variant.moments), config.batch_size, config.amp)


Callback = Callable[[GAN, Stage, int], None]


def train(
    gan: GAN,
    windows: Windows,
    part: str,
    stream: torch.Generator,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1000,
) -> GAN:
    """Train through all stages on windows of a part of the panel. `callback` is called before each step.

    checkpoint: a file that is written every `checkpoint_every` steps; where it exists, training continues from it and
    gives the same weights as without the interruption.
    Raises CompanionError if the file was written for another schedule of stages.
    """
    done = load(checkpoint, gan, stream) if checkpoint and checkpoint.is_file() else 0
    plan = [(stage, step) for stage in gan.stages for step in range(stage.steps)]
    for count, (stage, step) in enumerate(plan[done:], start=done + 1):
        if callback:
            callback(gan, stage, step)
        for optimizer, lr in zip(gan.optimizers, gan.lr, strict=True):
            optimizer.param_groups[0]["lr"] = lr * lr_factor(count - 1, len(plan))
        hours = windows.length >> (gan.stages[-1].level - stage.level)
        train_step(gan, windows.draw(part, gan.batch_size, stream), hours, stage.alpha(step), stream)
        if checkpoint and count % checkpoint_every == 0:
            save(checkpoint, gan, stream, count)
    return gan


def fit(name: str, windows: Windows, part: str, config: GANConfig, seed: int, callback: Callback | None = None) -> GAN:
    """Build and train a method on a part of the panel; batches too are drawn from `seed`."""
    gan = build(name, windows, config, seed)
    return train(gan, windows, part, torch.Generator().manual_seed(seed), callback)


def save(file: Path, gan: GAN, stream: torch.Generator, done: int) -> None:
    """Write everything that the next step depends on, in one piece."""
    state: dict[str, Any] = {
        "plan": [str(stage) for stage in gan.stages],
        "done": done,
        "stream": stream.get_state(),
        "networks": [gan.generator.state_dict(), gan.discriminator.state_dict()],
        "optimizers": [optimizer.state_dict() for optimizer in gan.optimizers],
    }
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)


def load(file: Path, gan: GAN, stream: torch.Generator) -> int:
    """Restore what `save` wrote; returns the number of steps done."""
    state = torch.load(file, weights_only=True)
    if state["plan"] != [str(stage) for stage in gan.stages]:
        raise CompanionError(f"{file.name} belongs to another plan of stages; remove it or give another file.")
    stream.set_state(state["stream"])
    for network, weights in zip((gan.generator, gan.discriminator), state["networks"], strict=True):
        network.load_state_dict(weights)
    for optimizer, part in zip(gan.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(part)
    return int(state["done"])


# ---------------------------------------------------------------- windows from trained models

Sampler = Callable[[Batch], Tensor]


@torch.no_grad()
def sample(gan: GAN, batch: Batch, stream: torch.Generator) -> Tensor:
    """Generated windows (b, l) under the conditions of a batch, at full length."""
    generator = gan.generator.eval()
    z = generator.noise(len(batch.x), batch.x.shape[1], stream).to(batch.x.device)
    generated = generator(batch.phi, batch.series, z, 1.0, context_of(batch))
    generator.train()
    return generated


def sampler_of(gan: GAN, seed: int) -> Sampler:
    """A function from conditions to generated windows, with its own noise."""
    stream = torch.Generator().manual_seed(seed)
    return lambda batch: sample(gan, batch, stream).cpu()


def bootstrap_sampler(windows: Windows, part: str, seed: int) -> Sampler:
    """The bootstrap with the weekly profile and donors of a part of the panel."""
    torch.manual_seed(seed)
    windows = windows.to(torch.device("cpu"))
    starts, known = windows.starts[part], torch.zeros_like(windows.values, dtype=torch.bool)
    for step in range(windows.length):
        known[starts[:, 0], starts[:, 1] + step] = True
    profile = weekly_profile(windows.values, windows.week, known)
    return lambda batch: bootstrap(
        profile, windows.week, windows.values, batch.series.cpu(), batch.hours.cpu(), starts, windows.length
    )


def largest_gamma(gan: GAN) -> float:
    """The largest |gamma| of the generator's attention layers; 0 without attention."""
    gammas = [float(part.gamma.detach().abs()) for part in gan.generator.modules() if isinstance(part, Attention)]
    return max(gammas, default=0.0)


# ---------------------------------------------------------------- snapshots of one training, for the figures


@dataclass
class Snapshots:
    """What PSA-GAN generates during training under the conditions of `batch`, from the same noise z (b, 8, 1).

    levels: (real pooled, generated), each (b, 8 * 2^k), at the end of each level. before (b, l): before the last level,
    upsampled. fades: initialization of the skip layer -> one (b, l) for each of ALPHAS. gan: the trained networks.
    """

    batch: Batch
    z: Tensor
    levels: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    before: Tensor = field(default_factory=lambda: torch.empty(0))
    fades: dict[str, list[Tensor]] = field(default_factory=dict)
    gan: GAN | None = None


@torch.no_grad()
def generate(generator: BaseGenerator, batch: Batch, z: Tensor, hours: int, alpha: float = 1.0) -> Tensor:
    """Windows (b, hours) of a copy of the generator, which itself is not changed."""
    return deepcopy(generator).eval()(pool_batch(batch, hours)[1], batch.series, z, alpha)


def fit_with_snapshots(windows: Windows, part: str, config: GANConfig, seed: int, count: int = 3) -> Snapshots:
    """Train PSA-GAN once and keep what it generates for `count` windows of that part at each level."""
    batch = windows.draw(part, count, torch.Generator().manual_seed(seed))
    shots = Snapshots(batch, torch.randn(count, 8, 1, generator=torch.Generator().manual_seed(seed)))

    def callback(gan: GAN, stage: Stage, step: int) -> None:
        if step == 0 and stage.level:
            add_level(shots, gan.generator, windows.length >> (level_of(windows.length) - stage.level + 1))
            if stage is gan.stages[-1] and isinstance(gan.generator, Generator):
                add_fades(shots, gan.generator, seed)

    shots.gan = fit(PSA, windows, part, config, seed, callback)
    add_level(shots, shots.gan.generator, windows.length)
    return shots


def add_level(shots: Snapshots, generator: BaseGenerator, hours: int) -> None:
    """Keep the real and the generated windows at this length."""
    shots.levels.append((pool_batch(shots.batch, hours)[0], generate(generator, shots.batch, shots.z, hours)))


def add_fades(shots: Snapshots, generator: Generator, seed: int) -> None:
    """Keep the output while the last level fades in, with the skip layer as it is and randomly initialized."""
    hours = shots.batch.x.shape[1]
    random = with_random_skip(generator, level_of(hours), seed)
    shots.before = upsample(generate(generator, shots.batch, shots.z, hours // 2))
    for name, net in {"skip starts as the identity": generator, "skip starts at random": random}.items():
        shots.fades[name] = [generate(net, shots.batch, shots.z, hours, alpha) for alpha in ALPHAS]


def example_by_hand() -> dict[str, Tensor]:
    """The lesson's example: eight hours, averages of pairs, these upsampled, and a new level fading in."""
    window = torch.tensor([[2.0, 4.0, 6.0, 8.0, 7.0, 5.0, 3.0, 1.0]])
    new = torch.tensor([[2.0, 3.0, 6.0, 9.0, 7.0, 6.0, 2.0, 1.0]])
    previous = upsample(pool(window))
    fades = {f"alpha {alpha:g}": alpha * new + (1 - alpha) * previous for alpha in ALPHAS}
    return {"window": window, "pooled": pool(window), "upsampled": previous, **fades}
