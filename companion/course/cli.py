"""The command line: `python -m companion COMMAND`. What each command does is in the module of its name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

import companion
from companion.errors import CompanionError

INTERRUPTED = 130
BENCHMARK = "docs/benchmark.md"


class SeedType(click.ParamType):
    """A whole number of at least 0."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or one sentence."""
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a seed; use a whole number, 0 or larger.", param, ctx)
        return int(value)


SEED = click.option("--seed", type=SeedType(), default=0, show_default=True, help="First seed.")
JOBS = click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="How many side by side.")
NOTEBOOKS = click.option("--notebooks", type=click.Path(path_type=Path), help="Folder of the notebooks.")
LESSONS = click.argument("lessons", nargs=-1)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; whatever the user got wrong ends in one sentence and a non-zero exit."""
    try:
        code = cli.main(arguments, prog_name="companion", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        _end(error.format_message(), error.exit_code)
    except click.ClickException as error:
        _end(f"{error.format_message().rstrip('.')}; `python -m companion --help` tells more.", error.exit_code)
    except CompanionError as error:
        _end(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        _end("Stopped. What had finished is kept.", INTERRUPTED)
    except OSError as error:
        _end(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.", 1)
    sys.exit(code)


def _end(sentence: str, code: int) -> None:
    click.echo(sentence, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(companion.__version__)
def cli() -> None:
    """Ten papers, ten notebooks, every claim checked."""


# -------------------------------------------------------------------- running and judging


@cli.command()
@LESSONS
@click.option("--all", "everything", is_flag=True, help="Every notebook there is.")
@click.option("--scale", default="laptop", show_default=True, help="ci, laptop, study or paper.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@SEED
@JOBS
@NOTEBOOKS
def run(
    lessons: tuple[str, ...], everything: bool, scale: str, device: str, seed: int, jobs: int, notebooks: Path | None
) -> int:
    """Execute the notebooks of LESSONS into build/executed/SCALE/ and print what they cost and found.

    A lesson is named by its name, its number or its notebook; 0 is the first page. A notebook that fails is kept
    with its traceback, and the others still run.
    """
    from companion.course import runner
    from companion.course.lessons import notebooks_folder

    if bool(lessons) == everything:
        raise CompanionError("Name the lessons to run, or say --all, and not both.")
    outcomes = runner.run(runner.pick(lessons, notebooks_folder(notebooks)), scale, device, seed, jobs)
    runner.show(outcomes, scale)
    return _exit_code({outcome.status for outcome in outcomes})


def _exit_code(statuses: set[str]) -> int:
    return INTERRUPTED if "stopped" in statuses else 1 if "failed" in statuses else 0


@cli.command()
@click.option("--run", "scale", help="Read build/executed/SCALE/, the last run, instead of the committed notebooks.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@NOTEBOOKS
def scoreboard(scale: str | None, markdown: bool, notebooks: Path | None) -> None:
    """Every claim with its verdict in the executed notebooks and in the recorded runs. Runs nothing."""
    from companion.course import scoreboard as board
    from companion.course.lessons import build_folder, notebooks_folder

    folder = notebooks_folder(build_folder() / "executed" / scale if scale else notebooks)
    rows = board.rows(folder)
    if markdown:
        click.echo(board.markdown(rows))
    else:
        board.show(rows)


@cli.command()
@NOTEBOOKS
def pages(notebooks: Path | None) -> None:
    """Renew the pages made from data: docs/ (scoreboard, promises, glossary, notation) and the README's picture."""
    from companion.course import pages as made
    from companion.course.lessons import notebooks_folder, repository

    renewed = made.write(notebooks_folder(notebooks))
    for path in renewed:
        click.echo(f"{path.relative_to(repository())}: renewed.")
    if not renewed:
        click.echo("Every page is as it should be.")


@cli.command()
@click.argument("lessons", nargs=-1, required=True)
@click.option("--scale", help="ci, laptop, study, paper or a further run of the lesson.  [default: all but paper]")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds.  [default: 10 or more; fewer at ci]")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--reduced", is_flag=True, help="Make only the reduced runs (one seed, seconds) that the tests repeat.")
@JOBS
def record(
    lessons: tuple[str, ...], scale: str | None, seeds: int | None, device: str, reduced: bool, jobs: int,
) -> None:
    """Make the recorded evidence of LESSONS (their record.json) from many seeds.

    A recording that was cut goes on where it was cut.
    """
    from companion.course import record as records, lessons as syllabus
    from companion.lab.records import studies_of

    for lesson in syllabus.select_lessons(lessons):
        if reduced:
            fresh = records.record_reduced(lesson.name, (scale,) if scale else ())
            for name, run in fresh.items():
                click.echo(f"{lesson.name}, {name}, reduced: {run.stamp['cpu_seconds']} CPU seconds.")
            continue
        for each in [scale] if scale else ["study", "laptop", "ci", *studies_of(lesson.name)]:
            made = records.record(lesson.name, each, seeds, jobs, device)
            click.echo(f"{lesson.name} at {each}: {len(made.seeds)} seeds, {made.stamp['cpu_seconds']} CPU seconds.")


