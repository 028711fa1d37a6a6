"""The images: sprites like those of dSprites and a colored room like that of Shapes3D, both drawn by a formula.

Nothing is stored: an image is a function of its factors, on any device. The geometry of the sprites was fitted to the
published preview of dSprites. The colored room is our own; it has the factors of Shapes3D but not its camera.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from companion.data.images import dsprites
from companion.errors import CompanionError
from companion.visual_generalization import method
from companion.visual_generalization.method import Grid

SIDE, CHUNK = 64, 200  # pixels along a side; images drawn at a time, few enough for a processor's cache
SQUARE, ELLIPSE, HEART = range(3)
REACH = 14  # pixels around its center that the largest sprite can touch


@dataclass(frozen=True)
class FactorDataset:
    """A grid of factors, and a function from factors (B, F) int64 to images (B, channels, 64, 64) float32 in [0, 1]."""

    grid: Grid
    draw: Callable[[Tensor], Tensor]
    channels: int

    def images(self, flat: Tensor, pool: int = 1) -> Tensor:
        """Images by their index in the grid, (B,), averaged over pool x pool pixels: (B, C, 64 / pool, 64 / pool)."""
        parts = [functional.avg_pool2d(self.draw(self.grid.factors(part)), pool) for part in flat.split(CHUNK)]
        return torch.cat(parts)


# ---------------------------------------------------------------- sprites


def sprite_grid(orientations: int = 10) -> Grid:
    """dSprites: with 40 orientations, as published, index 39 looks like index 0; ten of them cover 0 to 83 degrees."""
    return Grid(("shape", "scale", "orientation", "x", "y"), (3, 6, orientations, 32, 32), ("shape",), 0.2)


def local_coordinates(dx: Tensor, dy: Tensor, scale: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
    """Offsets from the sprite's center in pixels, y down, to the sprite's own frame, with rotation and scale undone."""
    angle, size = -2 * math.pi * orientation / 39, 0.5 + 0.1 * scale
    u = (angle.cos() * dx + angle.sin() * dy) / size
    v = (-angle.sin() * dx + angle.cos() * dy) / size
    return u, v


def heart_edge(c: Tensor) -> Tensor:
    """The height of the heart's outline where it has cos t = c: cosines of 2t, 3t and 4t are polynomials of it."""
    waves = 8.601 * c - 3.314 * (2 * c**2 - 1) - 1.344 * (4 * c**3 - 3 * c) - 0.645 * (8 * c**4 - 8 * c**2 + 1)
    return -waves - 1.451


def inside(u: Tensor, v: Tensor, shape: Tensor) -> Tensor:
    """Whether points of the sprite's frame lie in it, bool; u, v, shape broadcast. The heart is u = 9.587 sin^3 t."""
    square = (u.abs() <= 9.6) & (v.abs() <= 9.6)
    ellipse = (u / 12.8) ** 2 + (v / 7.2) ** 2 <= 1
    cos = (1 - (u.abs() / 9.587).clamp(max=1) ** (2 / 3)).clamp_min(0).sqrt()
    heart = (u.abs() <= 9.587) & (v >= heart_edge(cos)) & (v <= heart_edge(-cos))
    return torch.where(shape == SQUARE, square, torch.where(shape == ELLIPSE, ellipse, heart))


def sprites(factors: Tensor) -> Tensor:
    """White sprites on black, (B, 1, 64, 64) float32 of 0 and 1, from shape, scale, orientation, x, y: (B, 5) int64.

    A pixel is on if its center lies in the sprite; only a window around the sprite is computed.
    """
    shape, scale, orientation, x, y = (factors[:, j].view(-1, 1, 1).float() for j in range(5))
    center_x, center_y = 16 + 32 * x / 31, 16 + 32 * y / 31
    window = torch.arange(-REACH, REACH + 1, device=factors.device)
    columns, rows = (center_x.floor() + window.view(1, 1, -1)), (center_y.floor() + window.view(1, -1, 1))
    u, v = local_coordinates(columns + 0.5 - center_x, rows + 0.5 - center_y, scale, orientation)
    images = torch.zeros(len(factors), SIDE * SIDE, device=factors.device)
    places = (rows * SIDE + columns).long().flatten(1)
    images.scatter_(1, places, inside(u, v, shape).float().flatten(1))
    return images.view(-1, 1, SIDE, SIDE)


