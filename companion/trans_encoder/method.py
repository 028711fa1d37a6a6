"""Trans-Encoder (Liu et al., ICLR 2022): a bi-encoder and a cross-encoder label sentence pairs for each other.

symbol        identifier            shape
(a_i, b_i)    Pairs                 N pairs of sentences, as token ids
f_theta       BiEncoder.embed       (n, d): each sentence is encoded separately
c_theta       BiEncoder.forward     (n,) in [-1, 1], the cosine of the two embeddings
g_phi         CrossEncoder.forward  (n,) logits: the two sentences are encoded jointly
y_i           labels                (N,) in [0, 1], pseudo-labels of bi-encoders for cross-encoders
z_i           labels                (N,) in [0, 1], pseudo-labels of cross-encoders for bi-encoders
K             len(bi_encoders)      1: self-distillation; more: mutual distillation
T             cycles                number of distillation cycles
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from companion.lab.config import TrainConfig

BI, CROSS = "bi-encoder", "cross-encoder"
COSINE_SCALE, COSINE_SHIFT = 6.0, -3.0  # ours, start of the "cosine" head: a cosine of 0.5 has probability 0.5
TokenLists = Sequence[Tensor]

# ---------------------------------------------------------------- pairs of sentences


@dataclass(frozen=True)
class Pairs:
    """N pairs of sentences: first and second hold N token lists, each (length,) int64, from [CLS] to [SEP]."""

    first: TokenLists
    second: TokenLists

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: Tensor) -> Pairs:
        return Pairs([self.first[i] for i in rows], [self.second[i] for i in rows])

    def to(self, device: torch.device) -> Pairs:
        """The same pairs on a device."""
        return Pairs([ids.to(device) for ids in self.first], [ids.to(device) for ids in self.second])

    def swapped(self) -> Pairs:
        """Each pair (a, b) as (b, a)."""
        return Pairs(self.second, self.first)

    def both_orders(self) -> Pairs:
        """All pairs (a, b), then all pairs (b, a): 2N pairs."""
        return Pairs([*self.first, *self.second], [*self.second, *self.first])

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each pair, (N,) int64."""
        return torch.tensor([len(a) + len(b) for a, b in zip(self.first, self.second, strict=True)])


def pad(token_lists: TokenLists) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask of n texts, both (n, longest text) int64; the mask is 1 for tokens, else 0."""
    input_ids = pad_sequence(list(token_lists), batch_first=True)
    attention_mask = pad_sequence([torch.ones_like(ids) for ids in token_lists], batch_first=True)
    return input_ids, attention_mask


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """The mean (n, d) of states (n, tokens, d) over the tokens where mask (n, tokens) is 1."""
    weight = mask.unsqueeze(2).to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1)


# ---------------------------------------------------------------- the two architectures


class BiEncoder(nn.Module):
    """Encodes each sentence separately: n sentences cost n forward passes, whichever of the n^2 pairs are scored."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def embed(self, sentences: TokenLists) -> Tensor:
        """f(x), (n, d): the mean over tokens of the last layer's states."""
        input_ids, attention_mask = pad(sentences)
        return mean_pool(self.encoder(input_ids, attention_mask).last_hidden_state, attention_mask)

    def forward(self, pairs: Pairs) -> Tensor:
        """c(a, b), (n,): the cosine of the two embeddings."""
        first, second = self.embed([*pairs.first, *pairs.second]).float().chunk(2)
        return functional.cosine_similarity(first, second)


