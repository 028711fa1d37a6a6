"""STS Benchmark: pairs of sentences with human similarity, which the user brings."""

import csv

import numpy as np

from companion.data.cache import brought
from companion.data.glosses import SentencePairs
from companion.errors import CompanionError

PARTS = ("train", "dev")


def stsb(part: str) -> SentencePairs:
    """The pairs of one part, "train" or "dev", in the file's order; similarity from 0 to 5."""
    if part not in PARTS:
        raise CompanionError(f"part = {part!r} is not one of {', '.join(PARTS)}.")
    with brought("stsb", f"{part}.csv").open(encoding="utf-8", newline="") as file:
        first, second, scores = zip(*csv.reader(file), strict=True)
    return SentencePairs(list(first), list(second), np.array(scores, np.float64))
