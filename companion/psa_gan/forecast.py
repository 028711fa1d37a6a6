"""Are made series of use? A linear forecaster trained on them, or helped by them, and tested on real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor

DAY = 24
PENALTIES = tuple(np.logspace(-3, 2, 11).tolist())


def halves(x: Tensor, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """What is known and what is to be told, (n, l - horizon) and (n, horizon), of windows (n, l)."""
    known, future = x.double().cpu().numpy()[:, :-horizon], x.double().cpu().numpy()[:, -horizon:]
    return known, future


def ridge_error(training: Tensor, test: Tensor, horizon: int) -> float:
    """Error of a ridge regression (its penalty by leave-one-out) trained and tested on windows (n, l), (m, l)."""
    model = RidgeCV(PENALTIES).fit(*halves(training, horizon))
    known, future = halves(test, horizon)
    return normed_error(model.predict(known), future)


def seasonal_naive_error(test: Tensor, horizon: int) -> float:
    """Error of saying "as yesterday at this hour"."""
    known, future = halves(test, horizon)
    if known.shape[1] < DAY or horizon > DAY:
        raise ValueError(f"horizon = {horizon} leaves {known.shape[1]} known hours; a day must be known.")
    return normed_error(known[:, -DAY:][:, :horizon], future)


def normed_error(said: np.ndarray, true: np.ndarray) -> float:
    """NRMSE in per cent: root mean square error over the mean of the true values."""
    return float(100 * np.sqrt(((said - true) ** 2).mean()) / true.mean())


def augmented(few: Sequence[Tensor], made: Mapping[str, Tensor], test: Tensor, horizon: int) -> dict[str, float]:
    """Mean error over the draws in `few` of training on those windows alone, and on them with each of `made`."""
    errors = {"alone": [ridge_error(own, test, horizon) for own in few]}
    for name, extra in made.items():
        errors[name] = [ridge_error(torch.cat([own, extra]), test, horizon) for own in few]
    return {name: float(np.mean(found)) for name, found in errors.items()}
