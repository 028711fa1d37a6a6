"""Scales: only a Config knows what one means."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from companion.errors import CompanionError
from companion.lab.config import SCALES, Config


@dataclass(frozen=True)
class Tiny(Config):
    steps: int = 10
    SIZES: ClassVar = {"ci": {"seeds": 1, "steps": 2}}


def test_a_scale_changes_what_it_says_and_nothing_else():
    assert Tiny.at("laptop") == Tiny()
    assert Tiny.at("ci").as_dict() == {"scale": "ci", "seeds": 1, "steps": 2}
    assert [Tiny.at(scale).scale for scale in SCALES] == list(SCALES)


@pytest.mark.parametrize("scale", ["huge", "", "CI"])
def test_unknown_scale_names_the_known_ones(scale):
    with pytest.raises(CompanionError, match="ci, laptop, study, paper"):
        Tiny.at(scale)
