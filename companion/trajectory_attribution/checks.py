"""Exact checks: what must be true of this code whatever the data; each returns an error that should be near zero."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch
from torch import Tensor

from companion.trajectory_attribution import estimators, method, world
from companion.trajectory_attribution.method import BANZHAF, LEAVE_ONE_OUT, SHAPLEY, Batch, Predictor

SCENES = 6


def example(slots: int = 4) -> tuple[Predictor, Batch]:
    """An untrained predictor in float64, and targets of a small world; the last slot of every second one is empty."""
    torch.manual_seed(0)
    batch = world.everyone(world.simulate(SCENES, 1.0, seed=0, walkers=slots + 1))[0]
    mask = batch.mask.clone()
    mask[::2, -1] = False
    batch = Batch(
        batch.past.double(), batch.future.double(), batch.tracks.double(), batch.kind.double(), mask, batch.scene
    )
    return Predictor(8, 12, 1, width=16).double(), batch


def game(players: int) -> Tensor:
    """Ten random games, (10, 2^P)."""
    return torch.randn(10, 2**players, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _far(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


# ---------------------------------------------------------------- axioms


def efficiency() -> float:
    """All phi of a target add up to v(everybody) - v(nobody), for four errors of a forecast."""
    model, batch = example()
    tables = [method.value_table(model, batch, loss) for loss in method.LOSSES.values()]
    return max(_far(method.attribute(table).sum(1), table[:, -1] - table[:, 0]) for table in tables)


def empty_slots_get_nothing() -> float:
    """The phi of an empty slot is 0, and slots that are always empty change nobody's phi."""
    model, batch = example()
    phi = method.attribute(method.value_table(model, batch))
    more = replace(batch, **{name: method.pad(getattr(batch, name), 6) for name in ("tracks", "kind", "mask")})
    wider = method.attribute(method.value_table(model, more))
    return max(float(phi[:, 1:][~batch.mask].abs().max()), _far(wider[:, :5], phi))


def twins_share_alike() -> float:
    """Two neighbours with the same track get the same phi, by every rule."""
    model, batch = example()
    tracks = torch.cat([batch.tracks[:, :1], batch.tracks[:, :1], batch.tracks[:, 2:]], dim=1)
    table = method.value_table(model, replace(batch, tracks=tracks))
    found = [method.attribute(table, kind) for kind in (SHAPLEY, BANZHAF, LEAVE_ONE_OUT)]
    return max(_far(phi[:, 1], phi[:, 2]) for phi in found)


def linearity() -> float:
    """The phi of 2 ADE + 3 FDE are twice those of ADE and three times those of FDE."""
    model, batch = example()
    ade, fde = (method.value_table(model, batch, loss) for loss in (method.ade, method.fde))
    apart = 2 * method.attribute(ade) + 3 * method.attribute(fde)
    return _far(method.attribute(2 * ade + 3 * fde), apart)


# ---------------------------------------------------------------- weights


def weights_are_an_average_over_orders() -> float:
    """The weight matrix gives what the mean over all 120 orders of arrival gives, by a plain loop."""
    table, players = game(5), 5
    phi = torch.zeros(10, players, dtype=torch.float64)
    for order in itertools.permutations(range(players)):
        code = 0
        for player in order:
            phi[:, player] += table[:, code | 1 << player] - table[:, code]
            code |= 1 << player
    return _far(method.attribute(table), phi / math.factorial(players))


def closed_form() -> float:
    """v(S) = -(r + sum of d_i over absent i)^2 has phi_i = d_i (2 r + sum d); Banzhaf gives the same."""
    d, r = torch.tensor([0.5, 1.0, -0.3, 2.0, 0.0], dtype=torch.float64), 0.7
    table = -(r + (~method.coalitions(5)).double() @ d).square().unsqueeze(0)
    wanted = (d * (2 * r + d.sum())).unsqueeze(0)
    return max(_far(method.attribute(table, kind), wanted) for kind in (SHAPLEY, BANZHAF))


