"""Encoders: texts as vectors. What is frozen is computed once and kept; what is tuned stands on top of it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from companion.giant.method import Encoder, unit


class Fixed(Encoder):
    """The kept vectors of a frozen encoder, as they are: nothing to tune but the heads."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.width = vectors.shape[1]
        self.register_buffer("vectors", unit(vectors))

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h)."""
        return self.vectors[nodes]


class Adapter(Encoder):
    """A residual block on the kept vectors of a frozen encoder: norm(z + W2 gelu(W1 z)), W2 = 0 at the start."""

    def __init__(self, vectors: Tensor, hidden: int) -> None:
        super().__init__()
        self.width = vectors.shape[1]
        self.register_buffer("vectors", unit(vectors))
        self.up, self.down = nn.Linear(self.width, hidden), nn.Linear(hidden, self.width)
        self.norm = nn.LayerNorm(self.width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h)."""
        z = self.vectors[nodes]
        return self.norm(z + self.down(functional.gelu(self.up(z))))
