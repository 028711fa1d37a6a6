"""GIANT's parts: PIFA, tree, masks, loss, bootstrap, level by level; encoders, classifiers, block model, runtime."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN

from companion.data import status
from companion.errors import CompanionError
from companion.giant import baselines, checks, data, evaluation, method, studies, training
from companion.giant.evaluation import ClassifierConfig
from companion.giant.method import FineTuneConfig
from companion.lab import load_lesson

NAMES = {
    "X1": "pifa_is_libpecos", "X2": "pifa_is_the_loop", "X3": "isolated_nodes_are_zero", "X4": "tree_is_balanced",
    "X5": "tree_is_as_good", "X6": "levels_agree", "X7": "full_mask_is_dense", "X8": "positives_stay_active",
    "X9": "hinge_by_hand", "X10": "bootstrap_is_ridge", "X11": "block_model_is_the_simulation",
    "X12": "receptive_field_is_enough",
}  # fmt: skip
ENCODE_TEXTS = Path(__file__).parents[2] / "scripts" / "giant_encode_texts.py"
needs_minilm = pytest.mark.skipif(status("minilm") != "cached", reason="MiniLM is not in the cache: make data")


@pytest.mark.parametrize("id", NAMES)
def test_exact_checks_hold(id: str) -> None:
    assert getattr(checks, NAMES[id])() < load_lesson("giant").check(id).tolerance


def test_every_check_has_a_name() -> None:
    assert {check.id for check in load_lesson("giant").checks} == NAMES.keys()


def broken(name: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """The error of a check while something that it looks at is wrong."""
    wrong = {
        "X1": (method, "pifa", lambda adjacency, features: method.normalize(adjacency.T @ features)),
        "X2": (method, "pifa", lambda adjacency, features: method.normalize(adjacency.T @ features)),
        "X3": (method, "pifa", lambda adjacency, features: method.normalize(features)),
        "X4": (method, "balanced_split", lambda v, c, g: (torch.rand(len(v), generator=g) > 0.4).long()),
        "X5": (method, "balanced_split", lambda v, c, g: method.upper_half(torch.rand(len(v), generator=g), c)),
        "X6": (method, "level_targets", lambda adjacency, tree, level: adjacency[:, : tree.num_clusters(level)]),
        "X7": (method, "squared_hinge", lambda scores, counts, mask: (1 - scores).square().mean()),
        "X8": (method, "active_mask", lambda parents, beam, num_children: torch.zeros(60, 2 * parents.shape[1]).bool()),
        "X9": (method, "squared_hinge", lambda scores, counts, mask: (1 - scores).square().mean()),
        "X10": (method, "bootstrap_head", lambda z, counts, mask, num_children, ridge: torch.nn.Linear(5, 6)),
        "X11": (data, "neighbor_error", lambda signal, noise, m, d: data.norm.cdf(-m * signal * d**0.5 / noise)),
        "X12": (data, "receptive_field", lambda matrix, nodes: (nodes, torch.eye(len(nodes)).to_sparse_csr(),
                                                                torch.arange(len(nodes)))),
    }  # fmt: skip
    monkeypatch.setattr(*wrong[name])
    return getattr(checks, NAMES[name])()


@pytest.mark.parametrize("id", NAMES)
def test_broken_code_fails_its_check(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(id, monkeypatch) >= load_lesson("giant").check(id).tolerance


# ---------------------------------------------------------------- tree


def test_a_tree_that_is_too_deep_is_refused() -> None:
    with pytest.raises(CompanionError, match="asks for 64 clusters of 60 nodes"):
        method.balanced_tree(torch.rand(60, 3), (6,), torch.Generator())


def test_every_node_has_one_parent_at_every_level() -> None:
    tree = data.reference_tree()
    for level in (1, 2, 3):
        assert torch.equal(tree.assignment(level) // tree.num_children(level), tree.assignment(level - 1))
        sizes = tree.assignment(level).bincount()
        assert len(sizes) == tree.num_clusters(level)
        assert int(sizes.max() - sizes.min()) <= 1


def test_a_split_beats_a_random_one_and_finds_two_groups() -> None:
    generator = torch.Generator().manual_seed(0)
    groups = torch.nn.functional.normalize(
        torch.cat([torch.randn(40, 8, generator=generator) + 2, torch.randn(41, 8, generator=generator) - 2])
    )
    side = method.balanced_split(groups, torch.zeros(81, dtype=torch.int64), generator)
    assert len({tuple(side[:40].tolist()), tuple(side[41:].tolist())}) == 2
    assert side[:40].unique().numel() == 1


def test_random_and_flat_trees_keep_their_sizes() -> None:
    tree = data.reference_tree()
    mixed = baselines.random_tree(tree, torch.Generator().manual_seed(3))
    assert torch.equal(mixed.leaves.bincount(), tree.leaves.bincount())
    assert not torch.equal(mixed.leaves, tree.leaves)


# ---------------------------------------------------------------- training


def small_fit(config: FineTuneConfig, folder: Path | None = None) -> tuple[training.AdapterEncoder, list[method.Level]]:
    adjacency, _ = data.reference_graph()
    torch.manual_seed(0)
    encoder = training.AdapterEncoder(torch.randn(60, 16, generator=torch.Generator().manual_seed(5)), 8)
    instances = torch.from_numpy(np.flatnonzero(np.diff(adjacency.indptr)))
    return encoder, method.fit(encoder, adjacency, data.reference_tree(), instances, config, 0, folder)


def test_training_lowers_the_loss_and_the_bootstrap_starts_lower() -> None:
    booted = small_fit(FineTuneConfig(lr=3e-3, epochs=90, batch_size=20, ridge=1.0))[1]
    plain = small_fit(FineTuneConfig(lr=3e-3, epochs=90, batch_size=20, bootstrap_from=9))[1]
    assert booted[0].losses == plain[0].losses
    assert booted[0].losses[-1] < booted[0].losses[0]
    assert booted[1].losses[0] < plain[1].losses[0]


def test_an_interrupted_run_continues_after_its_last_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, fit_level = FineTuneConfig(lr=3e-3, epochs=9, batch_size=20), method.fit_level
    whole, levels = small_fit(config)

    def interrupted(*parts):
        if parts[3] == 2:
            raise KeyboardInterrupt
        return fit_level(*parts)

    monkeypatch.setattr(method, "fit_level", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_fit(config, folder=tmp_path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["level_1.pt"]
    again, resumed = small_fit(config, folder=tmp_path)
    assert torch.equal(levels[2].beam, resumed[2].beam)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_the_beam_stays_below_the_beam_above() -> None:
    levels = small_fit(FineTuneConfig(lr=3e-3, epochs=6, batch_size=20, beam_size=1))[1]
    for above, level in pairwise(levels):
        assert torch.equal(level.beam[:, 0] // 2, above.beam[:, 0])


def test_the_levels_share_the_epochs() -> None:
    levels = small_fit(FineTuneConfig(lr=3e-3, epochs=5, batch_size=60))[1]
    assert [len(level.losses) for level in levels] == [2, 2, 1]


def test_link_prediction_learns_links() -> None:
    adjacency, _ = data.reference_graph()
    instances = torch.from_numpy(np.flatnonzero(np.diff(adjacency.indptr)))
    encoder = training.AdapterEncoder(torch.randn(60, 16, generator=torch.Generator().manual_seed(5)), 8)
    config = FineTuneConfig(lr=1e-2, epochs=60, batch_size=20)
    losses = baselines.fit_link_prediction(encoder, adjacency, instances, config, 0)
    assert np.mean(losses[-9:]) < np.mean(losses[:9])
    neighbors = baselines.random_neighbors(adjacency, instances, torch.Generator().manual_seed(0))
    assert bool((torch.from_numpy(adjacency.toarray())[instances, neighbors] == 1).all())


# ---------------------------------------------------------------- encoders


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    """A random BERT of two layers with a vocabulary of its own, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=12, **named).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=16, **sizes)).save_pretrained(tmp_path)
    return tmp_path


