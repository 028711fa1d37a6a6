"""The small language model of this lesson, trained from nothing but WordNet's definitions, and how it was made.

BERT's own recipe in small: hidden words are to be restored, and [CLS] has to say whether what stands behind the middle
[SEP] goes on with what stands before it. Half of the texts are read alone, half are cut in two; of those every second
gets the end of another text. So the model has met both forms of input before it becomes a bi- or a cross-encoder.

`python -m companion.trans_encoder.pretrain SEED` trains it anew (about half an hour of one core) and writes
`glosses-SEED.npz` beside this file: no sentence pair, no label and no other text has gone into it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from companion.data.glosses import glosses
from companion.data.minilm import WEIGHT, minilm
from companion.trans_encoder.method import padded
from companion.trans_encoder.training import alike

if TYPE_CHECKING:
    from transformers import BertForMaskedLM

SPECIAL = (0, 100, 101, 102, 103)  # [PAD] [UNK] [CLS] [SEP] [MASK] in the tokenizer's numbers, 0 to 4 in ours
UNKNOWN, MASK = 1, 4


@dataclass(frozen=True)
class Pretraining:
    """Sizes of the model and of its training: BERT's recipe for masked words, in small."""

    width: int = 128
    layers: int = 4
    head_width: int = 32
    longest: int = 32
    rarest: int = 10
    masked: float = 0.2
    epochs: int = 10
    batch: int = 128
    lr: float = 2e-3
    warm: float = 0.05
    decay: float = 0.01


def vocabulary(texts: list[list[int]], rarest: int) -> np.ndarray:
    """The tokenizer's numbers of the word pieces that occur `rarest` times or more, behind the five special ones."""
    counts = np.bincount(np.concatenate([np.array(text) for text in texts]))
    often = [piece for piece in np.flatnonzero(counts >= rarest).tolist() if piece not in SPECIAL]
    return np.array([*SPECIAL, *often])


def numbering(pieces: np.ndarray, total: int) -> Tensor:
    """Our number for each of the tokenizer's, (total,) int64; of what is not in the vocabulary, that of [UNK]."""
    ours = torch.full((total,), UNKNOWN)
    ours[torch.from_numpy(pieces)] = torch.arange(len(pieces))
    return ours


def hide(ids: Tensor, share: float, vocabulary: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Hide a share of the words of ids (n, m): where, bool (n, m), and what is seen there, (n, m).

    Of the hidden, eight in ten become [MASK], one a random word, and one stays, as in BERT.
    """
    hidden = (torch.rand(ids.shape, generator=generator) < share) & (ids > MASK)
    how = torch.rand(ids.shape, generator=generator)
    other = torch.randint(MASK + 1, vocabulary, ids.shape, generator=generator)
    seen = torch.where(hidden & (how < 0.8), MASK, ids)
    return hidden, torch.where(hidden & (how >= 0.9), other, seen)


def laid_out(rows: list[Tensor], generator: torch.Generator) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Texts as the model reads them: word pieces, sides (0 or 1) of each, and whether the ends belong, (n,).

    What belongs is 1 (own end), 0 (the end of another text) or -1 (read alone).
    """
    draw = torch.rand(len(rows), generator=generator)
    belongs = torch.where(draw < 0.5, -1, torch.where(draw < 0.75, 1, 0))
    texts, sides = [], []
    for row, end, own in zip(rows, [*rows[1:], rows[0]], belongs.tolist(), strict=True):
        first, second = row[: len(row) // 2 + 1], (end if own == 0 else row)
        second = second[len(second) // 2 + 1 :]
        whole = row if own < 0 else torch.cat([first, row[-1:], second])
        texts.append(whole)
        sides.append((torch.arange(len(whole)) > (len(whole) if own < 0 else len(first))).long())
    return texts, sides, belongs


def network(sizes: Pretraining, vocabulary: int) -> BertForMaskedLM:
    """BERT for masked words, untrained."""
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(
        BertConfig(
            vocab_size=vocabulary, hidden_size=sizes.width, num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.width // sizes.head_width, intermediate_size=4 * sizes.width,
            max_position_embeddings=2 * sizes.longest,
        )
    )  # fmt: skip


def losses_of(
    model: BertForMaskedLM,
    ends: nn.Module,
    rows: list[Tensor],
    vocabulary: int,
    sizes: Pretraining,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The two losses of some texts, in nats: of a hidden word, and of whether an end belongs."""
    texts, sides, belongs = laid_out(rows, generator)
    (ids, there), (side, _) = padded(texts), padded(sides)
    hidden, seen = hide(ids, sizes.masked, vocabulary, generator)
    with torch.autocast("cpu", torch.bfloat16):
        states = model.bert(seen, there, side).last_hidden_state
        words, belong = model.cls(states[hidden]), ends(states[belongs >= 0, 0]).squeeze(1)
    asked = belongs[belongs >= 0].float()
    return (
        functional.cross_entropy(words.float(), ids[hidden]),
        functional.binary_cross_entropy_with_logits(belong.float(), asked),
    )


def pretrain(rows: list[Tensor], vocabulary: int, sizes: Pretraining, seed: int) -> tuple[nn.Module, list[list[float]]]:
    """A model trained on both, and the two mean losses of each epoch, in nats."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, lengths = network(sizes, vocabulary), torch.tensor([len(row) for row in rows])
    both = nn.ModuleList([model, ends := nn.Linear(sizes.width, 1)])
    steps = sizes.epochs * math.ceil(len(rows) / sizes.batch)
    optimiser = torch.optim.AdamW(both.parameters(), lr=sizes.lr, weight_decay=sizes.decay, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, sizes.lr, steps, pct_start=sizes.warm)
    history = []
    for _ in range(sizes.epochs):
        losses = []
        for part in alike(lengths, sizes.batch, generator):
            word, end = losses_of(model, ends, [rows[i] for i in part], vocabulary, sizes, generator)
            optimiser.zero_grad()
            (word + end).backward()
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimiser.step()
            rate.step()
            losses.append((float(word.detach()), float(end.detach())))
        history.append([sum(each) / len(each) for each in zip(*losses, strict=True)])
        print(f"epoch {len(history)} of {sizes.epochs}: {history[-1][0]:.3f} nats a hidden word, "
              f"{history[-1][1]:.3f} an end", flush=True)  # fmt: skip
    return model.bert, history


def main(seed: int, sizes: Pretraining = Pretraining()) -> Path:
    """Train the model and write its weights (float16), its word pieces and its history beside this file."""
    tokenizer, _ = minilm()
    texts = tokenizer(glosses(), truncation=True, max_length=sizes.longest)["input_ids"]
    pieces = vocabulary(texts, sizes.rarest)
    ours = numbering(pieces, len(tokenizer))
    model, history = pretrain([ours[text] for text in texts], len(pieces), sizes, seed)
    weights: Mapping[str, np.ndarray] = {
        f"{WEIGHT}{name}": value.numpy().astype(np.float16) for name, value in model.state_dict().items()
    }
    how = json.dumps({"sizes": asdict(sizes), "seed": seed, "nats": history})
    file = Path(__file__).with_name(f"glosses-{seed}.npz")
    np.savez_compressed(file, allow_pickle=False, pieces=pieces, how=np.frombuffer(how.encode(), np.uint8), **weights)
    return file


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
