"""One predictor, trained in three ways: on random coalitions, with all neighbors, or without any."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from companion.lab.config import TrainConfig
from companion.trajectory_attribution import method
from companion.trajectory_attribution.baselines import without_neighbors
from companion.trajectory_attribution.method import Batch, Predictor

SUBSETS, ORDINARY, RETRAINED = "subset training", "ordinary training", "retrained without neighbors"
METHODS = (SUBSETS, ORDINARY, RETRAINED)
SUBSETS_REMOVED = "subset training, neighbors removed"  # the trained model, evaluated without its neighbors
ORDINARY_REMOVED = "ordinary training, neighbors removed"


@dataclass(frozen=True)
class PredictorConfig(TrainConfig):
    """How a predictor is trained, and its size."""

    weight_decay: float = 0.01  # decoupled, as in AdamW
    schedule: str = "one cycle"  # PyTorch's OneCycleLR up to `lr`, stepped after every batch
    optimizer: str = "adamw"  # the only one that `train` knows
    grad_clip: float = 5.0  # largest norm of the gradient
    hidden_dim: int = 64  # width of all layers of the predictor
    unit: float = 4.0  # meters that count as 1 inside the network
    drop_past: float = 0.1  # in subset training: share of the targets with a static past


def train(data: Batch, name: str, config: PredictorConfig, seed: int) -> Predictor:
    """Train the method `name` (of METHODS) on all targets of `data`; all methods take the same number of steps.

    Initialization, order of the batches and dropped neighbors depend on the seed alone.
    """
    torch.manual_seed(seed)
    generator, device = torch.Generator().manual_seed(seed), data.past.device
    history, steps, kinds = data.past.shape[1], data.future.shape[1], data.kind.shape[-1]
    model = Predictor(history, steps, kinds, config.hidden_dim, config.unit).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    total_steps = config.epochs * -(-len(data) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=total_steps)
    data = without_neighbors(data) if name == RETRAINED else data
    for _ in range(config.epochs):
        for rows in torch.randperm(len(data), generator=generator).split(config.batch_size):
            # 1. a batch of targets, each mirrored with probability 1/2
            batch = mirror(data[rows.to(device)], generator)
            # 2. subset training: a random coalition for each target
            if name == SUBSETS:
                batch = method.random_coalitions(batch, config.drop_past, generator)
            # 3. the negative log-likelihood of the ground-truth future
            with torch.autocast(device.type, torch.bfloat16, enabled=config.amp):
                mean, log_std = model(batch)
                loss = method.nll(mean, log_std, batch.future).mean()
            # 4. one step of the optimizer on the clipped gradient, then of the learning rate
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            optimizer.step()
            schedule.step()
    return model.eval()


def mirror(batch: Batch, generator: torch.Generator) -> Batch:
    """Left and right (y) swapped for a random half of the targets."""
    sign = 1 - 2 * (torch.rand(len(batch), 1, 1, generator=generator) < 0.5).float()
    flip = torch.cat([torch.ones_like(sign), sign], dim=-1).to(batch.past.device)
    past, future, neighbors = batch.past * flip, batch.future * flip, batch.neighbors * flip.unsqueeze(1)
    return replace(batch, past=past, future=future, neighbors=neighbors)
