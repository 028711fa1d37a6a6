"""EfficientNet-Lite0, run from its published weights: images in, the 1280 features before the classifier out.

Written out here because the only package that does it is unmaintained; a test compares the two where it is installed.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from companion.data.cache import path
from companion.data.images import mnist5k

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WEIGHTS = "efficientnet-lite0-57934424.pth"
SIZE = 64  # pixels a side of what the network sees of a digit
SMALLEST_VARIANCE = 1e-3  # added to every variance of the normalization, as in training
# repeats, kernel, stride of the first, expansion, width: the seven stages of the paper
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
STEM = 32
COLOR_MEAN, COLOR_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


def fold(state: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Each convolution with the normalization behind it, as one: "name.weight" and "name.bias", float32."""
    folded = {}
    for convolution, normal in _pairs():
        scale = state[f"{normal}.weight"] / (state[f"{normal}.running_var"] + SMALLEST_VARIANCE).sqrt()
        folded[f"{convolution}.weight"] = state[f"{convolution}.weight"] * scale.reshape(-1, 1, 1, 1)
        folded[f"{convolution}.bias"] = state[f"{normal}.bias"] - state[f"{normal}.running_mean"] * scale
    return folded


def _pairs() -> Iterator[tuple[str, str]]:
    yield "_conv_stem", "_bn0"
    for i, (_, _, expansion, _, _) in enumerate(_blocks()):
        if expansion > 1:
            yield f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0"
        yield f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1"
        yield f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2"
    yield "_conv_head", "_bn1"


def _blocks() -> list[tuple[int, int, int, int, int]]:
    """kernel, stride, expansion, channels in, channels out of the sixteen blocks."""
    blocks, width = [], STEM
    for repeats, kernel, stride, expansion, out in STAGES:
        widths = [width] + [out] * repeats
        blocks += [(kernel, stride if r == 0 else 1, expansion, a, b) for r, (a, b) in enumerate(pairwise(widths))]
        width = out
    return blocks


def features(weights: "Mapping[str, Tensor]", images: "Tensor") -> "Tensor":
    """The mean over space of the last layer, (n, 1280), for images (n, 3, side, side), standardized."""
    x = _layer(weights, "_conv_stem", images, stride=2).clamp(0, 6)
    for i, (_, stride, expansion, a, b) in enumerate(_blocks()):
        name, inside = f"_blocks.{i}", x
        if expansion > 1:
            inside = _layer(weights, f"{name}._expand_conv", inside).clamp(0, 6)
        inside = _layer(weights, f"{name}._depthwise_conv", inside, stride, groups=inside.shape[1]).clamp(0, 6)
        inside = _layer(weights, f"{name}._project_conv", inside)
        x = x + inside if stride == 1 and a == b else inside
    return _layer(weights, "_conv_head", x).clamp(0, 6).mean((2, 3))


def _layer(weights: "Mapping[str, Tensor]", name: str, x: "Tensor", stride: int = 1, groups: int = 1) -> "Tensor":
    """A convolution that keeps ceil(side / stride) pixels: padding as TensorFlow does it, the odd one last."""
    from torch.nn import functional

    weight = weights[f"{name}.weight"]
    kernel, side = weight.shape[-1], x.shape[-1]
    missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    before, after = missing // 2, missing - missing // 2
    padded = functional.pad(x, (before, after, before, after))
    return functional.conv2d(padded, weight, weights[f"{name}.bias"], stride, groups=groups)


def as_input(images: np.ndarray, side: int = SIZE) -> "Tensor":
    """uint8 images [n, h, w] or [n, h, w, 3] as the network wants them: (n, 3, side, side) float32, standardized."""
    import torch
    from torch.nn import functional

    pixels = torch.from_numpy(images).float()
    pixels = pixels.unsqueeze(1).expand(-1, 3, -1, -1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    large = functional.interpolate(pixels / 255, (side, side), mode="bilinear", align_corners=False)
    mean, spread = (torch.tensor(values).reshape(3, 1, 1) for values in (COLOR_MEAN, COLOR_SPREAD))
    return (large - mean) / spread


def embed(
    images: np.ndarray, weights: "Mapping[str, Tensor]", device: "torch.device", side: int = SIZE, batch: int = 100
) -> np.ndarray:
    """Features [n, 1280] float32 of uint8 images, `batch` at a time; on a GPU in half precision where that is safe."""
    import torch

    weights = {name: value.to(device) for name, value in weights.items()}
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, enabled=device.type == "cuda"):
        for start in range(0, len(images), batch):
            parts.append(features(weights, as_input(images[start : start + batch], side).to(device)).float().cpu())
    return torch.cat(parts).numpy()


def reduce_lite0(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The folded weights, and the features of all of MNIST-5k: "features" [5000, 1280] float16, computed once, here.

    So no lesson needs the network to work on its features. Fetches MNIST-5k if it is not there.
    """
    import torch

    from companion.data.download import fetch

    fetch("mnist5k")
    weights = fold(torch.load(files[WEIGHTS], map_location="cpu", weights_only=True))
    seen = embed(mnist5k()[0], weights, torch.device("cpu"))
    return {name: value.numpy() for name, value in weights.items()} | {"features": seen.astype(np.float16)}


def lite0_weights() -> "dict[str, Tensor]":
    """The folded weights of the body, by layer, float32."""
    import torch

    with np.load(path("lite0")) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "features"}


def lite0_features() -> np.ndarray:
    """What the network makes of each digit of MNIST-5k: [5000, 1280] float32, in the order of `images.mnist5k`."""
    with np.load(path("lite0")) as arrays:
        return arrays["features"].astype(np.float32)
