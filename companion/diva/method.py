"""DIVA (Dukler et al., ICLR 2022): weighted ridge, leave-one-out, the dataset derivative and its applications.

symbol       here                 shape, meaning
Z            z                    (N, m), features of the last hidden layer
Y            y                    (N, k), one-hot classes
alpha        alpha                (N,), weights of the training examples, at least 0
lambda       lam                  float, regularization strength
C            Ridge.factor         (m, m), the Cholesky factor of C^-1 = Z' D Z + lambda I, with D = diag(alpha)
Z C          Ridge.zc             (N, m)
w            model_weights        (m, k)
E            Ridge.residuals      (N, k), Y - Z w
H            Z C Z'               (N, N), formed in the Gram form only
h            Ridge.leverage       (N,), alpha_i H_ii
r            loo_residuals        (N, k), y_i minus the prediction of a model trained without example i
s            validation_weights   (N,), 1 where the leave-one-out error counts in the loss, else 0 (our addition)

All tensors are float64, because the closed forms divide by 1 - h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

# ---------------------------------------------------------------- weighted ridge regression (Eqs. 5-7)


@dataclass(frozen=True)
class Ridge:
    """A weighted ridge solution with all that the closed forms need; shapes as in the table of symbols."""

    z: Tensor
    y: Tensor
    alpha: Tensor
    lam: float
    factor: Tensor
    zc: Tensor
    residuals: Tensor
    leverage: Tensor

    @property
    def h_diagonal(self) -> Tensor:
        """H_ii, (N,)."""
        return (self.zc * self.z).sum(1)


def fit(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Ridge:
    """argmin_w sum_i alpha_i |w' z_i - y_i|^2 + lam |w|^2, by Cholesky factorization. Eqs. 5-7.

    z (N, m), y (N, k), alpha (N,), all float64.
    Raises ValueError if an example weight is negative or lam is not positive.
    """
    if lam <= 0 or bool((alpha < 0).any()):
        raise ValueError(f"lam = {lam:g} and alpha down to {float(alpha.min()):g}; use lam > 0 and alpha >= 0.")
    weighted_z = alpha.unsqueeze(1) * z
    factor = torch.linalg.cholesky(z.T @ weighted_z + lam * torch.eye(z.shape[1], dtype=z.dtype, device=z.device))
    zc = torch.cholesky_solve(z.T, factor).T
    residuals = y - zc @ (weighted_z.T @ y)
    return Ridge(z, y, alpha, lam, factor, zc, residuals, alpha * (zc * z).sum(1))


def model_weights(ridge: Ridge) -> Tensor:
    """w = C Z' D Y, (m, k)."""
    return torch.cholesky_solve(ridge.z.T @ (ridge.alpha.unsqueeze(1) * ridge.y), ridge.factor)


def model_derivative(ridge: Ridge, j: int) -> Tensor:
    """dw / dalpha_j = C z_j e_j', (m, k), a matrix of rank one. Proposition 1."""
    return torch.outer(ridge.zc[j], ridge.residuals[j])


def validation_derivative(ridge: Ridge, z_val: Tensor, output_gradient: Tensor) -> Tensor:
    """Derivative (N,) of a loss on validation features z_val (V, m) with respect to alpha. Proposition 2.

    output_gradient (V, k) is the gradient of that loss with respect to the model's outputs z_val @ w.
    """
    return ((ridge.zc @ (z_val.T @ output_gradient)) * ridge.residuals).sum(1)


# ---------------------------------------------------------------- leave-one-out (Proposition 3)


def loo_residuals(ridge: Ridge) -> Tensor:
    """r_i = e_i / (1 - h_i), (N, k): y_i minus the prediction of a model trained without i; also at alpha_i = 0."""
    return ridge.residuals / (1 - ridge.leverage).unsqueeze(1)


def loo_predictions(ridge: Ridge) -> Tensor:
    """The prediction for each example by a model trained without it, (N, k), from one fit. Proposition 3."""
    return ridge.y - loo_residuals(ridge)