TEXTS = ["a b c", "d e", "f g h i j k", "l", "m n o p", "q r s", "t u", "v w x y z a b c d e f g h i"]


def test_stored_states_give_the_vectors_of_the_full_encoder(tiny_bert: Path) -> None:
    name, nodes = str(tiny_bert), torch.arange(len(TEXTS))
    full = method.encode(training.FullEncoder(name, TEXTS, 12, False).eval(), nodes)
    for layers in (1, 2):
        top = training.TopLayersEncoder(name, TEXTS, layers, 12, False)
        assert torch.allclose(method.encode(top, nodes, block=3), full, atol=2e-2)


@needs_minilm
def test_minilm_layer_by_layer_gives_the_stored_vectors() -> None:
    from companion.data import graphs, minilm

    texts, stored = graphs.wordnet().texts[:40], minilm.minilm_nouns()[:40]
    encoder = training.TopLayersEncoder("minilm", texts, 2, 128, False)
    with torch.no_grad():
        assert np.abs(encoder(torch.arange(40)).numpy() - stored).max() < 2e-3


def test_two_processes_encode_as_one(tiny_bert: Path, tmp_path: Path) -> None:
    from companion.data import minilm

    lines, out = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    lines.write_text("\n".join(TEXTS[:7]))
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*run, str(ENCODE_TEXTS), str(tiny_bert), str(lines), str(out)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    expected = minilm.embed(TEXTS[:7], *data.language_model(str(tiny_bert)))
    assert np.allclose(np.load(out), expected, atol=1e-5)


