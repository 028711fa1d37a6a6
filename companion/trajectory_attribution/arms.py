"""The arms of the experiment: one predictor, trained on coalitions, on everybody, or on nobody but the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from companion.trajectory_attribution import method
from companion.trajectory_attribution.baselines import alone
from companion.trajectory_attribution.method import Batch, Predictor

SUBSETS, ORDINARY, ALONE = "subset training", "ordinary training", "retrained without neighbours"
ARMS = (SUBSETS, ORDINARY, ALONE)


@dataclass(frozen=True)
class Sizes:
    """What the arms of one world share: width, metres that count as 1, epochs, batch, share of pasts dropped."""

    width: int = 64
    unit: float = 4.0
    epochs: int = 10
    batch: int = 256
    drop_past: float = 0.1
    amp: bool = False


def train(data: Batch, arm: str, lr: float, sizes: Sizes, seed: int) -> Predictor:
    """Train one arm on the same number of targets and steps as the others; the start depends on the seed alone."""
    torch.manual_seed(seed)
    stream = torch.Generator().manual_seed(seed)
    history, steps, kinds = data.past.shape[1], data.future.shape[1], data.kind.shape[-1]
    model = Predictor(history, steps, kinds, sizes.width, sizes.unit).to(data.past.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    batches = -(-len(data) // sizes.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=sizes.epochs * batches)
    data = alone(data) if arm == ALONE else data
    for _ in range(sizes.epochs):
        for rows in torch.randperm(len(data), generator=stream).split(sizes.batch):
            with torch.autocast(data.past.device.type, torch.bfloat16, enabled=sizes.amp):
                method.train_step(model, prepared(data[rows.to(data.past.device)], arm, sizes, stream), optimiser)
            schedule.step()
    return model.eval()


def prepared(batch: Batch, arm: str, sizes: Sizes, stream: torch.Generator) -> Batch:
    """A batch as its arm sees it: mirrored by a fair coin, some pasts and, in subset training, some neighbours gone."""
    batch = mirrored(batch, stream)
    if arm == SUBSETS:
        batch = replace(batch, mask=method.keep_some(batch.mask, stream))
        batch = replace(batch, past=method.drop_past(batch.past, sizes.drop_past, stream))
    return batch


def mirrored(batch: Batch, stream: torch.Generator) -> Batch:
    """Left and right swapped for half of the targets."""
    sign = 1 - 2 * (torch.rand(len(batch), 1, 1, generator=stream) < 0.5).float()
    flip = torch.cat([torch.ones_like(sign), sign], dim=-1).to(batch.past.device)
    return replace(batch, past=batch.past * flip, future=batch.future * flip, tracks=batch.tracks * flip.unsqueeze(1))


def with_strangers(batch: Batch, slots: Tensor, generator: torch.Generator) -> Batch:
    """In each target's slot `slots` (N,) sits somebody from another scene: where he was seen from his own target.

    Where the slot or its stranger is empty, it is left empty. What a stranger is worth is the zero to compare with.
    """
    rows = torch.arange(len(batch))
    donors = donors_of(batch.scene, generator)
    tracks, kind, mask = batch.tracks.clone(), batch.kind.clone(), batch.mask.clone()
    tracks[rows, slots], kind[rows, slots] = batch.tracks[donors, slots], batch.kind[donors, slots]
    mask[rows, slots] &= batch.mask[donors, slots]
    return replace(batch, tracks=tracks, kind=kind, mask=mask)


def all_strangers(batch: Batch, generator: torch.Generator) -> Batch:
    """Every neighbour comes from another scene, each slot from one of its own: a null for the best of several."""
    for slot in range(batch.mask.shape[1]):
        batch = with_strangers(batch, torch.full((len(batch),), slot), generator)
    return batch


def donors_of(scene: Tensor, generator: torch.Generator) -> Tensor:
    """For each target another one, at random, that is not of its scene, (N,)."""
    scene = scene.cpu()
    donors = torch.randint(len(scene), (len(scene),), generator=generator)
    while bool((same := scene[donors] == scene).any()):
        donors[same] = torch.randint(len(scene), (int(same.sum()),), generator=generator)
    return donors