def printed_loo_predictions(z: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """Leave-one-out predictions (N, k) by Eq. 13 as printed: its division by sqrt(alpha_i) gives 0/0 at weight zero."""
    root = alpha.sqrt().unsqueeze(1)
    scaled = root * z
    r = scaled @ torch.linalg.solve(scaled.T @ scaled + lam * torch.eye(z.shape[1], dtype=z.dtype), scaled.T)
    own = r.diagonal().unsqueeze(1)
    return (r @ (root * y) - own * root * y) / ((1 - own) * root)


def loo_loss(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """L = sum_i s_i |r_i|^2, a scalar. It is not weighted by alpha; otherwise alpha = 0 would minimize it."""
    return validation_weights @ loo_residuals(ridge).square().sum(1)


# ---------------------------------------------------------------- the dataset derivative


def dataset_derivative(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """dL / dalpha, (N,): how the leave-one-out loss changes with each example's weight. Negative: more weight helps.

    The derivation is our own, since the paper gives the formula in its appendix only. O(N m^2) time, O(N m) memory.
    """
    one_minus_h = 1 - ridge.leverage
    r = loo_residuals(ridge)
    squared = r.square().sum(1)
    # alpha_j changes every residual through the fit ...
    influence = ridge.z.T @ ((validation_weights / one_minus_h).unsqueeze(1) * r)
    through_fit = -2 * (ridge.residuals * (ridge.zc @ influence)).sum(1)
    # ... every leverage through C ...
    leverage_terms = validation_weights * ridge.alpha * squared / one_minus_h
    curvature = ridge.z.T @ (leverage_terms.unsqueeze(1) * ridge.z)
    through_leverage = -2 * ((ridge.zc @ curvature) * ridge.zc).sum(1)
    # ... and its own leverage alpha_j H_jj directly.
    own = 2 * validation_weights * squared * ridge.h_diagonal / one_minus_h
    return through_fit + own + through_leverage


def dataset_derivative_gram(gram: Tensor, y: Tensor, alpha: Tensor, lam: float, validation_weights: Tensor) -> Tensor:
    """The dataset derivative (N,) from K = Z Z', gram (N, N), alone: for far fewer examples than features. O(N^3)."""
    h_matrix, residuals = gram_fit(gram, y, alpha, lam)
    one_minus_h = 1 - alpha * h_matrix.diagonal()
    r = residuals / one_minus_h.unsqueeze(1)
    squared = r.square().sum(1)
    through_fit = -2 * (residuals * (h_matrix @ ((validation_weights / one_minus_h).unsqueeze(1) * r))).sum(1)
    through_leverage = -2 * h_matrix.square() @ (validation_weights * alpha * squared / one_minus_h)
    return through_fit + 2 * validation_weights * squared * h_matrix.diagonal() / one_minus_h + through_leverage


def gram_fit(gram: Tensor, y: Tensor, alpha: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    """H (N, N) and the residuals (N, k) from K = Z Z': H = (K - K D^1/2 (D^1/2 K D^1/2 + lam I)^-1 D^1/2 K) / lam."""
    root = alpha.sqrt()
    scaled = root.unsqueeze(1) * gram
    inner = scaled * root + lam * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factor = torch.linalg.cholesky(inner)
    h_matrix = (gram - scaled.T @ torch.cholesky_solve(scaled, factor)) / lam
    return h_matrix, y - scaled.T @ torch.cholesky_solve(root.unsqueeze(1) * y, factor)


def dual_weights(gram: Tensor, y: Tensor, alpha: Tensor, lam: float) -> Tensor:
    """D E / lambda, (N, k): predictions are the Gram matrix between new and training examples times these."""
    _, residuals = gram_fit(gram, y, alpha, lam)
    return alpha.unsqueeze(1) * residuals / lam


def select_lambda_gram(gram: Tensor, y: Tensor, alpha: Tensor, candidates: Sequence[float]) -> float:
    """The candidate lambda with the smallest leave-one-out loss on all examples, from gram (N, N)."""

    def loss(lam: float) -> float:
        h_matrix, residuals = gram_fit(gram, y, alpha, lam)
        return float((residuals / (1 - alpha * h_matrix.diagonal()).unsqueeze(1)).square().sum())

    return min(candidates, key=loss)


def lambda_derivative(ridge: Ridge, validation_weights: Tensor) -> Tensor:
    """dL / dlambda, a scalar."""
    one_minus_h = (1 - ridge.leverage).unsqueeze(1)
    d_residuals = ridge.zc @ model_weights(ridge)
    d_leverage = -(ridge.alpha * ridge.zc.square().sum(1)).unsqueeze(1)
    d_loo = d_residuals / one_minus_h + ridge.residuals * d_leverage / one_minus_h.square()
    return 2 * validation_weights @ (loo_residuals(ridge) * d_loo).sum(1)


def select_lambda(
    z: Tensor, y: Tensor, alpha: Tensor, validation_weights: Tensor, candidates: Sequence[float]
) -> float:
    """The candidate lambda with the smallest leave-one-out loss; one eigendecomposition serves all candidates."""
    weighted_z = alpha.unsqueeze(1) * z
    eigenvalues, eigenvectors = torch.linalg.eigh(z.T @ weighted_z)
    rotated, target = z @ eigenvectors, eigenvectors.T @ (weighted_z.T @ y)

    def loss(lam: float) -> float:
        shrunk = rotated / (eigenvalues + lam)
        one_minus_h = 1 - alpha * (shrunk * rotated).sum(1)
        return float(validation_weights @ ((y - shrunk @ target).square().sum(1) / one_minus_h.square()))

    return min(candidates, key=loss)


# ---------------------------------------------------------------- applications (Section 3.4)

Score = Callable[[Ridge, Tensor], Tensor]  # (ridge, validation_weights) -> (N,): the larger, the more harmful


def reweight(alpha: Tensor, derivative: Tensor, step_size: float) -> Tensor:
    """DIVA Reweight: one step of gradient descent on alpha (N,), clipped at zero.

    step_size is in units of the mean absolute derivative.
    """
    return (alpha - step_size * derivative / derivative.abs().mean()).clamp(min=0)


def reject(derivative: Tensor, epsilon: float = 0.0) -> Tensor:
    """DIVA Reject: a mask (N,) bool of the examples to remove, those with a derivative of at least epsilon. Eq. 15."""
    return derivative >= epsilon


def reject_in_rounds(
    z: Tensor, y: Tensor, score: Score, count: int, rounds: int, candidates: Sequence[float]
) -> Tensor:
    """Weights (N,) of 0 and 1 after removing the `count` most harmful examples in `rounds` rounds of equal size.

    Each round selects lambda among `candidates`, refits and scores the remaining examples.
    """
    alpha = torch.ones_like(z[:, 0])
    for done in range(rounds):
        ridge = fit(z, y, alpha, select_lambda(z, y, alpha, alpha, candidates))
        harm = score(ridge, alpha).masked_fill(alpha == 0, -torch.inf)
        quota = count * (done + 1) // rounds - count * done // rounds
        alpha = alpha.index_fill(0, harm.topk(quota).indices, 0.0)
    return alpha


def extend(
    z: Tensor, y: Tensor, seed_set: Tensor, score: Score, batch_size: int, rounds: int, candidates: Sequence[float]
) -> list[Tensor]:
    """DIVA Extend: weights (N,) before the first round and after each; a round adds the `batch_size` least harmful.

    seed_set (N,) is 1 for the trusted examples to start from and 0 for the candidate pool. The leave-one-out loss is
    evaluated on the seed set alone, because labels in the pool may be wrong.
    """
    alpha, sets = seed_set, [seed_set]
    for _ in range(rounds):
        ridge = fit(z, y, alpha, select_lambda(z, y, alpha, seed_set, candidates))
        harm = score(ridge, seed_set).masked_fill(alpha > 0, torch.inf)
        alpha = alpha.index_fill(0, harm.topk(batch_size, largest=False).indices, 1.0)
        sets.append(alpha)
    return sets


def group_shares(alpha: Tensor, groups: Tensor, count: int) -> Tensor:
    """p_g: the share of the total weight that each of `count` groups holds, (count,); groups (N,) int64. Section 4."""
    return alpha.new_zeros(count).index_add_(0, groups, alpha) / alpha.sum()


# ---------------------------------------------------------------- the whole network linearized (Section 3.1)
# The paper linearizes a network around w_0, f(x) + J(x)(w - w_0), and then uses the last layer alone. Here all
# parameters take part, with one simplification: all classes share the kernel of the mean class, so that the Gram form
# applies.


def tangent_features(net: nn.Module, images: Tensor, chunk_size: int = 50) -> Tensor:
    """Gradient of sum(outputs) / sqrt(classes) by all parameters, for each image: (n, parameters) in images' dtype.

    Restricted to the head, a feature is the last hidden layer and a 1, once for each class, over sqrt(classes).
    """
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def mean_output(params: dict[str, Tensor], image: Tensor) -> Tensor:
        outputs = functional_call(net, params, (image.unsqueeze(0),))
        return outputs.sum() / outputs.shape[1] ** 0.5

    gradients = vmap(grad(mean_output), in_dims=(None, 0))
    features = images.new_empty(len(images), sum(p.numel() for p in parameters.values()))
    for start in range(0, len(images), chunk_size):
        by_name = gradients(parameters, images[start : start + chunk_size])
        features[start : start + chunk_size] = torch.cat([by_name[name].flatten(1) for name in parameters], dim=1)
    return features


def tangent_gram(net: nn.Module, images: Tensor, chunk_size: int = 50) -> Tensor:
    """K = J J', (n, n) float64: the Gram matrix of the tangent features of n images."""
    features = tangent_features(net, images, chunk_size)
    return (features @ features.T).double()


def last_layer_gram(body: nn.Module, images: Tensor) -> Tensor:
    """K = Z Z' + 1, (n, n) float64: the Gram matrix of the last hidden layer with a constant, as the paper uses it."""
    with torch.no_grad():
        hidden = body(images).double()
    return hidden @ hidden.T + 1
