"""Pretrained encoders: this lesson's two small language models, MiniLM's first layers, or any model of the hub."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from companion.data.glosses import SentencePairs
from companion.data.minilm import WEIGHT, minilm, minilm_tokenizer
from companion.errors import CompanionError
from companion.trans_encoder.method import Pairs

if TYPE_CHECKING:
    from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerBase

HIDDEN_DIM, NUM_LAYERS, HEAD_DIM, MAX_LENGTH = 128, 4, 32, 32  # of glosses-0 and glosses-1, in tokens the last
UNKNOWN = 1  # [UNK] in their vocabulary
RANDOM_DIM, RANDOM_VOCABULARY = 16, 40  # of `random_encoder`


@dataclass(frozen=True)
class PretrainedEncoder:
    """A language model: its weights, the width of its states, and tokenize(texts) -> token lists, [CLS] to [SEP]."""

    encoder: nn.Module
    hidden_dim: int
    tokenize: Callable[[Sequence[str]], list[Tensor]]

    def pairs(self, texts: SentencePairs) -> Pairs:
        """Pairs of texts as token ids of this model."""
        return Pairs(self.tokenize(texts.first), self.tokenize(texts.second))


@lru_cache(maxsize=4)
def language_model(name: str, max_length: int = MAX_LENGTH) -> PretrainedEncoder:
    """A language model by name; texts are truncated to `max_length` tokens.

    "glosses-0" and "glosses-1" were trained by `scripts/pretrain_glosses.py` on WordNet's definitions alone; "minilm-3"
    is the first three layers of all-MiniLM-L6-v2, whose six were trained on a billion labeled pairs; any other name is
    looked up on the Hugging Face hub ("princeton-nlp/unsup-simcse-bert-base-uncased"). Raises CompanionError if there
    is no such model.
    """
    if re.fullmatch(r"glosses-\d+", name):
        return _glosses_model(name, max_length)
    layers = re.fullmatch(r"minilm-([1-6])", name)
    return _minilm_layers(int(layers[1]), max_length) if layers else _hub_model(name, max_length)


def token_ids(tokenizer: PreTrainedTokenizerBase, max_length: int, texts: Sequence[str]) -> list[Tensor]:
    """The token ids of texts, each (length,) int64."""
    return [torch.tensor(ids) for ids in tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]]


def bert_config(
    vocab_size: int, hidden_dim: int, num_layers: int, head_dim: int, max_length: int, **options: Any
) -> BertConfig:
    """The configuration of a small BERT."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocab_size, hidden_size=hidden_dim, num_hidden_layers=num_layers,
        num_attention_heads=hidden_dim // head_dim, intermediate_size=4 * hidden_dim,
        max_position_embeddings=2 * max_length, **options,
    )  # fmt: skip


def vocabulary_index(vocabulary: np.ndarray, total: int) -> Tensor:
    """For each of the tokenizer's `total` ids its place in a smaller vocabulary, (total,) int64; else that of [UNK]."""
    index = torch.full((total,), UNKNOWN)
    index[torch.from_numpy(vocabulary)] = torch.arange(len(vocabulary))
    return index


def random_encoder(seed: int = 7, num_layers: int = 2) -> nn.Module:
    """A BERT of width 16 with random weights and without dropout, in evaluation mode: for checks and tests."""
    from transformers import BertModel

    config = bert_config(
        RANDOM_VOCABULARY, RANDOM_DIM, num_layers, head_dim=8, max_length=32, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertModel(config, add_pooling_layer=False).eval()


def _glosses_model(name: str, max_length: int) -> PretrainedEncoder:
    from transformers import BertModel

    file = Path(__file__).with_name(f"{name}.npz")
    if not file.is_file():
        raise CompanionError(f"{name} is not trained; `python scripts/pretrain_glosses.py SEED` trains such models.")
    with np.load(file) as arrays:
        vocabulary = arrays["pieces"]
        state = {
            key.removeprefix(WEIGHT): torch.from_numpy(arrays[key].astype(np.float32))
            for key in arrays.files
            if key.startswith(WEIGHT)
        }
    config = bert_config(len(vocabulary), HIDDEN_DIM, NUM_LAYERS, HEAD_DIM, MAX_LENGTH)
    encoder, tokenizer = BertModel(config, add_pooling_layer=False), minilm_tokenizer()
    encoder.load_state_dict(state)
    index = vocabulary_index(vocabulary, len(tokenizer))

    def tokenize(texts: Sequence[str]) -> list[Tensor]:
        return [index[ids] for ids in token_ids(tokenizer, max_length, texts)]

    return PretrainedEncoder(encoder.eval(), HIDDEN_DIM, tokenize)


def _minilm_layers(layers: int, max_length: int) -> PretrainedEncoder:
    tokenizer, encoder = minilm()
    encoder.encoder.layer = encoder.encoder.layer[:layers]
    encoder.pooler = None
    encoder.embeddings.word_embeddings.requires_grad_(False)  # half of all weights, and costly for AdamW
    return PretrainedEncoder(encoder, encoder.config.hidden_size, partial(token_ids, tokenizer, max_length))


def _hub_model(name: str, max_length: int) -> PretrainedEncoder:
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer, encoder = AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise CompanionError(
            f"{name} is neither glosses-0, glosses-1, minilm-1 to minilm-6, nor a model that the hub has."
        ) from error
    if encoder.config.type_vocab_size == 1:  # RoBERTa has one token type: both sentences get it
        only = encoder.embeddings.token_type_embeddings.weight
        encoder.embeddings.token_type_embeddings = nn.Embedding.from_pretrained(only.repeat(2, 1), freeze=False)
    return PretrainedEncoder(encoder.eval(), encoder.config.hidden_size, partial(token_ids, tokenizer, max_length))


# ---------------------------------------------------------------- attention


@dataclass(frozen=True)
class AttentionMap:
    """Tokens, and the attention of each (row) to each (column), (tokens, tokens): the mean over layers and heads."""

    tokens: list[str]
    attention: Tensor


def attention_maps(
    encoder: PreTrainedModel, texts: tuple[str, str], ids: tuple[Tensor, Tensor]
) -> tuple[AttentionMap, AttentionMap]:
    """The attention of a language model to a pair of texts: encoded separately, and encoded jointly.

    ids: the token ids of the two texts, each (length,).
    """
    tokenizer = minilm_tokenizer()
    first, second = (
        [str(tokenizer.convert_ids_to_tokens(i)) for i in token_ids(tokenizer, len(own), [text])[0].tolist()]
        for text, own in zip(texts, ids, strict=True)
    )
    encoder = copy.deepcopy(encoder).eval()
    encoder.set_attn_implementation("eager")
    joined = torch.cat([ids[0], ids[1][1:]])
    separate = torch.block_diag(*(_attention(encoder, own, torch.zeros_like(own)) for own in ids))
    joint = _attention(encoder, joined, (torch.arange(len(joined)) >= len(ids[0])).long())
    return AttentionMap(first + second, separate), AttentionMap(first + second[1:], joint)


def _attention(encoder: PreTrainedModel, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
    """The attention in one text of m tokens, (m, m)."""
    inputs = (each.unsqueeze(0) for each in (input_ids, torch.ones_like(input_ids), token_type_ids))
    with torch.no_grad():
        attentions = encoder(*inputs, output_attentions=True).attentions
    return torch.cat(attentions).mean((0, 1))
