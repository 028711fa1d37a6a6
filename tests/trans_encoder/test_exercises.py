"""Trans-Encoder's exercises: plausible wrong answers are refused with a reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from companion.lab.exercises import NOT_YET, RIGHT, examine
from companion.trans_encoder.exercises import EXERCISES, solve_optimism, spearman_rows
from companion.trans_encoder.method import Pairs


def wrong_constant_score(labels: Tensor) -> float:
    """The score instead of its logit."""
    return float(labels.mean())


def wrong_constant_mean_of_logits(labels: Tensor) -> float:
    """The mean of the labels' logits, which is no logit of their mean."""
    return float(labels.logit().mean())


def wrong_asymmetry_of_means(score: Callable[[Pairs], Tensor], pairs: Pairs) -> float:
    """Distances up and down cancel."""
    return float((score(pairs).sigmoid().mean() - score(pairs.swapped()).sigmoid().mean()).abs())


def wrong_asymmetry_of_logits(score: Callable[[Pairs], Tensor], pairs: Pairs) -> float:
    """Logits, where scores were asked for."""
    return float((score(pairs) - score(pairs.swapped())).abs().mean())


def wrong_rescaled_sigmoid(logits: Tensor, cosines: Tensor) -> Tensor:
    """The paper's own labels, which have another mean and standard deviation."""
    return logits.sigmoid()


def wrong_rescaled_by_rank(logits: Tensor, cosines: Tensor) -> Tensor:
    """The r-th logit gets the r-th cosine: mean and standard deviation fit, proportions do not."""
    labels = torch.empty_like(logits)
    labels[logits.argsort()] = cosines.sort().values
    return labels


def wrong_teachers_all_average_out(own: float, shared: float, target: float) -> int:
    """Takes shared noise for noise that averaging divides."""
    return int(np.ceil((own + shared) / (1 / target**2 - 1) - 1e-9))


def wrong_teachers_by_root(own: float, shared: float, target: float) -> int:
    """Standard deviations instead of variances."""
    left = 1 / target**2 - 1 - shared
    return int(np.ceil(np.sqrt(own / left) - 1e-9)) if left > 0 else 0


def wrong_optimism_sees_all(scores: np.ndarray, gold: np.ndarray, labeled: int) -> tuple[int, float, float, float]:
    """Selects on all pairs, those of its evaluation among them."""
    every = spearman_rows(scores, gold)
    return int(np.argmax(every)), float(every.max() - every.mean()), 0.0, 1.0


def wrong_optimism_selected_once(scores: np.ndarray, gold: np.ndarray, labeled: int) -> tuple[int, float, float, float]:
    """Draws new pairs, but does not select again: the luck of the selection is left out."""
    selected, optimism, *_ = solve_optimism(scores, gold, labeled)
    rng, own, (few, rest) = np.random.default_rng(0), scores[selected, None], np.split(np.arange(len(gold)), [labeled])
    on_few = float(spearman_rows(own[:, few], gold[few])[0])
    on_rest = [float(spearman_rows(own[:, r], gold[r])[0]) for r in (rng.choice(rest, len(rest)) for _ in range(400))]
    low, high = on_few - np.percentile(on_rest, [97.5, 2.5])
    return selected, optimism, float(low), float(high)


def wrong_verdict_unpaired(starts: list[float], crosses: list[float], margin: float) -> str:
    """Forgets that both come from one seed."""
    found = stats.ttest_ind(crosses, starts, equal_var=False).confidence_interval(0.95)
    return "holds" if found.low > margin else "fails" if found.high < margin else "open"


def wrong_verdict_normal(starts: list[float], crosses: list[float], margin: float) -> str:
    """1.96 with three seeds."""
    gain = np.subtract(crosses, starts)
    half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
    return "holds" if gain.mean() - half > margin else "fails" if gain.mean() + half < margin else "open"


WRONG = {
    "E1": (wrong_constant_score, wrong_constant_mean_of_logits),
    "E2": (wrong_asymmetry_of_means, wrong_asymmetry_of_logits),
    "E3": (wrong_rescaled_sigmoid, wrong_rescaled_by_rank),
    "E4": (wrong_teachers_all_average_out, wrong_teachers_by_root),
    "E5": (wrong_optimism_sees_all, wrong_optimism_selected_once),
    "E6": (wrong_verdict_unpaired, wrong_verdict_normal),
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_wrong_answers_are_refused_and_the_solution_is_right(exercise) -> None:
    assert len(WRONG[exercise.id]) >= 2
    for answer in WRONG[exercise.id]:
        outcome = examine(exercise, answer)
        assert outcome.state == NOT_YET, answer
        assert "raised" not in outcome.reason, outcome.reason
    assert examine(exercise, exercise.solution).state == RIGHT
