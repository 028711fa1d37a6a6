"""The correctness checks pass, and each fails when its code is wrong; architectures, distillation, metrics."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.lab import load_lesson
from companion.trans_encoder import checks, data, evaluation, method
from companion.trans_encoder.data import RANDOM_DIM, random_encoder, random_pairs
from companion.trans_encoder.method import BI, CROSS, BiEncoder, CrossEncoder, Pairs

CHECKS = {
    "X1": "loss_is_entropy_plus_divergence", "X2": "gradient_is_the_difference", "X3": "library_losses_agree",
    "X4": "best_constant_is_the_mean", "X5": "bi_encoder_is_symmetric", "X6": "mean_of_both_orders_is_symmetric",
    "X7": "padding_changes_nothing", "X8": "masked_attention_is_local", "X9": "own_labels_have_no_gradient",
    "X10": "distillation_passes_labels_only", "X11": "mean_label_divides_the_noise", "X12": "ranks_ignore_scale",
    "X13": "library_correlations_agree", "X14": "auc_is_the_count", "X15": "closed_form_is_the_simulation",
    "X16": "passes_are_counted",
}  # fmt: skip
TOLERANCE = {check.id: check.tolerance for check in load_lesson("trans_encoder").checks}


def test_every_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_checks_pass(id: str) -> None:
    assert getattr(checks, CHECKS[id])() < TOLERANCE[id]


def test_with_cross_attention_the_same_states_do_change() -> None:
    assert checks.cross_attention_changes_states() > 0.01


# ---------------------------------------------------------------- planted faults


def signed(logits: Tensor, labels: Tensor) -> Tensor:
    return -labels * logits.sigmoid().log()


def no_mask(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    input_ids, attention_mask = PAD(rows)
    return input_ids, torch.ones_like(attention_mask)


def all_allowed(self: CrossEncoder, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
    return attention_mask


def one_order(cross: CrossEncoder, pairs: Pairs) -> Tensor:
    return method.score(cross, pairs)


def own_lengths(self: BiEncoder, pairs: Pairs) -> Tensor:
    return FORWARD(self, pairs) + 0.01 * torch.tensor([float(len(row)) for row in pairs.first])


def leaky(models: list[nn.Module]) -> list[nn.Module]:
    return models


def pearson(scores: Tensor, gold: Tensor) -> float:
    return 100 * float(np.corrcoef(np.asarray(scores), np.asarray(gold))[0, 1])


def first_wins(scores: Tensor, same: Tensor) -> float:
    return 100 * float((scores[same == 1].unsqueeze(1) >= scores[same == 0]).float().mean())


def no_average(own: float, shared: float = 0.0, teachers: int = 1, expressed: float = 1.0) -> float:
    return float(1 / np.sqrt(1 + expressed * (shared + own)))


def every_order(n: int) -> tuple[Tensor, Tensor]:
    return tuple(torch.cartesian_prod(torch.arange(n), torch.arange(n)).T)


def halved(cosines: Tensor, labels: Tensor) -> Tensor:
    return (cosines - labels).square().mean() / 2


PAD, FORWARD = method.pad, BiEncoder.forward
FAULTS = [
    ("X1", method, "soft_label_loss", lambda logits, labels: signed(logits, labels).mean()),
    ("X2", method, "soft_label_loss", lambda logits, labels: signed(logits, labels).sum()),
    ("X3", method, "cosine_loss", halved),
    ("X3", method, "soft_label_loss", lambda logits, labels: (logits.sigmoid() - labels).square().mean()),
    ("X4", method, "soft_label_loss", lambda logits, labels: (logits.sigmoid() - labels).abs().mean()),
    ("X5", BiEncoder, "forward", own_lengths),
    ("X6", method, "symmetric_score", one_order),
    ("X7", method, "pad", no_mask),
    ("X8", CrossEncoder, "_allowed_attention", all_allowed),
    ("X9", BiEncoder, "forward", lambda self, pairs: FORWARD(self, pairs) * (1 + 0.1 * torch.is_grad_enabled())),
    ("X10", copy, "deepcopy", leaky),
    ("X11", method, "mean_labels", lambda labels: labels[0]),
    ("X12", evaluation, "correlation", pearson),
    ("X13", evaluation, "correlation", pearson),
    ("X14", evaluation, "auc", first_wins),
    ("X15", data, "expected_correlation", no_average),
    ("X16", method, "all_pairs", every_order),
]


@pytest.mark.parametrize(("id", "where", "name", "broken"), FAULTS, ids=[f"{fault[0]}-{fault[2]}" for fault in FAULTS])
def test_a_planted_fault_is_noticed(id: str, where: object, name: str, broken: object, monkeypatch) -> None:
    monkeypatch.setattr(where, name, broken)
    assert not abs(getattr(checks, CHECKS[id])()) < TOLERANCE[id]


# ---------------------------------------------------------------- pairs and architectures


def test_both_orders_are_every_pair_and_every_pair_swapped() -> None:
    pairs = random_pairs(3)
    both = pairs.both_orders()
    assert len(both) == 6
    assert both.first[:3] == [*pairs.first]
    assert both.second[3:] == [*pairs.first]
    assert both.first[3:] == [*pairs.second]
    assert torch.equal(both.lengths[:3], both.lengths[3:])


def test_rows_of_pairs_keep_their_partners() -> None:
    pairs = random_pairs(5)
    part = pairs[torch.tensor([4, 1])]
    assert torch.equal(part.first[0], pairs.first[4])
    assert torch.equal(part.second[1], pairs.second[1])


def test_a_pair_is_read_with_one_start_and_two_ends() -> None:
    cross = CrossEncoder(random_encoder(), RANDOM_DIM)
    seen = []
    cross.encoder.register_forward_pre_hook(lambda module, given: seen.append(given))
    cross.states(Pairs([torch.tensor([2, 9, 3])], [torch.tensor([2, 8, 7, 3])]))
    input_ids, _, token_type_ids = seen[0]
    assert input_ids.tolist() == [[2, 9, 3, 8, 7, 3]]
    assert token_type_ids.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_the_cosine_head_adds_two_numbers_and_the_paper_s_a_layer() -> None:
    def own(head: str) -> int:
        cross = CrossEncoder(random_encoder(), RANDOM_DIM, head)
        return sum(value.numel() for name, value in cross.named_parameters() if not name.startswith("encoder"))

    assert own("cosine") == 2
    assert own("cls") == RANDOM_DIM + 1


@pytest.mark.parametrize("head", ["cls", "cosine"])
def test_every_head_trains_its_encoder(head: str) -> None:
    cross, pairs = CrossEncoder(random_encoder(), RANDOM_DIM, head), random_pairs()
    method.soft_label_loss(cross(pairs), torch.full((12,), 0.9)).backward()
    assert float(cross.encoder.embeddings.word_embeddings.weight.grad.abs().sum()) > 0


def test_labels_lie_between_zero_and_one() -> None:
    assert method.cosine_to_label(torch.tensor([-0.2, 0.4, 1.1])).tolist() == pytest.approx([0, 0.4, 1])
    assert method.logit_to_label(torch.tensor([0.0])).tolist() == [0.5]


# ---------------------------------------------------------------- distillation


def recorded(starts: int, cycles: int = 2) -> tuple[list[method.Stage], list[tuple]]:
    """The stages of a distillation whose training only stores what it was given."""
    calls = []

    def train_student(model: method.Model, pairs: Pairs, labels: Tensor, loss: method.Loss) -> None:
        calls.append((type(model).__name__, len(pairs), labels, loss))
        with torch.no_grad():
            next(model.parameters()).add_(0.1)

    bis = [BiEncoder(random_encoder(seed)) for seed in range(starts)]
    crosses = [CrossEncoder(random_encoder(seed), RANDOM_DIM) for seed in range(starts)]
    return list(method.distill(bis, crosses, [random_pairs()] * starts, cycles, train_student)), calls


def test_the_stages_come_in_the_paper_s_order() -> None:
    stages, calls = recorded(1)
    assert [(stage.encoder_type, stage.cycle) for stage in stages] == [
        (BI, 0), (CROSS, 1), (BI, 1), (CROSS, 2), (BI, 2)
    ]  # fmt: skip
    assert [name for name, *_ in calls] == ["CrossEncoder", "BiEncoder"] * 2
    assert [size for _, size, *_ in calls] == [24, 12] * 2
    assert [loss for *_, loss in calls] == [method.soft_label_loss, method.cosine_loss] * 2


def test_each_student_learns_the_labels_of_the_stage_before_it() -> None:
    stages, calls = recorded(1)
    for stage, (_, _, labels, _) in zip(stages, calls, strict=False):
        assert torch.equal(labels[:12], stage.labels)
        assert torch.equal(labels[-12:], stage.labels)


def test_mutual_students_share_the_mean_of_their_teachers_labels() -> None:
    stages, calls = recorded(2, cycles=1)
    start = stages[0]
    wanted = torch.stack([method.score(bi, random_pairs()).clamp(0, 1) for bi in start.models]).mean(0)
    assert torch.allclose(start.labels, wanted)
    assert all(torch.equal(labels[:12], start.labels) for _, _, labels, _ in calls[:2])
    assert len(calls) == 4


def test_every_cycle_starts_from_the_same_weights() -> None:
    stages, _ = recorded(1)
    first, second = (stage.models[0].state_dict() for stage in stages if stage.encoder_type == BI and stage.cycle)
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---------------------------------------------------------------- metrics


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
        evaluation.correlation(torch.tensor(scores), np.array(gold))


@pytest.mark.parametrize("same", [[1, 1, 1], [0, 0, 0], [0, 1, 2]])
def test_an_area_needs_both_answers(same: list[int]) -> None:
    with pytest.raises(CompanionError, match="both 0 and 1"):
        evaluation.auc(torch.tensor([0.1, 0.2, 0.3]), torch.tensor(same))


def test_correlation_and_area_by_hand() -> None:
    assert evaluation.correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10, 30, 20])) == pytest.approx(50)
    assert evaluation.auc(torch.tensor([0.1, 0.9, 0.4, 0.4]), torch.tensor([0, 1, 1, 0])) == pytest.approx(87.5)


# ---------------------------------------------------------------- simulated noisy labels


def test_five_pairs_by_hand() -> None:
    line, both = data.toy_directions()
    assert float(data.TOY_TRUTH @ data.TOY_BIAS) == float(data.TOY_BIAS.sum()) == 0
    teacher = data.TOY_TRUTH + data.TOY_BIAS
    assert np.allclose(data.least_squares_student(teacher, line), data.TOY_TRUTH)
    assert np.allclose(data.least_squares_student(teacher, both), teacher)


def test_the_closed_form_has_its_limits() -> None:
    assert data.expected_correlation(0.0) == 1
    assert data.expected_correlation(3.0) == pytest.approx(0.5)
    assert data.expected_correlation(3.0, expressed=0.0) == 1
    assert data.expected_correlation(9e9, 3.0, teachers=10**12) == pytest.approx(0.5, abs=0.01)


def test_a_projection_is_one() -> None:
    p = data.projection(np.random.default_rng(0).standard_normal((7, 3)))
    assert np.allclose(p @ p, p)
    assert np.allclose(p, p.T)
    assert np.trace(p) == pytest.approx(3)


# ---------------------------------------------------------------- runtime


def test_all_pairs_get_the_scores_of_each() -> None:
    bi, cross = BiEncoder(random_encoder()), CrossEncoder(random_encoder(), RANDOM_DIM)
    sentences = random_pairs(9).first
    first, second = (each.tolist() for each in method.all_pairs(9))
    pairs = Pairs([sentences[i] for i in first], [sentences[j] for j in second])
    for model in (bi, cross):
        scores = method.score_all_pairs(model, sentences, batch_size=4)
        assert torch.allclose(scores, method.score(model, pairs), atol=1e-5)


def test_runtime_grows_as_the_passes_are_counted() -> None:
    bi, cross = BiEncoder(random_encoder()), CrossEncoder(random_encoder(), RANDOM_DIM)
    rows = evaluation.runtime(bi, cross, random_pairs(48).first, 3, (6, 48))
    found = {(row.metric, row.method, row.setting): row.value for row in rows}
    assert {row.seed for row in rows} == {3}
    assert found[evaluation.PASSES, BI, "n = 48"] == 48
    assert found[evaluation.PASSES, CROSS, "n = 48"] == 48 * 47 / 2
    assert found[evaluation.CPU_SECONDS, CROSS, "n = 48"] > 2 * found[evaluation.CPU_SECONDS, BI, "n = 48"] > 0
