"""Correctness checks: what must hold whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from companion.trajectory_attribution import data, method
from companion.trajectory_attribution.baselines import uncached_table
from companion.trajectory_attribution.method import BANZHAF, LEAVE_ONE_OUT, SHAPLEY, Batch, Predictor

SCENES = 6


def example() -> tuple[Predictor, Batch]:
    """An untrained predictor in float64, and simulated targets; the last neighbor slot of every second one is empty."""
    torch.manual_seed(0)
    batch = data.all_targets(data.simulate(SCENES, 1.0, seed=0))[0]
    mask = batch.mask.clone()
    mask[::2, -1] = False
    double = {name: getattr(batch, name).double() for name in ("past", "future", "neighbors", "kind")}
    return Predictor(8, 12, 1, hidden_dim=16).double(), replace(batch, mask=mask, **double)


def random_table(num_features: int) -> Tensor:
    """Ten games with random values, (10, 2^P) float64."""
    return torch.randn(10, 2**num_features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _largest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


# ---------------------------------------------------------------- axioms


def efficiency() -> float:
    """The attributions of a target sum to v(all features) - v(none), for all four errors."""
    model, batch = example()
    tables = [method.value_table(model, batch, loss) for loss in method.LOSSES.values()]
    return max(_largest(method.attribute(table).sum(1), table[:, -1] - table[:, 0]) for table in tables)


def empty_slots() -> float:
    """The phi of an empty neighbor slot is 0, and more empty neighbor slots change no phi."""
    model, batch = example()
    phi = method.attribute(method.value_table(model, batch))
    padded = {  # two more neighbor slots, all empty
        "neighbors": functional.pad(batch.neighbors, (0, 0, 0, 0, 0, 2)),
        "kind": functional.pad(batch.kind, (0, 0, 0, 2)),
        "mask": functional.pad(batch.mask, (0, 2)),
    }
    wider = method.attribute(method.value_table(model, replace(batch, **padded)))
    return max(float(phi[:, 1:][~batch.mask].abs().max()), _largest(wider[:, :5], phi))


def symmetry() -> float:
    """Two neighbors with the same track get the same phi, by every rule."""
    model, batch = example()
    twins = torch.cat([batch.neighbors[:, :1], batch.neighbors[:, :1], batch.neighbors[:, 2:]], dim=1)
    table = method.value_table(model, replace(batch, neighbors=twins))
    phis = [method.attribute(table, rule) for rule in (SHAPLEY, BANZHAF, LEAVE_ONE_OUT)]
    return max(_largest(phi[:, 1], phi[:, 2]) for phi in phis)


def linearity() -> float:
    """The phi of 2 ADE + 3 FDE is twice that of ADE plus three times that of FDE."""
    model, batch = example()
    ade, fde = (method.value_table(model, batch, loss) for loss in (method.ade, method.fde))
    separate = 2 * method.attribute(ade) + 3 * method.attribute(fde)
    return _largest(method.attribute(2 * ade + 3 * fde), separate)


# ---------------------------------------------------------------- weights and estimators


def average_over_orders() -> float:
    """The weight matrix gives the mean contribution over all 120 orders of five features, by a plain loop."""
    table, features = random_table(5), range(5)
    phi = torch.zeros(10, 5, dtype=torch.float64)
    for order in itertools.permutations(features):
        coalition = 0
        for feature in order:
            phi[:, feature] += table[:, coalition | 1 << feature] - table[:, coalition]
            coalition |= 1 << feature
    return _largest(method.attribute(table), phi / math.factorial(5))


def closed_form() -> float:
    """v(S) = -(r + sum of d_i over absent i)^2 has phi_i = d_i (2 r + sum of d); so has its Banzhaf value."""
    d, r = torch.tensor([0.5, 1.0, -0.3, 2.0, 0.0], dtype=torch.float64), 0.7
    table = -(r + (~method.coalitions(5)).double() @ d).square().unsqueeze(0)
    expected = (d * (2 * r + d.sum())).unsqueeze(0)
    return max(_largest(method.attribute(table, rule), expected) for rule in (SHAPLEY, BANZHAF))


def all_permutations_are_exact() -> float:
    """Permutation sampling with every order once is the exact Shapley value."""
    orders = torch.tensor(list(itertools.permutations(range(4))))
    phi = method.marginal_contributions(method.game_of_table(random_table(4)), orders).mean(1)
    return _largest(phi, method.attribute(random_table(4)))


def bernoulli_is_banzhaf() -> float:
    """The expectation of the released estimator is the Banzhaf value, and not the Shapley value."""
    game, others = method.game_of_table(random_table(4)), method.coalitions(4)
    limit = torch.stack([method.differences(game, feature, others).mean(1) for feature in range(4)], dim=1)
    if _largest(limit, method.attribute(random_table(4))) < 0.01:
        return math.inf
    return _largest(limit, method.attribute(random_table(4), BANZHAF))


def cached_is_uncached() -> float:
    """Every column of the table is a complete forward pass on targets whose absent features are removed."""
    model, batch = example()
    return _largest(method.value_table(model, batch), uncached_table(model, batch))


# ---------------------------------------------------------------- the simulation


def simulation_is_a_loop() -> float:
    """The simulated paths of one scene are those of a plain loop over pedestrians, pairs and steps."""
    return _largest(data.simulate(1, 1.5, seed=3, drop=2), looped(1.5, seed=3, drop=2))


def looped(kappa: float, seed: int, drop: int) -> Tensor:
    """One scene of five by loops, with the random numbers of `data.simulate` and without its forces; (1, 5, 20, 2)."""
    generator, dt = torch.Generator().manual_seed(seed), 0.1
    position, goal, speed = (part[0] for part in data.starts(1, 5, generator))
    kicks = torch.randn(76, 1, 5, 2, generator=generator)[:, 0] * 0.05 * math.sqrt(dt)
    velocity = torch.stack([speed[i] * (goal[i] - position[i]) / (goal[i] - position[i]).norm() for i in range(5)])
    frames = [position]
    for step in range(76):
        forces = [looped_force(i, position, goal, kappa, drop if step >= 28 else None) for i in range(5)]
        moved = []
        for i in range(5):
            direction = (goal[i] - position[i]) / (goal[i] - position[i]).norm()
            v = velocity[i] + dt * ((speed[i] * direction - velocity[i]) / 0.5 + forces[i]) + kicks[step, i]
            moved.append(v * min(1.0, float(1.3 * speed[i] / v.norm())))
        velocity = torch.stack(moved)
        position = position + dt * velocity
        frames += [position] if step % 4 == 3 else []
    return torch.stack(frames, dim=1).unsqueeze(0)


def looped_force(i: int, position: Tensor, goal: Tensor, kappa: float, without: int | None) -> Tensor:
    """The force on pedestrian i, (2,), one other after the other; `without` exerts none."""
    total, direction = torch.zeros(2), (goal[i] - position[i]) / (goal[i] - position[i]).norm()
    for j in range(len(position)):
        if j in (i, without):
            continue
        between = position[i] - position[j]
        size = 2.1 * kappa * math.exp(-(float(between.norm()) - 0.6) / 0.5)
        in_view = float(-(between / between.norm()) @ direction) > math.cos(math.radians(100))
        total = total + size * (1.0 if in_view else 0.4) * between / between.norm()
    return total


def no_interaction_no_effect() -> float:
    """At kappa = 0 the effect of every neighbor is exactly 0; at kappa = 1 it is not."""
    if float(data.true_effects(SCENES, 1.0, seed=0).max()) < 0.01:
        return math.inf
    return float(data.true_effects(SCENES, 0.0, seed=0).max())
