"""`Lab`: the one object that a notebook talks to beside its paper's module."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from companion.errors import CompanionError
from companion.lab import display, report
from companion.lab.device import check_seed, repeatable, resolve_device, set_seed, set_threads
from companion.lab.evidence import Claim, Comparison, Judgement, Measurement, differences, judge, usual_range
from companion.lab.exercises import Exercise, Outcome, examine, solution_text
from companion.lab.figures import show, use_style
from companion.lab.lesson import PACKAGE, load_lesson
from companion.lab.records import load_record, source_hash
from companion.lab.scales import Config
from companion.lab.widgets import Play

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

RESULTS_FOLDER = "COMPANION_RESULTS"
Experiment = Callable[[Any, int, "torch.device"], list[Measurement]]


class Lab:
    """A lesson bound to a scale, a device and a first seed.

    Says what it resolved: the configuration, the device, the seeds, the time and the memory to expect.
    """

    def __init__(self, lesson: str, scale: str = "laptop", device: str = "auto", seed: int = 0) -> None:
        self.lesson = load_lesson(lesson)
        self.config: Config = importlib.import_module(f"{PACKAGE}.{lesson}.experiment").Config.at(scale)
        self.seed = check_seed(seed)
        self.seeds = list(range(self.seed, self.seed + self.config.seeds))
        self.device = resolve_device(device)
        self.threads = set_threads(scale)
        self.record = load_record(lesson)
        self._source = source_hash(lesson, "study")
        self._judged: dict[str, Judgement] = {}
        self._checked: dict[str, bool] = {}
        repeatable()
        set_seed(self.seed)
        use_style()
        self._announce()

    # ---------------------------------------------------------------- measuring and judging

    def measure(self, experiment: Experiment) -> list[Measurement]:
        """Run the experiment once a seed, with a progress bar; all measurements in one list."""
        rows: list[Measurement] = []
        for seed in display.progress(self.seeds, "seeds done", len(self.seeds)):
            set_seed(seed)
            rows += experiment(self.config, seed, self.device)
        return rows

    def claim(self, id: str, measurements: Iterable[Measurement]) -> None:
        """Judge a claim on this run; show the numbers beside those of the recorded run and the usual range."""
        claim = self.lesson.claim(id)
        judgement = self._judged[id] = judge(claim, measurements, self.config.scale)
        recorded = self._recorded(claim)
        then = recorded.findings if recorded else [None] * len(judgement.findings)
        usual = [self._usual(claim, c, len(self.seeds)) for c in claim.comparisons()]
        rows = [
            report.claim_row(*row, shared=report.shared(claim))
            for row in zip(judgement.findings, then, usual, strict=True)
        ]
        note = f"Differences in {claim.unit}, positive where they favour the claim; {len(self.seeds)} seeds here"
        note += f"{self._record_note(claim)} Why this bound: {claim.why.rstrip('.')}."
        self._publish(judgement.as_dict())
        data = {"lesson": self.lesson.name, **judgement.as_dict()}
        display.show_table(report.CLAIM_HEADER, rows, f"{id}: {claim.statement}{report.place(claim)}", note, data)

    def check(self, id: str, error: Any) -> None:
        """An exact check: the largest absolute `error` must stay below the check's tolerance."""
        check = self.lesson.check(id)
        worst = float(np.abs(np.asarray(error, dtype=float)).max())
        passed = self._checked[id] = bool(worst < check.tolerance)
        self._publish(
            {"claim": id, "scale": self.config.scale, "verdict": "holds" if passed else "fails", "findings": []}
        )
        print(f"{id}  {check.statement}\n    max error < {check.tolerance:g}: {passed}")

    def scoreboard(self) -> None:
        """This lesson's verdicts (no measured number), its deviations from the paper, and the record's origin."""
        rows = [
            [c.id, c.statement, f"error < {c.tolerance:g}", report.passed(self._checked.get(c.id)), "exact"]
            for c in self.lesson.checks
        ]
        for claim in self.lesson.claims:
            recorded, live = self._recorded(claim), self._judged.get(claim.id)
            marks = [report.mark(claim, judgement) for judgement in (live, recorded)]
            rows.append([claim.id, claim.statement, report.bound(claim), *marks])
        header = ["id", "claim", "bound", "this run", "recorded run"]
        display.show_table(header, rows, f"{self.lesson.title}: the verdicts", self._provenance())
        display.show_table(["how this lesson differs from the paper"], [[text] for text in self.lesson.deviations])

    def recorded(self, run: str = "study") -> list[Measurement]:
        """The measurements of a recorded run of this lesson."""
        if run not in self.record.runs:
            raise CompanionError(
                f"There is no recorded run {run!r}; there are {', '.join(self.record.runs) or 'none'}."
            )
        return list(self.record.runs[run].measurements)

    # ---------------------------------------------------------------- showing

    def show(self, figure: Figure, alt: str, caption: str = "") -> None:
        """Display a figure; `alt` is a sentence that says what the picture shows."""
        show(figure, alt, caption)

    def source(self, *objects: Callable[..., Any] | type) -> None:
        """Show functions or classes of the package as they stand there."""
        for obj in objects:
            display.show_source(obj)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> None:
        """Display a small table; numbers should come already formatted."""
        display.show_table(header, [[str(cell) for cell in row] for row in rows], caption)

    def play(self, draw: Callable[..., Figure], alt: str, **controls: Sequence[Any]) -> Play:
        """Controls and a picture that follows them; see `companion.lab.widgets.Play`."""
        return Play(draw, alt, **controls)

    def exercise(self, id: str) -> ExerciseDesk:
        """An exercise of this lesson: `.check(answer)`, `.hint()`, `.solution()`."""
        exercises = importlib.import_module(f"{PACKAGE}.{self.lesson.name}.exercises").EXERCISES
        found = [exercise for exercise in exercises if exercise.id == id]
        if not found:
            raise CompanionError(
                f"There is no exercise {id!r} here; choose one of {', '.join(e.id for e in exercises)}."
            )
        return ExerciseDesk(found[0])

    # ---------------------------------------------------------------- inside

    def _announce(self) -> None:
        budget, config = self.lesson.budget, self.config
        seconds = {"ci": budget.ci_cpu_s, "laptop": budget.laptop_cpu_s, "study": budget.study_cpu_s}.get(config.scale)
        cost = f"about {seconds} CPU seconds" if seconds else "hours; see the section At scale"
        rows = [["scale", config.scale], ["seeds", ", ".join(map(str, self.seeds))], ["device", str(self.device)]]
        rows += [
            ["threads", str(self.threads)],
            ["expected time", cost],
            ["expected memory", f"below {budget.memory_mb} MB"],
        ]
        sizes = [
            [name.replace("_", " "), _value(value)]
            for name, value in config.as_dict().items()
            if name not in ("scale", "seeds")
        ]
        title, advice = f"{self.lesson.title}, as configured", memory_advice(budget.memory_mb)
        display.show_table(["setting", "value"], rows, title, advice, folded=sizes)

    def _recorded(self, claim: Claim) -> Judgement | None:
        run = self.record.runs.get("study")
        return judge(claim, run.measurements, "study") if run else None

    def _record_note(self, claim: Claim) -> str:
        run = self.record.runs.get("study")
        if not run:
            return "; no recorded run yet."
        stale = "" if self.record.fresh("study", self._source) else " (STALE: the code has changed since)"
        return f", {len(run.seeds)} in the recorded run{stale}."

    def _usual(self, claim: Claim, comparison: Comparison, n: int) -> tuple[float, float] | None:
        """The usual range at this scale, from recorded seeds that this run does not use."""
        run = self.record.runs.get(self.config.scale)
        others = [m for m in run.measurements if m.seed not in self.seeds] if run else []
        if len({m.seed for m in others}) < report.FEWEST_FOR_RANGE:
            return None
        return usual_range(differences(claim, comparison, others), n)

    def _provenance(self) -> str:
        run = self.record.runs.get("study")
        if not run:
            return "No recorded run yet."
        stamp = run.stamp
        state = "made by this code" if self.record.fresh("study", self._source) else "STALE: the code has changed since"
        cost = f"{len(run.seeds)} seeds, {stamp['cpu_seconds']} CPU seconds, torch {stamp['versions']['torch']}"
        return f"Recorded run: {stamp['date']}, {cost}; {state}."

    def _publish(self, result: dict[str, Any]) -> None:
        """Append a result to the folder that COMPANION_RESULTS names, if it does: how the tests read a fresh run."""
        folder = os.environ.get(RESULTS_FOLDER)
        if folder:
            with (Path(folder) / f"{self.lesson.name}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")