class CrossEncoder(nn.Module):
    """Encodes the two sentences jointly, [CLS] a [SEP] b [SEP]: each of the n^2 pairs costs a forward pass.

    head: "cls" is the paper's, a new linear layer on the state of [CLS]. "cosine" is ours, for small budgets: a scaled
    cosine of the two sentences' mean states, with two new parameters instead of d + 1. cross_attention=False masks the
    attention between the sentences (an ablation): the states of a then do not depend on b.
    """

    def __init__(self, encoder: nn.Module, hidden_dim: int, head: str = "cls", cross_attention: bool = True) -> None:
        super().__init__()
        self.encoder, self.head, self.cross_attention = encoder, head, cross_attention
        if head == "cls":
            self.linear = nn.Linear(hidden_dim, 1)
        else:
            self.scale = nn.Parameter(torch.tensor(COSINE_SCALE))
            self.shift = nn.Parameter(torch.tensor(COSINE_SHIFT))

    def forward(self, pairs: Pairs) -> Tensor:
        """g([a; b]), (n,) logits; the score of a pair is their sigmoid."""
        states, attention_mask, token_type_ids = self.states(pairs)
        if self.head == "cls":
            return self.linear(states[:, 0]).squeeze(1)
        first = mean_pool(states, attention_mask * (1 - token_type_ids)).float()
        second = mean_pool(states, attention_mask * token_type_ids).float()
        return self.scale * functional.cosine_similarity(first, second) + self.shift

    def states(self, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """The last layer's states (n, tokens, d), attention_mask and token_type_ids (1 for b), both (n, tokens)."""
        joined = [torch.cat([a, b[1:]]) for a, b in zip(pairs.first, pairs.second, strict=True)]
        types = [
            torch.arange(len(ids), device=ids.device).ge(len(a)).long()
            for ids, a in zip(joined, pairs.first, strict=True)
        ]
        (input_ids, attention_mask), (token_type_ids, _) = pad(joined), pad(types)
        allowed = self._allowed_attention(attention_mask, token_type_ids)
        return self.encoder(input_ids, allowed, token_type_ids).last_hidden_state, attention_mask, token_type_ids

    def _allowed_attention(self, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """The encoder's mask: as it is, or (n, 1, tokens, tokens) with minus infinity between the two sentences."""
        if self.cross_attention:
            return attention_mask
        same = (token_type_ids.unsqueeze(2) == token_type_ids.unsqueeze(1)) & attention_mask.bool().unsqueeze(1)
        blocked = torch.finfo(torch.float32).min
        return torch.zeros(same.shape, device=same.device).masked_fill(~same, blocked).unsqueeze(1)


Model = BiEncoder | CrossEncoder
Loss = Callable[[Tensor, Tensor], Tensor]
TrainStudent = Callable[[Model, Pairs, Tensor, Loss], None]


def score(model: Model, pairs: Pairs, amp: bool = False, batch_size: int = 128) -> Tensor:
    """Outputs for all pairs, (N,) float32 on the CPU: cosines of a bi-encoder, logits of a cross-encoder."""
    outputs = torch.empty(len(pairs))
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
        for rows in pairs.lengths.argsort().split(batch_size):
            outputs[rows] = model(pairs[rows]).float().cpu()
    return outputs


def embed_sentences(bi_encoder: BiEncoder, sentences: TokenLists, batch_size: int = 256) -> Tensor:
    """f(x) of all sentences, (n, d) float32, without gradients."""
    order = torch.tensor([len(ids) for ids in sentences]).argsort()
    bi_encoder.eval()
    with torch.inference_mode():
        batches = [bi_encoder.embed([sentences[i] for i in rows]).float() for rows in order.split(batch_size)]
    return torch.cat(batches)[order.argsort()]


def symmetric_score(cross_encoder: CrossEncoder, pairs: Pairs) -> Tensor:
    """The mean of a cross-encoder's logits for (a, b) and (b, a), (N,): it does not depend on the order of a pair."""
    return (score(cross_encoder, pairs) + score(cross_encoder, pairs.swapped())) / 2


def all_pairs(n: int) -> tuple[Tensor, Tensor]:
    """The indices i < j of all pairs of n sentences, two tensors (n (n - 1) / 2,) int64."""
    first, second = torch.triu_indices(n, n, 1)
    return first, second


def score_all_pairs(model: Model, sentences: TokenLists, batch_size: int = 128) -> Tensor:
    """Cosines or logits of all pairs i < j, (n (n - 1) / 2,): n passes with a bi-encoder, one per pair otherwise."""
    first, second = all_pairs(len(sentences))
    if isinstance(model, BiEncoder):
        embeddings = functional.normalize(embed_sentences(model, sentences, batch_size))
        return (embeddings @ embeddings.T)[first, second]
    pairs = Pairs([sentences[i] for i in first.tolist()], [sentences[j] for j in second.tolist()])
    return score(model, pairs, batch_size=batch_size)


# ---------------------------------------------------------------- losses and pseudo-labels


def soft_label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """L_BCE, trains cross-encoders: the mean of -y log s(g) - (1 - y) log(1 - s(g)); logits and labels are (n,)."""
    return functional.binary_cross_entropy_with_logits(logits, labels)


def cosine_loss(cosines: Tensor, labels: Tensor) -> Tensor:
    """L_MSE, trains bi-encoders: the mean of (c - z)^2; cosines and labels are (n,)."""
    return functional.mse_loss(cosines, labels)


def cosine_to_label(cosines: Tensor) -> Tensor:
    """y = c, (n,), clipped to [0, 1]: a target of cross-entropy is not negative (the released code does not clip)."""
    return cosines.clamp(0, 1)


def logit_to_label(logits: Tensor) -> Tensor:
    """z = s(g), (n,)."""
    return logits.sigmoid()


def mean_labels(labels: Sequence[Tensor]) -> Tensor:
    """The mean over K models of their labels or scores, K tensors (N,)."""
    return torch.stack(list(labels)).mean(0)


# ---------------------------------------------------------------- the distillation cycles


@dataclass(frozen=True)
class Stage:
    """One stage: encoder_type is BI or CROSS, cycle 0 is the start; its K models, and their mean labels (N,)."""

    encoder_type: str
    cycle: int
    models: Sequence[Model]
    labels: Tensor


def distill(
    bi_encoders: Sequence[BiEncoder],
    cross_encoders: Sequence[CrossEncoder],
    pairs: Sequence[Pairs],
    cycles: int,
    train_student: TrainStudent,
    amp: bool = False,
) -> Iterator[Stage]:
    """Self-distillation (K = 1) or mutual distillation (K > 1): yields the 1 + 2T stages in order.

    bi_encoders: the K starts. cross_encoders: K untrained cross-encoders. pairs: the same N pairs, tokenized for each
    of the K language models. train_student(model, pairs, labels, loss) trains in place. Only labels are passed on:
    every student is re-initialized from the start or from the language model (the paper's "refreshing").
    """
    # Step 1: the starts label the pairs.
    labels = mean_labels([cosine_to_label(score(bi, own, amp)) for bi, own in zip(bi_encoders, pairs, strict=True)])
    yield Stage(BI, 0, bi_encoders, labels)
    for cycle in range(1, cycles + 1):
        # Step 2, bi- to cross-encoder: new cross-encoders learn the labels of each pair in both orders.
        crosses = copy.deepcopy(list(cross_encoders))
        for cross, own in zip(crosses, pairs, strict=True):
            train_student(cross, own.both_orders(), labels.repeat(2), soft_label_loss)
        outputs = [score(cross, own, amp) for cross, own in zip(crosses, pairs, strict=True)]
        labels = mean_labels([logit_to_label(logits) for logits in outputs])
        yield Stage(CROSS, cycle, crosses, labels)
        # Step 3, cross- to bi-encoder: copies of the starts learn the new labels.
        bis = copy.deepcopy(list(bi_encoders))
        for bi, own in zip(bis, pairs, strict=True):
            train_student(bi, own, labels, cosine_loss)
        labels = mean_labels([cosine_to_label(score(bi, own, amp)) for bi, own in zip(bis, pairs, strict=True)])
        yield Stage(BI, cycle, bis, labels)


# ---------------------------------------------------------------- training one model


@dataclass(frozen=True)
class StageConfig(TrainConfig):
    """How one model is trained: AdamW for some epochs, the learning rate warmed up and decayed to 0 (`lr_factor`)."""

    weight_decay: float = 0.01  # decoupled L2 regularization
    warmup: float = 0.1  # share of the steps over which the learning rate rises linearly
    grad_clip: float = 1.0  # largest norm of the gradient
    amp: bool = True  # bfloat16 autocast in the forward pass


def lr_factor(step: int, steps: int, warmup: float) -> float:
    """What the learning rate is multiplied by: a linear warm-up times a linear decay over all steps."""
    return min(1.0, (step + 1) / max(1.0, warmup * steps)) * (1 - step / steps)


def length_bucketed_batches(lengths: Tensor, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Indices of one epoch, each once: texts of similar length share a batch (little padding), in random order."""
    order = (lengths + 4 * torch.rand(len(lengths), generator=generator)).argsort()
    batches = order.split(batch_size)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


def train(
    model: nn.Module, lengths: Tensor, loss_fn: Callable[[Tensor], Tensor], config: StageConfig, seed: int
) -> None:
    """Train in place what of a model requires gradients.

    lengths: (N,) tokens of each example. loss_fn(rows) returns the loss of the examples rows (b,) int64.
    """
    generator, device = torch.Generator().manual_seed(seed), next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps = config.epochs * math.ceil(len(lengths) / config.batch_size)
    optimizer = torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, steps, config.warmup))
    model.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout
        for _ in range(config.epochs):
            for rows in length_bucketed_batches(lengths, config.batch_size, generator):
                # forward pass
                with torch.autocast(device.type, torch.bfloat16, enabled=config.amp):
                    loss = loss_fn(rows)
                # gradients, clipped
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(trained, config.grad_clip)
                # update
                optimizer.step()
                schedule.step()
    model.eval()


def train_on_labels(model: Model, pairs: Pairs, labels: Tensor, loss: Loss, config: StageConfig, seed: int) -> None:
    """Train a bi-encoder or a cross-encoder in place on labels (N,) of N pairs."""
    targets = labels.to(next(model.parameters()).device)
    train(model, pairs.lengths, lambda rows: loss(model(pairs[rows]).float(), targets[rows]), config, seed)


def train_simcse(
    bi_encoder: BiEncoder, sentences: TokenLists, config: StageConfig, temperature: float, seed: int
) -> None:
    """Unsupervised SimCSE (simple contrastive learning of sentence embeddings), the start, in place.

    Two encodings of one sentence under different dropout are a positive pair, the other sentences of the batch are
    negatives; the loss is InfoNCE of the cosines over `temperature`.
    """

    def loss(rows: Tensor) -> Tensor:
        views = bi_encoder.embed([sentences[i] for i in rows] * 2).float()
        first, second = functional.normalize(views).chunk(2)
        return functional.cross_entropy(first @ second.T / temperature, torch.arange(len(rows), device=first.device))

    train(bi_encoder, torch.tensor([len(ids) for ids in sentences]), loss, config, seed)
