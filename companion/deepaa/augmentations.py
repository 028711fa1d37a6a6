"""The candidate transformations: each operation at each magnitude; in a batch every image gets its own candidate.

symbol     here           shape
t_1..t_M   candidates     M entries, the identity first
n          which          (N,) int64, the candidate of each image
x          images         (N, C, H, W) float in [0, 1], C = 1 or 3
A          matrices       (M, 2, 3), from output to input coordinates, which run from -1 to 1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.deepaa.method import CROP, CUTOUT, FLIP, IDENTITY, Candidate

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
ROTATIONS = ("VerticalFlip", "Rotate90", "Rotate180")
GEOMETRIC = (*SIGNED, *ROTATIONS, FLIP, CROP)  # all done by one grid_sample
LEVELS = 256


# ---------------------------------------------------------------- one affine matrix per image


def matrix(candidate: Candidate) -> list[list[float]]:
    """The affine map from output to input coordinates, [[a, b, c], [d, e, f]]; the identity where no pixel moves."""
    name, m = candidate
    c, s = math.cos(math.radians(m)), math.sin(math.radians(m))
    known = {
        "ShearX": [[1.0, m, 0.0], [0.0, 1.0, 0.0]],
        "ShearY": [[1.0, 0.0, 0.0], [m, 1.0, 0.0]],
        "TranslateX": [[1.0, 0.0, 2 * m], [0.0, 1.0, 0.0]],
        "TranslateY": [[1.0, 0.0, 0.0], [0.0, 1.0, 2 * m]],
        "Rotate": [[c, -s, 0.0], [s, c, 0.0]],
        "VerticalFlip": [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]],
        "Rotate90": [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]],
        "Rotate180": [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]],
    }
    return known.get(name, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


# ---------------------------------------------------------------- photometric operations


def auto_contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Each channel (n, C, H, W) stretched to [0, 1]; a channel of one color stays as it is."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1 / LEVELS), x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:
    """Histogram equalization of each channel: a pixel becomes the share of pixels that are not lighter, minimum at 0.

    A channel of one color stays as it is.
    """
    level = (x * (LEVELS - 1)).round().long().flatten(2)
    counts = torch.zeros(*level.shape[:2], LEVELS, dtype=x.dtype, device=x.device)
    counts.scatter_add_(2, level, torch.ones_like(level, dtype=x.dtype))
    cumulative = counts.cumsum(2)
    least = cumulative.gather(2, level.amin(2, keepdim=True))
    spread = (cumulative.gather(2, level) - least) / (level.shape[2] - least).clamp(min=1)
    return torch.where(least < level.shape[2], spread, x.flatten(2)).view_as(x)


def posterize(x: Tensor, bits: Tensor) -> Tensor:
    """Keep the first `bits` of the eight bits of a pixel; a fraction of a bit gives a fractional step."""
    step = 2 ** (8 - bits)
    return ((x * (LEVELS - 1)).round() / step).floor() * step / (LEVELS - 1)


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Away from a smoothed image (3 x 3, the center five times) or toward it; the outermost pixels stay."""
    kernel = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype, device=x.device)
    kernel[:, :, 1, 1] = 5.0
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(x, kernel / 13.0, groups=x.shape[1])
    return (smooth + factor * (x - smooth)).clamp(0, 1)


def color(x: Tensor, factor: Tensor) -> Tensor:
    """Away from the gray image or toward it; needs three channels."""
    gray = (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)
    return (gray + factor * (x - gray)).clamp(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Away from the image's mean or toward it."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return (mean + factor * (x - mean)).clamp(0, 1)


PHOTOMETRIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "AutoContrast": auto_contrast,
    "Invert": lambda x, strength: 1 - x,
    "Equalize": equalize,
    "Solarize": lambda x, threshold: torch.where(x >= threshold, 1 - x, x),
    "Posterize": posterize,
    "Contrast": contrast,
    "Color": color,
    "Brightness": lambda x, factor: (factor * x).clamp(0, 1),
    "Sharpness": sharpness,
}


# ---------------------------------------------------------------- the bank