# ---------------------------------------------------------------- estimators


def all_orders_are_exact() -> float:
    """Permutation sampling with every order once is the exact Shapley value."""
    orders = torch.tensor(list(itertools.permutations(range(4))))
    found = estimators.marginals(estimators.from_table(game(4)), orders).mean(1)
    return _far(found, method.attribute(game(4)))


def coin_flips_are_banzhaf() -> float:
    """The released estimator with every outcome of its coins once is the Banzhaf value (and is not Shapley's)."""
    limit = estimators.all_coin_flips(estimators.from_table(game(4)), 4)
    if _far(limit, method.attribute(game(4))) < 0.01:
        return math.inf
    return _far(limit, method.attribute(game(4), BANZHAF))


# ---------------------------------------------------------------- the table, and the world


def cached_is_uncached() -> float:
    """Every column of the table is a forward pass of the model on the targets with the absent really gone."""
    model, batch = example()
    table, errors = method.value_table(model, batch), []
    for code, members in enumerate(method.coalitions(batch.players)):
        past = batch.past if members[0] else torch.zeros_like(batch.past)
        left = replace(batch, past=past, mask=batch.mask & members[1:])
        with torch.no_grad():
            mean, spread = model(left)
        errors.append(_far(table[:, code], -method.ade(mean, spread, batch.future)))
    return max(errors)


def world_is_a_loop() -> float:
    """The simulator's paths of one scene are those of a plain loop over walkers, pairs and steps."""
    found = world.simulate(1, 1.5, seed=3, drop=2)
    return _far(found, looped(1.5, seed=3, drop=2))


def looped(kappa: float, seed: int, drop: int) -> Tensor:
    """One scene by loops, with the simulator's random numbers and none of its forces; (1, A, 20, 2)."""
    generator, walkers = torch.Generator().manual_seed(seed), world.WALKERS
    place, goal, speed = (part[0] for part in world.start(1, walkers, generator))
    kicks = torch.randn(76, 1, walkers, 2, generator=generator)[:, 0] * world.NOISE * math.sqrt(world.DT)
    velocity = torch.stack([speed[i] * (goal[i] - place[i]) / (goal[i] - place[i]).norm() for i in range(walkers)])
    frames = [place]
    for step in range(76):
        nobody = drop if step >= 28 else None
        push = [_push(i, place, goal, kappa, nobody) for i in range(walkers)]
        ways = [(goal[i] - place[i]) / (goal[i] - place[i]).norm() for i in range(walkers)]
        moved = []
        for i in range(walkers):
            v = velocity[i] + world.DT * ((speed[i] * ways[i] - velocity[i]) / 0.5 + push[i]) + kicks[step, i]
            moved.append(v * min(1.0, float(1.3 * speed[i] / v.norm())))
        velocity = torch.stack(moved)
        place = place + world.DT * velocity
        frames += [place] if step % 4 == 3 else []
    return torch.stack(frames, dim=1).unsqueeze(0)


def _push(i: int, place: Tensor, goal: Tensor, kappa: float, nobody: int | None) -> Tensor:
    """The force of all others on walker i, one after the other."""
    total, way = torch.zeros(2), (goal[i] - place[i]) / (goal[i] - place[i]).norm()
    for j in range(len(place)):
        if j in (i, nobody):
            continue
        apart = place[i] - place[j]
        size = 2.1 * kappa * math.exp(-(float(apart.norm()) - 0.6) / 0.5)
        ahead = float(-(apart / apart.norm()) @ way) > math.cos(math.radians(100))
        total = total + size * (1.0 if ahead else 0.4) * apart / apart.norm()
    return total


def no_force_no_effect() -> float:
    """At kappa = 0 nobody's absence moves anybody, by not one bit; at kappa = 1 it does."""
    if float(world.true_effects(SCENES, 1.0, seed=0).max()) < 0.01:
        return math.inf
    return float(world.true_effects(SCENES, 0.0, seed=0).max())
