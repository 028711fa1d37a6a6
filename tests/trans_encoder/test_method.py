"""The exact checks pass, and each notices when the code it speaks of is broken; the two forms, the relay, the toy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.lab import load_lesson
from companion.trans_encoder import checks, evaluate, library, method, speed, theory, training
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Pairs

CHECKS = {
    "X1": "loss_is_entropy_plus_divergence", "X2": "slope_is_the_difference", "X3": "library_losses_agree",
    "X4": "best_constant_is_the_mean", "X5": "bi_is_symmetric", "X6": "both_orders_are_symmetric",
    "X7": "padding_changes_nothing", "X8": "blind_sees_nothing", "X9": "own_labels_teach_nothing",
    "X10": "relay_passes_labels_only", "X11": "average_divides_the_noise", "X12": "ranks_ignore_scale",
    "X13": "library_correlations_agree", "X14": "area_is_the_count", "X15": "theory_is_the_simulation",
    "X16": "passes_are_counted",
}  # fmt: skip
TOLERANCE = {check.id: check.tolerance for check in load_lesson("trans_encoder").checks}


def test_every_exact_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_exact_checks_pass(id: str) -> None:
    assert getattr(checks, CHECKS[id])() < TOLERANCE[id]


def test_with_cross_attention_the_same_states_do_move() -> None:
    assert checks.sight_changes_scores() > 0.01


# ---------------------------------------------------------------- the checks notice


def signed(logits: Tensor, labels: Tensor) -> Tensor:
    return -labels * logits.sigmoid().log()


def by_rows(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores)


def no_mask(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    ids, there = PADDED(rows)
    return ids, torch.ones_like(there)


def all_seen(self: CrossEncoder, there: Tensor, side: Tensor) -> Tensor:
    return there


def ordered(cross: CrossEncoder, pairs: Pairs, score: method.Score) -> Tensor:
    return score(cross, pairs)


def own_lengths(self: BiEncoder, pairs: Pairs) -> Tensor:
    return FORWARD(self, pairs) + 0.01 * torch.tensor([float(len(row)) for row in pairs.first])


def leaky(models: list[nn.Module]) -> list[nn.Module]:
    return models


def pearson(scores: Tensor, gold: Tensor) -> float:
    return 100 * float(np.corrcoef(np.asarray(scores), np.asarray(gold))[0, 1])


def first_wins(scores: Tensor, same: Tensor) -> float:
    return 100 * float((scores[same == 1].unsqueeze(1) >= scores[same == 0]).float().mean())


def no_average(own: float, shared: float = 0.0, labellers: int = 1, expressed: float = 1.0) -> float:
    return float(1 / np.sqrt(1 + expressed * (shared + own)))


def every_order(n: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(n), torch.arange(n)).T


def halved(cosines: Tensor, labels: Tensor) -> Tensor:
    return (cosines - labels).square().mean() / 2


PADDED, FORWARD = method.padded, BiEncoder.forward
BREAKS = [
    ("X1", method, "soft_label_loss", lambda logits, labels: signed(logits, labels).mean()),
    ("X2", method, "soft_label_loss", lambda logits, labels: signed(logits, labels).sum()),
    ("X3", method, "cosine_loss", halved),
    ("X3", method, "soft_label_loss", lambda logits, labels: (logits.sigmoid() - labels).square().mean()),
    ("X4", method, "soft_label_loss", lambda logits, labels: (logits.sigmoid() - labels).abs().mean()),
    ("X5", BiEncoder, "forward", own_lengths),
    ("X6", method, "both_ways", ordered),
    ("X7", method, "padded", no_mask),
    ("X8", CrossEncoder, "_seen", all_seen),
    ("X9", BiEncoder, "forward", lambda self, pairs: FORWARD(self, pairs) * (1 + 0.1 * torch.is_grad_enabled())),
    ("X10", copy, "deepcopy", leaky),
    ("X11", method, "together", lambda labels: labels[0]),
    ("X12", evaluate, "correlation", pearson),
    ("X13", evaluate, "correlation", pearson),
    ("X14", evaluate, "auc", first_wins),
    ("X15", theory, "expected_correlation", no_average),
    ("X16", speed, "every_pair", every_order),
]


@pytest.mark.parametrize(("id", "where", "name", "broken"), BREAKS, ids=[f"{b[0]}-{b[2]}" for b in BREAKS])
def test_a_break_is_noticed(id: str, where: object, name: str, broken: object, monkeypatch) -> None:
    monkeypatch.setattr(where, name, broken)
    assert not abs(getattr(checks, CHECKS[id])()) < TOLERANCE[id]


# ---------------------------------------------------------------- pairs and forms


def test_both_orders_are_every_pair_and_every_pair_turned() -> None:
    pairs = checks.some_pairs(3)
    both = pairs.both_orders()
    assert len(both) == 6
    assert both.first[:3] == [*pairs.first]
    assert both.second[3:] == [*pairs.first]
    assert both.first[3:] == [*pairs.second]
    assert torch.equal(both.lengths[:3], both.lengths[3:])


def test_rows_of_pairs_keep_their_partners() -> None:
    pairs = checks.some_pairs(5)
    part = pairs[torch.tensor([4, 1])]
    assert torch.equal(part.first[0], pairs.first[4])
    assert torch.equal(part.second[1], pairs.second[1])


def test_a_pair_is_read_with_one_start_and_two_ends() -> None:
    cross = CrossEncoder(checks.small_encoder(), checks.WIDTH)
    seen = []
    cross.encoder.register_forward_pre_hook(lambda module, given: seen.append(given))
    cross.states(Pairs([torch.tensor([2, 9, 3])], [torch.tensor([2, 8, 7, 3])]))
    ids, _, side = seen[0]
    assert ids.tolist() == [[2, 9, 3, 8, 7, 3]]
    assert side.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_the_cosine_head_adds_two_numbers_and_the_paper_s_a_layer() -> None:
    def own(head: str) -> int:
        cross = CrossEncoder(checks.small_encoder(), checks.WIDTH, head)
        return sum(value.numel() for name, value in cross.named_parameters() if not name.startswith("encoder"))

    assert own("cosine") == 2
    assert own("cls") == checks.WIDTH + 1


@pytest.mark.parametrize("head", ["cls", "cosine"])
def test_every_head_trains_its_encoder(head: str) -> None:
    cross, pairs = CrossEncoder(checks.small_encoder(), checks.WIDTH, head), checks.some_pairs()
    method.soft_label_loss(cross(pairs), torch.full((12,), 0.9)).backward()
    assert float(cross.encoder.embeddings.word_embeddings.weight.grad.abs().sum()) > 0


def test_labels_lie_between_zero_and_one() -> None:
    assert method.labels_of_bi(torch.tensor([-0.2, 0.4, 1.1])).tolist() == pytest.approx([0, 0.4, 1])
    assert method.labels_of_cross(torch.tensor([0.0])).tolist() == [0.5]


# ---------------------------------------------------------------- the relay


def flow(starts: int, cycles: int = 2) -> tuple[list[method.Stage], list[tuple]]:
    """The stages of a relay whose training only writes down what it was given."""
    told = []

    def fit(model: method.Model, pairs: Pairs, labels: Tensor, loss: method.Fit) -> None:
        told.append((type(model).__name__, len(pairs), labels, loss))
        with torch.no_grad():
            next(model.parameters()).add_(0.1)

    bis = [BiEncoder(checks.small_encoder(seed)) for seed in range(starts)]
    raw = [CrossEncoder(checks.small_encoder(seed), checks.WIDTH) for seed in range(starts)]
    return list(method.relay(bis, raw, [checks.some_pairs()] * starts, cycles, fit, training.score)), told


def test_the_stages_come_in_the_paper_s_order() -> None:
    stages, told = flow(1)
    assert [(stage.form, stage.cycle) for stage in stages] == [
        ("bi", 0), ("cross", 1), ("bi", 1), ("cross", 2), ("bi", 2)
    ]  # fmt: skip
    assert [name for name, *_ in told] == ["CrossEncoder", "BiEncoder"] * 2
    assert [size for _, size, *_ in told] == [24, 12] * 2
    assert [loss for *_, loss in told] == [method.soft_label_loss, method.cosine_loss] * 2


def test_each_student_learns_the_labels_of_the_stage_before_it() -> None:
    stages, told = flow(1)
    for stage, (_, _, labels, _) in zip(stages, told, strict=False):
        assert torch.equal(labels[:12], stage.labels)
        assert torch.equal(labels[-12:], stage.labels)


def test_mutual_students_share_the_mean_of_their_teachers_labels() -> None:
    stages, told = flow(2, cycles=1)
    start = stages[0]
    wanted = torch.stack([training.score(bi, checks.some_pairs()).clamp(0, 1) for bi in start.models]).mean(0)
    assert torch.allclose(start.labels, wanted)
    assert all(torch.equal(labels[:12], start.labels) for _, _, labels, _ in told[:2])
    assert len(told) == 4


def test_every_cycle_starts_from_the_same_weights() -> None:
    stages, _ = flow(1)
    first, second = (stage.models[0].state_dict() for stage in stages if stage.form == "bi" and stage.cycle)
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------- evaluators


@pytest.mark.parametrize(
    ("scores", "gold", "said"),
    [
        ([0.1, 0.2], [1.0], "must be"),
        ([0.1], [1.0], "two pairs or more"),
        ([[0.1, 0.2]], [[1.0, 2.0]], "must be"),
        ([0.5, 0.5, 0.5], [1.0, 2.0, 3.0], "same for every pair"),
        ([0.1, 0.2, 0.3], [4.0, 4.0, 4.0], "same for every pair"),
        ([0.1, float("nan")], [1.0, 2.0], "not finite"),
    ],
)
def test_a_correlation_that_means_nothing_is_refused(scores: list, gold: list, said: str) -> None:
    with pytest.raises(CompanionError, match=said):
        evaluate.correlation(torch.tensor(scores), np.array(gold))


@pytest.mark.parametrize("same", [[1, 1, 1], [0, 0, 0], [0, 1, 2]])
def test_an_area_needs_both_answers(same: list[int]) -> None:
    with pytest.raises(CompanionError, match="both 0 and 1"):
        evaluate.auc(torch.tensor([0.1, 0.2, 0.3]), torch.tensor(same))


def test_correlation_and_area_by_hand() -> None:
    assert evaluate.correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10, 30, 20])) == pytest.approx(50)
    assert evaluate.auc(torch.tensor([0.1, 0.9, 0.4, 0.4]), torch.tensor([0, 1, 1, 0])) == pytest.approx(87.5)


def test_a_sentence_survives_being_written_and_read() -> None:
    row = torch.tensor([2, 17, 3])
    assert torch.equal(library.unwritten(library.written(row)), row)


# ---------------------------------------------------------------- the toy


def test_the_toy_by_hand() -> None:
    line, both = theory.toy_directions()
    assert float(theory.TRUTH @ theory.HABIT) == float(theory.HABIT.sum()) == 0
    teacher = theory.TRUTH + theory.HABIT
    assert np.allclose(theory.student(teacher, line), theory.TRUTH)
    assert np.allclose(theory.student(teacher, both), teacher)


def test_the_closed_form_has_its_limits() -> None:
    assert theory.expected_correlation(0.0) == 1
    assert theory.expected_correlation(3.0) == pytest.approx(0.5)
    assert theory.expected_correlation(3.0, expressed=0.0) == 1
    assert theory.expected_correlation(9e9, 3.0, labellers=10**12) == pytest.approx(0.5, abs=0.01)


def test_a_projection_is_one() -> None:
    p = theory.projection(np.random.default_rng(0).standard_normal((7, 3)))
    assert np.allclose(p @ p, p)
    assert np.allclose(p, p.T)
    assert np.trace(p) == pytest.approx(3)


# ---------------------------------------------------------------- what it costs


def test_both_forms_score_all_pairs_as_they_score_each() -> None:
    bi, cross = BiEncoder(checks.small_encoder()), CrossEncoder(checks.small_encoder(), checks.WIDTH)
    sentences = checks.some_pairs(9).first
    first, second = speed.every_pair(9).tolist()
    pairs = Pairs([sentences[i] for i in first], [sentences[j] for j in second])
    assert torch.allclose(speed.all_by_bi(bi, sentences, batch=4), training.score(bi, pairs), atol=1e-5)
    assert torch.allclose(speed.all_by_cross(cross, sentences, batch=4), training.score(cross, pairs), atol=1e-5)


def test_the_cost_grows_as_it_is_counted() -> None:
    bi, cross = BiEncoder(checks.small_encoder()), CrossEncoder(checks.small_encoder(), checks.WIDTH)
    rows = speed.cost(bi, cross, checks.some_pairs(48).first, 3, (6, 48))
    found = {(row.metric, row.method, row.setting): row.value for row in rows}
    assert {row.seed for row in rows} == {3}
    assert found[speed.PASSES, speed.BI, "n = 48"] == 48
    assert found[speed.PASSES, speed.CROSS, "n = 48"] == 48 * 47 / 2
    assert found[speed.SECONDS, speed.CROSS, "n = 48"] > 2 * found[speed.SECONDS, speed.BI, "n = 48"] > 0
    assert all(rate > 0 for rate in speed.rates(rows).values())
