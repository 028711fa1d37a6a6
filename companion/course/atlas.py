"""The map of the course: what each paper asks, which ideas return where, and the routes through it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from IPython.display import display

from companion.course import lessons as syllabus
from companion.course.scoreboard import markdown_table
from companion.lab import Lesson

FEWEST_LESSONS = 2
LESSONS_HEADER = ("no.", "lesson", "what it asks", "you should know", "to read", "to run", "memory")


@dataclass(frozen=True)
class Route:
    """A way through the course, and the most minutes of reading that it may ask for."""

    name: str
    title: str
    says: str
    minutes: int
    every: bool = False

    def lessons(self) -> list[Lesson]:
        """The lessons that it passes, in their order."""
        return [lesson for lesson in syllabus.lessons() if self.every or self.name in lesson.routes]


def routes() -> list[Route]:
    """The routes of `routes.toml`, the shortest first."""
    raw = tomllib.loads(Path(__file__).with_name("routes.toml").read_text("utf-8"))
    return sorted((Route(**route) for route in raw["routes"]), key=lambda route: route.minutes)


def ideas() -> dict[str, list[Lesson]]:
    """The ideas that return: idea -> the lessons that share it, two or more."""
    lessons = syllabus.lessons()
    names = dict.fromkeys(idea for lesson in lessons for idea in lesson.ideas)
    shared = {name: [lesson for lesson in lessons if name in lesson.ideas] for name in names}
    return {name: found for name, found in shared.items() if len(found) >= FEWEST_LESSONS}


def show_lessons() -> None:
    """Display what each lesson asks and costs, linked to its notebook."""
    rows = [
        [
            str(lesson.number),
            f"[{lesson.title}]({lesson.notebook})",
            lesson.summary,
            "; ".join(lesson.prerequisites),
            f"{lesson.budget.minutes} min",
            f"{lesson.budget.laptop_cpu_s} s",
            f"{lesson.budget.memory_mb} MB",
        ]
        for lesson in syllabus.lessons()
    ]
    show_markdown(markdown_table(LESSONS_HEADER, rows))


def show_ideas() -> None:
    """Display which idea returns in which lessons."""
    rows = [[f"**{idea}**", _linked(lessons)] for idea, lessons in sorted(ideas().items())]
    show_markdown(markdown_table(("an idea", "returns in"), rows))


def show_routes() -> None:
    """Display the routes, each with its lessons and the hours that reading them takes."""
    rows = [
        [f"**{route.title}**", _hours(route), route.says, _linked(route.lessons())]
        for route in routes()
        if route.lessons()
    ]
    show_markdown(markdown_table(("route", "to read", "how", "lessons"), rows))


def _hours(route: Route) -> str:
    hours = sum(lesson.budget.minutes for lesson in route.lessons()) / 60
    return f"{hours:.1f} hours"


def _linked(lessons: list[Lesson]) -> str:
    return ", ".join(f"[{lesson.number} {lesson.title.partition(':')[0]}]({lesson.notebook})" for lesson in lessons)


def show_markdown(text: str) -> None:
    """Display Markdown, whose links lead from notebook to notebook; the text itself where nothing renders it."""
    display({"text/markdown": text, "text/plain": text}, raw=True)
