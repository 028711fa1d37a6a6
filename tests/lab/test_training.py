"""The shared training loop: against a loop by hand, through interruption, divergence and mixed precision."""

import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from companion.errors import CompanionError
from companion.lab.config import TrainConfig
from companion.lab.training import train

torch.manual_seed(0)
FEATURES = torch.randn(60, 4)
TARGETS = FEATURES @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]]) + 0.1 * torch.randn(60, 1)


def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))


def batches():
    order = torch.randperm(60)
    return [(FEATURES[part], TARGETS[part]) for part in order.split(16)]


def loss_fn(net, batch):
    return nn.functional.mse_loss(net(batch[0]), batch[1])


def weights(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def trained(config, **options):
    net = model()
    torch.manual_seed(2)
    score = train(net, batches, loss_fn, config, **options)
    return net, score


def test_it_is_the_loop_that_one_would_write():
    net, score = trained(TrainConfig(lr=0.01, weight_decay=0.1, epochs=3, optimizer="adamw", grad_clip=0.5))
    by_hand = model()
    torch.manual_seed(2)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(3):
        for batch in batches():
            optimizer.zero_grad()
            loss_fn(by_hand, batch).backward()
            nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
            optimizer.step()
    assert torch.equal(weights(net), weights(by_hand))
    assert math.isnan(score)
    assert not net.training


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, lambda t: 1.0),
        ({"schedule": "linear"}, lambda t: 1 - t / 10),
        ({"schedule": "cosine"}, lambda t: (1 + math.cos(math.pi * t / 10)) / 2),
        ({"warmup": 0.2, "schedule": "linear"}, lambda t: (t + 1) / 2 if t < 2 else 1 - (t - 2) / 8),
    ],
)
def test_warm_up_and_schedule_follow_their_formula(options, factor):
    # plain gradient steps of a loss with gradient 1 show the learning rate of each step
    net = nn.Linear(1, 1, bias=False)
    seen = [net.weight.item()]

    def loss(net, _):
        seen.append(net.weight.item())
        return net.weight.sum()

    sgd = TrainConfig(lr=0.1, steps=10, optimizer="sgd", **options)
    momentum = torch.optim.SGD([torch.zeros(1)], lr=1, momentum=0.9).defaults["momentum"]
    train(net, lambda: [None], loss, sgd)
    path = [*seen[1:], net.weight.item()]
    velocity, expected = 0.0, path[0]
    for t, value in enumerate(path[1:]):
        velocity = momentum * velocity + 1.0
        expected -= 0.1 * factor(t) * velocity
        assert value == pytest.approx(expected, abs=1e-5)


def test_the_best_weights_by_validation_are_kept():
    scores = iter([0.1, 0.9, 0.3, 0.2])
    seen = []

    def validate(net):
        assert not net.training
        assert not torch.is_grad_enabled()
        seen.append(weights(net).clone())
        return next(scores)

    net, score = trained(TrainConfig(lr=0.01, steps=8, eval_every=2), validate=validate)
    assert score == 0.9
    assert torch.equal(weights(net), seen[1])
    assert not torch.equal(weights(net), seen[3])


class Stop(Exception):
    """Stands for somebody who interrupts the kernel."""


@pytest.mark.parametrize("stop_at", [1, 4, 5, 7, 8, 11])
def test_an_interrupted_run_resumes_to_the_same_numbers(tmp_path, stop_at):
    config = TrainConfig(lr=0.01, epochs=4, schedule="cosine", eval_every=3)
    score = lambda net: -float(loss_fn(net, (FEATURES, TARGETS)))  # noqa: E731
    whole, best = trained(config, validate=score)
    path, calls = tmp_path / "new folder" / "run.pt", []

    def interrupted(net, batch):
        calls.append(1)
        if len(calls) == stop_at + 1:
            raise Stop
        return loss_fn(net, batch)

    net = model()
    torch.manual_seed(2)
    with pytest.raises(Stop):
        train(net, batches, interrupted, config, validate=score, checkpoint=path, checkpoint_every=1)
    torch.manual_seed(99)  # a new process would begin elsewhere
    again = model()
    assert train(again, batches, loss_fn, config, validate=score, checkpoint=path) == best
    assert torch.equal(weights(again), weights(whole))
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    trained(TrainConfig(steps=4), checkpoint=path, checkpoint_every=2)
    with pytest.raises(CompanionError, match=r"another configuration \(lr, batch_size differ\)"):
        trained(TrainConfig(steps=4, lr=0.5, batch_size=8), checkpoint=path)


