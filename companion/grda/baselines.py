"""What GRDA is measured against: discriminators that treat all domains alike, and a walk through the same graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from companion.grda.method import Game, Training, batches, fit

# ---------------------------------------------------------------- uniform alignment


class DomainCritic(nn.Module):
    """DANN: from e alone, which of the V domains is it? All p(e | u) become the same (Ganin et al., 2016)."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, e: Tensor, scores: Tensor) -> Tensor:
        """e (V, b, h) -> the mean cross-entropy of the domain's number."""
        guess = self.discriminator(self.sees(e, scores))
        truth = torch.arange(len(e), device=e.device).repeat_interleave(e.shape[1])
        return functional.cross_entropy(guess.flatten(0, 1), truth)

    def sees(self, e: Tensor, scores: Tensor) -> Tensor:
        """What the discriminator is shown."""
        return e


class ConditionalCritic(DomainCritic):
    """CDANN: the same, but shown the predicted class as well: p(e | u, class) become the same (Li et al., 2018)."""

    def sees(self, e: Tensor, scores: Tensor) -> Tensor:
        """e with the predicted probabilities, (V, b, h + classes); no gradient runs through the latter."""
        return torch.cat([e, scores.detach().softmax(-1)], dim=-1)


def fit_adda(
    game: Game, critic: nn.Module, x: Tensor, y: Tensor, training: Training, share: float, generator: torch.Generator
) -> Iterator[int]:
    """ADDA: half of the epochs on the sources alone; then a copy of E learns to make targets look like sources.

    The critic's output (V, b, 1) says "source?"; `share` is the copy's learning rate against the critic's. Inference
    is with the copy (Tzeng et al., 2017).
    """
    half = Training(training.epochs // 2, training.batch, training.lr, training.half_life / 2)
    yield from fit(game, x, y, half, False, generator)
    teacher, game.encoder = game.encoder, copy.deepcopy(game.encoder)
    players = [list(game.encoder.parameters()), list(critic.parameters())]
    pupil, judge = (
        torch.optim.Adam(p, lr, fused=True) for p, lr in zip(players, (training.lr * share, training.lr), strict=True)
    )
    domains = torch.arange(len(x), device=x.device).unsqueeze(1)
    for epoch in range(half.epochs, training.epochs):
        for rows in batches(len(y), y.shape[1], training.batch, False, generator):
            part = x[domains, rows.to(x.device)]
            with torch.no_grad():
                real = critic_input(teacher, game, part, game.sources)
            fake = critic_input(game.encoder, game, part, ~game.sources)
            _set(players[1], torch.autograd.grad(_told_apart(critic, real, fake), players[1], retain_graph=True))
            _set(players[0], torch.autograd.grad(functional.softplus(-critic(fake)).mean(), players[0]))
            judge.step()
            pupil.step()
        yield epoch + 1


def critic_input(encoder: nn.Module, game: Game, x: Tensor, which: Tensor) -> Tensor:
    """The encodings (W, b, h) of the domains in `which` (V,) bool."""
    return encoder(x[which], game.z[which])


def _told_apart(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return functional.softplus(-critic(real)).mean() + functional.softplus(critic(fake)).mean()


def _set(player: list[nn.Parameter], slopes: tuple[Tensor, ...]) -> None:
    for parameter, slope in zip(player, slopes, strict=True):
        parameter.grad = slope


# ---------------------------------------------------------------- the graph without a game


def self_training(
    x: np.ndarray, y: np.ndarray, adjacency: np.ndarray, sources: np.ndarray, rounds: int
) -> tuple[np.ndarray, list[int]]:
    """Walk from the sources through the graph: a linear classifier learns a domain from its neighbours' guesses.

    x (V, n, m), y (V, n) of which only the sources' rows are read, adjacency (V, V), sources (V,) bool. The next domain
    is the one with most neighbours already labelled; its classifier learns their labels or guesses, guesses its own
    domain, and learns those guesses too, `rounds` times. Returns all guesses (V, n) and the order of the walk.
    """
    guesses, known, walk = np.where(sources[:, None], y, -1), sources.copy(), []
    while not known.all():
        votes = np.where(known, -1, adjacency[:, known].sum(1))
        domain = int(votes.argmax())
        near = np.flatnonzero(known & (adjacency[domain] > 0)) if votes[domain] else np.flatnonzero(known)
        guesses[domain] = _adapted(x[near], guesses[near], x[domain], rounds)
        known[domain] = True
        walk.append(domain)
    return guesses, walk


def _adapted(x_near: np.ndarray, y_near: np.ndarray, x_own: np.ndarray, rounds: int) -> np.ndarray:
    x, y = x_near.reshape(-1, x_near.shape[-1]), y_near.ravel()
    guess = LogisticRegression().fit(x, y).predict(x_own)
    for _ in range(rounds):
        if len(np.unique(guess)) > 1:
            guess = LogisticRegression().fit(x_own, guess).predict(x_own)
    return guess