@cli.command()
@click.option(
    "--threads", type=click.IntRange(1), multiple=True, default=(1, 2, 1), show_default=True,
    help="One run at laptop scale for each of these numbers of threads.",
)  # fmt: skip
@JOBS
@NOTEBOOKS
def bench(threads: tuple[int, ...], jobs: int, notebooks: Path | None) -> int:
    """Publish what every notebook costs, at ci and laptop scale, and whether its verdicts come back.

    The page is docs/benchmark.md; it is written after every whole run, so an hour that is cut is not lost.
    """
    from companion.course import bench as table
    from companion.course import runner
    from companion.course.lessons import notebooks_folder, repository, write_whole

    paths, runs = runner.pick((), notebooks_folder(notebooks)), []
    for scale, number in [("ci", 1), *(("laptop", number) for number in threads)]:
        runs.append(table.measure(paths, scale, number, jobs))
        if code := _exit_code({row.status for row in runs[-1].outcomes}):
            runner.show(runs[-1].outcomes, scale)
            return code
        page = table.markdown(runs, jobs)
        write_whole(repository() / BENCHMARK, page)
    click.echo(page)
    return 0


# -------------------------------------------------------------------- data and machine


@cli.group()
def data() -> None:
    """The data sets: what is there, fetch, verify."""


@data.command()
def status() -> None:
    """Which sets are cached, missing or damaged, and where."""
    from rich.console import Console
    from rich.table import Table

    from companion import data as store

    table = Table("set", "title", "size", "needed by", "state")
    for name, card in store.cards().items():
        table.add_row(name, card.title, card.size, card.tier, store.status(name))
    Console(markup=False, highlight=False).print(table)
    click.echo(f"The cache is {store.cache_dir()}; COMPANION_DATA moves it.")


@data.command()
@click.argument("names", nargs=-1)
def fetch(names: tuple[str, ...]) -> None:
    """Fetch the sets NAMES into the cache; without names, all that the lessons need."""
    from companion import data as store

    for name in names or [name for name, card in store.cards().items() if card.tier == "base"]:
        store.fetch(name, click.echo)
        click.echo(f"{name}: cached.")


@data.command()
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> int:
    """Check the hashes of the sets NAMES; without names, all that are there or that the lessons need."""
    from companion import data as store

    wanted = [n for n, card in store.cards().items() if card.tier == "base" or store.status(n) != "missing"]
    return max([_verify_one(name) for name in names or wanted], default=0)


def _verify_one(name: str) -> int:
    from companion import data as store

    try:
        store.verify(name)
    except CompanionError as error:
        click.echo(str(error), err=True)
        return 1
    click.echo(f"{name}: whole.")
    return 0


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, to send to whoever helps you.")
def doctor(as_json: bool) -> int:
    """Is this machine ready? Each problem with its remedy; exit 1 if there is one."""
    from dataclasses import asdict

    from companion.course.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    for finding in [] if as_json else findings:
        mark, remedy = ("PROBLEM", f" -> {finding.remedy}") if finding.remedy else ("ok", "")
        click.echo(f"{mark:8}{finding.subject}: {finding.state}{remedy}")
    return int(any(finding.remedy for finding in findings))


# -------------------------------------------------------------------- learners and maintainers


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--no-open", is_flag=True, help="Only copy; do not open JupyterLab.")
@NOTEBOOKS
def start(folder: Path, no_open: bool, notebooks: Path | None) -> int:
    """Copy the notebooks into FOLDER, your own, and open JupyterLab there. Your files are never overwritten."""
    from companion.course import start as begin
    from companion.course.lessons import notebooks_folder

    copied = begin.copy(notebooks_folder(notebooks), folder)
    click.echo(f"{folder}: {len(copied.new)} notebooks copied.")
    if copied.kept:
        click.echo(f"Left as they are, for they were there already: {', '.join(copied.kept)}.")
    return 0 if no_open else begin.open_lab(folder)


@cli.command()
@LESSONS
@NOTEBOOKS
def refresh(lessons: tuple[str, ...], notebooks: Path | None) -> None:
    """Run the notebooks of LESSONS (all, if none is named) and store their outputs, normalised."""
    from companion.course import refresh as renew
    from companion.course import runner
    from companion.course.lessons import notebooks_folder

    for path in runner.pick(lessons, notebooks_folder(notebooks)):
        click.echo(f"{path.name} ...")
        renew.refresh(path)
        click.echo(f"{path.name}: refreshed.")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@LESSONS
@NOTEBOOKS
def export(folder: Path, lessons: tuple[str, ...], notebooks: Path | None) -> None:
    """Write the notebooks of LESSONS (all, if none is named) as HTML pages into FOLDER."""
    from companion.course import export as pages
    from companion.course import runner
    from companion.course.lessons import notebooks_folder

    for page in pages.export(runner.pick(lessons, notebooks_folder(notebooks)), folder):
        click.echo(str(page))


@cli.command()
@click.option("--online", is_flag=True, help="Ask each address whether it answers; needs the network.")
@NOTEBOOKS
def links(online: bool, notebooks: Path | None) -> int:
    """Every link that leads out of the course, where it stands, and what is wrong with its form."""
    from companion.course import links as leads
    from companion.course.lessons import notebooks_folder

    found = leads.links(notebooks_folder(notebooks))
    wrong = {address: reason for address in found if (reason := leads.malformed(address))}
    if online:
        wrong |= leads.unanswered([address for address in found if address not in wrong])
    for address, places in found.items():
        click.echo(f"{address}  ({', '.join(places)})")
    for address, reason in wrong.items():
        click.echo(f"{address} {reason}; it stands in {', '.join(found[address])}.", err=True)
    return int(bool(wrong))
