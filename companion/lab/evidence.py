"""Evidence: what was measured, what was claimed, and whether the one supports the other.

A *measurement* is one number of one arm on one seed. A *claim* says by how much one arm must differ from another.
The *verdict* comes from the differences per seed and their t interval at 95 %:

    holds   the whole interval lies beyond the margin
    fails   the whole interval lies short of the margin
    open    the interval straddles the margin
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from companion.errors import CompanionError

HOLDS, FAILS, OPEN, NOT_JUDGED = "holds", "fails", "open", "not judged at this scale"
KINDS = ("paired", "trend")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measurement:
    """One number: `metric` of `method` in `setting` on `seed`."""

    metric: str
    method: str
    setting: str
    seed: int
    value: float


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: a method in a setting, written "method @ setting"."""

    method: str
    setting: str

    @classmethod
    def parse(cls, text: str, setting: str = "") -> Arm:
        """Read "gcn @ tail", or "gcn" with the setting given beside it."""
        method, _, own = (part.strip() for part in text.partition("@"))
        return cls(method, own or setting)

    def __str__(self) -> str:
        return f"{self.method} @ {self.setting}" if self.setting else self.method


@dataclass(frozen=True)
class Comparison:
    """`direction` x (method - baseline) must exceed `margin`, in the metric's unit."""

    method: Arm
    baseline: Arm
    margin: float


@dataclass(frozen=True)
class Claim:
    """A sentence that measurements can support or refute (kinds: "paired", "trend").

    `paired` compares `method` with every key of `against` (value: the margin). `trend` walks `along` an ordered list
    of arms, and every step must move in the stated direction by more than `margin`. A claim that `sabotages` another
    repeats it with the key ingredient broken, and is expected to fail. `expected` names the verdict at each scale,
    and `tolerance` how far the mean difference of a fresh run may lie from the committed one, in the metric's unit.
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
    sabotages: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CompanionError(f"claim {self.id}: kind = {self.kind!r} is not known; use one of {', '.join(KINDS)}.")
        if self.direction not in ("higher", "lower"):
            raise CompanionError(f'claim {self.id}: direction = {self.direction!r}; use "higher" or "lower".')
        if not self.comparisons():
            raise CompanionError(
                f"claim {self.id} compares nothing: give `against` (paired) or two arms in `along` (trend)."
            )

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.direction == "higher" else -1

    def comparisons(self) -> list[Comparison]:
        """The pairs of arms that the claim is about, each with its margin."""
        if self.kind == "trend":
            arms = [Arm.parse(text, self.setting) for text in self.along]
            return [Comparison(later, earlier, self.margin) for earlier, later in pairwise(arms)]
        method = Arm.parse(self.method, self.setting)
        return [Comparison(method, Arm.parse(k, self.setting), float(v)) for k, v in (self.against or {}).items()]


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
class Judgement:
    """A claim, its findings and the verdict: the weakest of its comparisons' verdicts."""

    claim: Claim
    scale: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The weakest of the verdicts on its comparisons."""
        seen = {finding.verdict for finding in self.findings}
        return next(verdict for verdict in (NOT_JUDGED, FAILS, OPEN, HOLDS) if verdict in seen)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the measured numbers with five significant digits."""
        findings = [
            {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in asdict(f).items()} for f in self.findings
        ]
        return {"claim": self.claim.id, "scale": self.scale, "verdict": self.verdict, "findings": findings}


def by_seed(measurements: Iterable[Measurement], metric: str, arm: Arm) -> dict[int, float]:
    """Seed -> value of one arm; an error if the arm was not measured or a seed was measured twice."""
    rows = [m for m in measurements if (m.metric, m.method, m.setting) == (metric, arm.method, arm.setting)]
    values = {m.seed: m.value for m in rows}
    if not rows:
        raise CompanionError(
            f"No measurement of {metric!r} for the arm {str(arm)!r}; measure it before judging the claim."
        )
    if len(values) < len(rows):
        raise CompanionError(f"The arm {str(arm)!r} holds two values of {metric!r} for one seed; pass each run once.")
    return values


def values(measurements: Iterable[Measurement], metric: str, method: str, setting: str) -> np.ndarray:
    """What one arm measured, (n,) float64: one number a seed, seeds ascending."""
    found = by_seed(measurements, metric, Arm(method, setting))
    return np.array([found[seed] for seed in sorted(found)])


def differences(claim: Claim, comparison: Comparison, measurements: Sequence[Measurement]) -> np.ndarray:
    """Signed differences per seed, (n,) float64, seeds ascending; both arms must hold the same seeds."""
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


def find(claim: Claim, comparison: Comparison, measurements: Sequence[Measurement], judged: bool = True) -> Finding:
    """Compare two arms over their seeds."""
    values = differences(claim, comparison, measurements)
    low, high = interval(values) if len(values) > 1 else (float("-inf"), float("inf"))
    if not judged or not np.isfinite(values).all():
        verdict = NOT_JUDGED if not judged else FAILS
    else:
        verdict = HOLDS if low > comparison.margin else FAILS if high < comparison.margin else OPEN
    agree = int((values > comparison.margin).sum())
    arms = str(comparison.method), str(comparison.baseline)
    return Finding(*arms, comparison.margin, float(values.mean()), low, high, agree, len(values), verdict)


def judge(claim: Claim, measurements: Iterable[Measurement], scale: str) -> Judgement:
    """The verdict on a claim. At scale "ci" the code runs but nothing is judged."""
    rows = list(measurements)
    findings = tuple(find(claim, comparison, rows, judged=scale != "ci") for comparison in claim.comparisons())
    return Judgement(claim, scale, findings)


def usual_range(values: np.ndarray, n: int) -> tuple[float, float]:
    """Where the mean over `n` fresh seeds usually falls: a 95 % prediction interval from (N,) committed differences."""
    spread = np.sqrt(1 / n + 1 / len(values)) * values.std(ddof=1)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * spread
    return float(values.mean() - half), float(values.mean() + half)
