"""Networks, and training several of them side by side: one batched pass serves all arms of a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

Augment = Callable[[Tensor], Tensor]


def make_net(channels: int, side: int, width: int, depth: int, classes: int) -> nn.Sequential:
    """`depth` convolutions, each halving the side, `width` channels and then twice as many each, and a linear layer.

    No batch statistics, which a frozen network that is to be linearised is better without.
    """
    layers: list[nn.Module] = []
    for i in range(depth):
        kernel, out = (5 if i == 0 else 3), width * 2**i
        layers += [nn.Conv2d(channels, out, kernel, stride=2, padding=kernel // 2), nn.ReLU()]
        channels, side = out, -(-side // 2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, classes))


class SideBySide:
    """A networks of one architecture and one start, (A, ...) each weight: what differs is data and learning rate."""

    def __init__(self, net: nn.Module, arms: int) -> None:
        self.net = net
        self.weights = {
            name: p.detach().expand(arms, *p.shape).clone().requires_grad_() for name, p in net.named_parameters()
        }

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (A, N, classes) of images (A, N, C, H, W), a batch an arm."""
        return vmap(lambda w, x: functional_call(self.net, w, (x,)))(self.weights, images)

    def accuracy(self, images: Tensor, labels: Tensor) -> list[float]:
        """Per cent right of each arm on the same images (n, C, H, W), labels (n,)."""
        with torch.no_grad():
            scores = vmap(lambda w: functional_call(self.net, w, (images,)))(self.weights)
        return (100 * (scores.argmax(2) == labels).double().mean(1)).tolist()


def fit(
    nets: SideBySide,
    augment: Augment,
    images: Tensor,
    labels: Tensor,
    rates: Sequence[float],
    epochs: int,
    batch: int,
    generator: torch.Generator,
) -> None:
    """SGD with Nesterov's momentum 0.9 and a cosine schedule: the paper's, each arm with its own learning rate.

    augment: images (N, C, H, W) -> (A, N, C, H, W), anew every epoch. The order of images is the same for all arms.
    An arm's rate multiplies its loss, which for this optimiser is the same as multiplying its step.
    """
    optimiser = torch.optim.SGD(list(nets.weights.values()), lr=1.0, momentum=0.9, nesterov=True)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda t: (1 + math.cos(math.pi * t / steps)) / 2)
    scale = torch.tensor(rates, device=images.device)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)[: steps // epochs * batch]
        seen, classes = augment(images)[:, order], labels[order.to(labels.device)]
        for x, y in zip(seen.split(batch, 1), classes.split(batch), strict=True):
            optimiser.zero_grad()
            (scale @ losses(nets(x), y)).backward()
            optimiser.step()
            schedule.step()


def losses(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of each arm, (A,): scores (A, b, classes), labels (b,)."""
    each = F.cross_entropy(scores.flatten(0, 1), labels.repeat(len(scores)), reduction="none")
    return each.view(len(scores), -1).mean(1)
