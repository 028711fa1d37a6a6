"""Exercises of the lesson: checks, hints and reference answers. The statements stand in the notebook."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.trans_encoder import method
from companion.trans_encoder.data import RANDOM_DIM, expected_correlation, random_encoder, random_pairs
from companion.trans_encoder.evaluation import correlation
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Pairs

# ---------------------------------------------------------------- E1: the best constant


def check_constant(answer: Callable[[Tensor], float]) -> None:
    """A slightly larger or smaller logit must have a larger loss, on four sets of labels."""
    for seed, low in enumerate((0.0, 0.4, 0.7, 0.9)):
        labels = low + (1 - low) * torch.rand(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        given = float(answer(labels.clone()))
        own, below, above = (
            float(method.soft_label_loss(torch.full_like(labels, given + step), labels)) for step in (0, -1e-3, 1e-3)
        )
        if own > min(below, above):
            raise NotYet(f"labels with mean {float(labels.mean()):.2f}: a logit beside {given:.3f} has a lower loss.")


def solve_constant(labels: Tensor) -> float:
    """Where sigma(g) - y is zero on average."""
    return float(labels.mean().logit())


# ---------------------------------------------------------------- E2: the order of a pair


def check_asymmetry(answer: Callable[[Callable[[Pairs], Tensor], Pairs], float]) -> None:
    """A cross-encoder, its mean of both orders, and a bi-encoder."""
    pairs, bi = random_pairs(30), BiEncoder(random_encoder())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        cross = CrossEncoder(random_encoder(), RANDOM_DIM)
    models: dict[str, Callable[[Pairs], Tensor]] = {
        "a cross-encoder": lambda some: method.score(cross, some),
        "the mean of both orders": lambda some: method.symmetric_score(cross, some),
        "a bi-encoder": lambda some: method.score(bi, some),
    }
    for name, score in models.items():
        require_close(float(answer(score, pairs)), solve_asymmetry(score, pairs), 1e-5, f"the asymmetry of {name}")


def solve_asymmetry(score: Callable[[Pairs], Tensor], pairs: Pairs) -> float:
    """The mean over pairs of the distance between two scores."""
    return float((score(pairs).sigmoid() - score(pairs.swapped()).sigmoid()).abs().mean())


# ---------------------------------------------------------------- E3: the same order, other numbers


def check_rescaled(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Mean and standard deviation of the cosines, the order of the logits, and distances in proportion."""
    generator = torch.Generator().manual_seed(0)
    for scale, shift in ((1.0, 0.0), (3.0, -2.0)):
        logits = scale * torch.randn(300, generator=generator) + shift
        cosines = 0.6 + 0.15 * torch.randn(300, generator=generator)
        labels = torch.as_tensor(answer(logits.clone(), cosines.clone())).float()
        require_close(labels.shape, logits.shape, 0, "the labels' shape")
        moments, expected = ([float(x.mean()), float(x.std())] for x in (labels, cosines))
        require_close(moments, expected, 1e-3, "mean and standard deviation of the labels")
        if correlation(labels, logits) < 99.99:
            raise NotYet("the labels put the pairs in another order than the logits do.")
        if float(torch.corrcoef(torch.stack([labels, logits]))[0, 1]) < 0.9999:
            raise NotYet("the order is kept, but distances between labels are not in proportion to those of logits.")


def solve_rescaled(logits: Tensor, cosines: Tensor) -> Tensor:
    """Standardize, then give the cosines' standard deviation and mean."""
    return (logits - logits.mean()) / logits.std() * cosines.std() + cosines.mean()


# ---------------------------------------------------------------- E4: the number of teachers

# (own, shared, target)
TEACHER_CASES = ((3.0, 0.0, 0.8), (3.0, 0.2, 0.8), (1.0, 0.0, 0.5), (2.0, 0.5, 0.82), (2.0, 1.0, 0.8), (5.0, 0.1, 0.95))


def check_teachers(answer: Callable[[float, float, float], int]) -> None:
    """Counted upward with the closed form; two of the targets cannot be reached."""
    expected = []
    for own, shared, target in TEACHER_CASES:
        reached = [k for k in range(1, 2000) if expected_correlation(own, shared, k) >= target]
        expected.append(reached[0] if reached else 0)
    require_close([answer(*case) for case in TEACHER_CASES], expected, 0, "the numbers of teachers in six cases")


def solve_teachers(own: float, shared: float, target: float) -> int:
    """shared + own / K may be at most 1 / target^2 - 1."""
    left = 1 / target**2 - 1 - shared
    return int(np.ceil(own / left - 1e-9)) if left > 0 else 0


# ---------------------------------------------------------------- E5: the optimism of a selected checkpoint


