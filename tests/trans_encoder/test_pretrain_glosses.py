"""The script that trained the lesson's two language models, on tiny texts."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from companion.trans_encoder.data import UNKNOWN, vocabulary_index

SCRIPT = Path(__file__).parents[2] / "scripts" / "pretrain_glosses.py"
spec = importlib.util.spec_from_file_location("pretrain_glosses", SCRIPT)
pretrain_glosses = importlib.util.module_from_spec(spec)
sys.modules["pretrain_glosses"] = pretrain_glosses
spec.loader.exec_module(pretrain_glosses)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


TINY = pretrain_glosses.Config(
    hidden_dim=16, num_layers=1, head_dim=8, max_length=12, min_count=2, epochs=6, batch_size=16, lr=2e-2
)


def texts_of_ten_words(n: int = 96) -> list[Tensor]:
    """Texts of 4 to 9 words, each followed by the next of ten: [CLS] words [SEP]."""
    draw = np.random.default_rng(0)
    words = [(draw.integers(10) + np.arange(draw.integers(4, 10))) % 10 for _ in range(n)]
    return [torch.tensor([2, *(5 + text), 3]) for text in words]


def test_rare_tokens_leave_the_vocabulary_and_become_unknown() -> None:
    texts = [[101, 7000, 7000, 9, 102], [101, 7000, 2003, 2003, 102]]
    vocabulary = pretrain_glosses.vocabulary_of(texts, 2)
    assert vocabulary.tolist() == [*pretrain_glosses.SPECIAL, 2003, 7000]
    index = vocabulary_index(vocabulary, 8000)
    assert index[texts[0]].tolist() == [2, 6, 6, UNKNOWN, 3]
    assert index[texts[1]].tolist() == [2, 6, 5, 5, 3]


def test_a_text_is_encoded_whole_or_in_two_parts() -> None:
    texts = texts_of_ten_words(400)
    joined, types, belongs = pretrain_glosses.make_inputs(texts, generator())
    shares = [float((belongs == what).float().mean()) for what in (-1, 0, 1)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.06)
    for text, whole, kind, own in zip(texts, joined, types, belongs.tolist(), strict=True):
        assert len(whole) == len(kind)
        assert int(whole[0]) == 2
        assert int(whole[-1]) == 3
        if own < 0:
            assert torch.equal(whole, text)
            assert int(kind.sum()) == 0
        else:
            cut = int((kind == 0).sum())
            assert int(whole[cut - 1]) == 3
            assert torch.equal(whole[: cut - 1], text[: cut - 1])
            assert own == 0 or torch.equal(whole[cut:], text[cut - 1 :])


def test_tokens_are_masked_in_three_ways_and_special_ones_never() -> None:
    ids = torch.randint(0, 30, (300, 40), generator=generator())
    masked, inputs = pretrain_glosses.mask_tokens(ids, 0.3, 30, generator(1))
    assert not bool((masked & (ids <= pretrain_glosses.MASK)).any())
    assert torch.equal(inputs[~masked], ids[~masked])
    assert float(masked[ids > pretrain_glosses.MASK].float().mean()) == pytest.approx(0.3, abs=0.02)
    as_mask, same = (float((inputs[masked] == what).float().mean()) for what in (pretrain_glosses.MASK, ids[masked]))
    assert as_mask == pytest.approx(0.8, abs=0.03)
    assert same == pytest.approx(0.1 + 0.1 / 25, abs=0.03)
    assert int(inputs.max()) < 30


def test_a_tiny_language_model_learns_words_and_repeats(capsys) -> None:
    model, history = pretrain_glosses.pretrain(texts_of_ten_words(), 15, TINY, 0)
    again, _ = pretrain_glosses.pretrain(texts_of_ten_words(), 15, TINY, 0)
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
    texts = [" ".join(str(int(number)) for number in row[1:-1]) for row in texts_of_ten_words(48)]
    monkeypatch.setattr(pretrain_glosses, "glosses", lambda: texts)
    monkeypatch.setattr(pretrain_glosses, "minilm", lambda: (Words(), None))
    file = pretrain_glosses.main(5, TINY, tmp_path)
    assert file == tmp_path / "glosses-5.npz"
    with np.load(file) as arrays:
        how = json.loads(arrays["how"].tobytes())
        state = {name[7:]: torch.from_numpy(arrays[name]).float() for name in arrays.files if name[:7] == "weight/"}
        known = arrays["pieces"]
    assert how["seed"] == 5
    assert len(how["nats"]) == TINY.epochs
    encoder = pretrain_glosses.make_model(TINY, len(known)).bert
    encoder.load_state_dict(state)
    assert weights(encoder).isfinite().all()
