"""The command line: `python -m companion COMMAND`. What each command does is in the module of its name."""

from __future__ import annotations

import sys
from typing import Any

import click

import companion
from companion.errors import CompanionError

INTERRUPTED = 130
HELP = {"help_option_names": ["-h", "--help"]}


class SeedType(click.ParamType):
    """A whole number of at least 0."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a seed; use a whole number, 0 or larger.", param, ctx)
        return int(value)


SEED = SeedType()
JOBS = click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="How many to run side by side."
)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; whatever the user got wrong ends in one sentence and a non-zero exit."""
    try:
        sys.exit(cli.main(arguments, prog_name="companion", standalone_mode=False) or 0)
    except click.ClickException as error:
        _end(error.format_message(), error.exit_code)
    except CompanionError as error:
        _end(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        _end("Stopped. What had finished is kept.", INTERRUPTED)


def _end(sentence: str, code: int) -> None:
    click.echo(sentence, err=True)
    sys.exit(code)


@click.group(context_settings=HELP)
@click.version_option(companion.__version__)
def cli() -> None:
    """Ten papers, ten notebooks, every claim checked."""


@cli.command()
@click.argument("lessons", nargs=-1, required=True)
@click.option("--scale", help="ci, laptop, study or paper.  [default: study, laptop, ci in turn]")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds.  [default: 10 or more; fewer at ci]")
@click.option("--device", default="cpu", show_default=True, help="Where to run.")
@click.option("--harmless", metavar="REASON", help="Measure nothing; declare that the code's change moves no number.")
@JOBS
def record(
    lessons: tuple[str, ...], scale: str | None, seeds: int | None, device: str, harmless: str | None, jobs: int
) -> None:
    """Make the recorded evidence of LESSONS (their record.json) from many seeds.

    A run that was cut goes on where it was cut.
    """
    from companion.course import records, syllabus

    for lesson in syllabus.choose(lessons):
        if harmless is not None:
            stale = records.declare_harmless(lesson.name, harmless)
            click.echo(f"{lesson.name}: declared harmless for {', '.join(stale) or 'nothing, the record is fresh'}.")
            continue
        for each in [scale] if scale else ["study", "laptop", "ci"]:
            run = records.record(lesson.name, each, seeds, jobs, device)
            click.echo(f"{lesson.name} at {each}: {len(run.seeds)} seeds, {run.stamp['cpu_seconds']} CPU seconds.")
