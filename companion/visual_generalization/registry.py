"""The approaches: one line each, with who confirmed the name and what it needs beside this package.

The paper tests 17. Its own list was not readable for us: "repository" marks names that stand in the official
repository, "supplement" those in files adapted from the paper's supplement, "notes" those in public reading notes, and
"memory" the rest, sizes included. PCA is our baseline: whether the paper has it is doubtful.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.visual_generalization import models, representation
from companion.visual_generalization.models import Shape

NONE, PAIRS, LABELS = "none", "pairs", "labels"
REPRESENTATION, ARCHITECTURE, TRANSFER = "representation", "architecture", "transfer"
EXTRA, INTERNET = "vision", "vision + internet"


@dataclass(frozen=True)
class Entry:
    """An approach: family, supervision, who confirmed the name, what it needs, and its builder."""

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


class Coloured(nn.Module):
    """A network made for three channels: grey images are repeated, and sides below 64 are doubled."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Factors (B, F) from images (B, C, S, S)."""
        if images.shape[-1] < 64:
            images = nn.functional.interpolate(images, scale_factor=2.0)
        return self.net(images.expand(-1, 3, -1, -1))


def torchvision_net(shape: Shape, name: str, weights: str | None = None) -> nn.Module:
    """A torchvision network whose last layer gives the factors; `weights` are downloaded where they are named."""
    net = library("torchvision.models").get_model(name, weights=weights)
    last = "fc" if hasattr(net, "fc") else "classifier"
    setattr(net, last, nn.Linear(getattr(net, last).in_features, shape.factors))
    return Coloured(net)


def timm_net(shape: Shape, name: str) -> nn.Module:
    """A timm network with its published weights and a new last layer; needs the internet."""
    return Coloured(library("timm").create_model(name, pretrained=True, num_classes=shape.factors))


def vision(name: str, weights: str | None = None) -> Callable[[Shape], nn.Module]:
    """A builder from torchvision."""
    return partial(torchvision_net, name=name, weights=weights)


ENTRIES = (
    Entry("PCA", REPRESENTATION, NONE, "ours; doubtful in the paper", "", representation.PCA),
    Entry("beta-VAE", REPRESENTATION, NONE, "supplement, notes", "", representation.VAE),
    Entry("Ada-GVAE", REPRESENTATION, PAIRS, "supplement, notes", "", representation.AdaGVAE),
    Entry("SlowVAE", REPRESENTATION, PAIRS, "supplement, notes", "", representation.SlowVAE),
    Entry("PCL", REPRESENTATION, PAIRS, "repository, supplement, notes", "", representation.PCL),
    Entry("MLP", ARCHITECTURE, LABELS, "memory", "", models.mlp),
    Entry("CNN", ARCHITECTURE, LABELS, "repository, notes", "", models.cnn),
    Entry("CoordConv", ARCHITECTURE, LABELS, "memory", "", models.CoordConv),
    Entry("coordinate-based", ARCHITECTURE, LABELS, "memory; form unverified", "", models.Points),
    Entry("rotation-equivariant", ARCHITECTURE, LABELS, "memory", "", models.Turning),
    Entry("spatial transformer", ARCHITECTURE, LABELS, "memory", "", models.Transformed),
    Entry("ResNet-50", ARCHITECTURE, LABELS, "repository", EXTRA, vision("resnet50")),
    Entry("ResNet-101", ARCHITECTURE, LABELS, "repository", EXTRA, vision("resnet101")),
    Entry("DenseNet-121", ARCHITECTURE, LABELS, "repository", EXTRA, vision("densenet121")),
    Entry("ResNet-50, ImageNet-21k", TRANSFER, LABELS, "repository, notes", INTERNET,
          partial(timm_net, name="resnetv2_50x1_bit.goog_in21k")),
    Entry("ResNet-101, ImageNet-21k", TRANSFER, LABELS, "repository, notes", INTERNET,
          partial(timm_net, name="resnetv2_101x1_bit.goog_in21k")),
    Entry("DenseNet-121, ImageNet-1k", TRANSFER, LABELS, "memory", INTERNET, vision("densenet121", "IMAGENET1K_V1")),
)  # fmt: skip
REGISTRY = {entry.name: entry for entry in ENTRIES}


def entry(name: str) -> Entry:
    """The approach of a name; an unknown name is told the known ones."""
    if name not in REGISTRY:
        raise CompanionError(f"approach = {name!r} is not known; use one of {', '.join(REGISTRY)}.")
    return REGISTRY[name]


def build(name: str, shape: Shape, seed: int) -> nn.Module:
    """An untrained approach, its weights drawn with a seed of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return entry(name).build(shape)
