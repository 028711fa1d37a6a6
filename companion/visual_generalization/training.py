"""Builds and trains every approach: a table of the paper's seventeen, and one function that trains any of them.

The paper's own list was not readable for us. In `Approach.confirmed`, "repository" marks names that stand in the
official repository, "supplement" those in files adapted from the paper's supplement, "notes" those in public reading
notes, and "memory" the rest, sizes included. PCA is our baseline: whether the paper has it is doubtful.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.lab.config import TrainConfig
from companion.visual_generalization import models
from companion.visual_generalization.data import TrainingImages
from companion.visual_generalization.models import PCA, Representation, Shape, perceptron

CHECKPOINT_EVERY = 5000  # steps
NONE, PAIRS, LABELS = "none", "pairs", "labels"
REPRESENTATION, ARCHITECTURE, TRANSFER = "representation", "architecture", "transfer"
EXTRA, INTERNET = "vision", "vision + internet"


@dataclass(frozen=True)
class Approach:
    """A compared model: family, supervision, the source of its name, what it needs to run, and its builder."""

    name: str
    family: str
    supervision: str
    confirmed: str
    needs: str
    build: Callable[[Shape], nn.Module]


def library(name: str) -> ModuleType:
    """A library of the extra `vision`, or one sentence that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CompanionError(f"This approach needs {name}: pip install 'companion[{EXTRA}]'.") from error


class ToRGB(nn.Module):
    """A network for three channels: gray images are repeated, and sides below 64 pixels are doubled."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        if images.shape[-1] < 64:
            images = nn.functional.interpolate(images, scale_factor=2.0)
        return self.net(images.expand(-1, 3, -1, -1))


def torchvision_net(shape: Shape, name: str, weights: str | None = None) -> nn.Module:
    """A torchvision network whose last layer gives the factors; `weights`, if named, are downloaded."""
    net = library("torchvision.models").get_model(name, weights=weights)
    last = "fc" if hasattr(net, "fc") else "classifier"
    setattr(net, last, nn.Linear(getattr(net, last).in_features, shape.factors))
    return ToRGB(net)


def timm_net(shape: Shape, name: str) -> nn.Module:
    """A timm network with its published weights and a new last layer; needs the internet."""
    return ToRGB(library("timm").create_model(name, pretrained=True, num_classes=shape.factors))


def vision(name: str, weights: str | None = None) -> Callable[[Shape], nn.Module]:
    """A builder from torchvision."""
    return partial(torchvision_net, name=name, weights=weights)


APPROACHES = (
    Approach("PCA", REPRESENTATION, NONE, "ours; doubtful in the paper", "", models.PCA),
    Approach("beta-VAE", REPRESENTATION, NONE, "supplement, notes", "", models.VAE),
    Approach("Ada-GVAE", REPRESENTATION, PAIRS, "supplement, notes", "", models.AdaGVAE),
    Approach("SlowVAE", REPRESENTATION, PAIRS, "supplement, notes", "", models.SlowVAE),
    Approach("PCL", REPRESENTATION, PAIRS, "repository, supplement, notes", "", models.PCL),
    Approach("MLP", ARCHITECTURE, LABELS, "memory", "", models.mlp),
    Approach("CNN", ARCHITECTURE, LABELS, "repository, notes", "", models.cnn),
    Approach("CoordConv", ARCHITECTURE, LABELS, "memory", "", models.CoordConv),
    Approach("coordinate-based", ARCHITECTURE, LABELS, "memory; form unverified", "", models.CoordinateNetwork),
    Approach("rotation-equivariant", ARCHITECTURE, LABELS, "memory", "", models.P4GroupCNN),
    Approach("spatial transformer", ARCHITECTURE, LABELS, "memory", "", models.SpatialTransformer),
    Approach("ResNet-50", ARCHITECTURE, LABELS, "repository", EXTRA, vision("resnet50")),
    Approach("ResNet-101", ARCHITECTURE, LABELS, "repository", EXTRA, vision("resnet101")),
    Approach("DenseNet-121", ARCHITECTURE, LABELS, "repository", EXTRA, vision("densenet121")),
    Approach("ResNet-50, ImageNet-21k", TRANSFER, LABELS, "repository, notes", INTERNET,
          partial(timm_net, name="resnetv2_50x1_bit.goog_in21k")),
    Approach("ResNet-101, ImageNet-21k", TRANSFER, LABELS, "repository, notes", INTERNET,
          partial(timm_net, name="resnetv2_101x1_bit.goog_in21k")),
    Approach("DenseNet-121, ImageNet-1k", TRANSFER, LABELS, "memory", INTERNET, vision("densenet121", "IMAGENET1K_V1")),
)  # fmt: skip
REGISTRY = {each.name: each for each in APPROACHES}


def approach(name: str) -> Approach:
    """The approach of a name; an unknown name is an error that lists the known ones."""
    if name not in REGISTRY:
        raise CompanionError(f"approach = {name!r} is not known; use one of {', '.join(REGISTRY)}.")
    return REGISTRY[name]


def build(name: str, shape: Shape, seed: int) -> nn.Module:
    """An untrained approach, its weights drawn with a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return approach(name).build(shape)


