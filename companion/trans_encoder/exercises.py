"""Exercises of the lesson: what is asked, how an answer is checked, hints, a reference answer, wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from companion.lab.exercises import Exercise, NotYet, require_close
from companion.trans_encoder import checks, method, theory, training
from companion.trans_encoder.evaluate import correlation
from companion.trans_encoder.method import BiEncoder, Pairs

# ---------------------------------------------------------------- E1: the best constant


def check_constant(answer: Callable[[Tensor], float]) -> None:
    """A little more or a little less must cost more, on four sets of labels."""
    for seed, low in enumerate((0.0, 0.4, 0.7, 0.9)):
        labels = low + (1 - low) * torch.rand(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        given = float(answer(labels.clone()))
        here, *beside = (
            float(method.soft_label_loss(torch.full_like(labels, given + step), labels)) for step in (0, -1e-3, 1e-3)
        )
        if here > min(beside):
            raise NotYet(f"labels with mean {float(labels.mean()):.2f}: a logit beside {given:.3f} costs less.")


def solve_constant(labels: Tensor) -> float:
    """Where sigma(g) - y is zero on average."""
    return float(labels.mean().logit())


def wrong_constant_score(labels: Tensor) -> float:
    """The score instead of its logit."""
    return float(labels.mean())


def wrong_constant_mean_of_logits(labels: Tensor) -> float:
    """The mean of the labels' logits, which is no logit of their mean."""
    return float(labels.logit().mean())


# ---------------------------------------------------------------- E2: who comes first


def check_asymmetry(answer: Callable[[Callable[[Pairs], Tensor], Pairs], float]) -> None:
    """A cross-encoder, its mean of both orders, and a bi-encoder."""
    pairs, cross = checks.some_pairs(30), checks.small_cross()
    forms: dict[str, Callable[[Pairs], Tensor]] = {
        "a cross-encoder": lambda some: training.score(cross, some),
        "the mean of both orders": lambda some: method.both_ways(cross, some, training.score),
        "a bi-encoder": lambda some: training.score(BiEncoder(checks.small_encoder()), some),
    }
    for name, score in forms.items():
        require_close(float(answer(score, pairs)), solve_asymmetry(score, pairs), 1e-5, f"the asymmetry of {name}")


def solve_asymmetry(score: Callable[[Pairs], Tensor], pairs: Pairs) -> float:
    """The mean over pairs of the distance of two scores."""
    return float((score(pairs).sigmoid() - score(pairs.turned()).sigmoid()).abs().mean())


def wrong_asymmetry_of_means(score: Callable[[Pairs], Tensor], pairs: Pairs) -> float:
    """Distances up and down cancel."""
    return float((score(pairs).sigmoid().mean() - score(pairs.turned()).sigmoid().mean()).abs())


def wrong_asymmetry_of_logits(score: Callable[[Pairs], Tensor], pairs: Pairs) -> float:
    """Logits, where scores were asked for."""
    return float((score(pairs) - score(pairs.turned())).abs().mean())


# ---------------------------------------------------------------- E3: the same order, other numbers


