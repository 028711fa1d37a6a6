"""Correctness checks: what is true of a right implementation for all images; each returns an error near zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from companion.deepaa import method
from companion.deepaa.augmentations import Bank, make_bank
from companion.deepaa.method import CROP, CUTOUT, FLIP, IDENTITY, Candidate

SIDE, CLASSES = 12, 4


def example() -> tuple[method.Network, Bank, method.SearchData, torch.Generator]:
    """A tiny network with random weights, all candidates, random images of four classes; all in double precision."""
    generator = torch.Generator().manual_seed(6)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(3 * (SIDE // 2) ** 2, CLASSES)
    ).double()
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64) / 4
    network, bank = method.Network(net), make_bank(1, 3, extra_flips=True, fill=0.0)
    images = torch.rand(24, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    labels = torch.arange(24) % CLASSES
    return network, bank, method.SearchData(images[:12], labels[:12], images[12:], labels[12:], labels[12:]), generator


def one_draw() -> tuple[method.Network, Tensor, Tensor, Tensor, Tensor]:
    """A network, every candidate of one image (M, 1, S, S), its label (M,), probabilities p (M,), and v (P,)."""
    network, bank, source, generator = example()
    images = method.apply_every_candidate(bank, source.images[:1], method.empty_policy(bank), 1, generator)[0]
    p = torch.rand(len(bank), generator=generator, dtype=torch.float64).softmax(0)
    _, labels, v = method.draw_batch(network, source, method.SearchConfig(draws=1), generator)
    return network, images, labels.expand(len(bank)), p, v[0]


def gradients_one_by_one(network: method.Network, images: Tensor, labels: Tensor) -> Tensor:
    """g_n of every candidate, (M, P), by one backward pass each, without the code of the method."""
    w = network.weights.clone().requires_grad_()
    losses = network.losses(images, labels)(w)
    return torch.stack([torch.autograd.grad(loss, w, retain_graph=True)[0] for loss in losses])


def rewards_and_gradients(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The method's rewards c (M,) with v times `scale`; p (M,), v (P,), and each candidate's gradient (M, P)."""
    network, images, labels, p, v = one_draw()
    g = method.gradients(network, images[None], labels[None], p[None])[0]
    c = method.candidate_rewards(network.losses(images, labels), network.weights, scale * v, g)
    return c, p, v, gradients_one_by_one(network, images, labels)


def jvp_is_autograd() -> float:
    """All rewards from one Jacobian-vector product equal autograd's gradient of cos(v, sum_n p_n g_n) by p."""
    c, p, v, each = rewards_and_gradients()
    probabilities = p.clone().requires_grad_()
    g = probabilities @ each
    (expected,) = torch.autograd.grad((v @ g) / (v.norm() * g.norm()), probabilities)
    return largest_difference(c, expected)


def policy_average_is_zero() -> float:
    """sum_n p_n c_n = 0: a layer cannot be better than itself on average."""
    c, p, _, _ = rewards_and_gradients()
    return float((p @ c).abs())


def direction_is_orthogonal() -> float:
    """g'u = 0, relative to both lengths."""
    _, p, v, each = rewards_and_gradients()
    g = p @ each
    u = method.orthogonal_part(v, g)
    return float((g @ u).abs() / (g.norm() * u.norm()))


def length_of_the_reference_does_not_matter() -> float:
    """The rewards do not change when v is a thousand times as long."""
    return largest_difference(rewards_and_gradients(1000.0)[0], rewards_and_gradients()[0])


def identities_have_no_reward() -> float:
    """A bank of identities alone: every reward is zero, and the cosine is that of the image itself."""
    network, _, source, generator = example()
    bank, recipe = Bank([Candidate(IDENTITY)] * 5), method.SearchConfig(draws=CLASSES)
    p = torch.rand(5, generator=generator, dtype=torch.float64).softmax(0)
    again = generator.clone_state()
    c, observed = method.score_layer(network, bank, source, method.empty_policy(bank), p, recipe, generator)
    images, labels, v = method.draw_batch(network, source, recipe, again)
    own = method.gradients(network, images[:, None], labels[:, None], torch.ones(len(v), 1).double())
    return float(c.abs().max()) + largest_difference(observed, method.cosine(v, own))


