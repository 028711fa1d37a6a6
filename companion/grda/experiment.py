"""The experiment: every method on a random draw of DG-15 (or other data), and methods on toy domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from companion.grda import training
from companion.grda.data import TOY, draw_toy, load_dg
from companion.grda.evaluation import accuracy_by_domain, domain_groups, over_starts
from companion.grda.method import AdversarialConfig
from companion.grda.training import (
    ADDA,
    CDANN,
    DANN,
    GRDA,
    GRDA_INDEPENDENT,
    GRDA_PERMUTED,
    GRDA_SHUFFLED,
    GRDA_SYNCHRONIZED,
    METHODS,
    SELF_TRAINING,
    SOURCE,
    SOURCE_NO_Z,
    TOY_METHODS,
    TOY_TUNED,
    VARIANTS,
)
from companion.lab.config import BaseConfig
from companion.lab.evidence import Measurement

TAIL, WRONG_GRAPH = "triangle with tail", "triangle with tail, wrong graph"
TOYS = {TAIL: (DANN, GRDA), WRONG_GRAPH: (GRDA,)}
LAPTOP_METHODS = (SOURCE, DANN, GRDA_SYNCHRONIZED, GRDA_SHUFFLED, GRDA_INDEPENDENT, SELF_TRAINING)
LR = {
    SOURCE: 3e-4, SOURCE_NO_Z: 3e-4, DANN: 1e-3, CDANN: 1e-3, ADDA: 1e-3, GRDA_SYNCHRONIZED: 3e-3, GRDA_SHUFFLED: 1e-3,
    GRDA_INDEPENDENT: 1e-3, GRDA_PERMUTED: 3e-3,
}  # fmt: skip
LAM = {
    DANN: 2.0, CDANN: 8.0, ADDA: 8.0, GRDA_SYNCHRONIZED: 2.0, GRDA_SHUFFLED: 8.0, GRDA_INDEPENDENT: 8.0,
    GRDA_PERMUTED: 2.0,
}  # fmt: skip


@dataclass(frozen=True)
class Config(BaseConfig):
    """All sizes of the lesson. Learning rates and lambda were tuned on other seeds (see `studies.tune`)."""

    seeds: int = 6  # how many seeds are run
    data: str = "DG-15"  # a DG dataset, or "published DG-15"
    methods: tuple[str, ...] = LAPTOP_METHODS  # methods compared
    hidden_dim: int = 32  # hidden units per layer
    embed_dim: int = 2  # dimensions of the domain embedding
    embed_steps: int = 300  # optimizer steps of the domain embedding
    epochs: int = 40  # passes over the data
    batch_size: int = 20  # samples per domain and step
    half_life: float = 25.0  # epochs in which the learning rate halves
    amp: bool = False  # bfloat16 autocast
    lr: dict[str, float] = field(default_factory=lambda: dict(LR))  # learning rate
    lam: dict[str, float] = field(default_factory=lambda: dict(LAM))  # weight of the discriminator's loss
    toy_methods: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(TOYS))  # toy domains: methods
    toy_samples: int = 200  # samples per toy domain
    toy_hidden_dim: int = 32  # hidden units per layer on toy domains
    toy_epochs: int = 60  # passes over the data on toy domains
    toy_batch_size: int = 40  # samples per toy domain and step
    toy_half_life: float = 30.0  # epochs in which the learning rate halves on toy domains
    toy_rounds: int = 3  # rounds of self-training on toy domains

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ci": {
            "seeds": 2, "hidden_dim": 16, "embed_steps": 50, "epochs": 3, "half_life": 2.0, "toy_samples": 40,
            "toy_epochs": 2, "toy_methods": {TAIL: TOY_METHODS, WRONG_GRAPH: (GRDA,)},
        },
        "study": {"seeds": 10, "methods": METHODS, "toy_methods": {TAIL: TOY_METHODS, WRONG_GRAPH: (GRDA,)}},
        "paper": {
            "seeds": 10, "methods": METHODS, "hidden_dim": 512, "epochs": 500, "batch_size": 10, "half_life": 100.0,
            "lr": dict.fromkeys(VARIANTS, 1e-4),
            "lam": {name: 15.0 if variant.pairing else 1.0 for name, variant in VARIANTS.items()},
        },
    }  # fmt: skip
    # few epochs, but as many as move the accuracies off their first values
    REDUCED: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        scale: {
            "hidden_dim": 32, "embed_steps": 50, "epochs": epochs, "batch_size": 10, "half_life": 4.0,
            "toy_samples": 120, "toy_epochs": 2,
        }
        for scale, epochs in (("ci", 8), ("study", 10))
    }  # fmt: skip

    def train_config(self, method: str) -> AdversarialConfig:
        """How a method is trained on the data of the configuration."""
        return AdversarialConfig(
            self.lr.get(method, 0.0), lam=self.lam.get(method, 0.0), batch_size=self.batch_size, epochs=self.epochs,
            half_life=self.half_life, amp=self.amp, hidden_dim=self.hidden_dim, embed_dim=self.embed_dim,
            embed_steps=self.embed_steps,
        )  # fmt: skip

    def toy_config(self, toy: str, method: str) -> AdversarialConfig:
        """How a method is trained on toy domains."""
        tuned = TOY_TUNED[toy][method]
        return AdversarialConfig(
            tuned.lr, lam=tuned.lam, batch_size=self.toy_batch_size, epochs=self.toy_epochs,
            half_life=self.toy_half_life, hidden_dim=self.toy_hidden_dim,
        )  # fmt: skip


def experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Train every method on this seed's domains; accuracy on sources, targets, and thirds of the targets; then toys."""
    domains, measurements = load_dg(config.data, seed).to(device), []
    groups = domain_groups(domains)
    for method in config.methods:
        predicted = training.predictions(domains, method, config.train_config(method), seed)
        accuracy = accuracy_by_domain(domains, predicted)
        measurements += [
            Measurement("accuracy", method, group, seed, float(accuracy[indices].mean()))
            for group, indices in groups.items()
        ]
    return measurements + toy_experiment(config, seed, device)


def toy_experiment(config: Config, seed: int, device: torch.device) -> list[Measurement]:
    """Accuracy of the methods on toy domains, and of self-training along the graph; small enough for the CPU."""
    measurements = []
    for name, methods in config.toy_methods.items():
        domains = draw_toy(TOY[name], config.toy_samples, seed)
        for method in methods:
            outcomes = training.train_toy(TOY[name], domains, method, config.toy_config(name, method), seed)
            measurements += over_starts(method, name, seed, outcomes)
        self_trained = training.self_train_toy(TOY[name], domains, config.toy_rounds)
        measurements += over_starts(SELF_TRAINING, name, seed, self_trained)
    return measurements
