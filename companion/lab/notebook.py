"""`Lab`: the one object that a notebook talks to beside its paper's package."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from companion.errors import CompanionError
from companion.lab import display, plots
from companion.lab.config import BaseConfig, setting_text, settings_rows
from companion.lab.evidence import (
    FAILS,
    SOURCES,
    Claim,
    Comparison,
    Evaluation,
    Finding,
    Measurement,
    Measurements,
    bound,
    common_setting,
    condition_name,
    differences,
    evaluate,
    place,
    prediction_interval,
)
from companion.lab.exercises import ExerciseHandle
from companion.lab.lesson import PACKAGE, load_lesson
from companion.lab.records import load_record
from companion.lab.runtime import (
    check_seed,
    free_memory_mb,
    resolve_device,
    set_seed,
    set_threads,
    use_deterministic_algorithms,
)

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

RESULTS_FOLDER = "COMPANION_RESULTS"
FEWEST_FOR_INTERVAL = 3
CLAIM_HEADER = (
    "comparison", "margin", "this session [95 % interval]", "seeds above margin", "verdict", "stored results",
    "95 % prediction interval",
)  # fmt: skip
Experiment = Callable[[Any, int, "torch.device"], list[Measurement]]


class Lab:
    """A lesson bound to a scale, a device and a first seed.

    Shows what it resolved: the configuration, the device, the seeds, the time and the memory to expect.
    """

    def __init__(self, lesson: str, scale: str = "laptop", device: str = "auto", seed: int = 0) -> None:
        self.lesson = load_lesson(lesson)
        self.config: BaseConfig = importlib.import_module(f"{PACKAGE}.{lesson}.experiment").Config.at(scale)
        self.seed = check_seed(seed)
        self.device = resolve_device(device)
        self.threads = set_threads(scale)
        self.record = load_record(lesson)
        self.overridden: dict[str, Any] = {}
        self._evaluated: dict[str, Evaluation] = {}
        self._checked: dict[str, bool] = {}
        use_deterministic_algorithms()
        set_seed(self.seed)
        plots.use_style()
        self._announce()

    @property
    def seeds(self) -> list[int]:
        """The seeds of this session, ascending."""
        return list(range(self.seed, self.seed + self.config.seeds))

    def configure(self, **overrides: Any) -> None:
        """Change fields of the configuration for this session: `lab.configure(train_steps=900)`.

        Nested fields are written with dots: `lab.configure(**{"train.GCN.lr": 0.1})`. Call it before the first cell
        that uses `lab.config`. From then on the stored results
        are those of another configuration: they stay visible, but no prediction interval is drawn from them.
        """
        if "scale" in overrides:
            raise CompanionError("A scale is chosen when the lesson is loaded: Lab(..., scale=...).")
        if not isinstance(overrides.get("seeds", 1), int) or overrides.get("seeds", 1) < 1:
            raise CompanionError(f"seeds = {overrides['seeds']!r}; use a whole number, 1 or larger.")
        for name, value in overrides.items():
            old = getattr(self.config, name, None)
            if isinstance(old, Mapping) and isinstance(value, Mapping) and old.keys() - value.keys():
                missing = ", ".join(map(str, old.keys() - value.keys()))
                raise CompanionError(f"{name} lacks {missing}; to change one of its entries, write a name with a dot.")
        self.config = self.config.override(**overrides)
        self.overridden |= overrides
        self._evaluated.clear()
        rows = [[name, setting_text(value)] for name, value in overrides.items()]
        note = "Stored results and their prediction intervals belong to the configuration before this change."
        display.show_table(["setting", "now"], rows, "Changed for this session", note)

    # ---------------------------------------------------------------- measuring and evaluating

    def run_seeds(self, experiment: Experiment) -> Measurements:
        """Run the experiment once a seed, with a progress bar; all measurements in one list, stamped."""
        rows: list[Measurement] = []
        for seed in display.progress(self.seeds, "seeds done", len(self.seeds)):
            set_seed(seed)
            found = experiment(self.config, seed, self.device)
            if not found or any(not isinstance(m, Measurement) or m.seed != seed for m in found):
                raise CompanionError(f"The experiment must return a list of Measurement, each with seed = {seed}.")
            rows += found
        return Measurements(rows, self.lesson.name, self.config.as_dict(), self.seeds)

    def claim(self, id: str, measurements: Iterable[Measurement]) -> None:
        """Evaluate a claim on this session; show its numbers beside the stored ones and their prediction interval."""
        claim = self.lesson.claim(id)
        rows = self._claim_rows(claim, measurements)
        data = {"lesson": self.lesson.name, **self._evaluated[id].as_dict()}
        display.show_table(CLAIM_HEADER, rows, f"{id}: {claim.statement}{place(claim)}", self._claim_note(claim), data)

    def findings(self, ids: Sequence[str], measurements: Iterable[Measurement], caption: str) -> None:
        """Evaluate several claims: one forest plot, a sentence for each, and the full table folded below.

        caption states the conclusion that the reader should draw from the plot.
        """
        claims = [self.lesson.claim(id) for id in ids]
        units = {claim.unit for claim in claims}
        if len(units) != 1:
            raise CompanionError(f"findings puts {', '.join(ids)} on one axis, but their units are {sorted(units)}.")
        found = list(measurements) if not isinstance(measurements, Measurements) else measurements
        tables = [self._claim_rows(claim, found) for claim in claims]
        evaluated = [self._evaluated[claim.id] for claim in claims]
        rows = [
            (f"{claim.id}: {_pair(claim, finding)}", finding, claim.paper_value)
            for claim, evaluation in zip(claims, evaluated, strict=True)
            for finding in evaluation.findings
        ]
        figure = plots.forest_plot(rows, units.pop())
        said = "; ".join(f"{label} {_numbers(finding)}, {finding.verdict}" for label, finding, _ in rows)
        display.show_figure(figure, f"Forest plot, a row per comparison. {said}.", caption)
        for claim, evaluation, table in zip(claims, evaluated, tables, strict=True):
            data = {"lesson": self.lesson.name, **evaluation.as_dict()}
            note = f"{claim.paper} {self._claim_note(claim)}"
            display.show_table((), (), sentence(claim, evaluation), note, data, table, CLAIM_HEADER, "all numbers")

    def check(self, id: str, error: Any) -> None:
        """A correctness check: the largest absolute `error` must stay below the check's tolerance."""
        check = self.lesson.check(id)
        worst, passed = self._check(id, error)
        print(f"{id}  {check.statement}\n    error {worst:.2g}, tolerance {check.tolerance:g}: {_passed(passed)}")

    def checks(self, errors: Mapping[str, Any], show: Sequence[str] = ()) -> None:
        """Several correctness checks in one table; those not named in `show` are folded."""
        rows = {}
        for id, error in errors.items():
            check, (worst, passed) = self.lesson.check(id), self._check(id, error)
            rows[id] = [id, check.statement, f"error {worst:.2g}", f"{check.tolerance:g}", _passed(passed)]
        shown, hidden = [rows[id] for id in rows if id in show], [rows[id] for id in rows if id not in show]
        header = ["id", "correctness check", "largest error", "tolerance", "result"]
        more = f"{len(hidden)} more checks"
        display.show_table(header, shown, "Correctness checks", folded_rows=hidden, summary=more)

    def scoreboard(self) -> None:
        """This lesson's verdicts (no measured number), its differences from the paper, where the results come from."""
        rows = [
            [c.id, c.statement, "code", f"error < {c.tolerance:g}", _passed(self._checked.get(c.id)), "exact"]
            for c in self.lesson.checks
        ]
        for claim in self.lesson.claims:
            marks = [mark(claim, evaluation) for evaluation in (self._evaluated.get(claim.id), self._stored(claim))]
            rows.append([claim.id, claim.statement, claim.source, bound(claim), *marks])
        header = ["id", "claim", "source", "margin", "this session", "stored results"]
        display.show_table(header, rows, f"{self.lesson.title}: the verdicts", self._provenance())
        display.show_table(["how this lesson differs from the paper"], [[text] for text in self.lesson.deviations])

    def stored(self, run: str = "study") -> list[Measurement]:
        """The measurements of one of the lesson's stored runs."""
        if run not in self.record.runs:
            known = ", ".join(self.record.runs) or "none"
            raise CompanionError(f"There are no stored results of {run!r}; there are {known}.")
        return list(self.record.runs[run].measurements)

    # ---------------------------------------------------------------- showing

    def show(self, figure: Figure, alt: str, caption: str) -> None:
        """Display a figure.

        alt says what the picture shows to somebody who cannot see it; it goes to the metadata. caption stands below the
        picture: a sentence on what is shown, and one on what to conclude. Equal texts are refused.
        """
        display.show_figure(figure, alt, caption)

    def source(self, *objects: Callable[..., Any] | type) -> None:
        """Show public functions or classes of the package, with the imports that they need to run in a cell."""
        for obj in objects:
            display.show_source(obj)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Display a small table; numbers should come already formatted."""
        display.show_table(header, [[str(cell) for cell in row] for row in rows], caption)

    def interactive(
        self, draw: Callable[..., Figure], alt: str, **controls: Sequence[Any]
    ) -> display.InteractiveFigure:
        """Controls and a figure that follows them; see `companion.lab.display.InteractiveFigure`."""
        return display.InteractiveFigure(draw, alt, **controls)

    def exercise(self, id: str) -> ExerciseHandle:
        """An exercise of this lesson: `.check(answer)`, `.hint()`, `.solution()`."""
        exercises = importlib.import_module(f"{PACKAGE}.{self.lesson.name}.exercises").EXERCISES
        found = [exercise for exercise in exercises if exercise.id == id]
        if not found:
            known = ", ".join(exercise.id for exercise in exercises)
            raise CompanionError(f"There is no exercise {id!r} here; choose one of {known}.")
        return ExerciseHandle(found[0])

    # ---------------------------------------------------------------- inside

    def _announce(self) -> None:
        budget, config = self.lesson.budget, self.config
        expected = self.record.expected_seconds(config.scale, config.seeds)
        seconds = f"about {expected:.0f} CPU seconds" if expected else "hours; see the section on paper scale"
        rows = [
            ["scale", config.scale],
            ["seeds", ", ".join(map(str, self.seeds))],
            ["device", str(self.device)],
            ["threads", str(self.threads)],
            ["time to run", seconds],
            ["memory", f"below {budget.memory_mb} MB"],
        ]
        title = f"{self.lesson.title}: configuration"
        note = memory_advice(budget.memory_mb)
        settings = settings_rows(config)
        dotted = next((row[0] for row in settings if "." in row[0]), "")
        example = f", or with a dot: lab.configure(**{{{dotted!r}: value}})" if dotted else ""
        summary = f"{len(settings)} settings; change one with lab.configure(name=value){example}"
        header = ["setting", "value", "meaning"]
        display.show_table(["", ""], rows, title, note, folded_rows=settings, folded_header=header, summary=summary)

    def _claim_rows(self, claim: Claim, measurements: Iterable[Measurement]) -> list[list[str]]:
        """Evaluate, publish, and return the table rows of a claim."""
        self._require_this_session(measurements)
        evaluation = self._evaluated[claim.id] = evaluate(claim, measurements, self.config.scale)
        self._publish(evaluation.as_dict())
        stored = self._stored(claim)
        then = stored.findings if stored else [None] * len(evaluation.findings)
        expected = [self._prediction_interval(claim, comparison) for comparison in claim.comparisons()]
        return [_row(claim, *row) for row in zip(evaluation.findings, then, expected, strict=True)]

    def _require_this_session(self, measurements: Iterable[Measurement]) -> None:
        """Refuse measurements that were not made by this `Lab` as it is configured now."""
        if not isinstance(measurements, Measurements):
            raise CompanionError(
                "Only measurements that lab.run_seeds(...) returned can be evaluated; these have no stamp."
            )
        wanted = (self.lesson.name, self.config.as_dict(), tuple(self.seeds))
        if (measurements.lesson, measurements.config, measurements.seeds) != wanted:
            now = {"lesson": self.lesson.name, **self.config.as_dict(), "seeds": self.seeds}
            then = {"lesson": measurements.lesson, **measurements.config, "seeds": list(measurements.seeds)}
            changed = [name for name in now if then.get(name) != now.get(name)]
            other = [f"{name} {then.get(name)} (now {now.get(name)})" for name in changed]
            raise CompanionError(
                f"These measurements are of another run: {', '.join(other[:4])}; run lab.run_seeds(...) again."
            )

    def _stored(self, claim: Claim) -> Evaluation | None:
        run = self.record.runs.get("study")
        return evaluate(claim, run.measurements, "study") if run else None

    def _claim_note(self, claim: Claim) -> str:
        run = self.record.runs.get("study")
        stored = f", {len(run.seeds)} in the stored results" if run else "; there are no stored results yet"
        changed = " This session runs a changed configuration." if self.overridden else ""
        source = f"{SOURCES[claim.source][0].upper()}{SOURCES[claim.source][1:]}."
        if claim.ablates:
            source = f"Ablation test of {claim.ablates}: {claim.removed or 'the key component is removed'}."
        count = f"{len(self.seeds)} {_seeds(len(self.seeds))}"
        differ = f"Differences in {claim.unit}, positive in favor of the claim; {count}"
        return f"{source} {differ} in this session{stored}.{changed} Why this margin: {claim.why.rstrip('.')}."

    def _prediction_interval(self, claim: Claim, comparison: Comparison) -> tuple[float, float] | None:
        """Where the mean of this session should lie, from stored seeds that this session does not use."""
        run = self.record.runs.get(self.config.scale)
        others = [m for m in run.measurements if m.seed not in self.seeds] if run and not self.overridden else []
        if len({m.seed for m in others}) < FEWEST_FOR_INTERVAL:
            return None
        return prediction_interval(differences(claim, comparison, others), len(self.seeds))

    def _check(self, id: str, error: Any) -> tuple[float, bool]:
        values = np.abs(np.asarray(error, dtype=float))
        if values.size == 0:
            raise CompanionError(f"The check {id} was given no error at all; pass at least one number.")
        worst = float(values.max())
        passed = self._checked[id] = bool(worst < self.lesson.check(id).tolerance)
        verdict = "holds" if passed else "fails"
        self._publish({"claim": id, "scale": self.config.scale, "verdict": verdict, "findings": []})
        return worst, passed

    def _provenance(self) -> str:
        run = self.record.runs.get("study")
        if not run:
            return "There are no stored results yet."
        made = f"{len(run.seeds)} seeds, {run.stamp['cpu_seconds']} CPU seconds, torch {run.stamp['versions']['torch']}"
        return f"Stored results: {run.stamp['date']}, {made}. A test recomputes a reduced run of them."

    def _publish(self, result: dict[str, Any]) -> None:
        """Append a result to the folder that COMPANION_RESULTS names, if it does: how the tests read a fresh run."""
        folder = os.environ.get(RESULTS_FOLDER)
        if folder:
            with (Path(folder) / f"{self.lesson.name}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")


# ---------------------------------------------------------------- words and numbers


def sentence(claim: Claim, evaluation: Evaluation) -> str:
    """A finding in one sentence: the claim, its verdict, the numbers, and the paper's number."""
    numbers = "; ".join(_numbers(finding) for finding in evaluation.findings)
    paper = f"; the paper: {claim.paper_value:+g}" if claim.paper_value is not None else ""
    return f"{claim.id}, {mark(claim, evaluation)}: {claim.statement} ({numbers} {claim.unit}{paper})"


