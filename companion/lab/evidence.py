"""Evidence: what was measured, what was claimed, and whether the one supports the other.

A *measurement* is one number of one method on one seed. A *claim* says by how much one method must differ from another.
The *verdict* comes from the paired differences over seeds and their 95 % t interval:

    holds       the whole interval lies above the margin
    fails       the whole interval lies below the margin
    open        the interval contains the margin
    diverged    a value is NaN or infinite: training diverged, so nothing can be said
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from companion.errors import CompanionError

HOLDS, FAILS, OPEN, NOT_DECIDED = "holds", "fails", "open", "not decided at this scale"
DIVERGED, NOT_MEASURED = "training diverged", "not measured at this scale"
KINDS = ("paired", "trend")
SOURCES = {
    "paper": "claim of the paper",
    "article": "claim of the Amazon Science article",
    "course": "question of the course",
}
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measurement:
    """One number: `metric` of `method` in `setting` on `seed`."""

    metric: str
    method: str
    setting: str
    seed: int
    value: float


class Measurements(list[Measurement]):
    """The measurements of one call of `Lab.run_seeds`, stamped with the lesson, configuration and seeds."""

    def __init__(
        self, rows: Iterable[Measurement], lesson: str, config: Mapping[str, Any], seeds: Sequence[int]
    ) -> None:
        super().__init__(rows)
        self.lesson, self.config, self.seeds = lesson, dict(config), tuple(seeds)

    def __add__(self, other: Any) -> Any:
        """Together with another run of the same session, still stamped; with anything else, a plain list."""
        same = isinstance(other, Measurements) and (self.lesson, self.config, self.seeds) == (
            other.lesson, other.config, other.seeds,
        )  # fmt: skip
        rows = list(self) + list(other)
        return Measurements(rows, self.lesson, self.config, self.seeds) if same else rows


@dataclass(frozen=True)
class Condition:
    """One side of a comparison: a method in a setting, written "method @ setting"."""

    method: str
    setting: str

    @classmethod
    def parse(cls, text: str, setting: str = "") -> Condition:
        """Read "gcn @ tail", or "gcn" with the setting given beside it."""
        method, _, own = (part.strip() for part in text.partition("@"))
        return cls(method, own or setting)

    def __str__(self) -> str:
        return f"{self.method} @ {self.setting}" if self.setting else self.method


@dataclass(frozen=True)
class Comparison:
    """`direction` x (method - baseline) is to be above `margin`, in the metric's unit."""

    method: Condition
    baseline: Condition
    margin: float


@dataclass(frozen=True)
class Claim:
    """A sentence that measurements can support or refute (kinds: "paired", "trend").

    `paired` compares `method` with every key of `against` (value: the margin). `trend` walks `along` an ordered list
    of conditions, and every step must move in the stated direction by more than `margin`. An ablation test names in
    `ablates` the claim that it repeats without the method's key component (`removed`), and is expected to fail.
    `source` says whose claim it is: "paper", "article" (of Amazon Science) or "course". `paper` is where and how the
    paper states it, and `paper_value` the paper's own difference in `unit`, if it prints one. `expected` names the
    verdict at each scale, and `tolerance` how far the mean difference of a new run may lie from the committed one.
    """

    id: str
    kind: str
    statement: str
    paper: str
    metric: str
    unit: str
    direction: str
    why: str
    expected: Mapping[str, str]
    tolerance: float
    setting: str = ""
    method: str = ""
    against: Mapping[str, float] | None = None
    along: Sequence[str] = ()
    margin: float = 0.0
    source: str = "course"
    paper_value: float | None = None
    ablates: str = ""
    removed: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CompanionError(f"claim {self.id}: kind = {self.kind!r} is not known; use one of {', '.join(KINDS)}.")
        if self.source not in SOURCES:
            raise CompanionError(f"claim {self.id}: source = {self.source!r}; use one of {', '.join(SOURCES)}.")
        if self.direction not in ("higher", "lower"):
            raise CompanionError(f'claim {self.id}: direction = {self.direction!r}; use "higher" or "lower".')
        if not self.comparisons():
            raise CompanionError(
                f"claim {self.id} compares nothing: give `against` (paired) or two conditions in `along` (trend)."
            )

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.direction == "higher" else -1

    def comparisons(self) -> list[Comparison]:
        """The pairs of conditions that the claim compares, each with its margin."""
        if self.kind == "trend":
            conditions = [Condition.parse(text, self.setting) for text in self.along]
            return [Comparison(later, earlier, self.margin) for earlier, later in pairwise(conditions)]
        method = Condition.parse(self.method, self.setting)
        return [Comparison(method, Condition.parse(k, self.setting), float(v)) for k, v in (self.against or {}).items()]


@dataclass(frozen=True)
class Finding:
    """What one comparison showed: the mean difference over seeds, its interval, and how many seeds agree."""

    method: str
    baseline: str
    margin: float
    mean: float
    low: float
    high: float
    agree: int
    n: int
    verdict: str


@dataclass(frozen=True)
class Evaluation:
    """A claim, its findings and the verdict: the weakest of its comparisons' verdicts."""

    claim: Claim
    scale: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The weakest of the verdicts on its comparisons."""
        seen = {finding.verdict for finding in self.findings}
        order = (NOT_MEASURED, NOT_DECIDED, DIVERGED, FAILS, OPEN, HOLDS)
        return next(verdict for verdict in order if verdict in seen)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the measured numbers with five significant digits."""
        findings = [{name: _plain(value) for name, value in asdict(f).items()} for f in self.findings]
        return {"claim": self.claim.id, "scale": self.scale, "verdict": self.verdict, "findings": findings}


