"""Checks of a user's own data: each ends in the data as a tensor, or in one sentence that says what to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from companion.errors import CompanionError


def as_tensor(values: Any, name: str) -> Tensor:
    """A tensor, array, list, pandas column or scikit-learn output as a tensor; text and objects are refused."""
    if isinstance(values, Tensor):
        return values
    import numpy as np

    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise CompanionError(f"{name} holds {array.dtype} values; give numbers.")
    return torch.from_numpy(np.ascontiguousarray(array))


def features(values: Any, name: str = "features", ndim: int = 2, dtype: torch.dtype | None = torch.float32) -> Tensor:
    """Finite numbers with `ndim` axes and at least one row, as `dtype` (None: as they are)."""
    tensor = as_tensor(values, name)
    shape(tensor, name, (None,) * ndim)
    if len(tensor) == 0:
        raise CompanionError(f"{name} is empty: its shape is {tuple(tensor.shape)}.")
    return finite(tensor if dtype is None else tensor.to(dtype), name)


def labels(values: Any, name: str = "labels", rows: int | None = None, missing: bool = False) -> Tensor:
    """Class numbers, (N,) int64 from 0 without gaps, from (N,) or (N, 1) integers; -1 means unlabeled if `missing`.

    Gaps, strings and fractions are refused with the call that fixes them.
    """
    tensor = as_tensor(values, name)
    if tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    shape(tensor, name, (rows,))
    finite(tensor, name)
    if tensor.is_floating_point() and bool((tensor != tensor.round()).any()):
        raise CompanionError(f"{name} holds fractions; class labels are whole numbers from 0.")
    tensor = tensor.long()
    known = tensor[tensor != -1] if missing else tensor
    if len(known) == 0:
        raise CompanionError(f"{name} holds no labeled example.")
    identifiers(known, name)
    return tensor


def identifiers(values: Any, name: str, count: int | None = None) -> Tensor:
    """Numbers from 0 on, (N,) int64: without gaps, or below `count` where that is given."""
    tensor = as_tensor(values, name)
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise CompanionError(f"{name} holds {str(tensor.dtype).removeprefix('torch.')} values; use whole numbers.")
    shape(tensor, name, (None,))
    tensor = tensor.long()
    low, high = (int(tensor.min()), int(tensor.max())) if len(tensor) else (0, -1)
    if low < 0 or (count is not None and high >= count):
        allowed = f"0 to {count - 1}" if count is not None else "0 on"
        raise CompanionError(f"{name} runs from {low} to {high}, and must run from {allowed}; renumber it with "
                             "`torch.unique(values, return_inverse=True)[1]` or `pandas.factorize`.")  # fmt: skip
    if count is None and len(torch.unique(tensor)) != high + 1:
        raise CompanionError(
            f"{name} has gaps: {len(torch.unique(tensor))} different numbers up to {high}; renumber it with "
            "`torch.unique(values, return_inverse=True)[1]` or `pandas.factorize`."
        )
    return tensor


def finite(tensor: Tensor, name: str) -> Tensor:
    """The tensor itself, if no number in it is NaN or infinite."""
    bad = ~torch.isfinite(tensor)
    if bool(bad.any()):
        first = tuple(int(i) for i in bad.nonzero()[0])
        raise CompanionError(f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first at {first}; "
                             "remove or impute them.")  # fmt: skip
    return tensor


def shape(tensor: Tensor, name: str, wanted: Sequence[int | None]) -> Tensor:
    """The tensor itself, if it has the wanted axes; None allows any length."""
    fits = tensor.ndim == len(wanted) and all(w is None or w == n for w, n in zip(wanted, tensor.shape, strict=True))
    if not fits:
        axes = ", ".join("any" if size is None else str(size) for size in wanted)
        raise CompanionError(
            f"{name} has shape {tuple(tensor.shape)}, and must have ({axes}{',' * (len(wanted) == 1)})."
        )
    return tensor


def accuracy(scores: Tensor, targets: Tensor) -> float:
    """Percentage of rows whose largest score, (N, classes), is the target, (N,); NaN and no rows are errors."""
    if len(targets) == 0:
        raise CompanionError("The accuracy of no examples is not defined; is the mask or the validation set empty?")
    shape(finite(scores, "scores"), "scores", (None, None))
    shape(targets, "targets", (len(scores),))
    return 100 * float((scores.argmax(-1) == targets).float().mean())