def check_rescaled(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Mean and deviation of the cosines, the order of the logits, and distances in proportion."""
    generator = torch.Generator().manual_seed(0)
    for scale, shift in ((1.0, 0.0), (3.0, -2.0)):
        logits = scale * torch.randn(300, generator=generator) + shift
        cosines = 0.6 + 0.15 * torch.randn(300, generator=generator)
        labels = torch.as_tensor(answer(logits.clone(), cosines.clone())).float()
        require_close(labels.shape, logits.shape, 0, "the labels' shape")
        found = [float(labels.mean()), float(labels.std())]
        require_close(found, [float(cosines.mean()), float(cosines.std())], 1e-3, "mean and deviation of the labels")
        if correlation(labels, logits) < 99.99:
            raise NotYet("the labels put the pairs in another order than the logits do.")
        if float(torch.corrcoef(torch.stack([labels, logits]))[0, 1]) < 0.9999:
            raise NotYet("the order is kept, but distances between labels are not in proportion to those of logits.")


def solve_rescaled(logits: Tensor, cosines: Tensor) -> Tensor:
    """Standardise, then give the cosines' deviation and mean."""
    return (logits - logits.mean()) / logits.std() * cosines.std() + cosines.mean()


def wrong_rescaled_sigmoid(logits: Tensor, cosines: Tensor) -> Tensor:
    """The paper's own labels, whose mean and deviation are their own affair."""
    return logits.sigmoid()


def wrong_rescaled_by_rank(logits: Tensor, cosines: Tensor) -> Tensor:
    """The r-th logit gets the r-th cosine: mean and deviation fit, proportions do not."""
    labels = torch.empty_like(logits)
    labels[logits.argsort()] = cosines.sort().values
    return labels


# ---------------------------------------------------------------- E4: how many labellers


WORLDS = ((3.0, 0.0, 0.8), (3.0, 0.2, 0.8), (1.0, 0.0, 0.5), (2.0, 0.5, 0.82), (2.0, 1.0, 0.8), (5.0, 0.1, 0.95))


def check_labellers(answer: Callable[[float, float, float], int]) -> None:
    """Counted upwards with the closed form; two of the worlds cannot be reached at all."""
    wanted = []
    for own, shared, target in WORLDS:
        reached = [k for k in range(1, 2000) if theory.expected_correlation(own, shared, k) >= target]
        wanted.append(reached[0] if reached else 0)
    require_close([answer(*world) for world in WORLDS], wanted, 0, "the numbers of labellers in six worlds")


def solve_labellers(own: float, shared: float, target: float) -> int:
    """shared + own / K may be at most 1 / target^2 - 1."""
    left = 1 / target**2 - 1 - shared
    return int(np.ceil(own / left - 1e-9)) if left > 0 else 0


def wrong_labellers_all_average_out(own: float, shared: float, target: float) -> int:
    """Takes shared noise for noise that averaging divides."""
    return int(np.ceil((own + shared) / (1 / target**2 - 1) - 1e-9))


def wrong_labellers_by_root(own: float, shared: float, target: float) -> int:
    """Deviations instead of variances."""
    left = 1 / target**2 - 1 - shared
    return int(np.ceil(np.sqrt(own / left) - 1e-9)) if left > 0 else 0


# ---------------------------------------------------------------- E5: what choosing is worth


@cache
def checkpoints(n: int = 600, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Scores (20, n) of checkpoints that are equally good, and gold (n,)."""
    rng = np.random.default_rng(3)
    gold = rng.standard_normal(n)
    return gold + 1.2 * rng.standard_normal((count, n)), gold


def check_audit(answer: Callable[[np.ndarray, np.ndarray, int], tuple[int, float, float, float]]) -> None:
    """The choice and its optimism exactly, the interval to what a few hundred draws allow."""
    scores, gold = checkpoints()
    for labelled in (100, 40):
        chosen, optimism, low, high = answer(scores.copy(), gold.copy(), labelled)
        wanted = solve_audit(scores, gold, labelled)
        require_close(chosen, wanted[0], 0, "the checkpoint that the labelled pairs prefer")
        require_close(optimism, wanted[1], 1e-6, "its optimism")
        require_close([low, high], wanted[2:], 4.0, "the ends of the interval")


def rho(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Spearman x 100 of each row of scores (k, n) with gold (n,)."""
    return 100 * np.corrcoef(stats.rankdata(np.vstack([scores, gold]), axis=1))[-1, :-1]


def solve_audit(scores: np.ndarray, gold: np.ndarray, labelled: int) -> tuple[int, float, float, float]:
    """Draw pairs anew, choose anew, and look how far the promise lies above what is kept."""
    rng, (few, rest) = np.random.default_rng(0), np.split(np.arange(len(gold)), [labelled])

    def audit(few: np.ndarray, rest: np.ndarray) -> tuple[int, float]:
        promised = rho(scores[:, few], gold[few])
        best = int(np.argmax(promised))
        return best, float(promised[best] - rho(scores[best : best + 1, rest], gold[rest])[0])

    again = [audit(rng.choice(few, len(few)), rng.choice(rest, len(rest)))[1] for _ in range(400)]
    low, high = np.percentile(again, [2.5, 97.5])
    return *audit(few, rest), float(low), float(high)


def wrong_audit_sees_all(scores: np.ndarray, gold: np.ndarray, labelled: int) -> tuple[int, float, float, float]:
    """Chooses on all pairs, those that judge it among them."""
    every = rho(scores, gold)
    return int(np.argmax(every)), float(every.max() - every.mean()), 0.0, 1.0


def wrong_audit_chosen_once(scores: np.ndarray, gold: np.ndarray, labelled: int) -> tuple[int, float, float, float]:
    """Draws pairs anew, and keeps the choice that was made on the first ones: all luck of the choice is left out."""
    chosen, optimism, *_ = solve_audit(scores, gold, labelled)
    rng, own, (few, rest) = np.random.default_rng(0), scores[chosen, None], np.split(np.arange(len(gold)), [labelled])
    promised = float(rho(own[:, few], gold[few])[0])
    kept = [float(rho(own[:, r], gold[r])[0]) for r in (rng.choice(rest, len(rest)) for _ in range(400))]
    low, high = promised - np.percentile(kept, [97.5, 2.5])
    return chosen, optimism, float(low), float(high)


# ---------------------------------------------------------------- E6: a verdict of one's own


RUNS = (
    ([80.1, 79.6, 80.4], [83.0, 82.9, 83.3], 2.0),
    ([80.1, 79.6, 80.4], [83.1, 81.2, 83.9], 2.0),
    ([76.0, 75.1, 77.3, 76.2], [76.4, 75.6, 77.5, 76.9], 2.0),
    ([62.0, 70.0, 66.0, 64.0, 68.0], [65.0, 73.1, 68.9, 67.0, 71.2], 2.0),
    ([80.0, 80.0, 80.0], [82.9, 83.4, 82.5], 2.0),
)


def check_verdict(answer: Callable[[list[float], list[float], float], str]) -> None:
    """Five sets of runs: seeds are paired, and few of them ask for t."""
    for starts, crosses, margin in RUNS:
        given, wanted = answer(list(starts), list(crosses), margin), solve_verdict(starts, crosses, margin)
        if given not in ("holds", "fails", "open"):
            raise NotYet(f'the answer must be "holds", "fails" or "open", and this is {given!r}.')
        if given != wanted:
            raise NotYet(f"starts {starts}, crosses {crosses}, margin {margin:g}: {given!r} is not what they say.")


def solve_verdict(starts: list[float], crosses: list[float], margin: float) -> str:
    """The t interval of the paired differences against the margin."""
    gain = np.subtract(crosses, starts)
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return "holds" if gain.mean() - half > margin else "fails" if gain.mean() + half < margin else "open"


def wrong_verdict_unpaired(starts: list[float], crosses: list[float], margin: float) -> str:
    """Forgets that both come from one seed."""
    found = stats.ttest_ind(crosses, starts, equal_var=False).confidence_interval(0.95)
    return "holds" if found.low > margin else "fails" if found.high < margin else "open"


def wrong_verdict_normal(starts: list[float], crosses: list[float], margin: float) -> str:
    """1.96 with three seeds."""
    gain = np.subtract(crosses, starts)
    half = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain))
    return "holds" if gain.mean() - half > margin else "fails" if gain.mean() + half < margin else "open"


