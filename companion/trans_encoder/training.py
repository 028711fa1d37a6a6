"""Training either form on labels, and the SimCSE start; kept on disk, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.trans_encoder.method import BiEncoder, Model, Pairs, Rows

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained: AdamW, a rate that rises over `warm` of the steps and falls to 0, clipped gradients."""

    epochs: int
    batch: int
    lr: float
    warm: float = 0.1
    decay: float = 0.01
    amp: bool = False


def alike(lengths: Tensor, batch: int, generator: torch.Generator) -> list[Tensor]:
    """Batches of rows of like length, in random order, so that hardly anything is padding; each row once."""
    order = (lengths + 4 * torch.rand(len(lengths), generator=generator)).argsort()
    parts = order.split(batch)
    return [parts[i] for i in torch.randperm(len(parts), generator=generator)]


def descend(model: nn.Module, lengths: Tensor, loss: Callable[[Tensor], Tensor], recipe: Recipe, seed: int) -> None:
    """Train what of a model asks for gradients: loss takes rows (b,) int64 and gives a number."""
    generator, device = torch.Generator().manual_seed(seed), next(model.parameters()).device
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    steps = recipe.epochs * math.ceil(len(lengths) / recipe.batch)
    optimiser = torch.optim.AdamW(trained, lr=recipe.lr, weight_decay=recipe.decay, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps, recipe.warm))
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for _ in range(recipe.epochs):
            for rows in alike(lengths, recipe.batch, generator):
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.amp):
                    found = loss(rows)
                optimiser.zero_grad()
                found.backward()
                nn.utils.clip_grad_norm_(trained, 1.0)
                optimiser.step()
                rate.step()
    model.eval()


def _rate(step: int, steps: int, warm: float) -> float:
    return min(1.0, (step + 1) / max(1.0, warm * steps)) * (1 - step / steps)


def fit(model: Model, pairs: Pairs, labels: Tensor, loss: Loss, recipe: Recipe, seed: int) -> None:
    """Train either form in place on labels (N,) of pairs."""
    wanted = labels.to(next(model.parameters()).device)
    descend(model, pairs.lengths, lambda rows: loss(model(pairs[rows]).float(), wanted[rows]), recipe, seed)


def contrast(bi: BiEncoder, sentences: Rows, recipe: Recipe, seed: int, temperature: float = 0.05) -> None:
    """SimCSE, the unsupervised start: two dropouts of one sentence are a pair, the batch's other sentences are not.

    InfoNCE of the cosines over `temperature`.
    """

    def loss(rows: Tensor) -> Tensor:
        views = bi.vectors([sentences[i] for i in rows] * 2).float()
        one, other = functional.normalize(views).chunk(2)
        return functional.cross_entropy(one @ other.T / temperature, torch.arange(len(rows), device=one.device))

    descend(bi, torch.tensor([len(row) for row in sentences]), loss, recipe, seed)


def score(model: Model, pairs: Pairs, amp: bool = False, batch: int = 128) -> Tensor:
    """What a form makes of pairs, (N,) float32: cosines of a bi-encoder, logits of a cross-encoder."""
    found = torch.empty(len(pairs))
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
        for rows in pairs.lengths.argsort().split(batch):
            found[rows] = model(pairs[rows]).float().cpu()
    return found


def kept(model: nn.Module, file: Path, train: Callable[[], None]) -> None:
    """Load a trained model's weights from a file, or train it and write them in one step.

    So a relay that was cut goes on behind its last whole stage.
    """
    if file.is_file():
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return
    train()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    torch.save(model.state_dict(), fresh)
    fresh.replace(file)
