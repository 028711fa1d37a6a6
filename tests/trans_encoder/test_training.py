"""Training: batches, seeds, mixed precision, resuming, SimCSE."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from companion.trans_encoder import method, training
from companion.trans_encoder.data import RANDOM_DIM, random_encoder, random_pairs
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Pairs, StageConfig

QUICK = StageConfig(epochs=4, batch_size=8, lr=3e-3, amp=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cross(head: str = "cosine") -> CrossEncoder:
    torch.manual_seed(0)
    return CrossEncoder(random_encoder(), RANDOM_DIM, head)


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


# ---------------------------------------------------------------- batches and learning rates


@pytest.mark.parametrize("batch", [1, 7, 40, 100])
def test_batches_cover_each_row_once(batch: int) -> None:
    lengths = torch.randint(3, 30, (40,), generator=generator())
    parts = method.length_bucketed_batches(lengths, batch, generator())
    assert torch.cat(parts).sort().values.tolist() == list(range(40))
    assert max(map(len, parts)) <= batch


def test_batches_hold_texts_of_similar_length_in_another_order_each_time() -> None:
    lengths, draw = torch.arange(400) % 50, generator()
    first, second = (method.length_bucketed_batches(lengths, 20, draw) for _ in range(2))
    spread = torch.tensor([float(lengths[part].float().std()) for part in first]).mean()
    assert spread < 0.2 * float(lengths.float().std())
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_the_learning_rate_rises_and_falls_to_0() -> None:
    rates = [method.lr_factor(step, 100, 0.1) for step in range(101)]
    assert rates[0] < rates[4] < rates[9]
    assert rates[10] > rates[50] > rates[99] > rates[100] == 0
    assert max(rates) <= 1


def test_the_number_of_steps_is_that_of_the_configuration() -> None:
    seen = []
    model, pairs = cross(), random_pairs(20)

    def loss(rows: Tensor) -> Tensor:
        seen.append(len(rows))
        return model(pairs[rows]).square().mean()

    method.train(model, pairs.lengths, loss, StageConfig(epochs=3, batch_size=8, lr=1e-3), 0)
    assert len(seen) == 9
    assert sum(seen) == 60


# ---------------------------------------------------------------- training on labels


@pytest.mark.parametrize("kind", ["bi", "cosine", "cls"])
def test_a_student_comes_closer_to_its_labels(kind: str) -> None:
    model = BiEncoder(random_encoder()) if kind == "bi" else cross(kind)
    pairs = random_pairs(24)
    labels = torch.rand(24, generator=generator(1))
    loss, best = (method.cosine_loss, labels) if kind == "bi" else (method.soft_label_loss, labels.logit())

    def excess() -> float:
        return float(loss(method.score(model, pairs), labels) - loss(best, labels))

    before = excess()
    method.train_on_labels(model, pairs, labels, loss, StageConfig(epochs=25, batch_size=8, lr=1e-2, amp=False), 0)
    assert excess() < 0.4 * before
    assert not model.training


def test_a_seed_repeats_and_another_differs() -> None:
    pairs, labels, found = random_pairs(16), torch.rand(16, generator=generator()), []
    for seed in (3, 3, 4):
        model = cross()
        torch.manual_seed(len(found))  # what was drawn before does not matter
        method.train_on_labels(model, pairs, labels, method.soft_label_loss, QUICK, seed)
        found.append(weights(model))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_training_leaves_the_random_state_alone() -> None:
    model = cross()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    method.train_on_labels(
        model, random_pairs(8), torch.rand(8, generator=generator()), method.soft_label_loss, QUICK, 0
    )
    assert torch.equal(torch.rand(3), wanted)


def test_mixed_precision_trains_and_scores_nearly_the_same() -> None:
    pairs, labels = random_pairs(16), torch.rand(16, generator=generator())
    found = []
    for amp in (False, True):
        model = cross()
        method.train_on_labels(
            model, pairs, labels, method.soft_label_loss, StageConfig(epochs=4, batch_size=8, lr=3e-3, amp=amp), 0
        )
        found.append(method.score(model, pairs, amp))
    assert found[1].dtype == torch.float32
    assert not torch.equal(found[0], found[1])
    assert float((found[0] - found[1]).abs().max()) < 0.3


def test_frozen_weights_stay() -> None:
    model = BiEncoder(random_encoder())
    words = model.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
    before = words.clone()
    method.train_on_labels(model, random_pairs(8), torch.rand(8), method.cosine_loss, QUICK, 0)
    assert torch.equal(words, before)


def test_scores_come_back_in_order_whatever_the_batch() -> None:
    model, pairs = cross(), random_pairs(23)
    assert torch.allclose(method.score(model, pairs, batch_size=4), method.score(model, pairs), atol=1e-5)


def test_simcse_moves_two_views_closer_and_sentences_apart() -> None:
    model = BiEncoder(random_encoder())
    model.encoder.embeddings.dropout.p = 0.1
    pairs = random_pairs(24)
    before = method.score(model, pairs)
    config = StageConfig(epochs=8, batch_size=16, lr=3e-3, amp=False)
    method.train_simcse(model, [*pairs.first, *pairs.second], config, 0.05, 0)
    assert float(method.score(model, pairs).mean()) < float(before.mean())


# ---------------------------------------------------------------- resuming


def test_a_stored_model_is_trained_once(tmp_path: Path) -> None:
    calls = []

    def train() -> None:
        calls.append(1)
        with torch.no_grad():
            model.shift.add_(1)

    for _ in range(2):
        model = cross()
        training.load_or_train(model, tmp_path / "deep" / "stage.pt", train)
        assert float(model.shift.detach()) == -2
    assert len(calls) == 1
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["stage.pt"]


def test_an_interrupted_distillation_ends_where_a_whole_one_does(tmp_path: Path) -> None:
    pairs = random_pairs(16)

    def run(folder: Path, stages: int = 9) -> list[method.Stage]:
        count = iter(range(stages))

        def train_student(model: method.Model, some: Pairs, labels: Tensor, loss: method.Loss) -> None:
            file = folder / f"{next(count)}.pt"  # runs dry: an interruption
            training.load_or_train(model, file, lambda: method.train_on_labels(model, some, labels, loss, QUICK, 0))

        return list(method.distill([BiEncoder(random_encoder())], [cross()], [pairs], 2, train_student))

    whole = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(tmp_path / "interrupted", stages=2)
    again = run(tmp_path / "interrupted")
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(whole, again, strict=True))