class Bank:
    """A set of candidates, the identity first. `fill` is the gray level of pixels from outside the image."""

    def __init__(self, candidates: Iterable[Candidate], fill: float = 0.0, cutout: float = 0.5) -> None:
        self.candidates = tuple(candidates)
        if not self.candidates or self.candidates[0].operation != IDENTITY:
            raise ValueError("candidates must begin with Candidate('Identity'): a layer's logits start there.")
        names = [c.operation for c in self.candidates]
        unknown = set(names) - {IDENTITY, CUTOUT, *GEOMETRIC, *PHOTOMETRIC}
        if unknown:
            raise ValueError(f"candidates hold unknown operations: {', '.join(sorted(unknown))}.")
        self.fill, self.cutout = fill, cutout
        self.operations = tuple(dict.fromkeys(names))
        self.operation = torch.tensor([self.operations.index(name) for name in names])
        self.magnitudes = torch.tensor([c.magnitude for c in self.candidates])
        self.matrices = torch.tensor([matrix(c) for c in self.candidates])
        self.is_geometric = torch.tensor([name in GEOMETRIC for name in names])

    def __len__(self) -> int:
        return len(self.candidates)

    def rows(self, operation: str) -> list[int]:
        """Indices of the candidates of an operation."""
        return [i for i, c in enumerate(self.candidates) if c.operation == operation]

    def __call__(self, images: Tensor, which: Tensor, generator: torch.Generator) -> Tensor:
        """Candidate which[i] applied to image i: images (N, C, H, W) in [0, 1], which (N,) int64 -> (N, C, H, W).

        Random operations draw from `generator`, on the CPU. The identity returns its images unchanged.
        """
        if images.ndim != 4 or which.shape != images.shape[:1]:
            raise ValueError(
                f"images {tuple(images.shape)} must be (N, C, H, W); which {tuple(which.shape)} one number per image."
            )
        which = which.cpu()
        out = images.clone()
        self._move_pixels(out, which, generator)
        for index, name in enumerate(self.operations):
            rows = torch.nonzero(self.operation[which] == index).squeeze(1)
            if len(rows) and name in PHOTOMETRIC:
                strength = self.magnitudes[which[rows]].to(out).view(-1, 1, 1, 1)
                rows = rows.to(out.device)
                out[rows] = PHOTOMETRIC[name](out[rows], strength)
            elif len(rows) and name == CUTOUT:
                self._cut_out(out, rows, generator)
        return out

    def _move_pixels(self, out: Tensor, which: Tensor, generator: torch.Generator) -> None:
        """All geometric candidates by one grid_sample, in place."""
        rows = torch.nonzero(self.is_geometric[which]).squeeze(1)
        if not len(rows):
            return
        theta, side = self.matrices[which[rows]].clone(), out.shape[3]
        names = self.operation[which[rows]]
        flips = (names == self._index(FLIP)) & (torch.rand(len(rows), generator=generator) < 0.5)
        theta[flips, 0, 0] = -1.0
        reach = max(1, side // 8)
        shift = torch.randint(-reach, reach + 1, (len(rows), 2), generator=generator) * 2.0 / side
        theta[:, :, 2] += torch.where((names == self._index(CROP)).unsqueeze(1), shift, 0.0)
        rows = rows.to(out.device)
        chosen = out[rows]
        grid = F.affine_grid(theta.to(out), list(chosen.shape), align_corners=False)
        out[rows] = F.grid_sample(chosen - self.fill, grid, align_corners=False) + self.fill

    def _cut_out(self, out: Tensor, rows: Tensor, generator: torch.Generator) -> None:
        """A square of `cutout` times the width, its center anywhere in the image, filled with gray; in place."""
        side = out.shape[3]
        center = torch.rand(len(rows), 2, generator=generator).to(out) * side
        at, half = torch.arange(side, device=out.device) + 0.5, self.cutout * side / 2
        inside = (at.unsqueeze(1) - center.T.unsqueeze(1)).abs() < half  # (2, side, n)
        mask = inside[0].T.unsqueeze(1).unsqueeze(3) & inside[1].T.unsqueeze(1).unsqueeze(2)
        rows = rows.to(out.device)
        out[rows] = torch.where(mask, self.fill, out[rows])

    def _index(self, name: str) -> int:
        return self.operations.index(name) if name in self.operations else -1


def magnitude_grid(low: float, high: float, count: int, neutral: float) -> list[float]:
    """`count` evenly spaced magnitudes, without the neutral one."""
    values = torch.linspace(low, high, count).tolist()
    return [round(v, 6) for v in values if abs(v - neutral) > 1e-6]


def make_bank(channels: int, levels: int, extra_flips: bool, fill: float, cutout: float = 0.5) -> Bank:
    """The paper's candidates at `levels` grid values per operation: 13 give its M = 139 for three channels.

    `extra_flips` adds three that destroy a digit's label: a vertical flip and rotations by 90 and 180 degrees.
    """
    ranges = {
        "ShearX": (-0.3, 0.3, 0.0), "ShearY": (-0.3, 0.3, 0.0), "TranslateX": (-0.45, 0.45, 0.0),
        "TranslateY": (-0.45, 0.45, 0.0), "Rotate": (-30.0, 30.0, 0.0), "Solarize": (0.0, 256 / 255, 256 / 255),
        "Posterize": (4.0, 8.0, 8.0), "Contrast": (0.1, 1.9, 1.0), "Color": (0.1, 1.9, 1.0),
        "Brightness": (0.1, 1.9, 1.0), "Sharpness": (0.1, 1.9, 1.0),
    }  # fmt: skip
    candidates = [Candidate(IDENTITY)]
    for name, (low, high, neutral) in ranges.items():
        if name != "Color" or channels == 3:
            candidates += [Candidate(name, m) for m in magnitude_grid(low, high, levels, neutral)]
    candidates += [Candidate(name) for name in ("AutoContrast", "Invert", "Equalize", FLIP, CUTOUT, CROP)]
    candidates += [Candidate(name) for name in ROTATIONS if extra_flips]
    return Bank(candidates, fill, cutout)