def _plain(value: Any) -> Any:
    """A float with five significant digits, or None where JSON has no number for it."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if np.isfinite(value) else None


def by_seed(measurements: Iterable[Measurement], metric: str, condition: Condition) -> dict[int, float]:
    """Seed -> value of one condition; an error if it was not measured or a seed was measured twice."""
    wanted = (metric, condition.method, condition.setting)
    found = [m for m in measurements if (m.metric, m.method, m.setting) == wanted]
    values = {m.seed: m.value for m in found}
    if not found:
        raise CompanionError(f"There is no measurement of {metric!r} for {str(condition)!r}.")
    if len(values) < len(found):
        raise CompanionError(f"{str(condition)!r} has two values of {metric!r} for one seed; pass each run once.")
    return values


def values(measurements: Iterable[Measurement], metric: str, method: str, setting: str) -> np.ndarray:
    """The values of one method in one setting, (n,) float64: one number per seed, seeds ascending."""
    found = by_seed(measurements, metric, Condition(method, setting))
    return np.array([found[seed] for seed in sorted(found)])


def differences(claim: Claim, comparison: Comparison, measurements: Sequence[Measurement]) -> np.ndarray:
    """Signed differences per seed, (n,) float64, seeds ascending; both conditions must have the same seeds."""
    method = by_seed(measurements, claim.metric, comparison.method)
    baseline = by_seed(measurements, claim.metric, comparison.baseline)
    if method.keys() != baseline.keys():
        raise CompanionError(
            f"claim {claim.id} pairs seeds, but {comparison.method} has {sorted(method)} "
            f"and {comparison.baseline} has {sorted(baseline)}."
        )
    return claim.sign * np.array([method[seed] - baseline[seed] for seed in sorted(method)])


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The t interval of the mean of (n,) values; needs n >= 2."""
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def compare(claim: Claim, comparison: Comparison, measurements: Sequence[Measurement], decided: bool = True) -> Finding:
    """Compare two conditions over their seeds."""
    values = differences(claim, comparison, measurements)
    finite = bool(np.isfinite(values).all())
    low, high = interval(values) if len(values) > 1 and finite else (float("-inf"), float("inf"))
    if not finite:
        verdict = DIVERGED
    elif not decided:
        verdict = NOT_DECIDED
    else:
        verdict = HOLDS if low > comparison.margin else FAILS if high < comparison.margin else OPEN
    agree = int((values > comparison.margin).sum())
    pair = str(comparison.method), str(comparison.baseline)
    return Finding(*pair, comparison.margin, float(values.mean()), low, high, agree, len(values), verdict)


def evaluate(claim: Claim, measurements: Iterable[Measurement], scale: str) -> Evaluation:
    """The verdict on a claim. At scale "ci" the code runs but nothing is evaluated.

    At scale "paper", where not every condition of the course is run, a comparison without measurements is
    "not measured at this scale"; anywhere else a missing measurement is an error.
    """
    found = list(measurements)
    if scale == "paper":
        measured = {(m.metric, m.method, m.setting) for m in found}
        sides = [side for c in claim.comparisons() for side in (c.method, c.baseline)]
        if any((claim.metric, side.method, side.setting) not in measured for side in sides):
            return Evaluation(claim, scale, tuple(not_measured(c) for c in claim.comparisons()))
    return Evaluation(claim, scale, tuple(compare(claim, c, found, decided=scale != "ci") for c in claim.comparisons()))


def not_measured(comparison: Comparison) -> Finding:
    """The finding on a comparison that this scale does not run."""
    nan = float("nan")
    pair = str(comparison.method), str(comparison.baseline)
    return Finding(*pair, comparison.margin, nan, nan, nan, 0, 0, NOT_MEASURED)


def prediction_interval(values: np.ndarray, n: int) -> tuple[float, float]:
    """The 95 % prediction interval of the mean over `n` new seeds, from (N,) stored differences."""
    spread = np.sqrt(1 / n + 1 / len(values)) * values.std(ddof=1)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * spread
    return float(values.mean() - half), float(values.mean() + half)


# ---------------------------------------------------------------- in words


def common_setting(claim: Claim) -> str:
    """The setting that all conditions of a claim share, or nothing."""
    settings = {side.setting for c in claim.comparisons() for side in (c.method, c.baseline)}
    return settings.pop() if len(settings) == 1 else ""


def condition_name(text: str, setting: str) -> str:
    """A condition without the setting that its claim names once."""
    return text.removesuffix(f" @ {setting}") if setting else text


def place(claim: Claim) -> str:
    """The common setting in parentheses, to stand behind a claim's statement."""
    return f" ({common_setting(claim)})" if common_setting(claim) else ""


def bound(claim: Claim) -> str:
    """The margin in words: "student - mlp > 3.5 points (isolation)"."""
    if claim.kind == "trend":
        step = "rises" if claim.sign > 0 else "falls"
        return f"{step} by > {claim.margin:g} {claim.unit} a step: " + " → ".join(claim.along)
    pairs = []
    for c in claim.comparisons():
        first, second = (c.method, c.baseline) if claim.sign > 0 else (c.baseline, c.method)
        names = [condition_name(str(side), common_setting(claim)) for side in (first, second)]
        pairs.append(f"{names[0]} - {names[1]} > {c.margin:g}")
    return "; ".join(pairs) + f" {claim.unit}{place(claim)}"
