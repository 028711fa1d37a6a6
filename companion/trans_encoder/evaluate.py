"""How good scores of pairs are: rank correlation with graded gold, and the area under the ROC curve for yes or no."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor

from companion.errors import CompanionError

Numbers = Tensor | np.ndarray


def correlation(scores: Numbers, gold: Numbers) -> float:
    """Spearman's rank correlation of scores (n,) with gold (n,), times 100: the paper's Table 1.

    Raises CompanionError if the lengths differ, there are fewer than two pairs, or one side never varies.
    """
    found, wanted = _beside(scores, gold)
    if np.ptp(found) == 0 or np.ptp(wanted) == 0:
        raise CompanionError("scores or gold are the same for every pair; a constant has no ranks to compare.")
    return 100 * float(spearmanr(found, wanted).statistic)


def auc(scores: Numbers, same: Numbers) -> float:
    """How often a pair that is the same (1) is scored above one that is not (0), ties by half, times 100: Table 2.

    scores and same: (n,). Raises CompanionError if lengths differ, or `same` lacks one of its two values.
    """
    found, wanted = _beside(scores, same)
    if set(wanted.tolist()) != {0, 1}:
        raise CompanionError(f"same holds {sorted(set(wanted.tolist()))[:4]}; it needs both 0 and 1, and nothing else.")
    return 100 * float(roc_auc_score(wanted, found))


def _beside(scores: Numbers, gold: Numbers) -> tuple[np.ndarray, np.ndarray]:
    found, wanted = np.asarray(scores, np.float64), np.asarray(gold, np.float64)
    if found.ndim != 1 or found.shape != wanted.shape or len(found) < 2:
        raise CompanionError(
            f"scores have shape {found.shape} and gold {wanted.shape}; both must be (n,), two pairs or more."
        )
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        raise CompanionError("scores or gold hold values that are not finite; look where training went wrong.")
    return found, wanted
