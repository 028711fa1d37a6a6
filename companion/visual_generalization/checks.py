"""Correctness checks: splits, metric, images and layers against arithmetic, loops and quadrature, without training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from scipy.integrate import quad
from torch import Tensor

from companion.visual_generalization import baselines, data, method, models
from companion.visual_generalization.method import COMPOSITION, EXTRAPOLATION, INTERPOLATION, RANDOM, SCATTERED, Grid

SPRITE, SPRITE40, ROOM = data.sprite_grid(), data.sprite_grid(40), data.ROOM_GRID
MPI3D = Grid(
    ("color", "shape", "size", "height", "background", "x", "y"), (6, 6, 2, 3, 3, 40, 40), ("shape", "size"), 0.1
)
CELEB = Grid(("person", "smile", "blond", "age"), (1000, 6, 6, 6), ("person",), 0.3)
SHARES = (  # grid, q where it is given, share of training images: extrapolation and interpolation, composition
    (SPRITE, None, 0.32552, 0.26084), (SPRITE40, None, 0.32552, 0.26084), (ROOM, None, 0.30720, 0.31960),
    (MPI3D, None, 0.30000, 0.27750), (CELEB, 0.2, 0.29630, 0.42130),
)  # fmt: skip
HELD_OUT = (
    (6, 0.2, INTERPOLATION, [1, 4]), (10, 0.2, INTERPOLATION, [2, 7]), (10, 0.15, INTERPOLATION, [2, 7]),
    (8, 0.15, INTERPOLATION, [2, 5]), (15, 0.15, INTERPOLATION, [2, 7, 12]), (6, 0.1, INTERPOLATION, [3]),
    (32, 0.2, INTERPOLATION, [2, 7, 11, 15, 20, 24, 29]), (6, 0.2, EXTRAPOLATION, [4, 5]),
    (10, 0.2, EXTRAPOLATION, [8, 9]), (8, 0.15, EXTRAPOLATION, [6, 7]), (15, 0.15, EXTRAPOLATION, [12, 13, 14]),
    (32, 0.2, EXTRAPOLATION, list(range(25, 32))),
)  # fmt: skip
GOLDEN = {  # lit pixels of the published sprites, upright, scales 0 to 5
    data.SQUARE: (100, 144, 196, 256, 324, 400),
    data.ELLIPSE: (76, 104, 144, 184, 228, 288),
    data.HEART: (58, 84, 108, 140, 182, 222),
}
CLAMPED, CLAMPED_ALONE = (0.576, 0.910, 0.924, 0.924), (0.143, 0.697, 0.765, 0.765)
MEAN_OF_TRAINING = (-0.784, -0.355, -0.401, -0.401)


# ---------------------------------------------------------------- splits


def shares() -> float:
    """Shares of training images against the fractions n_j and r imply, for four data sets: the worst difference."""
    worst = 0.0
    for grid, q, extrapolated, composed in SHARES:
        for split, expected in ((EXTRAPOLATION, extrapolated), (INTERPOLATION, extrapolated), (COMPOSITION, composed)):
            found = float(method.train_mask(grid, split, q).double().mean())
            worst = max(worst, abs(found - expected))
    return worst


def counts() -> float:
    """How far the training images of our 184,320 sprites are from 60,000 (three splits) and 48,078 (composition)."""
    expected = {RANDOM: 60_000, INTERPOLATION: 60_000, EXTRAPOLATION: 60_000, COMPOSITION: 48_078}
    return float(sum(abs(int(method.train_mask(SPRITE, split).sum()) - count) for split, count in expected.items()))


def held_out_values() -> float:
    """Held-out values of single factors against the lists that the supplement's rule gives: how many differ."""
    return float(sum(len(set(method.held_out(n, r, split)) ^ set(expected)) for n, r, split, expected in HELD_OUT))


def is_training_image(y: tuple[int, ...], grid: Grid, split: str) -> bool:
    """The rules for a single image: is it a training image?"""
    v = grid.varied
    if split == COMPOSITION:
        return any(y[j] < math.floor(grid.sizes[j] * method.low_share(grid)) for j in v)
    if split == SCATTERED:
        return all((y[i] + 2 * y[j] + i * j) % 5 != 0 for i in v for j in v if i < j)
    return all(y[j] not in method.held_out(grid.sizes[j], grid.ratio, split) for j in v)


def masks_are_the_rule(count: int = 300) -> float:
    """Masks against the rule applied image by image, on random images of two grids: how many disagree."""
    wrong, stream = 0, torch.Generator().manual_seed(1)
    for grid in (SPRITE, ROOM):
        some = grid.factors(torch.randint(grid.count, (count,), generator=stream))
        for split in (INTERPOLATION, EXTRAPOLATION, COMPOSITION, SCATTERED):
            mask = method.train_mask(grid, split)
            wrong += sum(bool(mask[tuple(y)]) != is_training_image(tuple(y.tolist()), grid, split) for y in some)
    return float(wrong)


