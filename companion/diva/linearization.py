"""Section 3.1 in full: all parameters of the network linearized, not only those of the last layer.

The paper linearizes a network around w_0, f(x) + J(x)(w - w_0), and then uses the last layer alone. Here all parameters
take part, with one simplification: all classes share the kernel of the mean class, so that the closed forms apply
unchanged. Everything after the Gram matrix K is the kernel form of the method.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from companion.diva.method import gram_fit


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
