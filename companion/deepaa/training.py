"""Builds and trains what is compared: the search network, the searched policies, and one network per method.

The networks of all methods are trained side by side: one batched pass serves all of them. `config` is the lesson's
`experiment.Config`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from companion.deepaa import baselines, method
from companion.deepaa.augmentations import Bank, make_bank
from companion.deepaa.data import DIGITS, ExperimentData, load_data
from companion.deepaa.method import CROP, LayerTrace, Network, SearchData

NONE, HAND, UNIFORM_1, UNIFORM_2 = "none", "hand-picked", "uniform, 1 layer", "uniform, 2 layers"
DEEPAA, NO_STD, RANDOM_LABELS = "DeepAA", "DeepAA, no std", "DeepAA, random labels"
METHODS = (NONE, HAND, UNIFORM_1, UNIFORM_2, DEEPAA, NO_STD, RANDOM_LABELS)
BLACK, GRAY = 0.0, 0.47  # what comes in from outside an image: the paper under the digits; CIFAR's mean
Augment = Callable[[Tensor], Tensor]


def make_net(channels: int, side: int, width: int, depth: int, classes: int) -> nn.Sequential:
    """`depth` strided convolutions, each halving the side and doubling the channels, and a linear layer.

    It has no batch normalization: per-image gradients of a frozen network need losses that do not depend on the batch.
    """
    layers: list[nn.Module] = []
    for i in range(depth):
        kernel, out = (5 if i == 0 else 3), width * 2**i
        layers += [nn.Conv2d(channels, out, kernel, stride=2, padding=kernel // 2), nn.ReLU()]
        channels, side = out, -(-side // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, classes))


class ParallelNetworks:
    """A networks of one architecture and one initialization, trained at once on A versions of the data.

    Each weight is a tensor (A, ...); data and learning rate may differ between the networks.
    """

    def __init__(self, net: nn.Module, count: int) -> None:
        self.net = net
        self.weights = {
            name: p.detach().expand(count, *p.shape).clone().requires_grad_() for name, p in net.named_parameters()
        }

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (A, N, classes) of images (A, N, C, H, W), one batch per network."""
        return vmap(lambda w, x: functional_call(self.net, w, (x,)))(self.weights, images)

    def accuracy(self, images: Tensor, labels: Tensor) -> list[float]:
        """Accuracy in percent of each network on the same images (n, C, H, W), labels (n,)."""
        with torch.no_grad():
            scores = vmap(lambda w: functional_call(self.net, w, (images,)))(self.weights)
        return (100 * (scores.argmax(2) == labels).double().mean(1)).tolist()


