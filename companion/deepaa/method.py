"""Deep AutoAugment (Zheng, Zhang, Yan and Zhang, 2022), in the paper's order: policy, gradients, rewards, layers.

A pipeline of K random transformations is searched one layer at a time. The probabilities of a layer move so that the
gradient on augmented images becomes more similar (cosine) to the gradient on original validation images.

symbol        here            shape
p_k           policy[k]       (M,), the k-th layer's probabilities; policy (K, M)
theta_k       logits          (M,)
w             w               (P,), all weights of the search network in one vector, frozen
L             draws           int, (class, image, validation batch) triples a step
v             v               (L, P), gradient of original validation images of a class
g             g               (L, P), expected gradient of an augmented search image of that class
u             orthogonal_part(v, g)    (L, P), the part of v across g
c_n           rewards         (L, M), derivative of cos(v, g) by p_n
r_n           regularized     (M,), mean - std of the rewards over the draws
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

Losses = Callable[[Tensor], Tensor]
LAST_STEPS = 10  # whose rewards a LayerTrace holds
IDENTITY, FLIP, CROP, CUTOUT = "Identity", "RandFlip", "RandCrop", "RandCutout"


class Candidate(NamedTuple):
    """An operation, and how strongly; operations without a magnitude have 0."""

    operation: str
    magnitude: float = 0.0

    def __str__(self) -> str:
        return f"{self.operation} {self.magnitude:g}" if self.magnitude else self.operation


class Bank(Protocol):
    """A set of M candidate transformations, the identity first; every image of a batch gets its own candidate."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """t_1 .. t_M."""

    @property
    def operations(self) -> tuple[str, ...]:
        """Their operations, each once."""

    def rows(self, operation: str) -> list[int]:
        """Indices of the candidates of an operation."""

    def __len__(self) -> int:
        """M."""

    def __call__(self, images: Tensor, which: Tensor, generator: torch.Generator) -> Tensor:
        """Candidate which[i] applied to image i: images (N, C, H, W), which (N,) -> (N, C, H, W)."""


# ---------------------------------------------------------------- the policy


def start_logits(candidates: int, identity: float) -> Tensor:
    """Logits of a new layer, (M,) float64: `identity` for the first candidate, 0 for the others, centered."""
    logits = torch.zeros(candidates, dtype=torch.float64)
    logits[0] = identity
    return logits - logits.mean()


def sample(policy: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Sampled candidates of n images, (n, K) int64, from a policy (K, M): images and layers are independent."""
    return torch.multinomial(policy, n, replacement=True, generator=generator).T.contiguous()


def augment(bank: Bank, images: Tensor, choices: Tensor, generator: torch.Generator) -> Tensor:
    """t_{n_K} o ... o t_{n_1} of each image: images (n, C, H, W), choices (n, K); layer 1 acts first."""
    for which in choices.T:
        images = bank(images, which, generator)
    return images


# ---------------------------------------------------------------- gradients of a frozen network


class Network:
    """A frozen network as a function of one vector of weights: scores = network(w, images).

    amp: forward passes in bfloat16; losses, dot products and norms stay in float32.
    """

    def __init__(self, net: nn.Module, amp: bool = False) -> None:
        self.net, self.amp = net, amp
        self.names = [name for name, _ in net.named_parameters()]
        self.shapes = [p.shape for p in net.parameters()]
        self.sizes = [p.numel() for p in net.parameters()]
        self.weights = torch.cat([p.detach().flatten() for p in net.parameters()])

    def __call__(self, w: Tensor, images: Tensor) -> Tensor:
        """Scores (B, classes) of images (B, C, H, W) under the weights w (P,)."""
        parts = [part.view(shape) for part, shape in zip(w.split(self.sizes), self.shapes, strict=True)]
        with torch.autocast(w.device.type, torch.bfloat16, enabled=self.amp):
            scores: Tensor = functional_call(self.net, dict(zip(self.names, parts, strict=True)), (images,))
        return scores.to(w.dtype)

    def losses(self, images: Tensor, labels: Tensor) -> Losses:
        """w -> cross-entropy of each image, (B,): images (B, C, H, W), labels (B,)."""
        return lambda w: F.cross_entropy(self(w, images), labels, reduction="none")