class ExerciseDesk:
    """What a learner does with one exercise."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise
        self._hints = iter(exercise.hints)

    def check(self, answer: Any) -> None:
        """Print "not attempted", "not yet: because ...", or "right"."""
        outcome: Outcome = examine(self._exercise, answer)
        print(f"{self._exercise.id}  {outcome}")

    def hint(self) -> None:
        """Print the next hint."""
        print(next(self._hints, "That was the last hint; `.solution()` shows a solution."))

    def solution(self) -> None:
        """Print the reference solution."""
        print(solution_text(self._exercise))


def memory_advice(needed_mb: int) -> str:
    """A warning where a memory limit (Binder, a hub) leaves less than the lesson needs."""
    import psutil

    limit = int(os.environ.get("MEM_LIMIT") or 0)
    free_mb = ((limit or psutil.virtual_memory().total) - psutil.Process().memory_info().rss) // 2**20
    if free_mb >= needed_mb:
        return ""
    return f"{free_mb} MB are free and the lesson may need {needed_mb} MB: shut down other kernels before you go on."


def _value(value: Any) -> str:
    """A setting as a reader would write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, tuple | list):
        nested = any(isinstance(part, dict | tuple | list) for part in value)
        return ("; " if nested else ", ").join(map(_value, value))
    return str(value)