# ---------------------------------------------------------------- classifiers


def ring(nodes: int = 40) -> torch.Tensor:
    """A ring, both directions, (2, 2N)."""
    a = torch.arange(nodes)
    return torch.cat([torch.stack([a, (a + 1) % nodes]), torch.stack([(a + 1) % nodes, a])], dim=1)


def test_a_split_has_no_overlap_and_its_numbers() -> None:
    labels = torch.tensor([0, 1, 2, -1] * 50)
    split = data.split_labels(labels, 5, 20, 0)
    assert labels[split.train].bincount().tolist() == [5, 5, 5]
    assert len(split.validation) == 20
    every = torch.cat(split)
    assert len(every) == len(every.unique()) == 150


def test_sampling_every_neighbor_gives_the_whole_graph() -> None:
    x, edges = torch.randn(40, 6), ring()
    net = GCN(6, 8, 2, 3).eval()
    torch.manual_seed(0)
    graph, nodes = Data(edge_index=edges, num_nodes=40), torch.tensor([3, 17, 30])
    batch = next(iter(data.sampled_neighborhoods(graph, nodes, (60, 60, 60), 3)))
    with torch.no_grad():
        scores = net(x[batch.n_id], batch.edge_index)[: batch.batch_size]
        assert torch.allclose(scores, net(x, edges)[nodes], atol=1e-5)


def test_a_sampled_classifier_learns() -> None:
    labels = (torch.arange(40) >= 20).long()
    features = torch.nn.functional.one_hot(labels, 2).float() + 0.3 * torch.randn(40, 2)
    split = data.split_labels(labels, 5, 10, 0)
    graph = Data(edge_index=ring(), y=labels, num_nodes=40)
    net = evaluation.train_sampled_gcn(features, graph, split.train, (4, 4), ClassifierConfig(), 0)
    with torch.no_grad():
        scores = net(evaluation.standardize(features), ring())
    assert evaluation.accuracy(scores, labels, split.test) > 80


def test_standardized_features_use_no_label_and_survive_a_constant() -> None:
    found = evaluation.standardize(torch.cat([torch.randn(30, 2), torch.ones(30, 1)], dim=1))
    assert torch.allclose(found.mean(0), torch.zeros(3), atol=1e-6)
    assert bool(found.isfinite().all())


# ---------------------------------------------------------------- runtime


def test_runtime_is_measured_and_nothing_is_dense() -> None:
    adjacency, texts = studies.random_text_graph(2000)
    assert sparse.issparse(adjacency)
    assert texts.nnz <= 2000 * studies.WORDS_PER_TEXT
    assert all(value >= 0 for value in studies.measure_runtime(1000).values())