EXERCISES = (
    Exercise(
        id="E1",
        title="The best constant",
        stars=1,
        minutes=10,
        statement="A cross-encoder that has learnt nothing yet gives every pair the same logit. Return the one that "
        "has the least soft-label loss for `labels` (n,).",
        check=check_constant,
        hints=("The gradient by each logit is sigma(g) - y.", "Which score makes these sum to zero? Take its logit."),
        solution=solve_constant,
        wrong=(wrong_constant_score, wrong_constant_mean_of_logits),
    ),
    Exercise(
        id="E2",
        title="Who comes first",
        stars=1,
        minutes=10,
        statement="`score(pairs)` gives logits (n,), and `pairs.turned()` the same pairs the other way round. Return "
        "the mean distance of the two scores of a pair, in [0, 1].",
        check=check_asymmetry,
        hints=("A score is the sigmoid of a logit.", "Take distances first, and the mean of them afterwards."),
        solution=solve_asymmetry,
        wrong=(wrong_asymmetry_of_means, wrong_asymmetry_of_logits),
    ),
    Exercise(
        id="E3",
        title="The same order, other numbers",
        stars=2,
        minutes=15,
        statement="Spearman does not see the scale of labels; a student of their squared error does. Map `logits` (n,) "
        "of a cross-encoder to labels with the mean and the deviation of the student's own `cosines` (n,), keeping "
        "distances in proportion.",
        check=check_rescaled,
        hints=("Two numbers are enough: a factor and a shift.", "Standardise first."),
        solution=solve_rescaled,
        wrong=(wrong_rescaled_sigmoid, wrong_rescaled_by_rank),
    ),
    Exercise(
        id="E4",
        title="How many labellers?",
        stars=2,
        minutes=15,
        statement="In the toy's world the mean of K labellers correlates with the truth by "
        "1 / sqrt(1 + shared + own / K). Return the smallest K that reaches `target`, and 0 if none does.",
        check=check_labellers,
        hints=("Solve for own / K.", "What is left of 1 / target^2 - 1 when the shared noise is taken off?"),
        solution=solve_labellers,
        wrong=(wrong_labellers_all_average_out, wrong_labellers_by_root),
    ),
    Exercise(
        id="E5",
        title="What choosing is worth",
        stars=3,
        minutes=30,
        statement="`scores` (20, n) are those of twenty checkpoints, and only the first `labelled` pairs have `gold` "
        "that you may choose by. Return the checkpoint with the best Spearman there, its optimism (100 rho there less "
        "100 rho on the rest), and the 95 per cent interval of the optimism when both parts are drawn anew with "
        "replacement, 300 times or more, and the choice is made anew each time.",
        check=check_audit,
        hints=("Write the audit once as a function of two lists of rows, and call it for every draw.",
               "np.percentile with 2.5 and 97.5."),
        solution=solve_audit,
        wrong=(wrong_audit_sees_all, wrong_audit_chosen_once),
    ),
    Exercise(
        id="E6",
        title="A verdict of your own",
        stars=3,
        minutes=120,
        statement='Write the verdict of this course: "holds" if the 95 per cent t interval of the gain per seed lies '
        'above `margin`, "fails" if below, else "open". Then use it, with the internet: from raw BERT-base, SimCSE and '
        "one cycle on the training pairs of STS-B, three seeds or more; does the cross form gain two points?",
        check=check_verdict,
        hints=("The start and the cross form of one seed are a pair: take differences first.",
               "scipy.stats.t.ppf(0.975, n - 1)."),
        solution=solve_verdict,
        wrong=(wrong_verdict_unpaired, wrong_verdict_normal),
    ),
)  # fmt: skip
