"""Images with known factors of variation, which the user brings. Loaders never download."""

from typing import Literal

import numpy as np

from companion.data.cache import brought

SPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIZES = (3, 6, 40, 32, 32)  # shape, scale, orientation, x, y


def dsprites(orientations: int = 40) -> np.ndarray:
    """The user's own dSprites, its first `orientations` of 40: uint8, 0 or 1, [3, 6, orientations, 32, 32, 64, 64]."""
    with np.load(brought("dsprites", SPRITES)) as arrays:
        images, classes = arrays["imgs"], arrays["latents_classes"][:, 1:]
    some = classes[:, 2] < orientations
    grid = np.empty((*SIZES[:2], orientations, *SIZES[3:], *images.shape[1:]), dtype=np.uint8)
    grid[tuple(classes[some].T)] = images[some]
    return grid


def released_split(
    name: Literal["dsprites", "shapes3d", "mpi3d"], split: str, part: Literal["train", "test"]
) -> tuple[np.ndarray, np.ndarray]:
    """One split of the benchmark, as released: images uint8 [n, channels, 64, 64] and factors int64 [n, F]."""
    found = []
    for kind in ("images", "labels"):
        with np.load(brought("visual_splits", f"{name}_{split}_{part}_{kind}.npz")) as arrays:
            found.append(arrays["arr_0"])
    return found[0], found[1].astype(np.int64)
