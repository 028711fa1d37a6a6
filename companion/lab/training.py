"""One training loop for the supervised models of the course; adversarial and search loops stand in their lessons."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from companion.errors import CompanionError
from companion.lab.config import TrainConfig

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
}
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


def train(
    model: nn.Module,
    batches: Callable[[], Iterable[Any]],
    loss_fn: Callable[[nn.Module, Any], Tensor],
    config: TrainConfig,
    validate: Callable[[nn.Module], float] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
) -> float:
    """Train `model` in place; return the best validation score, or NaN where there is no `validate`.

    batches() returns the batches of one epoch, on the model's device; it is called once per epoch.
    loss_fn(model, batch) returns a scalar tensor. validate(model) returns a score, higher is better; it is asked every
    `config.eval_every` steps and after the last, in evaluation mode without gradients, and the best weights are kept.
    checkpoint names a file that is written every `checkpoint_every` steps. If it is there, training goes on from it and
    ends with the numbers of an uninterrupted run, provided that batches() draws its order when it is called, from
    PyTorch's own generator (as a DataLoader without `generator` does). A file of another configuration is refused.
    All modules are in training mode during a step, frozen ones too, and in evaluation mode at the end.

    Within a step nothing is read from the device. Every `eval_every` steps the losses since are looked at: one that is
    not finite ends the training with an error, and so do weights that are not finite at the end.
    """
    _check(config, checkpoint_every)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise CompanionError("The model has no parameter that requires a gradient; there is nothing to train.")
    device = trained[0].device
    run = _Run(model, config, validate, device)
    if checkpoint is not None and Path(checkpoint).is_file():
        run.resume(Path(checkpoint))
    while not run.finished():
        run.epoch_random_state = _random_state(device)
        if run.resumed_at:  # redraw the interrupted epoch's order
            _set_random_state(run.resumed_at["epoch_random_state"], device)
            run.epoch_random_state = run.resumed_at["epoch_random_state"]
        epoch_batches = batches()
        used = 0
        for batch in epoch_batches:
            used += 1
            if used <= run.batches_used:
                continue  # this batch was used before the interruption
            if run.resumed_at:
                _set_random_state(run.resumed_at["random_state"], device)
                run.resumed_at = {}
            # 1. the learning rate of this step
            for group in run.optimizer.param_groups:
                group["lr"] = config.lr * _lr_factor(run.step, epoch_batches, config)
            # 2. forward pass and loss
            model.train()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.amp):
                loss = loss_fn(model, batch)
            # 3. gradients, clipped if the configuration says so
            run.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.grad_clip:
                nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            # 4. the update
            run.optimizer.step()
            run.step, run.batches_used = run.step + 1, used
            run.diverged |= ~torch.isfinite(loss.detach())  # stays on the device
            # 5. now and then: are the losses finite, is this model the best so far, write the checkpoint
            if run.step % config.eval_every == 0 or run.step == config.steps:
                run.evaluate()
            if checkpoint is not None and run.step % checkpoint_every == 0:
                run.save(Path(checkpoint))
            if run.step == config.steps:
                break
        if run.resumed_at:  # the checkpoint was written after the last batch of this epoch
            _set_random_state(run.resumed_at["random_state"], device)
        if used == 0:
            raise CompanionError("batches() returned no batch; is the batch size larger than the data set?")
        run.epoch, run.batches_used, run.resumed_at = run.epoch + 1, 0, {}
    if run.evaluated_at != run.step:
        run.evaluate()
    return run.finish()


class _Run:
    """The state of one training run: everything that a checkpoint holds."""

    def __init__(
        self, model: nn.Module, config: TrainConfig, validate: Callable[[nn.Module], float] | None, device: torch.device
    ) -> None:
        self.model, self.config, self.validate, self.device = model, config, validate, device
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        options = {"lr": config.lr, "weight_decay": config.weight_decay}
        self.optimizer = _choice(OPTIMIZERS, config.optimizer, "optimizer")(trained, **options)
        _choice(SCHEDULES, config.schedule, "schedule")
        self.step = self.epoch = self.batches_used = 0
        self.evaluated_at = -1
        self.best_score = -math.inf
        self.best_weights: dict[str, Any] | None = None
        self.diverged = torch.zeros((), dtype=torch.bool, device=device)
        self.epoch_random_state: dict[str, Tensor] = {}
        self.resumed_at: dict[str, Any] = {}

    def finished(self) -> bool:
        """True after the last step, or the last epoch."""
        return self.step >= self.config.steps if self.config.steps else self.epoch >= self.config.epochs

    @torch.no_grad()
    def evaluate(self) -> None:
        """Refuse losses that are not finite; keep the weights if the validation score is the best so far."""
        self.evaluated_at = self.step
        if self.diverged.item():
            raise CompanionError(
                f"Training diverged: the loss was not finite by step {self.step} at learning rate {self.config.lr:g}. "
                "Lower the learning rate, clip the gradient (grad_clip), or look for NaN in the inputs."
            )
        if self.validate is None:
            return
        self.model.eval()
        score = float(self.validate(self.model))
        if math.isnan(score):
            raise CompanionError("The validation score is NaN; is the validation set empty, or does it hold NaN?")
        if score > self.best_score:
            self.best_score, self.best_weights = score, copy.deepcopy(self.model.state_dict())

    def finish(self) -> float:
        """Load the best weights, set evaluation mode, and return the best score."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)
        bad = [name for name, value in self.model.named_parameters() if not bool(torch.isfinite(value).all())]
        if bad:
            raise CompanionError(f"Training diverged: {bad[0]} is not finite after {self.step} steps.")
        self.model.eval()
        return float(self.best_score) if self.validate else math.nan

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all; a run that diverged stops here instead."""
        if self.diverged.item():
            self.evaluate()
        state = {
            "config": asdict(self.config), "step": self.step, "epoch": self.epoch, "batches_used": self.batches_used,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "best_score": self.best_score, "best_weights": self.best_weights, "diverged": self.diverged,
            "epoch_random_state": self.epoch_random_state, "random_state": _random_state(self.device),
        }  # fmt: skip
        partial = path.with_name(f".{path.name}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Take up the state that `save` wrote."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            stored = state["config"]
        except Exception as error:
            raise CompanionError(f"{path} is not a checkpoint that can be read; remove it to start again.") from error
        changed = [name for name, value in asdict(self.config).items() if stored.get(name) != value]
        if changed:
            raise CompanionError(
                f"{path} was written under another configuration ({', '.join(changed)} differ); "
                "remove it to start again, or restore the configuration."
            )
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise CompanionError(f"{path} is the checkpoint of another model; remove it to start again.") from error
        for name in ("step", "epoch", "batches_used", "best_score", "best_weights", "diverged"):
            setattr(self, name, state[name])
        self.resumed_at = {name: state[name] for name in ("epoch_random_state", "random_state")}


def _check(config: TrainConfig, checkpoint_every: int) -> None:
    """Refuse settings with which training would do something else than it says."""
    whole = {name: getattr(config, name) for name in ("steps", "epochs", "eval_every")}
    whole["checkpoint_every"] = checkpoint_every
    for name, value in whole.items():
        least = 0 if name in ("steps", "epochs") else 1
        if not isinstance(value, int) or value < least:
            raise CompanionError(f"{name} = {value!r}; use a whole number, {least} or larger.")
    if (config.steps > 0) == (config.epochs > 0):
        raise CompanionError(f"Give steps or epochs, and not both: steps = {config.steps}, epochs = {config.epochs}.")
    if not (config.lr > 0 and config.grad_clip >= 0 and 0 <= config.warmup <= 1):
        raise CompanionError(f"lr = {config.lr}, grad_clip = {config.grad_clip}, warmup = {config.warmup}: lr must be "
                             "above 0, grad_clip 0 or larger, and warmup a share from 0 to 1.")  # fmt: skip


def _lr_factor(step: int, epoch_batches: Iterable[Any], config: TrainConfig) -> float:
    """What the learning rate is multiplied by at a step, counted from 0: warm-up, then the schedule."""
    if not config.warmup and config.schedule == "constant":
        return 1.0
    try:
        total = config.steps or config.epochs * len(epoch_batches)  # type: ignore[arg-type]
    except TypeError as error:
        raise CompanionError("A warm-up or a schedule over epochs needs to know how many batches an epoch has: return "
                             "a list or a DataLoader from batches(), or give steps.") from error  # fmt: skip
    warmup_steps = round(config.warmup * total)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return SCHEDULES[config.schedule]((step - warmup_steps) / max(total - warmup_steps, 1))


def _choice(table: dict[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise CompanionError(f"{what} = {name!r} is not known; use one of {', '.join(table)}.")
    return table[name]


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
