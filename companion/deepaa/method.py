"""Deep AutoAugment (Zheng, Zhang, Yan and Zhang, 2022), in the paper's order: policy, gradients, rewards, layers.

symbol        here            shape
p_k           policy[k]       (M,), the k-th layer's probabilities; policy (K, M)
theta_k       logits          (M,)
w             w               (P,), all weights of the search network in one vector, frozen
L             draws           int, (class, image, validation batch) triples a step
v             v               (L, P), gradient of original validation images of a class
g             g               (L, P), expected gradient of an augmented search image of that class
u             across(v, g)    (L, P), the part of v across g
c_n           rewards         (L, M), derivative of cos(v, g) by p_n
r_n           regularised     (M,), mean - std of the rewards over the draws
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
IDENTITY, FLIP, CROP, CUTOUT = "Identity", "RandFlip", "RandCrop", "RandCutout"


class Candidate(NamedTuple):
    """An operation, and how strongly; operations without a magnitude have 0."""

    operation: str
    magnitude: float = 0.0

    def __str__(self) -> str:
        return f"{self.operation} {self.magnitude:g}" if self.magnitude else self.operation


class Bank(Protocol):
    """A table of M candidates, the identity first, that serves every image of a batch with its own."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """t_1 .. t_M."""

    @property
    def operations(self) -> tuple[str, ...]:
        """Their operations, each once."""

    def rows(self, operation: str) -> list[int]:
        """Which candidates belong to an operation."""

    def __len__(self) -> int:
        """M."""

    def __call__(self, images: Tensor, which: Tensor, generator: torch.Generator) -> Tensor:
        """Candidate which[i] applied to image i: images (N, C, H, W), which (N,) -> (N, C, H, W)."""


# ---------------------------------------------------------------- the policy


def start_logits(candidates: int, identity: float) -> Tensor:
    """theta of a new layer, (M,) float64: `identity` for the first candidate, 0 for the others, centred."""
    logits = torch.zeros(candidates, dtype=torch.float64)
    logits[0] = identity
    return logits - logits.mean()


def sample(policy: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Candidates for n images, (n, K) int64: every layer of the policy (K, M) draws for every image by itself."""
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


# ---------------------------------------------------------------- the score and its derivative by the policy


def cosine(v: Tensor, g: Tensor) -> Tensor:
    """cos(v, g) of each row, (L,): v, g (L, P)."""
    return F.cosine_similarity(v, g, dim=-1, eps=1e-30)


def across(v: Tensor, g: Tensor) -> Tensor:
    """u = v - (v'g / |g|^2) g: what of v lies across g, for vectors (P,) or rows (L, P)."""
    return v - (v * g).sum(-1, keepdim=True) / g.square().sum(-1, keepdim=True) * g