def test_a_loss_that_is_not_a_number_stops_the_training():
    calls = []

    def diverges(net, batch):
        calls.append(1)
        return loss_fn(net, batch) * (math.nan if len(calls) == 3 else 1)

    with pytest.raises(CompanionError, match=r"diverged.*by step 4 at learning rate 0\.001"):
        trained_with(diverges, TrainConfig(steps=40, eval_every=4))
    assert len(calls) == 4


def trained_with(loss, config):
    return train(model(), batches, loss, config)


def test_weights_that_are_not_finite_are_an_error():
    class Broken(nn.Linear):
        def forward(self, x):
            with torch.no_grad():
                self.bias.fill_(math.inf)
            return x @ self.weight.T

    with pytest.raises(CompanionError, match="bias is not finite after 2 steps"):
        train(Broken(4, 1), batches, loss_fn, TrainConfig(steps=2))


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        (TrainConfig(), {}, "Give steps or epochs"),
        (TrainConfig(steps=1, epochs=1), {}, "and not both"),
        (TrainConfig(steps=5.5), {}, "steps = 5.5; use a whole number, 0 or larger"),
        (TrainConfig(steps=-1, epochs=2), {}, "steps = -1"),
        (TrainConfig(steps=1, eval_every=0), {}, "eval_every = 0; use a whole number, 1 or larger"),
        (TrainConfig(steps=1, grad_clip=-1.0), {}, "grad_clip 0 or larger"),
        (TrainConfig(steps=1, warmup=2.0), {}, "warmup a share from 0 to 1"),
        (TrainConfig(steps=1, lr=math.nan), {}, "lr must be above 0"),
        (TrainConfig(steps=1, optimizer="lion"), {}, "'lion' is not known; use one of adam, adamw"),
        (TrainConfig(steps=1, schedule="step"), {}, "'step' is not known; use one of constant"),
        (TrainConfig(steps=1), {"validate": lambda net: math.nan}, "is the validation set empty"),
    ],
)
def test_what_cannot_be_trained_is_said(config, options, says):
    with pytest.raises(CompanionError, match=says):
        trained(config, **options)


def test_no_batches_are_an_error_and_a_schedule_needs_their_number():
    with pytest.raises(CompanionError, match="returned no batch"):
        train(model(), lambda: [], loss_fn, TrainConfig(epochs=1))
    with pytest.raises(CompanionError, match="how many batches"):
        train(model(), lambda: iter(batches()), loss_fn, TrainConfig(epochs=1, schedule="linear"))


def test_a_step_reads_no_scalar_from_the_device():
    class Reads(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    # SGD: Adam's step counter is a tensor on the CPU in every case, and its .item() costs no wait for the device
    def reads(steps):
        with Reads() as mode:
            train(model(), batches, loss_fn, TrainConfig(steps=steps, optimizer="sgd", grad_clip=1.0, eval_every=1000))
        return mode.count

    assert reads(30) == reads(2)


def test_bfloat16_autocast_trains():
    kinds = []

    def loss(net, batch):
        out = net(batch[0])
        kinds.append(out.dtype)
        return nn.functional.mse_loss(out.float(), batch[1])

    net = model()
    train(net, batches, loss, TrainConfig(steps=3, amp=True))
    assert set(kinds) == {torch.bfloat16}
    assert weights(net).dtype == torch.float32


def test_a_file_that_is_no_checkpoint_of_this_model_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    for content in (b"", b"garbage"):
        path.write_bytes(content)
        with pytest.raises(CompanionError, match="not a checkpoint that can be read; remove it"):
            trained(TrainConfig(steps=4), checkpoint=path)
    path.unlink()
    trained(TrainConfig(steps=4), checkpoint=path, checkpoint_every=2)
    with pytest.raises(CompanionError, match="the checkpoint of another model"):
        train(nn.Linear(4, 1), batches, loss_fn, TrainConfig(steps=4), checkpoint=path)


def test_a_run_that_diverged_writes_no_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    broken = lambda net, batch: loss_fn(net, batch) * math.nan  # noqa: E731
    with pytest.raises(CompanionError, match="diverged"):
        train(model(), batches, broken, TrainConfig(steps=40, eval_every=30), checkpoint=path, checkpoint_every=2)
    assert not list(tmp_path.iterdir())


def test_nothing_to_train_and_batches_without_a_length_are_said():
    frozen = model().requires_grad_(False)
    with pytest.raises(CompanionError, match="nothing to train"):
        train(frozen, batches, loss_fn, TrainConfig(steps=1))

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([(FEATURES[0], TARGETS[0])])

    loader = torch.utils.data.DataLoader(Stream(), batch_size=1)
    with pytest.raises(CompanionError, match="how many batches"):
        train(model(), lambda: loader, loss_fn, TrainConfig(epochs=1, schedule="linear"))
