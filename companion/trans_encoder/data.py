"""The data of the lesson: sentence pairs, the language models that encode them, and simulated noisy labels.

The simulation is a small model of distillation in which its gain can be calculated:

    t (n,)    the true similarities, centered, variance 1; the student can express them
    e (n,)    what a teacher adds: noise of variance `shared` (the same in all teachers) plus `own` (independent)
    P (n, n)  the projection onto what the student can express: r directions of n, t among them
    K         the number of teachers that are averaged

A student that fits noisy labels y = t + e by least squares ends at P y = t + P e: the noise that it cannot express is
removed, the rest stays. A bias that the student can express is therefore not corrected.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from companion.data.minilm import WEIGHT, minilm, minilm_tokenizer
from companion.data.sentences import SentencePairs, gloss_pairs, stsb
from companion.errors import CompanionError
from companion.trans_encoder.method import CROSS, Pairs

if TYPE_CHECKING:
    from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerBase

TRAINING, HELD_OUT = "training pairs", "held-out pairs"
HIDDEN_DIM, NUM_LAYERS, HEAD_DIM, MAX_LENGTH = 128, 4, 32, 32  # of glosses-0 and glosses-1, in tokens the last
UNKNOWN = 1  # [UNK] in their vocabulary
RANDOM_DIM, RANDOM_VOCABULARY = 16, 40  # of `random_encoder`

# ---------------------------------------------------------------- language models


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


# ---------------------------------------------------------------- sentence pairs


@dataclass(frozen=True)
class ExperimentData:
    """What all methods of a seed share.

    texts: setting -> pairs with gold similarity, which is for evaluation alone. tokens[k]: the same pairs as token ids
    of the k-th language model. start_models: sentence encoders that others trained, one per language model, or none.
    amp: bfloat16 autocast where models score pairs.
    """

    texts: dict[str, SentencePairs]
    tokens: tuple[dict[str, Pairs], ...]
    language_models: tuple[PretrainedEncoder, ...]
    start_models: tuple[PretrainedEncoder, ...]
    seed: int
    device: torch.device
    amp: bool

    def training_pairs(self, k: int) -> Pairs:
        """The pairs to learn from, as token ids of the k-th language model."""
        return self.tokens[k][TRAINING]

    def training_sentences(self, k: int) -> list[Tensor]:
        """The 2N sentences of these pairs, first ones first."""
        pairs = self.training_pairs(k)
        return [*pairs.first, *pairs.second]


def load_data(config: Any, seed: int, device: torch.device) -> ExperimentData:
    """The pairs of a seed, tokenized for every language model; `config` is the lesson's `experiment.Config`."""
    texts = load_pairs(config.data, config.training_pairs, config.held_out_pairs, seed)
    models = tuple(language_model(name, config.max_length) for name in config.language_models)
    tokens = tuple({setting: model.pairs(found).to(device) for setting, found in texts.items()} for model in models)
    starts = tuple(language_model(name, config.max_length) for name in config.start_models)
    return ExperimentData(texts, tokens, models, starts, seed, device, config.train[CROSS].amp)


def load_pairs(data: str, training_pairs: int, held_out_pairs: int, seed: int) -> dict[str, SentencePairs]:
    """Setting -> pairs drawn by seed: "glosses", no definition in both; "stsb", from its training and its dev set."""
    if data == "glosses":
        parts = gloss_pairs([training_pairs, held_out_pairs], seed)
    elif data == "stsb":
        parts = [sample_pairs(stsb("train"), training_pairs, seed), sample_pairs(stsb("dev"), held_out_pairs, seed)]
    else:
        raise CompanionError(f"data = {data!r} is not known; use glosses or stsb.")
    return dict(zip((TRAINING, HELD_OUT), parts, strict=True))


def sample_pairs(pairs: SentencePairs, size: int, seed: int) -> SentencePairs:
    """`size` of the pairs, drawn by seed, or all of them if there are fewer."""
    rows = torch.randperm(len(pairs.first), generator=torch.Generator().manual_seed(seed))[:size].tolist()
    return SentencePairs([pairs.first[i] for i in rows], [pairs.second[i] for i in rows], pairs.similarity[rows])


def random_pairs(n: int = 12, seed: int = 7) -> Pairs:
    """n pairs of random sentences of three to nine tokens, for `random_encoder`."""
    generator = torch.Generator().manual_seed(seed)

    def sentence() -> Tensor:
        length = int(torch.randint(3, 10, (1,), generator=generator))
        return torch.randint(5, RANDOM_VOCABULARY, (length,), generator=generator)

    return Pairs([sentence() for _ in range(n)], [sentence() for _ in range(n)])


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


def shortest_pair_attention(data: ExperimentData) -> tuple[AttentionMap, AttentionMap]:
    """The first language model's attention in the shortest training pair: encoded separately, and jointly."""
    texts, pairs = data.texts[TRAINING], data.training_pairs(0)
    i = int(pairs.lengths.argmin())
    encoder = cast("Any", data.language_models[0].encoder)
    return attention_maps(encoder, (texts.first[i], texts.second[i]), (pairs.first[i], pairs.second[i]))


# ---------------------------------------------------------------- simulated noisy labels


def projection(directions: np.ndarray) -> np.ndarray:
    """P (n, n), onto the span of the columns of `directions` (n, r)."""
    basis, _ = np.linalg.qr(directions)
    return basis @ basis.T


def least_squares_student(labels: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The student's output for labels (n,) or (n, draws): the nearest that `directions` (n, r) can express."""
    return projection(directions) @ labels


def expected_correlation(own: float, shared: float = 0.0, teachers: int = 1, expressed: float = 1.0) -> float:
    """Correlation with the truth of the mean of K teachers' labels, or of a student of that mean.

    own, shared: variances of the independent and of the shared noise. expressed: the share of the noise that the
    student can express, r / n for noise of equal variance in all directions; 1 is the labels themselves.
    """
    return float(1 / np.sqrt(1 + expressed * (shared + own / teachers)))


def simulated_correlation(
    own: float, shared: float, teachers: int, expressed: int, pairs: int, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The same by simulation, (of the labels, of the student), over `draws` sets of n = `pairs` and r = `expressed`.

    Correlations of all draws together, about zero, since truth and noise have mean zero.
    """
    truth = np.zeros((pairs, 1))
    truth[0] = np.sqrt(pairs)
    noise = np.sqrt(shared) * rng.standard_normal((pairs, draws))
    for _ in range(teachers):
        noise = noise + np.sqrt(own) / teachers * rng.standard_normal((pairs, draws))
    labels = truth + noise
    outputs = least_squares_student(labels, np.eye(pairs)[:, :expressed])
    of_labels, of_student = (
        float((each * truth).sum() / np.sqrt((each**2).sum() * (truth**2).sum() * draws)) for each in (labels, outputs)
    )
    return of_labels, of_student


# Five pairs, by hand: true similarities, and the bias of a teacher, which is orthogonal to every straight line.
TOY_TRUTH = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
TOY_BIAS = np.array([1.0, -2.0, 0.0, 2.0, -1.0])


def toy_directions() -> tuple[np.ndarray, np.ndarray]:
    """What two students can express: a straight line over the pairs (5, 2); a line and the teacher's bias (5, 3)."""
    line = np.stack([np.ones(5), TOY_TRUTH], 1)
    return line, np.column_stack([line, TOY_BIAS])