def mark(claim: Claim, evaluation: Evaluation | None) -> str:
    """A verdict on a scoreboard; of an ablation test, whether the claim no longer holds, as expected."""
    if evaluation is None:
        return "none"
    if claim.ablates and evaluation.verdict == FAILS:
        return f"{claim.ablates} no longer holds, as expected"
    return evaluation.verdict


def memory_advice(needed_mb: int) -> str:
    """A warning where a memory limit (Binder, a hub, a container) leaves less than the lesson needs."""
    free_mb = free_memory_mb()
    if free_mb >= needed_mb:
        return ""
    return f"{free_mb} MB are free and the lesson may need {needed_mb} MB: shut down other kernels before you go on."


def _row(claim: Claim, live: Finding, stored: Finding | None, expected: tuple[float, float] | None) -> list[str]:
    """One comparison: this session, the stored results, and whether the mean lies in the prediction interval."""
    then = f"{_numbers(stored)} {stored.verdict}" if stored else "none"
    range_ = "none"
    if expected:
        where = "inside" if expected[0] <= live.mean <= expected[1] else "outside"
        range_ = f"{expected[0]:+.3g} to {expected[1]:+.3g}: {where}"
    above = f"{live.agree} of {live.n}"
    return [_pair(claim, live), f"{live.margin:+g}", _numbers(live), above, live.verdict, then, range_]


def _pair(claim: Claim, finding: Finding) -> str:
    setting = common_setting(claim)
    return f"{condition_name(finding.method, setting)} vs. {condition_name(finding.baseline, setting)}"


def _numbers(finding: Finding) -> str:
    if finding.n == 0:
        return "not measured"
    if finding.n == 1:
        return f"{finding.mean:+.3g} [one seed]"
    return f"{finding.mean:+.3g} [{finding.low:+.3g}, {finding.high:+.3g}]"


def _passed(check: bool | None) -> str:
    return "none" if check is None else "passed" if check else FAILS


def _seeds(n: int) -> str:
    return "seed" if n == 1 else "seeds"