def candidate_rewards(losses: Losses, w: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """c_n = g_n'u / (|v| |g|) for all candidates at once, (B,): ONE Jacobian-vector product of the losses along u.

    losses: w (P,) -> (B,), a loss a candidate. v, g (P,). No candidate's own gradient is ever made.
    """
    slopes: Tensor = jvp(losses, (w,), (across(v, g),))[1]
    return slopes / (v.norm() * g.norm())


def rewards(network: Network, images: Tensor, labels: Tensor, v: Tensor, g: Tensor) -> Tensor:
    """The same for every draw, (L, B): images (L, B, C, H, W), labels (L, B), v and g (L, P)."""

    def one(x: Tensor, y: Tensor, v: Tensor, g: Tensor) -> Tensor:
        return candidate_rewards(network.losses(x, y), network.weights, v, g)

    return vmap(one)(images, labels, v, g)


def regularised(c: Tensor, kappa: float) -> Tensor:
    """r_n = mean - kappa std over the draws, (M,), from c (L, M); the std is that of a population."""
    return c.mean(0) - kappa * c.std(0, correction=0)


def policy_loss(logits: Tensor, r: Tensor) -> Tensor:
    """-sum_n r_n p_n, whose gradient by the logits is -p_n (r_n - sum_m p_m r_m); r (M,) is a constant."""
    return -(r * logits.softmax(0)).sum()


# ---------------------------------------------------------------- what a search looks at


@dataclass(frozen=True)
class Recipe:
    """How a layer is searched. Adam moves a logit by at most lr a step: lr x steps must exceed `identity`.

    steps and lr are layer 1's, later_steps and later_lr those of the layers behind it; so are first_kappa, the weight
    of the std in layer 1 (none in the paper's code), and kappa. draws: L. prefixes: samples of the layers before.
    batch: validation images behind a v. chunk: images that pass the network at once, for each draw.
    """

    steps: int = 60
    later_steps: int = 40
    draws: int = 10
    lr: float = 0.2
    later_lr: float = 0.3
    identity: float = 8.0
    prefixes: int = 2
    batch: int = 16
    chunk: int = 1000
    first_kappa: float = 0.0
    kappa: float = 1.0
    layers: int = 2
    stop: float = 0.9


@dataclass(frozen=True)
class Source:
    """Search images (n, C, H, W) and their classes (n,); validation images (m, C, H, W) and their classes (m,).

    given (m,): the labels under which the validation images' gradients are taken; the classes themselves.
    """

    images: Tensor
    classes: Tensor
    validation: Tensor
    validation_classes: Tensor
    given: Tensor


@dataclass(frozen=True)
class Trace:
    """What a layer's search left: probabilities (M,); cos(v, g) and entropy a step; the last steps' rewards (S, M)."""

    probabilities: Tensor
    cosines: tuple[float, ...]
    entropies: tuple[float, ...]
    rewards: Tensor


def draw_batch(
    network: Network, source: Source, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """L draws, classes in turn: a search image (L, C, H, W), its class (L,), and v (L, P).

    v is the mean gradient of `batch` validation images of that class, as they are.
    """
    known = source.classes[torch.isin(source.classes, source.validation_classes)].unique()
    labels = known[torch.arange(recipe.draws, device=known.device) % len(known)]
    picks = torch.cat([_some(source.classes == label, 1, generator) for label in labels])
    rows = torch.stack([_some(source.validation_classes == label, recipe.batch, generator) for label in labels])
    weight = source.images.new_full(rows.shape, 1 / recipe.batch)
    return source.images[picks], labels, gradients(network, source.validation[rows], source.given[rows], weight)


def _some(where: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` random places, with replacement, at which `where` (n,) is true."""
    rows = torch.nonzero(where).squeeze(1)
    return rows[torch.randint(len(rows), (count,), generator=generator).to(rows.device)]


def all_candidates(bank: Bank, images: Tensor, policy: Tensor, prefixes: int, generator: torch.Generator) -> Tensor:
    """Every candidate behind `prefixes` samples of the layers before, (L, prefixes x M, C, H, W); ONE use of the bank.

    images (L, C, H, W), policy (k - 1, M); the same sampled prefix stands before all M candidates.
    """
    m, begun = len(bank), images.repeat_interleave(prefixes, 0)
    if len(policy):
        begun = augment(bank, begun, sample(policy, len(begun), generator), generator)
    every = bank(begun.repeat_interleave(m, 0), torch.arange(m).repeat(len(begun)), generator)
    return every.view(len(images), prefixes * m, *images.shape[1:])


def score_layer(
    network: Network, bank: Bank, source: Source, policy: Tensor, p: Tensor, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rewards (L, M) of a new layer with probabilities p (M,) behind policy (k - 1, M), and cos(v, g) (L,).

    g and the rewards are sums over images, so that chunks of images change nothing.
    """
    prefixes = recipe.prefixes if len(policy) else 1
    begun, classes, v = draw_batch(network, source, recipe, generator)
    images = all_candidates(bank, begun, policy, prefixes, generator).split(recipe.chunk, 1)
    labels = [classes.unsqueeze(1).expand(part.shape[:2]) for part in images]
    weight = (p.to(v) / prefixes).repeat(prefixes).expand(len(v), -1).split(recipe.chunk, 1)
    g = torch.stack([gradients(network, *part) for part in zip(images, labels, weight, strict=True)]).sum(0)
    c = torch.cat([rewards(network, *part, v, g) for part in zip(images, labels, strict=True)], 1)
    return c.view(len(v), prefixes, len(bank)).mean(1), cosine(v, g)


# ---------------------------------------------------------------- layer by layer


@dataclass
class LayerSearch:
    """One layer under search: logits (M,), their optimiser, and what was seen so far."""

    logits: Tensor
    optimiser: torch.optim.Adam
    seen: list[tuple[float, float, Tensor]]

    @classmethod
    def begin(cls, candidates: int, lr: float, identity: float) -> LayerSearch:
        """A layer near identity, nothing seen."""
        logits = start_logits(candidates, identity).requires_grad_()
        return cls(logits, torch.optim.Adam([logits], lr=lr), [])

    def step(self, c: Tensor, agreement: Tensor, kappa: float) -> None:
        """One step of Adam along the regularised rewards: c (L, M), agreement cos(v, g) (L,)."""
        entropy = float(torch.special.entr(self.logits.detach().softmax(0)).sum())
        self.seen.append((float(agreement.mean()), entropy, c.cpu()))
        self.optimiser.zero_grad()
        policy_loss(self.logits, regularised(c.double().cpu(), kappa)).backward()
        self.optimiser.step()

    def trace(self, kept: int = 10) -> Trace:
        """What is kept of it; rewards of the last `kept` steps."""
        cosines, entropies, rewards = zip(*self.seen, strict=True)
        return Trace(self.logits.detach().softmax(0), cosines, entropies, torch.cat(rewards[-kept:]))


def search_layer(
    network: Network, bank: Bank, source: Source, policy: Tensor, recipe: Recipe, generator: torch.Generator
) -> Trace:
    """The next layer behind policy (k - 1, M); layer 1 takes the plain mean of the rewards, as the paper's code."""
    first = not len(policy)
    steps, lr = (recipe.steps, recipe.lr) if first else (recipe.later_steps, recipe.later_lr)
    layer = LayerSearch.begin(len(bank), lr, recipe.identity)
    for _ in range(steps):
        p = layer.logits.detach().softmax(0)
        layer.step(
            *score_layer(network, bank, source, policy, p, recipe, generator),
            recipe.first_kappa if first else recipe.kappa,
        )
    return layer.trace()


def empty_policy(bank: Bank) -> Tensor:
    """A policy of no layers, (0, M)."""
    return torch.empty(0, len(bank), dtype=torch.float64)


def search(
    network: Network,
    bank: Bank,
    source: Source,
    recipe: Recipe,
    generator: torch.Generator,
    begun: Sequence[Trace] = (),
    file: Path | None = None,
) -> list[Trace]:
    """Layer upon layer, until one chooses identity (mass above `stop`) or there are `layers` of them.

    begun: layers that stand already. file: keeps whole layers, so that a cut search goes on.
    """
    traces = _resume(file, generator) or list(begun)
    while len(traces) < recipe.layers and not (traces and float(traces[-1].probabilities[0]) > recipe.stop):
        traces.append(search_layer(network, bank, source, stack(bank, traces), recipe, generator))
        if file:
            torch.save({"layers": [vars(t) for t in traces], "generator": generator.get_state()}, file)
    return traces


def stack(bank: Bank, traces: Sequence[Trace]) -> Tensor:
    """The policy of the layers found so far, (K, M) float64."""
    return torch.stack([empty_policy(bank).sum(0), *[t.probabilities for t in traces]])[1:]


def _resume(file: Path | None, generator: torch.Generator) -> list[Trace]:
    if file is None or not file.is_file():
        return []
    kept = torch.load(file, weights_only=True)
    generator.set_state(kept["generator"])
    return [Trace(**layer) for layer in kept["layers"]]
