"""DIVA (Dukler et al., ICLR 2022), in the paper's order: weighted ridge, leave-one-out, the derivative, its uses.

symbol       here                shape
Z            z                   (N, m), features of the last hidden layer
Y            y                   (N, k), one-hot classes
alpha        alpha               (N,), the weights of the examples, not negative
lambda       lam                 float, the strength of the penalty
C            Ridge.factor        (m, m), the Cholesky factor of C^-1 = Z' D Z + lambda I, D = diag(alpha)
Z C          Ridge.zc            (N, m)
w            weights             (m, k)
E            Ridge.residuals     (N, k), Y - Z w
H            Z C Z'              (N, N), never formed except in the Gram form
h            Ridge.leverage      (N,), alpha_i H_ii
r            loo_residuals       (N, k), y_i minus the prediction of a model that has not seen i
s            judges              (N,), 1 for examples whose leave-one-out error counts, else 0

Everything is float64: the closed forms divide by 1 - h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# ---------------------------------------------------------------- weighted ridge (eqs 5-7)


@dataclass(frozen=True)
class Ridge:
    """A weighted ridge solution, and what the closed forms need of it; shapes as in the legend."""

    z: Tensor
    y: Tensor
    alpha: Tensor
    lam: float
    factor: Tensor
    zc: Tensor
    residuals: Tensor
    leverage: Tensor

    @property
    def diagonal(self) -> Tensor:
        """H_ii, (N,)."""
        return (self.zc * self.z).sum(1)


def fit(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Ridge:
    """argmin_w sum_i alpha_i |w' z_i - y_i|^2 + lam |w|^2, by Cholesky: z (N, m), y (N, k), alpha (N,), float64.

    Raises ValueError for a negative weight or a penalty that is not positive. Eqs 5-7.
    """
    if lam <= 0 or bool((alpha < 0).any()):
        raise ValueError(f"lam = {lam:g} and alpha down to {float(alpha.min()):g}; use lam > 0 and alpha >= 0.")
    weighted = alpha.unsqueeze(1) * z
    factor = torch.linalg.cholesky(z.T @ weighted + lam * torch.eye(z.shape[1], dtype=z.dtype, device=z.device))
    zc = torch.cholesky_solve(z.T, factor).T
    residuals = y - zc @ (weighted.T @ y)
    return Ridge(z, y, alpha, lam, factor, zc, residuals, alpha * (zc * z).sum(1))


def weights(ridge: Ridge) -> Tensor:
    """w = C Z' D Y, (m, k)."""
    return torch.cholesky_solve(ridge.z.T @ (ridge.alpha.unsqueeze(1) * ridge.y), ridge.factor)


def model_derivative(ridge: Ridge, j: int) -> Tensor:
    """How the model moves with the weight of example j: C z_j e_j', (m, k), of rank one. Proposition 1."""
    return torch.outer(ridge.zc[j], ridge.residuals[j])


def validation_derivative(ridge: Ridge, z_val: Tensor, slopes: Tensor) -> Tensor:
    """How a loss on z_val (V, m) moves with each weight, (N,); slopes (V, k) are the loss's at the outputs. Prop. 2."""
    return ((ridge.zc @ (z_val.T @ slopes)) * ridge.residuals).sum(1)


# ---------------------------------------------------------------- leave-one-out (proposition 3)


def loo_residuals(ridge: Ridge) -> Tensor:
    """r_i = e_i / (1 - h_i), (N, k): what is left of y_i when i was not trained on; right at alpha_i = 0, too."""
    return ridge.residuals / (1 - ridge.leverage).unsqueeze(1)


def loo_predictions(ridge: Ridge) -> Tensor:
    """What the model would say of example i had it not seen it, (N, k), without a second fit. Proposition 3."""
    return ridge.y - loo_residuals(ridge)