def pairs_stay_inside(count: int = 2000) -> float:
    """How many partners of training images lie outside the training mask."""
    stream, outside = torch.Generator().manual_seed(2), 0
    for split in (EXTRAPOLATION, COMPOSITION):
        mask = method.train_mask(SPRITE, split)
        factors = SPRITE.factors(method.sample(mask, count, stream))
        outside += int((~mask[tuple(data.draw_partners(factors, mask, SPRITE, stream).T)]).sum())
    return float(outside)


# ---------------------------------------------------------------- metric and oracles


def whole(mask: Tensor, grid: Grid) -> Tensor:
    """All images of a mask as factors, (N, F)."""
    return grid.factors(torch.nonzero(mask.flatten())[:, 0])


def score(guess: Tensor, factors: Tensor, grid: Grid) -> Tensor:
    """R^2 of the factors that take part, (|V|,)."""
    return method.r_squared(guess, grid.targets(factors), grid)[list(grid.varied)]


def clamp_oracle() -> float:
    """The largest error of the clamp oracle's score, on all of extrapolation's test images and per factor."""
    test = whole(~method.train_mask(SPRITE, EXTRAPOLATION), SPRITE)
    found = score(baselines.clamp(test, SPRITE, EXTRAPOLATION), test, SPRITE)
    worst = float((found - torch.tensor(CLAMPED)).abs().max())
    for place, j in enumerate(SPRITE.varied):
        one = whole(method.only_one_out(SPRITE, EXTRAPOLATION, SPRITE.names[j]), SPRITE)
        alone = score(baselines.clamp(one, SPRITE, EXTRAPOLATION), one, SPRITE)[place]
        worst = max(worst, abs(float(alone) - CLAMPED_ALONE[place]))
    return worst


def train_mean() -> float:
    """The training images' mean target, as the prediction for all of extrapolation's test images: the largest error."""
    mask = method.train_mask(SPRITE, EXTRAPOLATION)
    train, test = whole(mask, SPRITE), whole(~mask, SPRITE)
    prediction = baselines.constant(SPRITE.targets(train), len(test))
    return float((score(prediction, test, SPRITE) - torch.tensor(MEAN_OF_TRAINING)).abs().max())


def shortcut() -> float:
    """Orientation always 0 in composition: the code against 1 - mean (k / 9)^2 / Var and -2.838; with 40, -2.812."""
    test = whole(~method.train_mask(SPRITE, COMPOSITION), SPRITE)
    found = float(score(baselines.shortcut(test, SPRITE, "orientation"), test, SPRITE)[1])
    by_hand = 1 - sum((k / 9) ** 2 for k in range(1, 10)) / 9 / (11 / (12 * 9))
    of_forty = 1 - sum(((k - 1.5) / 39) ** 2 for k in range(4, 40)) / 36 / (41 / (12 * 39))
    return max(abs(found - by_hand), abs(round(found, 3) + 2.838), abs(round(of_forty, 3) + 2.812))


def shortcut_holds_in_training() -> float:
    """How many training images of composition with x and y above their low values have an orientation but 0."""
    train = whole(method.train_mask(SPRITE, COMPOSITION), SPRITE)
    inner = train[(train[:, 3] >= 3) & (train[:, 4] >= 3)]
    return float((inner[:, 2] != 0).sum())


def perfection() -> float:
    """The truth scores 1 on every split, and the order of the images does not matter."""
    worst, stream = 0.0, torch.Generator().manual_seed(3)
    for split in (*method.SPLITS, SCATTERED):
        test = whole(~method.train_mask(SPRITE, split), SPRITE)
        worst = max(worst, float((score(SPRITE.targets(test), test, SPRITE) - 1).abs().max()))
        guess, order = torch.rand(len(test), 5, generator=stream), torch.randperm(len(test), generator=stream)
        gap = score(guess, test, SPRITE) - score(guess[order], test[order], SPRITE)
        worst = max(worst, float(gap.abs().max()))
    return worst


# ---------------------------------------------------------------- images


def golden_pixels() -> float:
    """Lit pixels of upright sprites against those counted in the published preview: the largest difference."""
    worst = 0
    for shape, expected in GOLDEN.items():
        factors = torch.tensor([[shape, scale, 0, 0, 0] for scale in range(6)])
        seen = data.sprites(factors).sum((1, 2, 3)).long().tolist()
        worst = max(worst, *(abs(a - b) for a, b in zip(seen, expected, strict=True)))
    return float(worst)


def lit(y: tuple[int, ...], column: int, row: int) -> bool:
    """One pixel of one sprite, by the definition, in plain Python; the heart by its angle t."""
    shape, scale, orientation, kx, ky = y
    dx, dy = column + 0.5 - 16 - 32 * kx / 31, row + 0.5 - 16 - 32 * ky / 31
    angle, size = -2 * math.pi * orientation / 39, 0.5 + 0.1 * scale
    u = (math.cos(angle) * dx + math.sin(angle) * dy) / size
    v = (-math.sin(angle) * dx + math.cos(angle) * dy) / size
    if shape == data.SQUARE:
        return max(abs(u), abs(v)) <= 9.6
    if shape == data.ELLIPSE:
        return (u / 12.8) ** 2 + (v / 7.2) ** 2 <= 1
    if abs(u) > 9.587:
        return False
    t = math.asin((abs(u) / 9.587) ** (1 / 3))
    return outline(t) <= v <= outline(math.pi - t)


