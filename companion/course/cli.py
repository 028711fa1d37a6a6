"""The command line: `python -m companion COMMAND`. What each command does is in the module of its name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

import companion
from companion.errors import CompanionError

INTERRUPTED = 130
BENCHMARK = "docs/benchmark.md"

JOBS = click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="How many side by side.")
NOTEBOOKS = click.option("--notebooks", type=click.Path(path_type=Path), help="Folder of the notebooks.")
LESSONS = click.argument("names", metavar="LESSONS", nargs=-1)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every mistake of the user ends in one sentence and a non-zero exit."""
    try:
        code = cli.main(arguments, prog_name="companion", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        _end(error.format_message(), error.exit_code)
    except click.ClickException as error:
        _end(f"{error.format_message().rstrip('.')}; `python -m companion --help` tells more.", error.exit_code)
    except CompanionError as error:
        _end(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        _end("Stopped; everything that had finished was saved.", INTERRUPTED)
    except OSError as error:
        _end(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.", 1)
    sys.exit(code)


def _end(sentence: str, code: int) -> None:
    click.echo(sentence, err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(companion.__version__)
def cli() -> None:
    """Ten papers, ten notebooks, every claim tested."""


# -------------------------------------------------------------------- running and scoreboard


@cli.command()
@LESSONS
@click.option("--all", "everything", is_flag=True, help="Run every notebook.")
@click.option("--bench", is_flag=True, help=f"Run every notebook at ci and laptop scale and write {BENCHMARK}.")
@click.option("--scale", default="laptop", show_default=True, help="ci, laptop, study or paper.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="First seed.")
@click.option("--store-cost", is_flag=True, help="Write CPU seconds and memory into each lesson's record.json.")
@JOBS
@NOTEBOOKS
def run(
    names: tuple[str, ...], everything: bool, bench: bool, scale: str, device: str, seed: int, store_cost: bool,
    jobs: int, notebooks: Path | None,
) -> int:  # fmt: skip
    """Execute the notebooks of LESSONS into build/executed/SCALE/ and print their cost and their verdicts.

    A lesson is named by its name, its number or its notebook; 0 is the first page. A notebook that fails is written
    with its traceback, and the others still run.
    """
    from companion.course import lessons
    from companion.course import run as runs

    if bool(names) + everything + bench != 1:
        raise CompanionError("Name the lessons to run, or say --all, or --bench, and only one of these.")
    paths = runs.select_notebooks(names, lessons.notebooks_folder(notebooks))
    if bench:
        outcomes = runs.benchmark(paths, jobs, lessons.repository() / BENCHMARK)
    else:
        outcomes = runs.run(paths, scale, device, seed, jobs)
    runs.show(outcomes, scale)
    if store_cost:
        runs.store_costs(outcomes, scale)
    return runs.exit_code(outcomes)


@cli.command()
@click.option("--run", "scale", help="Read build/executed/SCALE/, the last run, instead of the committed notebooks.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@NOTEBOOKS
def scoreboard(scale: str | None, markdown: bool, notebooks: Path | None) -> None:
    """Show every claim with its verdict in the executed notebooks and in the stored results. Runs nothing."""
    from companion.course import lessons, pages
    from companion.course import scoreboard as board

    rows = board.rows(lessons.notebooks_folder(lessons.build_folder() / "executed" / scale if scale else notebooks))
    if markdown:
        click.echo(pages.claims_table(rows))
    else:
        board.show(rows)


@cli.command()
@click.argument("names", metavar="LESSONS", nargs=-1, required=True)
@click.option("--scale", help="ci, laptop, study, paper or another study of the lesson.  [default: all but paper]")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds.  [default: 10 or more; fewer at ci]")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--reduced", is_flag=True, help="Make only the reduced runs (one seed, seconds) that the tests repeat.")
@JOBS
def record(names: tuple[str, ...], scale: str | None, seeds: int | None, device: str, reduced: bool, jobs: int) -> None:
    """Run the studies of LESSONS over many seeds and store the results in their record.json.

    A run that was interrupted goes on where it stopped.
    """
    from companion.course import lessons
    from companion.course import record as records
    from companion.lab.records import studies_of

    for lesson in lessons.select_lessons(names):
        if reduced:
            for name, run in records.record_reduced(lesson.name, (scale,) if scale else ()).items():
                click.echo(f"{lesson.name}, {name}, reduced: {run.stamp['cpu_seconds']} CPU seconds.")
            continue
        for each in [scale] if scale else ["study", "laptop", "ci", *studies_of(lesson.name)]:
            made = records.record(lesson.name, each, seeds, jobs, device)
            click.echo(f"{lesson.name} at {each}: {len(made.seeds)} seeds, {made.stamp['cpu_seconds']} CPU seconds.")


# -------------------------------------------------------------------- data and machine


@cli.group()
def data() -> None:
    """List, fetch and verify the data sets."""


@data.command()
def status() -> None:
    """Show which sets are cached, missing or damaged, and where."""
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
    """Check the hashes of the sets NAMES; without names, all that are cached or that the lessons need."""
    from companion import data as store

    code = 0
    needed = [n for n, card in store.cards().items() if card.tier == "base" or store.status(n) != "missing"]
    for name in names or needed:
        try:
            store.verify(name)
            click.echo(f"{name}: complete.")
        except CompanionError as error:
            click.echo(str(error), err=True)
            code = 1
    return code


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, for a report of a problem.")
def doctor(as_json: bool) -> int:
    """Examine this machine and name a remedy for each problem; exit 1 if there is one."""
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
    from companion.course import lessons
    from companion.course import start as starting

    copied = starting.copy(lessons.notebooks_folder(notebooks), folder)
    click.echo(f"{folder}: {len(copied.new)} notebooks copied.")
    if copied.unchanged:
        click.echo(f"Left unchanged, since they were there already: {', '.join(copied.unchanged)}.")
    return 0 if no_open else starting.open_lab(folder)


@cli.command()
@LESSONS
@NOTEBOOKS
def refresh(names: tuple[str, ...], notebooks: Path | None) -> None:
    """Run the notebooks of LESSONS (all, if none is named) and store their outputs, normalized, and their cost."""
    from companion.course import lessons
    from companion.course import refresh as refreshing
    from companion.course.run import select_notebooks

    for path in select_notebooks(names, lessons.notebooks_folder(notebooks)):
        click.echo(f"{path.name} ...")
        refreshing.refresh(path)
        click.echo(f"{path.name}: refreshed.")


@cli.command()
@NOTEBOOKS
def pages(notebooks: Path | None) -> None:
    """Write the pages made from data: scoreboard, article and notation in docs/, two regions of the README."""
    from companion.course import lessons
    from companion.course import pages as writing

    written = writing.write(lessons.notebooks_folder(notebooks))
    for path in written:
        click.echo(f"{path.relative_to(lessons.repository())}: written.")
    if not written:
        click.echo("Every page is up to date.")
