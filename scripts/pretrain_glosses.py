"""How `companion/trans_encoder/glosses-0.npz` and `glosses-1.npz` were made: a small BERT, trained on definitions.

`python scripts/pretrain_glosses.py SEED` trains it again (about half an hour of one core) and writes
`glosses-SEED.npz` into the package. It sees the definitions of WordNet's nouns: no sentence pair, no label, no other
text.

Two losses, as for BERT: masked language modeling, and whether the end of a text belongs to its beginning ([CLS]
predicts it). Half of the texts are encoded whole. The others are cut in two, and every second of these gets the end of
another text. So the model has met both kinds of input before it becomes a bi-encoder or a cross-encoder.
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

import companion.trans_encoder
from companion.data.minilm import WEIGHT, minilm
from companion.data.sentences import glosses
from companion.trans_encoder.data import (
    HEAD_DIM,
    HIDDEN_DIM,
    MAX_LENGTH,
    NUM_LAYERS,
    bert_config,
    vocabulary_index,
)
from companion.trans_encoder.method import length_bucketed_batches, pad

if TYPE_CHECKING:
    from transformers import BertForMaskedLM

SPECIAL = (0, 100, 101, 102, 103)  # [PAD] [UNK] [CLS] [SEP] [MASK] in the tokenizer's numbers, 0 to 4 in ours
MASK = 4
FOLDER = Path(companion.trans_encoder.__file__).parent


@dataclass(frozen=True)
class Config:
    """Sizes of the model and of its training."""

    hidden_dim: int = HIDDEN_DIM  # width of the states
    num_layers: int = NUM_LAYERS  # transformer layers
    head_dim: int = HEAD_DIM  # width of an attention head
    max_length: int = MAX_LENGTH  # tokens of a text; longer ones are truncated
    min_count: int = 10  # rarer tokens become [UNK]
    mask_share: float = 0.2  # share of the tokens that are masked
    epochs: int = 10  # passes over the definitions
    batch_size: int = 128  # definitions per step
    lr: float = 2e-3  # largest learning rate of the one-cycle schedule
    warmup: float = 0.05  # share of the steps over which the learning rate rises
    weight_decay: float = 0.01  # decoupled L2 regularization


def vocabulary_of(texts: list[list[int]], min_count: int) -> np.ndarray:
    """The tokenizer's ids of the tokens that occur `min_count` times or more, after the five special ones."""
    counts = np.bincount(np.concatenate([np.array(text) for text in texts]))
    frequent = [token for token in np.flatnonzero(counts >= min_count).tolist() if token not in SPECIAL]
    return np.array([*SPECIAL, *frequent])


