"""The correctness checks pass, and each notices a planted fault; data, networks, Hawkes processes, matching, blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from companion.data.ratings import Interactions
from companion.errors import CompanionError
from companion.lab import load_lesson
from companion.lab.config import TrainConfig
from companion.rim import baselines, checks, data, matching, method
from companion.rim.method import Exposure

CHECKS = {
    "X1": checks.activity_cancels_in_rows,
    "X2": checks.item_factors_cancel_in_columns,
    "X3": checks.recursion_is_the_sum,
    "X4": checks.compensator_is_the_integral,
    "X5": checks.em_never_lowers_the_likelihood,
    "X6": checks.em_preserves_the_count,
    "X7": checks.simulated_users_are_recovered,
    "X8": checks.dual_is_an_upper_bound,
    "X9": checks.dual_closes_the_gap,
    "X10": checks.optimum_is_integral,
    "X11": checks.rows_alone_are_itemrec,
    "X12": checks.columns_alone_are_userrec,
    "X13": checks.greedy_loses_on_the_antidiagonal,
    "X14": checks.blocks_equal_the_whole,
}
TOLERANCE = {check.id: check.tolerance for check in load_lesson("rim").checks}


def test_every_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_checks_pass(id: str) -> None:
    assert CHECKS[id]() < TOLERANCE[id]


def test_em_with_a_ridge_never_lowers_the_likelihood_either() -> None:
    assert checks.em_never_lowers_the_likelihood(ridge=2.0) < TOLERANCE["X5"]


# ---------------------------------------------------------------- planted faults

WHOLE = {
    "log_scores": method.log_scores,
    "em_step": method.em_step,
    "compensator": method.compensator,
    "excitation": method.excitation,
    "dual": matching.dual,
    "row_prices": matching.row_prices,
    "greedy": baselines.greedy,
    "top_columns": method.top_columns,
    "best": method.best_rows_and_columns,
}


def squashed(log_p: Tensor, activity: Tensor) -> Tensor:
    return log_p + activity.unsqueeze(1) * torch.arange(log_p.shape[1])


def overshoot(*args: Tensor, **_: float) -> Tensor:
    return 2 * WHOLE["em_step"](*args)


def unfinished(times: Tensor, scales: Tensor, until: float) -> Tensor:
    return WHOLE["compensator"](times, scales, until) * 0.999


def sees_itself(times: Tensor, scales: Tensor) -> Tensor:
    return WHOLE["excitation"](times, scales) + 1 / scales


def below(*args: object, **options: object) -> tuple[float, Tensor]:
    value, shown = WHOLE["dual"](*args, **options)
    return value - 0.05, shown


def no_rows(values: Tensor, *_: object) -> Tensor:
    return torch.zeros_like(values[:, :1])


def greedy_elsewhere(scores: Tensor, k: int, exposure: Exposure) -> Tensor:
    return WHOLE["greedy"](scores.flip(0) * 0 + scores.T.flip(1), k, exposure)


def off_by_one(scores: Tensor, c: int, order: Tensor) -> Tensor:
    return WHOLE["top_columns"](scores, c + 1, order)


def per_item(scores: Tensor, c: int, order: Tensor) -> Tensor:
    return WHOLE["top_columns"](scores.softmax(1), c, order)


def last_block(scorer: method.BlockScorer, k: int, c: int) -> tuple[Tensor, Tensor]:
    rows, columns = WHOLE["best"](scorer, k, c)
    return rows, columns % scorer.block_rows


FAULTS = [
    ("X1", method, "log_scores", squashed),
    ("X2", method, "top_columns", per_item),
    ("X3", method, "excitation", sees_itself),
    ("X4", method, "compensator", unfinished),
    ("X5", method, "em_step", overshoot),
    ("X6", method, "em_step", overshoot),
    ("X7", method, "excitation", sees_itself),
    ("X8", matching, "dual", below),
    ("X9", matching, "dual", below),
    ("X12", method, "top_columns", off_by_one),
    ("X13", baselines, "greedy", greedy_elsewhere),
    ("X14", method, "best_rows_and_columns", last_block),
]


@pytest.mark.parametrize(("id", "where", "name", "broken"), FAULTS, ids=[f"{b[0]}-{b[3].__name__}" for b in FAULTS])
def test_a_fault_is_noticed(id: str, where, name: str, broken, monkeypatch) -> None:
    monkeypatch.setattr(where, name, broken)
    assert not abs(CHECKS[id]()) < TOLERANCE[id]


# ---------------------------------------------------------------- rankings, with ties


def test_ties_go_by_the_order_and_masked_pairs_are_never_chosen() -> None:
    table = torch.tensor([[1.0, 1.0, 1.0, 0.0], [-torch.inf, 2.0, -torch.inf, -torch.inf]])
    chosen = method.top_rows(table, 2, torch.tensor([2, 3, 0, 1]))
    assert chosen.tolist() == [[True, False, True, False], [False, True, False, False]]
    assert method.top_columns(torch.zeros(4, 1), 1, torch.tensor([3, 0, 1, 2])).tolist() == [[False]] * 3 + [[True]]


def test_precision_is_micro_and_one_percent_is_rounded_up() -> None:
    targets = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert method.precision(targets, torch.tensor([[True, True], [True, False]])) == 100.0
    assert [data.one_percent(n) for n in (1, 100, 101, 3556, 3020)] == [1, 1, 2, 36, 31]


# ---------------------------------------------------------------- data


@pytest.fixture
def events() -> Interactions:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(12), 20)
    return Interactions(
        user, rng.integers(0, 30, 240), rng.integers(0, 50, 240), np.array([f"movie {i}" for i in range(30)])
    )


def test_the_halves_share_no_event(events: Interactions) -> None:
    first, second = (data.make_split(events, half, 5) for half in data.HALVES)
    assert first.times.isfinite().sum() == second.times.isfinite().sum() == 120
    stamped = replace(events, item=np.arange(240))
    items = [set(data.make_split(stamped, half, 5).items.flatten().tolist()) for half in data.HALVES]
    assert not (items[0] & items[1]) - {0}


def test_clock_groups_and_training(events: Interactions) -> None:
    found = data.make_split(events, "second", 3)
    assert (found.times[:, 0] == 0).all()
    assert (found.times.nan_to_num(posinf=9).diff(dim=1) >= 0).all()
    assert int(found.group_a.sum()) == 6
    read = found.training_lengths()
    assert (read[found.group_a] == 10).all()
    assert (read[~found.group_a] == found.events_before[~found.group_a]).all()
    assert (found.training_lengths(exclude_future=True) == found.events_before).all()
    last = torch.where(found.times.isfinite(), found.times, 0).amax(1)
    assert float(last.median()) <= 1.0 <= float(last.max())


def test_tables_count_the_window_and_the_past(events: Interactions) -> None:
    found = data.make_split(events, "second", 3)
    users = torch.tensor([4, 0])
    assert found.targets(users).sum(1).tolist() == found.events_after[users].tolist()
    for row, user in zip(found.seen(users), users.tolist(), strict=True):
        past = found.items[user][found.times[user] < 1].unique()
        assert torch.equal(torch.nonzero(row)[:, 0], past)


def test_an_unknown_half_or_set_is_named(events: Interactions) -> None:
    with pytest.raises(CompanionError, match="use one of first, second"):
        data.make_split(events, "third", 0)  # type: ignore[arg-type]
    with pytest.raises(CompanionError, match="use one of ml100k"):
        data.load_interactions("ml10m")


def test_shuffling_preserves_first_event_and_count_and_moves_the_pauses() -> None:
    times = checks.example_times()
    mixed = data.shuffle_gaps(times, torch.Generator().manual_seed(0))
    assert ((times < 1).sum(1) == (mixed < 1).sum(1)).all()
    assert (mixed[:, 0] == 0).all()
    assert (mixed.nan_to_num(posinf=9).diff(dim=1) >= -1e-12).all()
    assert not torch.equal(mixed.nan_to_num(posinf=9), torch.where(times < 1, times, 9.0))


# ---------------------------------------------------------------- networks


def make_gru(num_items: int, hidden_dim: int, dropout: float = 0.2) -> method.NextItemModel:
    return method.GRUModel(num_items, hidden_dim, 1, dropout)


def make_transformer(num_items: int, hidden_dim: int, dropout: float = 0.2) -> method.NextItemModel:
    return baselines.TransformerModel(num_items, hidden_dim, 6, dropout)


@pytest.mark.parametrize("kind", [make_gru, make_transformer])
def test_a_state_depends_on_the_past_alone(kind) -> None:
    torch.manual_seed(0)
    model = kind(9, 8).eval()
    words = torch.randint(0, 9, (2, 6))
    changed = words.clone()
    changed[:, 4] = (changed[:, 4] + 1) % 9
    with torch.no_grad():
        a, b = model(words), model(changed)
    assert torch.allclose(a[:, :4], b[:, :4], atol=1e-6)
    assert not torch.allclose(a[:, 4], b[:, 4], atol=1e-4)


@pytest.mark.parametrize("kind", [make_gru, make_transformer])
def test_a_rule_is_learned_and_p_sums_to_one(kind) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    items = (torch.randint(0, 9, (60, 1), generator=generator) + torch.arange(6)) % 9
    lengths = torch.full((60,), 6)
    config = TrainConfig(lr=0.02, epochs=25, batch_size=16)
    model = method.fit_relevance(kind(9, 16, dropout=0.0), items, lengths, config, 6, generator)
    log_p = method.log_relevance(model, items, torch.full((60,), 3), 6, batch=7)
    assert torch.allclose(log_p.exp().sum(1), torch.ones(60, dtype=torch.float64))
    assert (log_p.argmax(1) == items[:, 3]).double().mean() > 0.9


def test_only_the_last_events_are_used() -> None:
    items = torch.arange(20).view(2, 10)
    last, lengths = method.last_events(items, torch.tensor([10, 3]), 4)
    assert last[0].tolist() == [6, 7, 8, 9]
    assert last[1, :3].tolist() == [10, 11, 12]
    assert lengths.tolist() == [4, 3]


def test_als_lowers_its_loss_and_fits_the_seen_pairs() -> None:
    seen = checks.example_scores(30, 20) > 0.7
    weight = 10.0
    table = baselines.als(seen, 6, weight, torch.Generator().manual_seed(0), iterations=12)
    early = baselines.als(seen, 6, weight, torch.Generator().manual_seed(0), iterations=1)

    def loss(scores: Tensor) -> float:
        confidence = 1 + weight * seen.double()
        return float((confidence * (seen.double() - scores).square()).sum())

    assert loss(table) < loss(early)
    assert table[seen].mean() > table[~seen].mean() + 0.3


# ---------------------------------------------------------------- simulated users


def test_simulated_times_become_poisson_on_their_own_clock() -> None:
    """The random time change: between events the compensator grows by exponential waits of mean one."""
    weights = torch.tensor([0.5, 0.3, 2.0], dtype=torch.float64)
    scales = torch.tensor([0.2], dtype=torch.float64)
    times = data.simulate(weights, scales, 400, 3.0, torch.Generator().manual_seed(1))
    waits = []
    for row in times:
        own = row[row.isfinite()]
        spent = [
            float(method.compensator(own[None, :k], scales, float(own[k]))[0] @ weights) for k in range(1, len(own))
        ]
        waits += np.diff([0.0, *spent]).tolist()
    assert kstest(waits[:1500], "expon").pvalue > 0.001


# ---------------------------------------------------------------- matching and blocks


def test_guarantees_that_cannot_be_met_are_refused() -> None:
    table = checks.example_scores(6, 5)
    with pytest.raises(CompanionError, match="cannot be met by 6 states with 2 items each among 5"):
        matching.item_prices(table, 2, Exposure(least=3), (0.1,))
    with pytest.raises(CompanionError, match="not above most"):
        matching.item_prices(table, 2, Exposure(least=2, most=1), (0.1,))


def test_greedy_respects_its_budgets() -> None:
    chosen = baselines.greedy(checks.example_scores(), 3, Exposure(least=4, most=9))
    assert int(chosen.sum(1).max()) <= 3
    assert 4 <= int(chosen.sum(0).min()) <= int(chosen.sum(0).max()) <= 9


def test_prices_scale_with_the_scores() -> None:
    table = checks.example_scores()
    one, ten = (matching.item_prices(factor * table, 3, Exposure(least=4), (0.1, 0.01)) for factor in (1.0, 10.0))
    assert torch.allclose(10 * one, ten, rtol=1e-3, atol=1e-6)


def test_shortfall_counts_what_is_missing() -> None:
    chosen = torch.tensor([[True, False, True], [True, False, False]])
    assert matching.shortfall(chosen, 2) == pytest.approx(50.0)


@pytest.mark.parametrize("rows", [1, 3, 49, 50])
def test_blocks_of_any_size_equal_the_whole(rows: int) -> None:
    assert checks.blocks_equal_the_whole(rows) < 1e-9


def test_blocks_stay_within_their_memory() -> None:
    scorer = checks.example_scorer(7)
    assert [len(block) for block in scorer.blocks()] == [7] * 7 + [1]
    with pytest.raises(CompanionError, match="holds no row of 40 items"):
        _ = replace(scorer, memory=100).block_rows