def fit(
    networks: ParallelNetworks,
    augment: Augment,
    images: Tensor,
    labels: Tensor,
    lr: Sequence[float],
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
) -> None:
    """The paper's optimizer: SGD with Nesterov momentum 0.9 and a cosine schedule; one learning rate per network.

    augment: images (N, C, H, W) -> (A, N, C, H, W), called once per epoch. All networks see the same order of images.
    A network's learning rate multiplies its loss, which for this optimizer is the same as multiplying its step.
    """
    optimizer = torch.optim.SGD(list(networks.weights.values()), lr=1.0, momentum=0.9, nesterov=True)
    steps = epochs * (len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: (1 + math.cos(math.pi * t / steps)) / 2)
    scale = torch.tensor(lr, device=images.device)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)[: steps // epochs * batch_size]
        augmented, classes = augment(images)[:, order], labels[order.to(labels.device)]
        for x, y in zip(augmented.split(batch_size, 1), classes.split(batch_size), strict=True):
            optimizer.zero_grad()
            (scale @ losses(networks(x), y)).backward()
            optimizer.step()
            schedule.step()


def losses(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each network, (A,): scores (A, b, classes), labels (b,)."""
    each = F.cross_entropy(scores.flatten(0, 1), labels.repeat(len(scores)), reduction="none")
    return each.view(len(scores), -1).mean(1)


# ---------------------------------------------------------------- the search network and the searched policies


@dataclass(frozen=True)
class SearchResult:
    """A seed's data, candidates and search network, and the layers found by each searched method."""

    data: ExperimentData
    bank: Bank
    network: Network
    search_data: SearchData
    layers: dict[str, list[LayerTrace]]

    def policy(self, name: str) -> Tensor:
        """The policy of a searched method, (K, M)."""
        return method.stack_policy(self.bank, self.layers[name])


def generator_of(seed: int, stream: int) -> torch.Generator:
    """Random numbers of one purpose of a seed: each purpose has its own stream."""
    return torch.Generator().manual_seed(1000 * seed + stream)


def pretrain(data: ExperimentData, bank: Bank, config: Any, seed: int) -> Network:
    """The search network: trained on the pretraining images with random crops, then frozen."""
    images, labels = data.part("pretrain")
    channels, side = images.shape[1:3]
    torch.manual_seed(seed)
    net = make_net(channels, side, config.search_width, config.search_depth, data.num_classes).to(images.device)
    networks, generator = ParallelNetworks(net, 1), generator_of(seed, 0)
    augment = augment_by_each(bank, [baselines.always(bank, [CROP])], [generator])
    batch_size = min(config.batch_size, len(images))
    fit(networks, augment, images, labels, [config.pretrain_lr], config.pretrain_epochs, batch_size, generator)
    net.load_state_dict({name: w.detach()[0] for name, w in networks.weights.items()})
    return Network(net, config.amp)


@lru_cache(maxsize=8)
def search_policies(config: Any, seed: int, device: torch.device) -> SearchResult:
    """Data, search network and searches of a seed: DeepAA, without the standard deviation, and with random labels.

    Without the standard deviation layer 1 is the same, so only what follows is searched again. The ablation test with
    random labels searches one layer.
    """
    sizes = (config.pretrain_images, config.search_images, config.validation_images, config.test_images)
    data = load_data(config.data, config.half, *sizes, config.pool, seed).to(device)
    fill = BLACK if config.data == DIGITS else GRAY
    bank = make_bank(data.images.shape[1], config.levels, config.extra_flips, fill)
    network = pretrain(data, bank, config, seed)
    (images, classes), (validation, true) = data.part("search"), data.part("validation")
    random = torch.randint(data.num_classes, true.shape, generator=generator_of(seed, 1)).to(device)
    search_data = SearchData(images, classes, validation, true, validation_labels=true)
    random_labels = replace(search_data, validation_labels=random)
    file = Path(config.checkpoint) / f"deepaa-{seed}.pt" if config.checkpoint else None
    deepaa = method.search(network, bank, search_data, config.search, generator_of(seed, 2), checkpoint=file)
    plain = replace(config.search, kappa=0.0)
    no_std = method.search(network, bank, search_data, plain, generator_of(seed, 3), layers_before=deepaa[:1])
    one_layer = replace(config.search, layers=1)
    ablation = method.search(network, bank, random_labels, one_layer, generator_of(seed, 2))
    return SearchResult(data, bank, network, search_data, {DEEPAA: deepaa, NO_STD: no_std, RANDOM_LABELS: ablation})


# ---------------------------------------------------------------- training with each policy


def policies(result: SearchResult) -> dict[str, Tensor]:
    """Method -> its policy (K, M), in the order of METHODS."""
    bank = result.bank
    fixed = {NONE: baselines.none(bank), HAND: baselines.hand_picked(bank)}
    fixed |= {UNIFORM_1: baselines.uniform(bank, 1), UNIFORM_2: baselines.uniform(bank, 2)}
    return fixed | {name: result.policy(name) for name in (DEEPAA, NO_STD, RANDOM_LABELS)}


def augment_by_each(bank: Bank, policies: Sequence[Tensor], generators: Sequence[torch.Generator]) -> Augment:
    """images (n, C, H, W) -> (A, n, C, H, W): augmented by each policy (K, M), each with its own random numbers."""

    def augment(images: Tensor) -> Tensor:
        drawn = [(method.sample(p, len(images), g), g) for p, g in zip(policies, generators, strict=True)]
        return torch.stack([method.augment(bank, images, choices, g) for choices, g in drawn])

    return augment


def train(
    result: SearchResult, policies: Mapping[str, Tensor], lr: Mapping[str, float], config: Any, seed: int
) -> dict[str, float]:
    """Method -> test accuracy in percent after training with its policy (K, M) and learning rate."""
    data = result.data
    channels, side = data.images.shape[1:3]
    torch.manual_seed(seed)
    net = make_net(channels, side, config.width, config.depth, data.num_classes).to(data.images.device)
    networks = ParallelNetworks(net, len(policies))
    generators = [generator_of(seed, 10 + i) for i in range(len(policies))]
    augment = augment_by_each(result.bank, list(policies.values()), generators)
    rates = [lr[name] for name in policies]
    fit(networks, augment, data.images, data.labels, rates, config.epochs, config.batch_size, generator_of(seed, 4))
    return dict(zip(policies, networks.accuracy(data.test_images, data.test_labels), strict=True))