def outline(t: float) -> float:
    """The height of the heart at the angle t."""
    return -(8.601 * math.cos(t) - 3.314 * math.cos(2 * t) - 1.344 * math.cos(3 * t) - 0.645 * math.cos(4 * t)) - 1.451


def pixel_by_pixel() -> float:
    """The vectorized sprites against one pixel at a time, on one sprite of each shape: pixels that differ."""
    wrong = 0
    for y in ((0, 3, 4, 11, 30), (1, 5, 7, 0, 8), (2, 4, 2, 31, 17)):
        image = data.sprites(torch.tensor([y]))[0, 0]
        wrong += sum(bool(image[r, c]) != lit(y, c, r) for r in range(data.SIDE) for c in range(data.SIDE))
    return float(wrong)


def solid(point: Tensor, size: float, kind: int) -> Tensor:
    """How far points (..., 3) lie outside the room's object, 0 on its surface and negative inside."""
    x, y, z = point.unbind(-1)
    if kind == data.CUBE:
        return torch.stack([x.abs() - size, (y - size).abs() - size, z.abs() - size]).amax(0)
    if kind == data.SPHERE:
        return (x**2 + (y - size) ** 2 + z**2).sqrt() - size
    if kind == data.CYLINDER:
        return torch.maximum((x**2 + z**2).sqrt() - size, (y - size).abs() - size)
    thin = 0.6 * size
    return (x**2 + (y - y.clamp(thin, 2.4 * size - thin)) ** 2 + z**2).sqrt() - thin


def rays_stop_at_the_surface() -> float:
    """Rays that meet the object: their end's distance from its surface, and how deep any earlier point of them lies."""
    worst = 0.0
    for kind in range(4):
        o, d = data.rays(torch.tensor([0.3], dtype=torch.float64), side=24)
        size = torch.tensor([[0.6]], dtype=torch.float64)
        t = data.hits(o.double(), d.double(), size, kind)
        met = t[0] < data.FAR
        ends = (o + t.unsqueeze(-1) * d)[0, met]
        worst = max(worst, float(solid(ends, 0.6, kind).abs().max()))
        for part in (0.2, 0.5, 0.8, 0.99):
            earlier = (o + part * t.unsqueeze(-1) * d)[0, met]
            worst = max(worst, float((-solid(earlier, 0.6, kind)).clamp_min(0).max()))
    return worst


# ---------------------------------------------------------------- layers and losses


def p4_equivariance() -> float:
    """Rotating the image by 90 degrees rotates every map of the equivariant network and shifts it within its group."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, images = models.P4GroupCNN(models.Shape()).double(), torch.rand(3, 1, 32, 32, dtype=torch.float64)
    worst = 0.0
    for rotations in (1, 2, 3):
        rotated = net.maps(torch.rot90(images, rotations, (-2, -1))).unflatten(1, (-1, 4))
        expected = torch.rot90(net.maps(images), rotations, (-2, -1)).unflatten(1, (-1, 4)).roll(rotations, 2)
        worst = max(worst, float((rotated - expected).detach().abs().max()))
    return worst


def posteriors() -> Iterator[tuple[float, float]]:
    """Means and spreads on which the closed forms are tried."""
    yield from ((0.0, 0.3), (0.7, 0.1), (-2.0, 1.5))


def laplace_is_the_integral(rate: float = 6.0) -> float:
    """SlowVAE's cross-entropy in closed form against quadrature."""
    worst = 0.0
    for gap, spread in posteriors():

        def nats(x: float, gap: float = gap, spread: float = spread) -> float:
            density = math.exp(-0.5 * ((x - gap) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))
            return density * (rate * abs(x) - math.log(rate / 2))

        parts = [quad(nats, *ends, limit=200)[0] for ends in ((gap - 12 * spread, 0), (0, gap + 12 * spread))]
        mean, deviation = torch.tensor([gap, spread], dtype=torch.float64)
        found = models.laplace_cross_entropy(mean, deviation, rate)
        worst = max(worst, abs(float(found) - sum(parts)))
    return worst


def kl_is_that_of_torch() -> float:
    """KL to N(0, 1) and between two posteriors against torch.distributions."""
    stream = torch.Generator().manual_seed(4)
    mean, log_var, other, other_log = torch.randn(4, 5, 3, generator=stream, dtype=torch.float64)
    normal = torch.distributions.Normal
    first, second = normal(mean, (0.5 * log_var).exp()), normal(other, (0.5 * other_log).exp())
    kl = torch.distributions.kl_divergence
    unit = kl(first, normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(1)
    a = (models.kl_to_normal(mean, log_var) - unit).abs().max()
    b = (models.kl_between(mean, log_var, other, other_log) - kl(first, second)).abs().max()
    return float(torch.maximum(a, b))