def logit_gradient_is_closed() -> float:
    """The gradient by the logits is -p_n c_n, since the policy's average reward is zero."""
    c, p, _, _ = rewards_and_gradients()
    logits = p.log().requires_grad_()
    method.policy_loss(logits, c).backward()
    assert logits.grad is not None
    return largest_difference(logits.grad, -p * c)


def chunks_change_nothing() -> float:
    """Seven images at a time give the rewards of all at once, in a second layer too."""
    network, bank, source, generator = example()
    policy = torch.full((1, len(bank)), 1 / len(bank), dtype=torch.float64)
    found = [
        method.score_layer(
            network, bank, source, policy, policy[0], method.SearchConfig(draws=4, chunk=chunk), generator.clone_state()
        )[0]
        for chunk in (7, 1000)
    ]
    return largest_difference(*found)


def start_is_its_closed_form() -> float:
    """139 candidates, the paper's number: p(identity) = e^8 / (e^8 + 138) at the start."""
    bank = make_bank(3, 13, extra_flips=False, fill=0.5)
    p = method.start_logits(len(bank), 8.0).softmax(0)
    return abs(float(p[0]) - math.exp(8) / (math.exp(8) + 138))


def identity_is_exact() -> float:
    """The identity returns its image to the last bit, whatever its neighbors in the batch get: count of changes."""
    _, bank, source, generator = example()
    which = torch.randint(len(bank), (12,), generator=generator)
    which[::3] = 0
    return float((bank(source.images, which, generator)[::3] != source.images[::3]).sum())


def mixed_batch_is_one_by_one() -> float:
    """A batch in which every image gets another candidate is each image alone (random candidates aside)."""
    _, bank, source, generator = example()
    which = torch.tensor([i for i, c in enumerate(bank.candidates) if c.operation not in (FLIP, CROP, CUTOUT)])
    images = source.images[torch.arange(len(which)) % 12]
    alone = [bank(x[None], n[None], generator) for x, n in zip(images, which, strict=True)]
    return largest_difference(bank(images, which, generator), torch.cat(alone))


def geometry_is_that_of_scipy() -> float:
    """Shear, translation and rotation are scipy.ndimage's affine transform, and turns are NumPy's, zeros outside."""
    _, bank, source, generator = example()
    image, worst, center = source.images[0], 0.0, (SIDE - 1) / 2
    for n, c in enumerate(bank.candidates):
        if c.operation in SCIPY_MAPS:
            m, shift = SCIPY_MAPS[c.operation](c.magnitude)
            offset = center - m @ [center, center] + shift
            expected = ndimage.affine_transform(image[0].numpy(), m, offset, order=1, mode="grid-constant")
            computed = bank(image[None], torch.tensor([n]), generator)[0, 0]
            worst = max(worst, float(np.abs(computed.numpy() - expected).max()))
    return worst


def _rotation(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


# In SciPy's order, row before column: where a pixel of the result is looked up.
SCIPY_MAPS: dict[str, Callable[[float], tuple[np.ndarray, Any]]] = {
    "ShearX": lambda m: (np.array([[1, 0], [m, 1]]), 0),
    "ShearY": lambda m: (np.array([[1, m], [0, 1]]), 0),
    "TranslateX": lambda m: (np.eye(2), np.array([0, m * SIDE])),
    "TranslateY": lambda m: (np.eye(2), np.array([m * SIDE, 0])),
    "Rotate": lambda m: (_rotation(m), 0),
    "VerticalFlip": lambda m: (np.diag([-1.0, 1.0]), 0),
    "Rotate90": lambda m: (_rotation(90), 0),
    "Rotate180": lambda m: (_rotation(180), 0),
}


def sampling_is_the_policy(n: int = 20_000) -> float:
    """Frequencies of n sampled images, in standard errors, the largest of both layers' candidates."""
    generator = torch.Generator().manual_seed(6)
    policy = torch.rand(2, 8, generator=generator, dtype=torch.float64).softmax(1)
    choices = method.sample(policy, n, generator)
    observed = torch.stack([torch.bincount(layer, minlength=8) / n for layer in choices.T])
    return float(((observed - policy) / (policy * (1 - policy) / n).sqrt()).abs().max())


def largest_difference(computed: Tensor, expected: Tensor) -> float:
    """The largest absolute difference; infinite where a number is NaN."""
    return float((computed - expected).abs().nan_to_num(nan=torch.inf).max())
