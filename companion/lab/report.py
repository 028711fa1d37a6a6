"""Claims in words: the bound, the row of numbers beside a verdict, and how a verdict is marked on a scoreboard."""

from __future__ import annotations

from companion.lab.evidence import FAILS, Claim, Finding, Judgement

CLAIM_HEADER = (
    "comparison", "must exceed", "this run [95 % interval]", "seeds beyond", "verdict", "recorded run", "usual range",
)  # fmt: skip
FEWEST_FOR_RANGE = 3


def shared(claim: Claim) -> str:
    """The setting that all arms of a claim share, or nothing."""
    settings = {arm.setting for c in claim.comparisons() for arm in (c.method, c.baseline)}
    return settings.pop() if len(settings) == 1 else ""


def place(claim: Claim) -> str:
    """Where all of a claim happens, to stand behind its statement."""
    return f" ({shared(claim)})" if shared(claim) else ""


def bound(claim: Claim) -> str:
    """The required bound in words: "student - mlp > 3.5 points (isolation)"."""
    if claim.kind == "trend":
        step = "rises" if claim.sign > 0 else "falls"
        return f"{step} by > {claim.margin:g} {claim.unit} a step: " + " → ".join(claim.along)
    pairs = []
    for c in claim.comparisons():
        first, second = (c.method, c.baseline) if claim.sign > 0 else (c.baseline, c.method)
        pairs.append(f"{_arm(str(first), shared(claim))} - {_arm(str(second), shared(claim))} > {c.margin:g}")
    return "; ".join(pairs) + f" {claim.unit}{place(claim)}"


def _arm(text: str, setting: str) -> str:
    """An arm without the setting that its claim names once."""
    return text.removesuffix(f" @ {setting}") if setting else text


def claim_row(live: Finding, recorded: Finding | None, usual: tuple[float, float] | None, shared: str) -> list[str]:
    """One comparison: this run, the recorded run, and whether this run's mean lies in the usual range."""
    pair = f"{_arm(live.method, shared)} against {_arm(live.baseline, shared)}"
    then = f"{_numbers(recorded)} {recorded.verdict}" if recorded else "none"
    range_ = "none"
    if usual:
        where = "inside" if usual[0] <= live.mean <= usual[1] else "outside"
        range_ = f"{usual[0]:+.3g} to {usual[1]:+.3g}: {where}"
    return [pair, f"{live.margin:+g}", _numbers(live), f"{live.agree} of {live.n}", live.verdict, then, range_]


def _numbers(finding: Finding) -> str:
    return f"{finding.mean:+.3g} [{finding.low:+.3g}, {finding.high:+.3g}]"


def mark(claim: Claim, judgement: Judgement | None) -> str:
    """A verdict on a scoreboard; a sabotage that fails does what it must."""
    if judgement is None:
        return "none"
    if claim.sabotages and judgement.verdict == FAILS:
        return f"{FAILS} (as it must: sabotage of {claim.sabotages})"
    return judgement.verdict


def passed(check: bool | None) -> str:
    """The state of an exact check."""
    return "none" if check is None else "holds" if check else FAILS