def printed_loo_predictions(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Eq. 13 to the letter, (N, k): it divides by sqrt(alpha_i), so an example of weight zero becomes 0/0."""
    root = alpha.sqrt().unsqueeze(1)
    scaled = root * z
    r = scaled @ torch.linalg.solve(scaled.T @ scaled + lam * torch.eye(z.shape[1], dtype=z.dtype), scaled.T)
    own = r.diagonal().unsqueeze(1)
    return (r @ (root * y) - own * root * y) / ((1 - own) * root)


def loo_loss(ridge: Ridge, judges: Tensor) -> Tensor:
    """sum_i s_i |r_i|^2, a scalar; not weighted by alpha, or alpha = 0 would be the best set of all."""
    return judges @ loo_residuals(ridge).square().sum(1)


# ---------------------------------------------------------------- the data set derivative


def derivative(ridge: Ridge, judges: Tensor) -> Tensor:
    """How the leave-one-out loss moves with the weight of every example, (N,): below zero means "more of this".

    O(N m^2) time and O(N m) memory; no N x N matrix. The paper leaves the formula to its appendix; this is our own.
    """
    r = loo_residuals(ridge)
    squared, kept = r.square().sum(1), 1 - ridge.leverage
    pull = ridge.z.T @ ((judges / kept).unsqueeze(1) * r)
    shift = ridge.z.T @ ((judges * ridge.alpha * squared / kept).unsqueeze(1) * ridge.z)
    through_fit = -2 * (ridge.residuals * (ridge.zc @ pull)).sum(1)
    through_leverage = -2 * ((ridge.zc @ shift) * ridge.zc).sum(1)
    own = 2 * judges * squared * ridge.diagonal / kept
    return through_fit + own + through_leverage


def derivative_gram(gram: Tensor, y: Tensor, alpha: Tensor, lam: float, judges: Tensor) -> Tensor:
    """The same (N,) from K = Z Z' alone, gram (N, N), for far fewer examples than features. O(N^3)."""
    h_full, residuals = gram_fit(gram, y, alpha, lam)
    kept = 1 - alpha * h_full.diagonal()
    r = residuals / kept.unsqueeze(1)
    squared = r.square().sum(1)
    through_fit = -2 * (residuals * (h_full @ ((judges / kept).unsqueeze(1) * r))).sum(1)
    through_leverage = -2 * h_full.square() @ (judges * alpha * squared / kept)
    return through_fit + 2 * judges * squared * h_full.diagonal() / kept + through_leverage


def gram_fit(gram: Tensor, y: Tensor, alpha: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """H (N, N) and the residuals (N, k) from K = Z Z': H = K - K D^1/2 (D^1/2 K D^1/2 + lam I)^-1 D^1/2 K, over lam."""
    root = alpha.sqrt()
    scaled = root.unsqueeze(1) * gram
    inner = scaled * root + lam * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(inner)
    h_full = (gram - scaled.T @ torch.cholesky_solve(scaled, factor)) / lam
    return h_full, y - scaled.T @ torch.cholesky_solve(root.unsqueeze(1) * y, factor)


def penalty_derivative(ridge: Ridge, judges: Tensor) -> Tensor:
    """How the leave-one-out loss moves with lambda, a scalar."""
    kept = (1 - ridge.leverage).unsqueeze(1)
    d_residuals = ridge.zc @ weights(ridge)
    d_leverage = -(ridge.alpha * ridge.zc.square().sum(1)).unsqueeze(1)
    d_loo = d_residuals / kept + ridge.residuals * d_leverage / kept.square()
    return 2 * judges @ (loo_residuals(ridge) * d_loo).sum(1)


def tune(z: Tensor, y: Tensor, alpha: Tensor, judges: Tensor, penalties: Sequence[float]) -> float:
    """The penalty with the smallest leave-one-out loss; one eigendecomposition serves them all."""
    weighted = alpha.unsqueeze(1) * z
    values, axes = torch.linalg.eigh(z.T @ weighted)
    turned, target = z @ axes, axes.T @ (weighted.T @ y)

    def loss(lam: float) -> float:
        shrunk = turned / (values + lam)
        kept = 1 - alpha * (shrunk * turned).sum(1)
        return float(judges @ ((y - shrunk @ target).square().sum(1) / kept.square()))

    return min(penalties, key=loss)


# ---------------------------------------------------------------- what it is good for (section 3.4)

Score = Callable[[Ridge, Tensor], Tensor]  # (ridge, judges) -> (N,), the larger the more harmful


def reweigh(alpha: Tensor, gradient: Tensor, step: float) -> Tensor:
    """One step down the derivative, (N,), clipped at zero; `step` is in units of the mean size of the gradient."""
    return (alpha - step * gradient / gradient.abs().mean()).clamp(min=0)


def reject(gradient: Tensor, epsilon: float = 0.0) -> Tensor:
    """Which examples to throw out, (N,) bool: those whose weight, if raised, would raise the loss. Eq. 15."""
    return gradient >= epsilon


def reject_rounds(z: Tensor, y: Tensor, score: Score, count: int, rounds: int, penalties: Sequence[float]) -> Tensor:
    """Weights (N,) of 0 and 1 after throwing out `count` examples in equal rounds, refitting between them."""
    alpha = torch.ones_like(z[:, 0])
    for done in range(rounds):
        ridge = fit(z, y, alpha, tune(z, y, alpha, alpha, penalties))
        harm = score(ridge, alpha).masked_fill(alpha == 0, -torch.inf)
        quota = count * (done + 1) // rounds - count * done // rounds
        alpha = alpha.index_fill(0, harm.topk(quota).indices, 0.0)
    return alpha


def extend(
    z: Tensor, y: Tensor, core: Tensor, score: Score, batch: int, rounds: int, penalties: Sequence[float]
) -> list[Tensor]:
    """Weights (N,) after each round: the core, then `batch` more of the pool a round, the least harmful first.

    core (N,) holds 1 for the core and 0 for the pool. Only the core judges: labels of the pool may be wrong.
    """
    alpha, sets = core, [core]
    for _ in range(rounds):
        ridge = fit(z, y, alpha, tune(z, y, alpha, core, penalties))
        harm = score(ridge, core).masked_fill(alpha > 0, torch.inf)
        alpha = alpha.index_fill(0, harm.topk(batch, largest=False).indices, 1.0)
        sets.append(alpha)
    return sets


def shares(alpha: Tensor, groups: Tensor, count: int) -> Tensor:
    """p_g: the share of all weight that each of `count` groups holds, (count,); groups (N,) int64. Section 4."""
    return alpha.new_zeros(count).index_add_(0, groups, alpha) / alpha.sum()
