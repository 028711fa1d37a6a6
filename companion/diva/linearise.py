"""Section 3.1 in full: every parameter of the network as a feature, not only the last layer's.

The paper linearises a network around w_0, f(x) + J(x)(w - w_0), and then uses the last layer alone. Here is the rest,
with one simplification: all classes share the kernel of the mean class, so that the closed forms stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap


def tangent_features(net: nn.Module, images: Tensor, chunk: int = 50) -> Tensor:
    """d/dw of the sum of the class scores over sqrt(classes), for each image: (n, parameters) in the network's dtype.

    Restricted to the head these are the last hidden layer and a 1, once for each class, over sqrt(classes).
    """
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def mean_score(params: dict[str, Tensor], image: Tensor) -> Tensor:
        out = functional_call(net, params, (image.unsqueeze(0),))
        return out.sum() / out.shape[1] ** 0.5

    slopes = vmap(grad(mean_score), in_dims=(None, 0))
    size = sum(p.numel() for p in parameters.values())
    features = images.new_empty(len(images), size)
    for start in range(0, len(images), chunk):
        by_name = slopes(parameters, images[start : start + chunk])
        features[start : start + chunk] = torch.cat([by_name[name].flatten(1) for name in parameters], dim=1)
    return features


def tangent_gram(net: nn.Module, images: Tensor, chunk: int = 50) -> Tensor:
    """K = J J', (n, n) float64, the Gram matrix of the tangent features of n images."""
    features = tangent_features(net, images, chunk)
    return (features @ features.T).double()


def last_layer_gram(body: nn.Module, images: Tensor) -> Tensor:
    """K = Z Z' + 1, (n, n) float64, of the last hidden layer with a constant: what the paper uses."""
    with torch.no_grad():
        hidden = body(images).double()
    return hidden @ hidden.T + 1
