"""Encoders: texts as vectors. What is frozen is computed once and kept; what is tuned stands on top of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.data.minilm import mean_pool, minilm
from companion.giant.method import Encoder, unit

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerFast


class Fixed(Encoder):
    """The kept vectors of a frozen encoder, as they are: nothing to tune but the heads."""

    vectors: Tensor

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", unit(vectors))

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h)."""
        return self.vectors[nodes]


class Adapter(Encoder):
    """A residual block on the kept vectors of a frozen encoder: norm(z + W2 gelu(W1 z)), W2 = 0 at the start."""

    vectors: Tensor

    def __init__(self, vectors: Tensor, hidden: int) -> None:
        super().__init__()
        self.register_buffer("vectors", unit(vectors))
        width = vectors.shape[1]
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h)."""
        z = self.vectors[nodes]
        return self.norm(z + self.down(functional.gelu(self.up(z))))


# ---------------------------------------------------------------- the layers themselves


def language_model(name: str) -> tuple[PreTrainedTokenizerFast, BertModel]:
    """Tokenizer and encoder: "minilm", or a folder with a BERT (the paper's is bert-base-uncased)."""
    if name == "minilm":
        return minilm()
    from transformers import BertModel, PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(name), BertModel.from_pretrained(name).eval()


class Reader(Encoder):
    """A BERT whose last layers are tuned; what the layers below make of every text is computed once and kept.

    states (N, pieces, h) float16, mask (N, pieces) bool. With amp, the layers compute in bfloat16.
    """

    states: Tensor
    mask: Tensor

    def __init__(self, name: str, texts: Sequence[str], layers: int, pieces: int, amp: bool) -> None:
        super().__init__()
        tokenizer, model = language_model(name)
        read = tokenizer(list(texts), padding=True, truncation=True, max_length=pieces, return_tensors="pt")
        below = len(model.encoder.layer) - layers
        self.amp, self.layers = amp, nn.ModuleList(model.encoder.layer[below:])
        self.register_buffer("mask", read["attention_mask"].bool(), persistent=False)
        states = torch.zeros(*self.mask.shape, model.config.hidden_size, dtype=torch.float16)
        with torch.no_grad():
            for part in self.mask.sum(1).argsort().split(128):
                mask = self.mask[part][:, : int(self.mask[part].sum(1).max())]
                lower = model.embeddings(read["input_ids"][part, : mask.shape[1]])
                states[part, : mask.shape[1]] = _through(model.encoder.layer[:below], lower, mask).half()
        self.register_buffer("states", states, persistent=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h): the mean over word pieces, in batches that are as long as their longest text."""
        mask = self.mask[nodes]
        mask = mask[:, : int(mask.sum(1).max())]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            states = _through(self.layers, self.states[nodes, : mask.shape[1]].float(), mask)
        return mean_pool(states.float(), mask)


class Whole(Encoder):
    """A BERT that is tuned as a whole, as in the paper; ids (N, pieces) int64, mask (N, pieces) bool."""

    ids: Tensor
    mask: Tensor

    def __init__(self, name: str, texts: Sequence[str], pieces: int, amp: bool) -> None:
        super().__init__()
        tokenizer, self.model = language_model(name)
        read = tokenizer(list(texts), padding=True, truncation=True, max_length=pieces, return_tensors="pt")
        self.amp = amp
        self.register_buffer("ids", read["input_ids"], persistent=False)
        self.register_buffer("mask", read["attention_mask"].bool(), persistent=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h): the mean over word pieces."""
        longest = int(self.mask[nodes].sum(1).max())
        ids, mask = self.ids[nodes, :longest], self.mask[nodes, :longest]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            states = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return mean_pool(states.float(), mask)


def _through(layers: Iterable[nn.Module], states: Tensor, mask: Tensor) -> Tensor:
    """states (b, pieces, h) through some layers of a BERT; mask (b, pieces) bool."""
    for layer in layers:
        out = layer(states, attention_mask=mask[:, None, None, :])
        states = out[0] if isinstance(out, tuple) else out
    return states
