"""Encoding by several processes: each takes every n-th text, and the first puts the vectors together.

    torchrun --nproc_per_node 2 -m companion.giant.shards MODEL TEXTS OUT

MODEL is "minilm" or a folder, TEXTS a file with a text a line, OUT the .npy to write. The processes talk over gloo.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed

from companion.data import minilm
from companion.giant.encoders import language_model


def share(texts: Sequence[str], rank: int, processes: int) -> Sequence[str]:
    """The texts of one process: every `processes`-th, so that long ones are spread."""
    return texts[rank::processes]


def together(parts: Sequence[Tensor], count: int) -> np.ndarray:
    """The shares of all processes back in the order of the texts, (count, h)."""
    whole = np.empty((count, parts[0].shape[1]), np.float32)
    for rank, part in enumerate(parts):
        own = len(range(rank, count, len(parts)))
        whole[rank :: len(parts)] = part[:own].numpy()
    return whole


def main(model: str, texts: str, out: str) -> None:
    """Encode a share, gather all shares, write them once."""
    distributed.init_process_group("gloo")
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    lines = Path(texts).read_text("utf-8").splitlines()
    own = torch.from_numpy(minilm.embed(share(lines, rank, processes), *language_model(model)))
    longest = -(-len(lines) // processes)
    padded = torch.nn.functional.pad(own, (0, 0, 0, longest - len(own)))
    parts = [torch.empty_like(padded) for _ in range(processes)]
    distributed.all_gather(parts, padded)
    if rank == 0:
        np.save(out, together(parts, len(lines)))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
