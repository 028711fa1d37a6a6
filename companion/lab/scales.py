"""Scales: one experiment in four sizes. Only a lesson's Config knows what a scale means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from companion.errors import CompanionError

SCALES = ("ci", "laptop", "study", "paper")


@dataclass(frozen=True)
class Config:
    """Every size and step count of a lesson; the defaults are those of the laptop scale.

    A lesson inherits, adds its fields and says in `SIZES` what each other scale changes.
    """

    scale: str = "laptop"
    seeds: int = 3

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def at(cls, scale: str) -> Self:
        """The configuration of one scale: "ci", "laptop", "study" or "paper"."""
        if scale not in SCALES:
            raise CompanionError(f"scale = {scale!r} is not a scale of this course; use one of {', '.join(SCALES)}.")
        return cls(scale=scale, **cls.SIZES.get(scale, {}))

    def as_dict(self) -> dict[str, Any]:
        """Field name -> value, in the order of definition; nested dataclasses become dictionaries."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """A run that can be recorded: what to run, with which configuration, on which seeds.

    A room's `FURTHER: dict[str, Plan]` names the runs that are recorded beside the scales, such as the choice of
    recipes on seeds of its own, or real data.
    """

    experiment: Callable[..., Any]
    config: Config
    first_seed: int = 0