# ---------------------------------------------------------------- training


class Readout(nn.Module):
    """A frozen representation, standardized codes, and a perceptron that predicts the factors from them."""

    mean: Tensor
    spread: Tensor

    def __init__(self, body: Representation, codes: Tensor, shape: Shape) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", codes.mean(0))
        self.register_buffer("spread", codes.std(0).clamp_min(1e-3))
        self.head = perceptron((codes.shape[1], *shape.readout, shape.factors))

    def scaled(self, codes: Tensor) -> Tensor:
        """Codes with mean 0 and standard deviation 1 on the training images."""
        return (codes - self.mean) / self.spread

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        return self.head(self.scaled(self.body.codes(images)))


def train(
    name: str, data: TrainingImages, shape: Shape, config: TrainConfig, seed: int, folder: Path | None = None
) -> nn.Module:
    """Any approach, trained: images (B, C, S, S) to factors (B, F).

    With labels it regresses on the factors. Otherwise it learns a representation first, and a readout network is
    trained on the frozen codes of the same images. With a folder, an interrupted training goes on from its checkpoint.
    """
    net = build(name, shape, seed).to(data.images.device)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not isinstance(net, Representation):
        return fit(net, squared_error(net, data.images, data.targets), len(data.images), config, seed, folder)
    fit_representation(net, data, config, seed, folder)
    with torch.no_grad():
        codes = torch.cat([net.codes(part) for part in data.images.split(1000)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        readout = Readout(net.requires_grad_(False), codes, shape).to(codes.device)
    inner = squared_error(readout.head, readout.scaled(codes), data.targets)
    fit(readout.head, inner, len(codes), config, seed, folder and folder / "readout")
    return readout.eval()


def squared_error(net: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """The paper's loss: squared error summed over factors, mean over the batch."""
    return lambda rows: (net(inputs[rows]).float() - targets[rows]).square().sum(1).mean()


def fit_representation(
    net: Representation, data: TrainingImages, config: TrainConfig, seed: int, folder: Path | None
) -> None:
    """Learn a representation without labels, from images or from pairs of images."""
    if isinstance(net, PCA):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net.fit(data.images)
        return
    others = data.pairs if net.pairs else data.images
    fit(net, lambda rows: net.loss(data.images[rows], others[rows]), len(others), config, seed, folder)


def fit(
    net: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    config: TrainConfig,
    seed: int,
    folder: Path | None,
) -> nn.Module:
    """Adam with a one-cycle schedule on shuffled batches; a step's random numbers depend on seed and step alone."""
    device = next(net.parameters()).device
    steps_per_epoch = max(count // config.batch_size, 1)
    steps = config.steps or config.epochs * steps_per_epoch
    optimizer = torch.optim.Adam(net.parameters(), config.lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=max(steps, 2))
    parts: dict[str, Any] = {"net": net, "optimizer": optimizer, "schedule": schedule}
    for step in range(_resume(folder, parts), steps):
        # 1. loss of a shuffled batch, with the step's own random numbers
        with torch.random.fork_rng(), torch.autocast(device.type, torch.bfloat16, config.amp):
            torch.manual_seed(seed * 1_000_003 + step)
            value = loss(batch_indices(count, config.batch_size, step, steps_per_epoch, seed).to(device))
        # 2. gradient, update, next learning rate
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if folder and (step + 1) % CHECKPOINT_EVERY == 0:
            _save_checkpoint(folder, parts, step + 1)
    return net.eval()


def batch_indices(count: int, size: int, step: int, steps_per_epoch: int, seed: int) -> Tensor:
    """Indices of the images of a step; every epoch has a new order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + step // steps_per_epoch))
    start = step % steps_per_epoch * size
    return order[start : start + size]


def _resume(folder: Path | None, parts: dict[str, Any]) -> int:
    """The step to continue from; 0 without a checkpoint."""
    if folder is None or not (folder / "checkpoint.pt").is_file():
        return 0
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return int(saved["step"])


def _save_checkpoint(folder: Path, parts: dict[str, Any], step: int) -> None:
    """Write a checkpoint to a file of its own, then move it over the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step}, folder / "partial.pt")
    (folder / "partial.pt").replace(folder / "checkpoint.pt")


@torch.no_grad()
def predict(net: nn.Module, images: Tensor) -> Tensor:
    """Factors (B, F) of images (B, C, S, S), a thousand at a time."""
    return torch.cat([net(part) for part in images.split(1000)])