def gradients(network: Network, images: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """sum_b weight_b grad loss_b for each draw, (L, P): images (L, B, C, H, W), labels and weight (L, B)."""

    def one(w: Tensor, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        return p @ network.losses(x, y)(w)

    return vmap(grad(one), in_dims=(None, 0, 0, 0))(network.weights, images, labels, weight)


# ---------------------------------------------------------------- the cosine and its gradient by the policy


def cosine(v: Tensor, g: Tensor) -> Tensor:
    """cos(v, g) of each row, (L,): v, g (L, P)."""
    return F.cosine_similarity(v, g, dim=-1, eps=1e-30)


def orthogonal_part(v: Tensor, g: Tensor) -> Tensor:
    """u = v - (v'g / |g|^2) g: the component of v orthogonal to g, for vectors (P,) or rows (L, P)."""
    return v - (v * g).sum(-1, keepdim=True) / g.square().sum(-1, keepdim=True) * g


def candidate_rewards(losses: Losses, w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """c_n = g_n'u / (|v| |g|) for all candidates at once, (B,): ONE Jacobian-vector product of the losses along u.

    losses: w (P,) -> (B,), one loss per candidate. v, g (P,). No gradient of a single candidate is computed.
    """
    directional_derivatives: Tensor = jvp(losses, (w,), (orthogonal_part(v, g),))[1]
    return directional_derivatives / (v.norm() * g.norm())


def rewards(network: Network, images: Tensor, labels: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """Rewards of every draw, (L, B): images (L, B, C, H, W), labels (L, B), v and g (L, P)."""

    def one(x: Tensor, y: Tensor, v: Tensor, g: Tensor) -> Tensor:
        return candidate_rewards(network.losses(x, y), network.weights, v, g)

    return vmap(one)(images, labels, v, g)


def regularize(c: Tensor, kappa: float) -> Tensor:
    """r_n = mean - kappa * standard deviation over the draws, (M,), from c (L, M); with divisor L, not L - 1."""
    return c.mean(0) - kappa * c.std(0, correction=0)


def policy_loss(logits: Tensor, r: Tensor) -> Tensor:
    """-sum_n r_n p_n, whose gradient with respect to the logits is -p_n (r_n - sum_m p_m r_m); r (M,) is a constant."""
    return -(r * logits.softmax(0)).sum()


# ---------------------------------------------------------------- the search's settings and data


@dataclass(frozen=True)
class SearchConfig:
    """How layers are searched. Adam moves a logit by at most lr per step, so lr x steps has to be above `identity`."""

    steps: int = 60  # steps of Adam in layer 1
    later_steps: int = 40  # steps of Adam in each layer behind it
    draws: int = 10  # L, (class, image, validation batch) triples per step
    lr: float = 0.2  # learning rate of the logits in layer 1
    later_lr: float = 0.3  # learning rate of the logits in each layer behind it
    identity: float = 8.0  # how far the identity's logit starts above the others
    prefixes: int = 2  # samples of the layers before, behind each of which all candidates are scored
    batch_size: int = 16  # validation images behind a reference gradient v
    chunk: int = 1000  # images that pass the network at once, per draw
    first_kappa: float = 0.0  # weight of the standard deviation in layer 1 (none in the paper's code)
    kappa: float = 1.0  # weight of the standard deviation in each layer behind it
    layers: int = 2  # largest number of layers
    stop: float = 0.9  # the search stops behind a layer whose identity has a probability above this


@dataclass(frozen=True)
class SearchData:
    """Search images (n, C, H, W) and their classes (n,); validation images (m, C, H, W) and their classes (m,).

    validation_labels (m,): the labels in the loss of the reference gradients. They are the classes, except in the
    ablation test with random labels.
    """

    images: Tensor
    classes: Tensor
    validation: Tensor
    validation_classes: Tensor
    validation_labels: Tensor


@dataclass(frozen=True)
class LayerTrace:
    """The result of a layer's search.

    probabilities (M,); mean cos(v, g) over draws and entropy of the probabilities at each step; rewards (S, M) of the
    last ten steps, S = 10 L.
    """

    probabilities: Tensor
    cosines: tuple[float, ...]
    entropies: tuple[float, ...]
    rewards: Tensor


def draw_batch(
    network: Network, data: SearchData, config: SearchConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """L draws, classes in turn: a search image (L, C, H, W), its class (L,), and the reference gradient v (L, P).

    v is the mean gradient of `batch_size` validation images of that class, not augmented.
    """
    known = data.classes[torch.isin(data.classes, data.validation_classes)].unique()
    labels = known[torch.arange(config.draws, device=known.device) % len(known)]
    picks = torch.cat([random_rows(data.classes == label, 1, generator) for label in labels])
    rows = torch.stack(
        [random_rows(data.validation_classes == label, config.batch_size, generator) for label in labels]
    )
    weight = data.images.new_full(rows.shape, 1 / config.batch_size)
    return data.images[picks], labels, gradients(network, data.validation[rows], data.validation_labels[rows], weight)


def random_rows(where: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` random indices, with replacement, at which `where` (n,) is true."""
    rows = torch.nonzero(where).squeeze(1)
    return rows[torch.randint(len(rows), (count,), generator=generator).to(rows.device)]


def apply_every_candidate(
    bank: Bank, images: Tensor, policy: Tensor, prefixes: int, generator: torch.Generator
) -> Tensor:
    """Every candidate behind `prefixes` samples of the layers before, (L, prefixes x M, C, H, W), in one call.

    images (L, C, H, W), policy (k - 1, M); the same sampled prefix stands before all M candidates.
    """
    num_candidates, prefixed = len(bank), images.repeat_interleave(prefixes, 0)
    if len(policy):
        prefixed = augment(bank, prefixed, sample(policy, len(prefixed), generator), generator)
    which = torch.arange(num_candidates).repeat(len(prefixed))
    augmented = bank(prefixed.repeat_interleave(num_candidates, 0), which, generator)
    return augmented.view(len(images), prefixes * num_candidates, *images.shape[1:])


def score_layer(
    network: Network,
    bank: Bank,
    data: SearchData,
    policy: Tensor,
    p: Tensor,
    config: SearchConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Rewards (L, M) of a new layer with probabilities p (M,) behind policy (k - 1, M), and cos(v, g) (L,).

    g and the rewards are sums over images, so that chunks of images change nothing.
    """
    # 1. draw classes, search images, and the reference gradients v of original validation images
    originals, classes, v = draw_batch(network, data, config, generator)
    # 2. every candidate applied to every search image, behind sampled prefixes of the layers before
    prefixes = config.prefixes if len(policy) else 1
    images = apply_every_candidate(bank, originals, policy, prefixes, generator).split(config.chunk, 1)
    labels = [classes.unsqueeze(1).expand(part.shape[:2]) for part in images]
    # 3. the expected gradient g of an augmented image: candidates weighted by their probabilities
    weight = (p.to(v) / prefixes).repeat(prefixes).expand(len(v), -1).split(config.chunk, 1)
    g = torch.stack([gradients(network, *part) for part in zip(images, labels, weight, strict=True)]).sum(0)
    # 4. rewards: the derivative of cos(v, g) with respect to each probability
    c = torch.cat([rewards(network, *part, v, g) for part in zip(images, labels, strict=True)], 1)
    return c.view(len(v), prefixes, len(bank)).mean(1), cosine(v, g)


# ---------------------------------------------------------------- layer by layer


def search_layer(
    network: Network, bank: Bank, data: SearchData, policy: Tensor, config: SearchConfig, generator: torch.Generator
) -> LayerTrace:
    """Search the next layer behind policy (k - 1, M). Layer 1 takes the mean of the rewards, as the paper's code."""
    first = not len(policy)
    steps, lr = (config.steps, config.lr) if first else (config.later_steps, config.later_lr)
    kappa = config.first_kappa if first else config.kappa
    logits = start_logits(len(bank), config.identity).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=lr)
    cosines: list[float] = []
    entropies: list[float] = []
    step_rewards: list[Tensor] = []
    for _ in range(steps):
        p = logits.detach().softmax(0)
        c, similarity = score_layer(network, bank, data, policy, p, config, generator)
        cosines.append(float(similarity.mean()))
        entropies.append(float(torch.special.entr(p).sum()))
        step_rewards = [*step_rewards[1 - LAST_STEPS :], c.cpu()]
        optimizer.zero_grad()
        policy_loss(logits, regularize(c.double().cpu(), kappa)).backward()
        optimizer.step()
    return LayerTrace(logits.detach().softmax(0), tuple(cosines), tuple(entropies), torch.cat(step_rewards))


def search(
    network: Network,
    bank: Bank,
    data: SearchData,
    config: SearchConfig,
    generator: torch.Generator,
    layers_before: Sequence[LayerTrace] = (),
    checkpoint: Path | None = None,
) -> list[LayerTrace]:
    """Add layers until one chooses the identity (probability above `stop`) or there are `layers` of them.

    layers_before: layers that are already searched. checkpoint: a file of whole layers, so that an interrupted search
    goes on where it was.
    """
    layers = list(layers_before)
    if checkpoint is not None and checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        generator.set_state(saved["generator"])
        layers = [LayerTrace(**layer) for layer in saved["layers"]]
    while len(layers) < config.layers and not (layers and float(layers[-1].probabilities[0]) > config.stop):
        layers.append(search_layer(network, bank, data, stack_policy(bank, layers), config, generator))
        if checkpoint is not None:
            torch.save({"layers": [vars(t) for t in layers], "generator": generator.get_state()}, checkpoint)
    return layers


def empty_policy(bank: Bank) -> Tensor:
    """A policy of no layers, (0, M)."""
    return torch.empty(0, len(bank), dtype=torch.float64)


def stack_policy(bank: Bank, layers: Sequence[LayerTrace]) -> Tensor:
    """The policy of the layers found so far, (K, M) float64."""
    return torch.stack([layer.probabilities for layer in layers]) if layers else empty_policy(bank)
