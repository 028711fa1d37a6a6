"""Encodes texts with several processes: each takes every n-th text, and the first one puts the vectors together.

    torchrun --nproc_per_node 2 scripts/giant_encode_texts.py MODEL TEXTS OUT

MODEL is "minilm" or a folder with a BERT, TEXTS a file with one text per line, OUT the .npy file to write: (N, h)
float32. The processes communicate over gloo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from companion.data import minilm
from companion.giant.data import language_model


def main(model: str, texts: str, out: str) -> None:
    """Encode this process's texts, gather the vectors of all processes, write them once."""
    distributed.init_process_group("gloo")
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    lines = Path(texts).read_text("utf-8").splitlines()
    own = torch.from_numpy(minilm.embed(lines[rank::processes], *language_model(model)))
    longest = -(-len(lines) // processes)  # all_gather needs the same size everywhere
    padded = torch.nn.functional.pad(own, (0, 0, 0, longest - len(own)))
    parts = [torch.empty_like(padded) for _ in range(processes)]
    distributed.all_gather(parts, padded)
    if rank == 0:
        in_order = torch.stack(parts, dim=1).flatten(0, 1)  # text 0 of every process, text 1 of every process, ...
        np.save(out, in_order[: len(lines)].numpy())
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