# ---------------------------------------------------------------- a colored room

ROOM_GRID = Grid(
    ("floor hue", "wall hue", "object hue", "size", "type", "azimuth"), (10, 10, 10, 8, 4, 15), ("type",), 0.15
)
CUBE, CYLINDER, SPHERE, CAPSULE = range(4)
EYE, LOOK, WALL = (3.6, 1.9), 0.55, 3.0  # distance and height of the camera, the height it looks at, the walls
LIGHT = (0.35, 0.85, 0.4)
FAR = 1e3


def hue_to_rgb(hue: Tensor) -> Tensor:
    """Pure colors, (..., 3), of hues in [0, 1)."""
    wheel = torch.tensor([5.0, 3.0, 1.0], device=hue.device)
    k = (wheel + 6 * hue.unsqueeze(-1)) % 6
    return 1 - torch.minimum(k, 4 - k).clamp(0, 1)


def rays(azimuth: Tensor, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Camera places (B, 1, 3) and unit directions of all pixels (B, side^2, 3), y up; azimuth (B,) in radians."""
    place = torch.stack([EYE[0] * azimuth.sin(), torch.full_like(azimuth, EYE[1]), EYE[0] * azimuth.cos()], -1)
    ahead = functional.normalize(torch.tensor([0.0, LOOK, 0.0], device=azimuth.device) - place, dim=-1)
    right = functional.normalize(torch.linalg.cross(ahead, torch.tensor([[0.0, 1.0, 0.0]]).to(ahead)), dim=-1)
    up = torch.linalg.cross(right, ahead)
    steps = ((torch.arange(side, device=azimuth.device) + 0.5) / side - 0.5) * 1.1
    down, across = (g.flatten().view(1, -1, 1) for g in torch.meshgrid(steps, steps, indexing="ij"))
    return place.unsqueeze(1), functional.normalize(
        ahead[:, None] + across * right[:, None] - down * up[:, None], dim=-1
    )


def slab(o: Tensor, d: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays o + t d enter and leave the boxes between corners low and high: two of (B, P)."""
    a, b = (low - o) / d, (high - o) / d
    return torch.minimum(a, b).amax(-1), torch.maximum(a, b).amin(-1)


def first_root(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The smaller root of a t^2 + 2 b t + c, FAR where there is none."""
    square = b * b - a * c
    return torch.where(square > 0, (-b - square.clamp_min(0).sqrt()) / a, FAR)


def ball(o: Tensor, d: Tensor, height: Tensor, radius: Tensor) -> Tensor:
    """Where rays first meet balls on the axis at `height`, (B, P)."""
    rel = o - torch.stack([torch.zeros_like(height), height, torch.zeros_like(height)], -1)
    return first_root(torch.ones_like(d[..., 0]), (rel * d).sum(-1), rel.square().sum(-1) - radius**2)


def tube(o: Tensor, d: Tensor, low: Tensor, high: Tensor, radius: Tensor, lid: bool) -> Tensor:
    """Where rays first meet upright tubes between two heights, (B, P); with a lid they may meet that first."""
    flat_o, flat_d = o[..., ::2], d[..., ::2]
    square = flat_o.square().sum(-1) - radius**2
    t = first_root(flat_d.square().sum(-1), (flat_o * flat_d).sum(-1), square.expand_as(d[..., 0]))
    y = o[..., 1] + t * d[..., 1]
    found = torch.where((y >= low) & (y <= high), t, FAR)
    top = (high - o[..., 1]) / d[..., 1]
    met = (flat_o + top.unsqueeze(-1) * flat_d).square().sum(-1) <= radius**2
    return torch.where(met & (top > 0), torch.minimum(top, found), found) if lid else found


def hits(o: Tensor, d: Tensor, size: Tensor, kind: int) -> Tensor:
    """Where rays first meet the object, (B, P), FAR if never; size (B, 1) is half its width, and all stand on y = 0."""
    if kind == CUBE:
        low = torch.stack([-size, torch.zeros_like(size), -size], -1)
        near, far = slab(o, d, low, torch.stack([size, 2 * size, size], -1))
        return torch.where((near < far) & (near > 0), near, FAR)
    if kind == SPHERE:
        return ball(o, d, size, size)
    if kind == CYLINDER:
        return tube(o, d, torch.zeros_like(size), 2 * size, size, lid=True)
    thin = 0.6 * size
    ends = torch.minimum(ball(o, d, thin, thin), ball(o, d, 2.4 * size - thin, thin))
    return torch.minimum(ends, tube(o, d, thin, 2.4 * size - thin, thin, lid=False))


def brightness(point: Tensor, size: Tensor, kind: int) -> Tensor:
    """Lambert's share of light on the object's surface at points (B, P, 3): (B, P) in [0.35, 1]."""
    zero = torch.zeros_like(point[..., 1])
    if kind == CUBE:
        rel = point / size.unsqueeze(-1) - torch.tensor([0.0, 1.0, 0.0]).to(point)
        normal = torch.where(rel.abs() >= rel.abs().amax(-1, keepdim=True) - 1e-4, rel.sign(), 0.0)
    else:
        thin = size if kind != CAPSULE else 0.6 * size
        top = {SPHERE: size, CYLINDER: 0 * size, CAPSULE: 2.4 * size - thin}[kind]
        bottom = {SPHERE: size, CYLINDER: 0 * size, CAPSULE: thin}[kind]
        axis = torch.minimum(torch.maximum(point[..., 1], bottom), top) if kind != CYLINDER else point[..., 1]
        normal = point - torch.stack([zero, axis, zero], -1)
        if kind == CYLINDER:
            lid = point[..., 1] >= 2 * size - 1e-4
            normal = torch.where(lid.unsqueeze(-1), torch.tensor([0.0, 1.0, 0.0]).to(point), normal)
    light = functional.normalize(torch.tensor(LIGHT), dim=0).to(point)
    return 0.35 + 0.65 * (functional.normalize(normal, dim=-1) @ light).clamp_min(0)


def room(factors: Tensor) -> Tensor:
    """Colored rooms, (B, 3, 64, 64) float32 in [0, 1], from floor, wall, object hue, size, type, azimuth: (B, 6)."""
    images = torch.zeros(len(factors), 3, SIDE, SIDE, device=factors.device)
    for kind in range(4):
        some = factors[:, 4] == kind
        if some.any():
            images[some] = _room_with(factors[some], kind)
    return images


def _room_with(factors: Tensor, kind: int) -> Tensor:
    floor, wall, thing = (hue_to_rgb(factors[:, j] / 10).unsqueeze(1) for j in range(3))
    size = (0.35 + 0.05 * factors[:, 3].float()).unsqueeze(1)
    o, d = rays(math.radians(60) * (factors[:, 5] / 14 - 0.5))
    corner = torch.tensor([WALL, FAR, WALL]).to(o)
    _, to_wall = slab(o, d, -corner, corner)
    to_floor = torch.where(d[..., 1] < 0, -o[..., 1] / d[..., 1], FAR)
    t = hits(o, d, size, kind)
    point = o + t.unsqueeze(-1) * d
    behind = torch.where((to_floor < to_wall).unsqueeze(-1), 0.9 * floor, 0.75 * wall)
    lit = brightness(point, size, kind).unsqueeze(-1) * thing
    picture = torch.where((t < torch.minimum(to_floor, to_wall) + 1e-3).unsqueeze(-1), lit, behind)
    return picture.mT.unflatten(-1, (SIDE, SIDE))


SPRITES = FactorDataset(sprite_grid(), sprites, 1)
ROOM = FactorDataset(ROOM_GRID, room, 3)
GENERATED = {"sprites": SPRITES, "room": ROOM}


def published(orientations: int = 10) -> FactorDataset:
    """The published dSprites, which the user provides; its factors have the order of ours."""
    images = torch.from_numpy(dsprites(orientations))
    grid = sprite_grid(orientations)

    def look_up(factors: Tensor) -> Tensor:
        selected = images[tuple(factors.cpu().T)].unsqueeze(1)
        return selected.to(factors.device, torch.float32)

    return FactorDataset(grid, look_up, 1)


def load_dataset(name: str) -> FactorDataset:
    """A dataset by its name: "sprites", "room", or "dsprites", which the user provides."""
    if name == "dsprites":
        return published()
    if name not in GENERATED:
        raise CompanionError(f"dataset = {name!r} is not known; use one of {', '.join(GENERATED)}, dsprites.")
    return GENERATED[name]


# ---------------------------------------------------------------- training and test images of a split

MOST_DRAWS = 12


@dataclass(frozen=True)
class TrainingImages:
    """Images (N, C, S, S), their targets (N, F), and partners (N / 2, C, S, S) of the first half of the images."""

    images: Tensor
    targets: Tensor
    pairs: Tensor


def draw_partners(factors: Tensor, mask: Tensor, grid: Grid, generator: torch.Generator) -> Tensor:
    """Partners (B, F) of factors (B, F): some factors changed, the others equal, always inside the training mask.

    The number of factors to change is drawn from 1 to |V| and the factors from V, as in the supplement's "locatello"
    pairs. A partner outside the mask is drawn again; after twelve draws the image is its own partner.
    """
    partner, pending = factors.clone(), torch.ones(len(factors), dtype=torch.bool)
    v, sizes = torch.tensor(grid.varied), torch.tensor(grid.sizes)
    for _ in range(MOST_DRAWS):
        rank = torch.rand(len(factors), len(v), generator=generator).argsort(1)
        change = torch.zeros(factors.shape, dtype=torch.bool)
        change[:, v] = rank < torch.randint(1, len(v) + 1, (len(factors), 1), generator=generator)
        drawn = (torch.rand(factors.shape, generator=generator) * sizes).long()
        candidate = torch.where(change, drawn, factors)
        valid = pending & mask[tuple(candidate.T)]
        partner[valid] = candidate[valid]
        pending &= ~valid
    return partner


def draw_training_images(
    dataset: FactorDataset, mask: Tensor, count: int, pool: int, seed: int, device: torch.device
) -> TrainingImages:
    """`count` images that a mask (bool, the grid's shape) allows, their targets, and partners for the first half."""
    generator = torch.Generator().manual_seed(seed)
    flat = method.sample(mask, count, generator)
    factors = dataset.grid.factors(flat)
    partners = draw_partners(factors[: len(flat) // 2], mask, dataset.grid, generator)
    images, others = (dataset.images(which.to(device), pool) for which in (flat, dataset.grid.indices(partners)))
    return TrainingImages(images, dataset.grid.targets(factors.to(device)), others)


class TestImages(NamedTuple):
    """Images (B, C, S, S) of held-out factors, the factors (B, F) int64 and the targets (B, F)."""

    images: Tensor
    factors: Tensor
    targets: Tensor


def draw_test_images(
    dataset: FactorDataset, mask: Tensor, count: int, pool: int, seed: int, device: torch.device
) -> TestImages:
    """`count` images that a mask (bool, the grid's shape) allows, drawn with a seed."""
    flat = method.sample(mask, count, torch.Generator().manual_seed(seed)).to(device)
    factors = dataset.grid.factors(flat)
    return TestImages(dataset.images(flat, pool), factors, dataset.grid.targets(factors))
