"""all-MiniLM-L6-v2, a small sentence encoder: its weights, its tokenizer, and its view of WordNet's nouns."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from companion.data.cache import path
from companion.data.graphs import wordnet

if TYPE_CHECKING:
    import torch
    from transformers import BertModel, PreTrainedTokenizerFast

WORDS = "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"  # the tokenizer's five words that are no words
LONGEST = 256  # subwords of a text that the encoder was trained to read
WEIGHT = "weight/"
COUNTED = "embeddings.position_ids"  # 0, 1, 2, …: no weight, though the file has it


def reduce_minilm(files: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """The weights as published, configuration and tokenizer as bytes, and "nouns" [5974, 384] float32.

    The last holds `embed` of the texts of `graphs.wordnet()`, computed once, here: a minute of one core that no
    lesson pays again. Fetches WordNet if it is not there.
    """
    from safetensors.numpy import load_file

    from companion.data.download import fetch

    fetch("wordnet")
    weights = load_file(files["model.safetensors"])
    arrays = {f"{WEIGHT}{name}": value for name, value in weights.items() if name != COUNTED}
    arrays |= {name: np.fromfile(files[f"{name}.json"], np.uint8) for name in ("config", "tokenizer")}
    tokenizer, encoder = _built(arrays)
    return arrays | {"nouns": embed(wordnet().texts, tokenizer, encoder)}


def minilm() -> "tuple[PreTrainedTokenizerFast, BertModel]":
    """Tokenizer and encoder (6 layers of width 384, float32, in evaluation mode), as transformers' classes."""
    with np.load(path("minilm")) as arrays:
        return _built(arrays)


def minilm_tokenizer() -> "PreTrainedTokenizerFast":
    """Its tokenizer alone, without the weights: lower-case subwords, 30,522 of them."""
    with np.load(path("minilm")) as arrays:
        return _tokenizer(arrays)


def minilm_nouns() -> np.ndarray:
    """What the encoder makes of each noun's text: [5974, 384] float32, in the order of `graphs.wordnet()`."""
    with np.load(path("minilm")) as arrays:
        return arrays["nouns"]


def embed(
    texts: Sequence[str], tokenizer: "PreTrainedTokenizerFast", encoder: "BertModel", batch: int = 64
) -> np.ndarray:
    """Sentence vectors [n, 384] float32: the mean over subwords of the last layer, before any normalization.

    Texts of like length share a batch, so that hardly anything is padding; the order is that of `texts`.
    """
    import torch

    order = np.argsort([len(text) for text in texts], kind="stable")
    found = np.empty((len(texts), encoder.config.hidden_size), np.float32)
    with torch.inference_mode():
        for rows in np.split(order, range(batch, len(order), batch)):
            read = tokenizer([texts[i] for i in rows], return_tensors="pt", padding=True, truncation=True)
            read = read.to(encoder.device)
            found[rows] = mean_pool(encoder(**read).last_hidden_state, read["attention_mask"]).float().cpu()
    return found


def mean_pool(states: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """The mean [n, h] of states [n, pieces, h] where mask [n, pieces] is 1, as the encoder was trained to be read."""
    weight = mask.unsqueeze(2).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)


def _built(arrays: Mapping[str, np.ndarray]) -> "tuple[PreTrainedTokenizerFast, BertModel]":
    import torch
    from transformers import BertConfig, BertModel

    encoder = BertModel(BertConfig(**json.loads(arrays["config"].tobytes())))
    names = [name for name in arrays if name.startswith(WEIGHT)]
    state = {name.removeprefix(WEIGHT): torch.from_numpy(arrays[name]) for name in names}
    encoder.load_state_dict(state)
    return _tokenizer(arrays), encoder.eval()


def _tokenizer(arrays: Mapping[str, np.ndarray]) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    special = {f"{word.strip('[]').lower()}_token": word for word in WORDS}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tokenizer.json")
        file.write_bytes(arrays["tokenizer"].tobytes())
        return PreTrainedTokenizerFast(tokenizer_file=str(file), model_max_length=LONGEST, **special)
