"""Training: batches, seeds, mixed precision, resuming, SimCSE; and the language model of definitions, made in small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.trans_encoder import checks, method, pretrain, training
from companion.trans_encoder.method import BiEncoder, CrossEncoder, Pairs
from companion.trans_encoder.training import Recipe

QUICK = Recipe(epochs=4, batch=8, lr=3e-3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cross(head: str = "cosine") -> CrossEncoder:
    torch.manual_seed(0)
    return CrossEncoder(checks.small_encoder(), checks.WIDTH, head)


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


# ---------------------------------------------------------------- batches and rates


@pytest.mark.parametrize("batch", [1, 7, 40, 100])
def test_batches_cover_each_row_once(batch: int) -> None:
    lengths = torch.randint(3, 30, (40,), generator=generator())
    parts = training.alike(lengths, batch, generator())
    assert torch.cat(parts).sort().values.tolist() == list(range(40))
    assert max(map(len, parts)) <= batch


def test_batches_hold_rows_of_like_length_in_another_order_each_time() -> None:
    lengths, draw = torch.arange(400) % 50, generator()
    first, second = (training.alike(lengths, 20, draw) for _ in range(2))
    spread = torch.tensor([float(lengths[part].float().std()) for part in first]).mean()
    assert spread < 0.2 * float(lengths.float().std())
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_the_rate_rises_and_falls_to_nothing() -> None:
    rates = [training._rate(step, 100, 0.1) for step in range(101)]
    assert rates[0] < rates[4] < rates[9]
    assert rates[10] > rates[50] > rates[99] > rates[100] == 0
    assert max(rates) <= 1


def test_the_number_of_steps_is_that_of_the_recipe() -> None:
    seen = []
    model, pairs = cross(), checks.some_pairs(20)

    def loss(rows: Tensor) -> Tensor:
        seen.append(len(rows))
        return model(pairs[rows]).square().mean()

    training.descend(model, pairs.lengths, loss, Recipe(epochs=3, batch=8, lr=1e-3), 0)
    assert len(seen) == 9
    assert sum(seen) == 60


# ---------------------------------------------------------------- fitting either form


@pytest.mark.parametrize("form", ["bi", "cosine", "cls"])
def test_a_student_comes_nearer_to_its_labels(form: str) -> None:
    model = BiEncoder(checks.small_encoder()) if form == "bi" else cross(form)
    pairs = checks.some_pairs(24)
    labels = torch.rand(24, generator=generator(1))
    loss, best = (method.cosine_loss, labels) if form == "bi" else (method.soft_label_loss, labels.logit())

    def excess() -> float:
        return float(loss(training.score(model, pairs), labels) - loss(best, labels))

    before = excess()
    training.fit(model, pairs, labels, loss, Recipe(epochs=25, batch=8, lr=1e-2), 0)
    assert excess() < 0.4 * before
    assert not model.training


def test_a_seed_repeats_and_another_differs() -> None:
    pairs, labels, found = checks.some_pairs(16), torch.rand(16, generator=generator()), []
    for seed in (3, 3, 4):
        model = cross()
        torch.manual_seed(len(found))  # what was drawn before does not matter
        training.fit(model, pairs, labels, method.soft_label_loss, QUICK, seed)
        found.append(weights(model))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_training_leaves_the_random_state_alone() -> None:
    model = cross()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    training.fit(model, checks.some_pairs(8), torch.rand(8, generator=generator()), method.soft_label_loss, QUICK, 0)
    assert torch.equal(torch.rand(3), wanted)


def test_mixed_precision_trains_and_scores_nearly_the_same() -> None:
    pairs, labels = checks.some_pairs(16), torch.rand(16, generator=generator())
    found = []
    for amp in (False, True):
        model = cross()
        training.fit(model, pairs, labels, method.soft_label_loss, Recipe(4, 8, 3e-3, amp=amp), 0)
        found.append(training.score(model, pairs, amp))
    assert found[1].dtype == torch.float32
    assert not torch.equal(found[0], found[1])
    assert float((found[0] - found[1]).abs().max()) < 0.3


def test_frozen_weights_stay() -> None:
    model = BiEncoder(checks.small_encoder())
    words = model.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
    before = words.clone()
    training.fit(model, checks.some_pairs(8), torch.rand(8), method.cosine_loss, QUICK, 0)
    assert torch.equal(words, before)


def test_scores_come_back_in_order_whatever_the_batch() -> None:
    model, pairs = cross(), checks.some_pairs(23)
    assert torch.allclose(training.score(model, pairs, batch=4), training.score(model, pairs), atol=1e-5)


def test_simcse_pulls_two_views_together_and_sentences_apart() -> None:
    model = BiEncoder(checks.small_encoder())
    model.encoder.embeddings.dropout.p = 0.1
    pairs = checks.some_pairs(24)
    before = training.score(model, pairs)
    training.contrast(model, [*pairs.first, *pairs.second], Recipe(8, 16, 3e-3), 0)
    assert float(training.score(model, pairs).mean()) < float(before.mean())


# ---------------------------------------------------------------- resuming


def test_a_kept_model_is_trained_once(tmp_path: Path) -> None:
    calls = []

    def train() -> None:
        calls.append(1)
        with torch.no_grad():
            model.shift.add_(1)

    for _ in range(2):
        model = cross()
        training.kept(model, tmp_path / "deep" / "stage.pt", train)
        assert float(model.shift.detach()) == -2
    assert len(calls) == 1
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["stage.pt"]


def test_a_cut_relay_ends_where_a_whole_one_does(tmp_path: Path) -> None:
    pairs = checks.some_pairs(16)

    def run(folder: Path, stages: int = 9) -> list[method.Stage]:
        count = iter(range(stages))

        def fit(model: method.Model, some: Pairs, labels: Tensor, loss: training.Loss) -> None:
            file = folder / f"{next(count)}.pt"  # runs dry: the relay is cut
            training.kept(model, file, lambda: training.fit(model, some, labels, loss, QUICK, 0))

        return list(method.relay([BiEncoder(checks.small_encoder())], [cross()], [pairs], 2, fit, training.score))

    whole = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(tmp_path / "cut", stages=2)
    again = run(tmp_path / "cut")
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(whole, again, strict=True))


# ---------------------------------------------------------------- the language model of definitions

TINY = pretrain.Pretraining(width=16, layers=1, head_width=8, longest=12, rarest=2, epochs=6, batch=16, lr=2e-2)


def rows(n: int = 96) -> list[Tensor]:
    """Texts of 4 to 9 words, each followed by the next of ten: [CLS] words [SEP]."""
    draw = np.random.default_rng(0)
    words = [(draw.integers(10) + np.arange(draw.integers(4, 10))) % 10 for _ in range(n)]
    return [torch.tensor([2, *(5 + text), 3]) for text in words]


def test_rare_pieces_leave_the_vocabulary_and_become_unknown() -> None:
    texts = [[101, 7000, 7000, 9, 102], [101, 7000, 2003, 2003, 102]]
    pieces = pretrain.vocabulary(texts, 2)
    assert pieces.tolist() == [*pretrain.SPECIAL, 2003, 7000]
    ours = pretrain.numbering(pieces, 8000)
    assert ours[texts[0]].tolist() == [2, 6, 6, pretrain.UNKNOWN, 3]
    assert ours[texts[1]].tolist() == [2, 6, 5, 5, 3]


def test_a_text_is_read_alone_or_in_two_parts() -> None:
    texts = rows(400)
    laid, sides, belongs = pretrain.laid_out(texts, generator())
    shares = [float((belongs == what).float().mean()) for what in (-1, 0, 1)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.06)
    for text, whole, side, own in zip(texts, laid, sides, belongs.tolist(), strict=True):
        assert len(whole) == len(side)
        assert int(whole[0]) == 2
        assert int(whole[-1]) == 3
        if own < 0:
            assert torch.equal(whole, text)
            assert int(side.sum()) == 0
        else:
            cut = int((side == 0).sum())
            assert int(whole[cut - 1]) == 3
            assert torch.equal(whole[: cut - 1], text[: cut - 1])
            assert own == 0 or torch.equal(whole[cut:], text[cut - 1 :])


def test_hidden_words_are_hidden_in_three_ways_and_special_pieces_never() -> None:
    ids = torch.randint(0, 30, (300, 40), generator=generator())
    hidden, seen = pretrain.hide(ids, 0.3, 30, generator(1))
    assert not bool((hidden & (ids <= pretrain.MASK)).any())
    assert torch.equal(seen[~hidden], ids[~hidden])
    assert float(hidden[ids > pretrain.MASK].float().mean()) == pytest.approx(0.3, abs=0.02)
    masked, same = (float((seen[hidden] == what).float().mean()) for what in (pretrain.MASK, ids[hidden]))
    assert masked == pytest.approx(0.8, abs=0.03)
    assert same == pytest.approx(0.1 + 0.1 / 25, abs=0.03)
    assert int(seen.max()) < 30


def test_a_tiny_language_model_learns_words_and_repeats(capsys) -> None:
    model, history = pretrain.pretrain(rows(), 15, TINY, 0)
    again, _ = pretrain.pretrain(rows(), 15, TINY, 0)
    assert history[-1][0] < 0.9 * history[0][0]
    assert torch.equal(weights(model), weights(again))
    assert "epoch 6 of 6" in capsys.readouterr().out
    assert len(history) == 6


class Words:
    """A tokenizer with a number for each of forty words."""

    def __len__(self) -> int:
        return 200

    def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [[101, *(110 + int(word) for word in text.split()), 102] for text in texts]}


def test_what_is_written_can_be_loaded(tmp_path: Path, monkeypatch) -> None:
    texts = [" ".join(str(int(number)) for number in row[1:-1]) for row in rows(48)]
    monkeypatch.setattr(pretrain, "glosses", lambda: texts)
    monkeypatch.setattr(pretrain, "minilm_tokenizer", Words, raising=False)
    monkeypatch.setattr(pretrain, "minilm", lambda: (Words(), None), raising=False)
    monkeypatch.setattr(pretrain, "__file__", str(tmp_path / "pretrain.py"))
    file = pretrain.main(5, TINY)
    assert file == tmp_path / "glosses-5.npz"
    with np.load(file) as arrays:
        how = json.loads(arrays["how"].tobytes())
        state = {name[7:]: torch.from_numpy(arrays[name]).float() for name in arrays.files if name[:7] == "weight/"}
        known = arrays["pieces"]
    assert how["seed"] == 5
    assert len(how["nats"]) == TINY.epochs
    encoder = pretrain.network(TINY, len(known)).bert
    encoder.load_state_dict(state)
    assert weights(encoder).isfinite().all()