def mask_tokens(input_ids: Tensor, share: float, vocab_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mask a share of the tokens of input_ids (n, m): where, bool (n, m), and the model's input, (n, m) int64.

    Of the masked tokens eight in ten become [MASK], one a random token, and one is unchanged, as for BERT.
    """
    masked = (torch.rand(input_ids.shape, generator=generator) < share) & (input_ids > MASK)
    how = torch.rand(input_ids.shape, generator=generator)
    other = torch.randint(MASK + 1, vocab_size, input_ids.shape, generator=generator)
    inputs = torch.where(masked & (how < 0.8), MASK, input_ids)
    return masked, torch.where(masked & (how >= 0.9), other, inputs)


def make_inputs(texts: list[Tensor], generator: torch.Generator) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """The token lists and token types of texts, whole or in two parts, and whether the end belongs, (n,) int64.

    The last is 1 (own end), 0 (the end of another text) or -1 (whole).
    """
    draw = torch.rand(len(texts), generator=generator)
    belongs = torch.where(draw < 0.5, -1, torch.where(draw < 0.75, 1, 0))
    token_lists, types = [], []
    for text, following, own in zip(texts, [*texts[1:], texts[0]], belongs.tolist(), strict=True):
        first, second = text[: len(text) // 2 + 1], (following if own == 0 else text)
        second = second[len(second) // 2 + 1 :]
        joined = text if own < 0 else torch.cat([first, text[-1:], second])
        token_lists.append(joined)
        types.append((torch.arange(len(joined)) > (len(joined) if own < 0 else len(first))).long())
    return token_lists, types, belongs


def make_model(config: Config, vocab_size: int) -> BertForMaskedLM:
    """BERT for masked language modeling, with random weights."""
    from transformers import BertForMaskedLM

    sizes = (config.hidden_dim, config.num_layers, config.head_dim, config.max_length)
    return BertForMaskedLM(bert_config(vocab_size, *sizes))


def losses_of(
    model: BertForMaskedLM, end_head: nn.Module, texts: list[Tensor], vocab_size: int, config: Config,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The two losses of some texts, in nats: of a masked token, and of whether the end belongs."""
    token_lists, types, belongs = make_inputs(texts, generator)
    (input_ids, attention_mask), (token_type_ids, _) = pad(token_lists), pad(types)
    masked, inputs = mask_tokens(input_ids, config.mask_share, vocab_size, generator)
    with torch.autocast("cpu", torch.bfloat16):
        states = model.bert(inputs, attention_mask, token_type_ids).last_hidden_state
        tokens, ends = model.cls(states[masked]), end_head(states[belongs >= 0, 0]).squeeze(1)
    return (
        functional.cross_entropy(tokens.float(), input_ids[masked]),
        functional.binary_cross_entropy_with_logits(ends.float(), belongs[belongs >= 0].float()),
    )


def pretrain(texts: list[Tensor], vocab_size: int, config: Config, seed: int) -> tuple[nn.Module, list[list[float]]]:
    """A model trained with both losses, and the two mean losses of each epoch, in nats."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, lengths = make_model(config, vocab_size), torch.tensor([len(text) for text in texts])
    end_head = nn.Linear(config.hidden_dim, 1)
    both = nn.ModuleList([model, end_head])
    steps = config.epochs * math.ceil(len(texts) / config.batch_size)
    optimizer = torch.optim.AdamW(both.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, steps, pct_start=config.warmup)
    history = []
    for _ in range(config.epochs):
        losses = []
        for rows in length_bucketed_batches(lengths, config.batch_size, generator):
            batch = [texts[i] for i in rows]
            token_loss, end_loss = losses_of(model, end_head, batch, vocab_size, config, generator)
            optimizer.zero_grad()
            (token_loss + end_loss).backward()
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append((float(token_loss.detach()), float(end_loss.detach())))
        history.append([sum(each) / len(each) for each in zip(*losses, strict=True)])
        token_mean, end_mean = history[-1]
        print(f"epoch {len(history)} of {config.epochs}: {token_mean:.3f} nats per masked token, "
              f"{end_mean:.3f} per end", flush=True)  # fmt: skip
    return model.bert, history


def main(seed: int, config: Config = Config(), folder: Path = FOLDER) -> Path:
    """Train the model and write its weights (float16), its vocabulary and its history."""
    tokenizer, _ = minilm()
    texts = tokenizer(glosses(), truncation=True, max_length=config.max_length)["input_ids"]
    vocabulary = vocabulary_of(texts, config.min_count)
    index = vocabulary_index(vocabulary, len(tokenizer))
    model, history = pretrain([index[text] for text in texts], len(vocabulary), config, seed)
    weights: Mapping[str, np.ndarray] = {
        f"{WEIGHT}{name}": value.numpy().astype(np.float16) for name, value in model.state_dict().items()
    }
    how = json.dumps({"config": asdict(config), "seed": seed, "nats": history})
    file = folder / f"glosses-{seed}.npz"
    np.savez_compressed(
        file, allow_pickle=False, pieces=vocabulary, how=np.frombuffer(how.encode(), np.uint8), **weights
    )
    return file


if __name__ == "__main__":
    print(main(int(sys.argv[1])))
