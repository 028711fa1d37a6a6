"""Builds and tunes every encoder that is compared, on the same data with the same number of steps.

`config` is the lesson's `experiment.Config`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.data.minilm import mean_pool
from companion.giant import baselines, method
from companion.giant.data import ExperimentData, language_model
from companion.giant.method import Encoder, LabelTree, Level, rescale

TFIDF, FROZEN, GIANT, RANDOM = "TF-IDF", "frozen", "GIANT", "random tree"
FLAT, NO_BOOTSTRAP, LINK = "flat", "no bootstrap", "link prediction"
METHODS = (TFIDF, FROZEN, RANDOM, FLAT, NO_BOOTSTRAP, GIANT, LINK)
TUNED = (GIANT, RANDOM, FLAT, NO_BOOTSTRAP, LINK)  # in the order in which they are run
WHOLE_ENCODER = -1


# ---------------------------------------------------------------- encoders


class FrozenEncoder(Encoder):
    """The stored vectors of a frozen encoder: nothing to tune but the heads."""

    vectors: Tensor

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", rescale(vectors))

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h)."""
        return self.vectors[nodes]


class AdapterEncoder(FrozenEncoder):
    """A residual block on the stored vectors of a frozen encoder: norm(z + W2 gelu(W1 z)), W2 = 0 at the start."""

    def __init__(self, vectors: Tensor, adapter_dim: int) -> None:
        super().__init__(vectors)
        hidden_dim = vectors.shape[1]
        self.up, self.down = nn.Linear(hidden_dim, adapter_dim), nn.Linear(adapter_dim, hidden_dim)
        self.norm = nn.LayerNorm(hidden_dim)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h)."""
        z = self.vectors[nodes]
        return self.norm(z + self.down(functional.gelu(self.up(z))))


class TopLayersEncoder(Encoder):
    """A BERT whose last layers are tuned; the output of the layers below is computed once for every text and stored.

    states (N, L, h) float16, attention_mask (N, L) bool. With amp, the tuned layers compute in bfloat16.
    """

    states: Tensor
    attention_mask: Tensor

    def __init__(self, name: str, texts: Sequence[str], num_layers: int, max_length: int, amp: bool) -> None:
        super().__init__()
        tokenizer, model = language_model(name)
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        below = len(model.encoder.layer) - num_layers
        self.amp, self.layers = amp, nn.ModuleList(model.encoder.layer[below:])
        self.register_buffer("attention_mask", tokens["attention_mask"].bool(), persistent=False)
        states = torch.zeros(*self.attention_mask.shape, model.config.hidden_size, dtype=torch.float16)
        with torch.no_grad():
            for part in self.attention_mask.sum(1).argsort().split(128):
                mask = _without_padding(self.attention_mask[part])
                lower = model.embeddings(tokens["input_ids"][part, : mask.shape[1]])
                states[part, : mask.shape[1]] = _apply_layers(model.encoder.layer[:below], lower, mask).half()
        self.register_buffer("states", states, persistent=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h): the mean over tokens, in batches that are as long as their longest text."""
        mask = _without_padding(self.attention_mask[nodes])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            states = _apply_layers(self.layers, self.states[nodes, : mask.shape[1]].float(), mask)
        return mean_pool(states.float(), mask)


class FullEncoder(Encoder):
    """A BERT that is tuned as a whole, as in the paper; input_ids (N, L) int64, attention_mask (N, L) bool."""

    input_ids: Tensor
    attention_mask: Tensor

    def __init__(self, name: str, texts: Sequence[str], max_length: int, amp: bool) -> None:
        super().__init__()
        tokenizer, self.model = language_model(name)
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        self.amp = amp
        self.register_buffer("input_ids", tokens["input_ids"], persistent=False)
        self.register_buffer("attention_mask", tokens["attention_mask"].bool(), persistent=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """nodes (b,) int64 -> (b, h): the mean over tokens."""
        mask = _without_padding(self.attention_mask[nodes])
        input_ids = self.input_ids[nodes, : mask.shape[1]]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            states = self.model(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state
        return mean_pool(states.float(), mask)


def _without_padding(mask: Tensor) -> Tensor:
    """attention_mask (b, L) without the columns in which no text has a token."""
    return mask[:, : int(mask.sum(1).max())]


def _apply_layers(layers: Iterable[nn.Module], states: Tensor, mask: Tensor) -> Tensor:
    """states (b, L, h) through some layers of a BERT; mask (b, L) bool."""
    for layer in layers:
        output = layer(states, attention_mask=mask[:, None, None, :])
        states = output[0] if isinstance(output, tuple) else output
    return states


# ---------------------------------------------------------------- tuning


class TunedEncoder(NamedTuple):
    """An encoder after its tuning, its tree and its levels; the tree of link prediction has no levels."""

    encoder: Encoder
    tree: LabelTree
    levels: list[Level]


def build_encoder(data: ExperimentData, name: str, config: Any, seed: int) -> Encoder:
    """The encoder before it is tuned, the same for every tuned method of a seed; `name` is the method."""
    torch.manual_seed(seed)
    texts, amp = data.graph.texts, config.settings(name).amp
    if name == FROZEN:
        return FrozenEncoder(data.vectors)
    if config.tuned_layers == WHOLE_ENCODER:
        return FullEncoder(config.encoder, texts, config.max_length, amp)
    if config.tuned_layers:
        return TopLayersEncoder(config.encoder, texts, config.tuned_layers, config.max_length, amp)
    return AdapterEncoder(data.vectors, config.adapter_dim)


def build_tree(data: ExperimentData, name: str, depths: tuple[int, ...], seed: int) -> LabelTree:
    """The tree of a method: from PIFA, or the same tree with its nodes permuted."""
    generator = torch.Generator().manual_seed(seed)
    tree = method.balanced_tree(data.pifa, depths, generator)
    return baselines.random_tree(tree, generator) if name == RANDOM else tree


def tune(data: ExperimentData, name: str, config: Any, instances: Tensor, seed: int) -> TunedEncoder:
    """Tune an encoder as one method does, on `instances` (n,) int64; with the frozen encoder, the heads alone."""
    encoder, settings = build_encoder(data, name, config, seed), config.settings(name)
    if name == LINK:
        baselines.fit_link_prediction(encoder, data.adjacency, instances, settings, seed)
        return TunedEncoder(encoder, LabelTree(torch.zeros(len(data.labels), dtype=torch.int64), ()), [])
    if name == FROZEN:
        settings = replace(settings, bootstrap_from=1)
    if name == NO_BOOTSTRAP:
        settings = replace(settings, bootstrap_from=len(settings.depths) + 1)
    tree = build_tree(data, name, settings.depths, seed)
    return TunedEncoder(encoder, tree, method.fit(encoder, data.adjacency, tree, instances, settings, seed))
