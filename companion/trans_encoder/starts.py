"""Language models to start from: the two small ones of this lesson, MiniLM's first layers, or any of the hub's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from companion.data.glosses import SentencePairs
from companion.data.minilm import WEIGHT, minilm, minilm_tokenizer
from companion.errors import CompanionError
from companion.trans_encoder.method import Pairs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Start:
    """A language model before any stage: its weights, their width, and how it reads texts, [CLS] to [SEP]."""

    encoder: nn.Module
    width: int
    read: Callable[[Sequence[str]], list[Tensor]]

    def pairs(self, found: SentencePairs) -> Pairs:
        """Pairs of sentences as this model reads them."""
        return Pairs(self.read(found.first), self.read(found.second))


@lru_cache(maxsize=4)
def language_model(name: str, longest: int = 32) -> Start:
    """A language model by name; every text is cut to `longest` word pieces.

    "glosses-0" and "glosses-1" were trained by `pretrain` on WordNet's definitions and on nothing else; "minilm-3" is
    the first three layers of all-MiniLM-L6-v2, whose six were trained on a billion labelled pairs; any other name is
    taken for one of the hub's ("princeton-nlp/unsup-simcse-bert-base-uncased"). Raises CompanionError if it cannot be
    had.
    """
    own, layers = re.fullmatch(r"glosses-\d+", name), re.fullmatch(r"minilm-([1-6])", name)
    if own:
        return _of_glosses(name, longest)
    return _first_layers(int(layers[1]), longest) if layers else _of_hub(name, longest)


def pieces(tokenizer: PreTrainedTokenizerBase, longest: int, texts: Sequence[str]) -> list[Tensor]:
    """A tokenizer's numbers of texts, each (length,) int64."""
    return [torch.tensor(row) for row in tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]]


def _of_glosses(name: str, longest: int) -> Start:
    from companion.trans_encoder.pretrain import Pretraining, network, numbering

    file = Path(__file__).with_name(f"{name}.npz")
    if not file.is_file():
        raise CompanionError(f"{name} is not trained; `python -m companion.trans_encoder.pretrain` makes such models.")
    with np.load(file) as arrays:
        known = arrays["pieces"]
        state = {
            key.removeprefix(WEIGHT): torch.from_numpy(arrays[key].astype(np.float32))
            for key in arrays.files
            if key.startswith(WEIGHT)
        }
    encoder, tokenizer = network(Pretraining(), len(known)).bert, minilm_tokenizer()
    encoder.load_state_dict(state)
    ours = numbering(known, len(tokenizer))
    return Start(
        encoder.eval(), Pretraining.width, lambda texts: [ours[row] for row in pieces(tokenizer, longest, texts)]
    )


def _first_layers(layers: int, longest: int) -> Start:
    tokenizer, encoder = minilm()
    encoder.encoder.layer = encoder.encoder.layer[:layers]
    encoder.pooler = None
    encoder.embeddings.word_embeddings.requires_grad_(False)  # half of all weights, and costly for AdamW
    return Start(encoder, encoder.config.hidden_size, partial(pieces, tokenizer, longest))


def _of_hub(name: str, longest: int) -> Start:
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer, encoder = AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise CompanionError(
            f"{name} is neither glosses-0, glosses-1, minilm-1 to minilm-6, nor a model that the hub has."
        ) from error
    if encoder.config.type_vocab_size == 1:  # RoBERTa has one kind of segment: both sentences get it
        only = encoder.embeddings.token_type_embeddings.weight
        encoder.embeddings.token_type_embeddings = nn.Embedding.from_pretrained(only.repeat(2, 1), freeze=False)
    return Start(encoder.eval(), encoder.config.hidden_size, partial(pieces, tokenizer, longest))