@cache
def checkpoints(n: int = 600, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Scores (20, n) of checkpoints that are equally good, and gold (n,)."""
    rng = np.random.default_rng(3)
    gold = rng.standard_normal(n)
    return gold + 1.2 * rng.standard_normal((count, n)), gold


def check_optimism(answer: Callable[[np.ndarray, np.ndarray, int], tuple[int, float, float, float]]) -> None:
    """The selected checkpoint and its optimism exactly, the interval to what a few hundred draws allow."""
    scores, gold = checkpoints()
    for labeled in (100, 40):
        selected, optimism, low, high = answer(scores.copy(), gold.copy(), labeled)
        expected = solve_optimism(scores, gold, labeled)
        require_close(selected, expected[0], 0, "the checkpoint that the labeled pairs prefer")
        require_close(optimism, expected[1], 1e-6, "its optimism")
        require_close([low, high], expected[2:], 4.0, "the ends of the interval")


def spearman_rows(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Spearman x 100 of each row of scores (k, n) with gold (n,)."""
    return 100 * np.corrcoef(stats.rankdata(np.vstack([scores, gold]), axis=1))[-1, :-1]


def solve_optimism(scores: np.ndarray, gold: np.ndarray, labeled: int) -> tuple[int, float, float, float]:
    """Bootstrap: draw both parts, select again, and compare the score there with that on the rest."""
    rng, (few, rest) = np.random.default_rng(0), np.split(np.arange(len(gold)), [labeled])

    def select(few: np.ndarray, rest: np.ndarray) -> tuple[int, float]:
        on_few = spearman_rows(scores[:, few], gold[few])
        best = int(np.argmax(on_few))
        return best, float(on_few[best] - spearman_rows(scores[best : best + 1, rest], gold[rest])[0])

    draws = [select(rng.choice(few, len(few)), rng.choice(rest, len(rest)))[1] for _ in range(400)]
    low, high = np.percentile(draws, [2.5, 97.5])
    return *select(few, rest), float(low), float(high)


# ---------------------------------------------------------------- E6: a verdict of your own

# (scores of the starts, scores of the cross-encoders, margin)
VERDICT_CASES = (
    ([80.1, 79.6, 80.4], [83.0, 82.9, 83.3], 2.0),
    ([80.1, 79.6, 80.4], [83.1, 81.2, 83.9], 2.0),
    ([76.0, 75.1, 77.3, 76.2], [76.4, 75.6, 77.5, 76.9], 2.0),
    ([62.0, 70.0, 66.0, 64.0, 68.0], [65.0, 73.1, 68.9, 67.0, 71.2], 2.0),
    ([80.0, 80.0, 80.0], [82.9, 83.4, 82.5], 2.0),
)


def check_verdict(answer: Callable[[list[float], list[float], float], str]) -> None:
    """Five sets of runs: seeds are paired, and few of them need the t distribution."""
    for starts, crosses, margin in VERDICT_CASES:
        given, expected = answer(list(starts), list(crosses), margin), solve_verdict(starts, crosses, margin)
        if given not in ("holds", "fails", "open"):
            raise NotYet(f'the answer must be "holds", "fails" or "open", and this is {given!r}.')
        if given != expected:
            raise NotYet(f"starts {starts}, crosses {crosses}, margin {margin:g}: {given!r} does not follow from them.")


def solve_verdict(starts: list[float], crosses: list[float], margin: float) -> str:
    """The t interval of the paired differences against the margin."""
    gain = np.subtract(crosses, starts)
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return "holds" if gain.mean() - half > margin else "fails" if gain.mean() + half < margin else "open"


EXERCISES = (
    Exercise(
        id="E1", title="The best constant", stars=1, minutes=10, check=check_constant, solution=solve_constant,
        hints=("The gradient with respect to each logit is sigma(g) - y.",
               "Which score makes these sum to zero? Take its logit."),
    ),
    Exercise(
        id="E2", title="The order of a pair", stars=1, minutes=10, check=check_asymmetry, solution=solve_asymmetry,
        hints=("A score is the sigmoid of a logit.", "Take distances first, and then their mean."),
    ),
    Exercise(
        id="E3", title="The same order, other numbers", stars=2, minutes=15, check=check_rescaled,
        solution=solve_rescaled, hints=("Two numbers are enough: a factor and a shift.", "Standardize first."),
    ),
    Exercise(
        id="E4", title="How many teachers?", stars=2, minutes=15, check=check_teachers, solution=solve_teachers,
        hints=("Solve for own / K.", "What is left of 1 / target^2 - 1 when the shared noise is subtracted?"),
    ),
    Exercise(
        id="E5", title="The optimism of a selected checkpoint", stars=3, minutes=30, check=check_optimism,
        solution=solve_optimism,
        hints=("Write the selection as a function of two lists of rows, and call it for every draw.",
               "np.percentile with 2.5 and 97.5."),
    ),
    Exercise(
        id="E6", title="A verdict of your own", stars=3, minutes=120, check=check_verdict, solution=solve_verdict,
        hints=("The start and the cross-encoder of one seed are a pair: take differences first.",
               "scipy.stats.t.ppf(0.975, n - 1)."),
    ),
)  # fmt: skip
