"""Configuration: four scales, comments beside the values, and overrides that are checked."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from companion.errors import CompanionError
from companion.lab.config import SCALES, BaseConfig, Study, TrainConfig, settings_rows


@dataclass(frozen=True)
class Tiny(BaseConfig):
    steps: int = 10  # optimizer steps
    sizes: tuple[int, ...] = (
        1,
        2,
    )  # hidden sizes
    train: dict[str, TrainConfig] = field(default_factory=lambda: {"GCN": TrainConfig(lr=0.1, epochs=2)})  # by method
    SIZES: ClassVar = {"ci": {"seeds": 1, "steps": 2, "train.GCN.epochs": 1}}


def test_a_scale_changes_what_it_says_and_nothing_else():
    assert Tiny.at("laptop") == Tiny()
    changed = {name: value for name, value in vars(Tiny.at("ci")).items() if value != getattr(Tiny(), name)}
    assert changed == {"scale": "ci", "seeds": 1, "steps": 2, "train": {"GCN": TrainConfig(lr=0.1, epochs=1)}}
    assert [Tiny.at(scale).scale for scale in SCALES] == list(SCALES)


@pytest.mark.parametrize("scale", ["huge", "", "CI"])
def test_an_unknown_scale_names_the_known_ones(scale):
    with pytest.raises(CompanionError, match="ci, laptop, study, paper"):
        Tiny.at(scale)


def test_comments_are_read_from_the_source_over_all_classes():
    assert Tiny.comments() == {
        "scale": '"ci", "laptop", "study" or "paper"', "seeds": "how many seeds are run",
        "steps": "optimizer steps", "sizes": "hidden sizes", "train": "by method",
    }  # fmt: skip


def test_an_override_reaches_into_a_field_and_leaves_the_original():
    config = Tiny()
    changed = config.override(steps=3, **{"train.GCN.lr": 0.5})
    assert (changed.steps, changed.train["GCN"]) == (3, TrainConfig(lr=0.5, epochs=2))
    assert (config.steps, config.train["GCN"].lr) == (10, 0.1)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("stepps", 1, "no setting 'stepps'.*steps"),
        ("lr", 0.5, "not among scale, seeds, steps, sizes, train. Did you mean 'train.GCN.lr'"),
        ("train.GAT.lr", 0.1, "'GAT' is not among GCN"),
        ("train.GCN.rate", 0.1, "'rate' is not among lr"),
        ("steps.more", 1, "steps is 10 and has no fields"),
        ("steps", "many", "steps = 'many' does not fit: the setting is 10, of type int"),
        ("steps", True, "does not fit"),
        ("sizes", 3, "does not fit"),
        ("train.GCN.optimizer", 1, "does not fit"),
        ("train", 1, "does not fit"),
    ],
)
def test_what_does_not_exist_or_fit_is_named(name, value, says):
    with pytest.raises(CompanionError, match=says):
        Tiny().override(**{name: value})


def test_a_study_at_reduced_size_has_one_seed_and_the_cut_fields():
    study = Study(len, Tiny(), first_seed=100, reduced={"steps": 1})
    small = study.at_reduced_size()
    assert (small.config.seeds, small.config.steps, small.first_seed, small.reduced) == (1, 1, 100, {})


def test_the_settings_table_has_a_name_a_value_and_a_meaning_and_no_bare_tuple():
    rows = settings_rows(Tiny())
    assert rows == [
        ["steps", "10", "optimizer steps"],
        ["sizes", "1, 2", "hidden sizes"],
        ["train.GCN.lr", "0.1", "learning rate"],
        ["train.GCN.epochs", "2", "passes over the data; 0: count steps instead"],
    ]
