"""Cold Brew's parts: what must hold on any graph."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.utils import degree, erdos_renyi_graph, remove_self_loops

from companion.cold_brew import baselines, checks
from companion.cold_brew.data import cold_start
from companion.cold_brew.method import (
    SEGNN,
    StudentMLPs,
    adjacency,
    fcr,
    teacher_loss,
    teacher_memory,
    top_k_attention,
    virtual_neighbors,
)
from companion.lab.config import TrainConfig
from companion.lab.neighbor_sampling import NeighborSampler
from companion.lab.training import train


def graph(nodes=60, p=0.08, seed=0):
    torch.manual_seed(seed)
    return remove_self_loops(erdos_renyi_graph(nodes, p))[0], torch.randint(-1, 3, (nodes,))


class TestCorrectnessChecks:
    @pytest.mark.parametrize(
        ("check", "tolerance"),
        [
            (checks.teacher_on_isolated_node_is_an_mlp, 1e-6),
            (checks.teacher_without_embeddings_is_a_gcn, 1e-6),
            (checks.embedding_gradient_of_isolated_nodes, 1e-12),
            (checks.chunked_attention_is_dense_attention, 1e-5),
            (checks.one_virtual_neighbor_is_the_best_key, 1e-6),
            (checks.smoothing_rate, 1e-6),
        ],
    )
    @pytest.mark.parametrize("seed", range(5))
    def test_they_hold_on_any_seed(self, check, tolerance, seed):
        torch.manual_seed(seed)
        assert check() < tolerance

    def test_table_11(self):
        assert checks.fcr_of_table_11() < 0.025

    # each check must be able to fail: break the code it speaks of and see it notice
    def test_isolated_check_notices_a_missing_self_loop(self, monkeypatch):
        bare = lambda edges, n: torch.zeros(n, n).index_put_(tuple(edges), torch.tensor(1.0))  # noqa: E731
        monkeypatch.setattr(checks, "adjacency", bare)
        assert checks.teacher_on_isolated_node_is_an_mlp() > 1e-3

    def test_gcn_check_notices_embeddings(self, monkeypatch):
        monkeypatch.setattr(torch.nn.init, "zeros_", lambda weight: weight)
        assert checks.teacher_without_embeddings_is_a_gcn() > 1e-3

    def test_gradient_check_notices_a_penalty(self, monkeypatch):
        with_penalty = lambda *a, eta: teacher_loss(*a, eta=1.0)  # noqa: E731
        monkeypatch.setattr(checks, "teacher_loss", with_penalty)
        assert checks.embedding_gradient_of_isolated_nodes() > 1e-6

    def test_attention_checks_notice_zeros_in_place_of_minus_infinity(self, monkeypatch):
        def zeros(queries, memory, k, chunk_size=None):
            scores = queries @ memory.T
            return (scores * (scores >= scores.topk(k).values[:, -1:])).softmax(-1) @ memory

        monkeypatch.setattr(checks, "virtual_neighbors", zeros)
        assert checks.chunked_attention_is_dense_attention() > 1e-3
        assert checks.one_virtual_neighbor_is_the_best_key() > 1e-3

    def test_smoothing_check_notices_another_normalization(self, monkeypatch):
        monkeypatch.setattr(checks, "adjacency", lambda edges, n: adjacency(edges, n).to_dense() * 1.01)
        assert checks.smoothing_rate() > 1e-3

    def test_table_check_notices_a_missing_branch(self, monkeypatch):
        monkeypatch.setattr(checks, "fcr", lambda g, m, p: 100 * (g - p) / (2 * g - m - p))
        assert checks.fcr_of_table_11() > 1

    def test_split_check_notices_an_edge_at_an_isolated_node(self):
        edges, labels = graph()
        split = cold_start(edges, labels, num_train_per_class=3, group_share=0.1, num_val=10, seed=0)
        assert checks.split_violations(split) == 0
        node = int(torch.nonzero(split.isolation_mask)[0])
        split.edge_index.data = torch.cat([split.edge_index, torch.tensor([[node, 0], [0, node]])], dim=1)
        assert checks.split_violations(split) > 0


class TestColdStart:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(20, 80), st.floats(0.02, 0.3), st.integers(0, 10**6))
    def test_who_is_who(self, nodes, p, seed):
        edges, labels = graph(nodes, p, seed)
        split = cold_start(edges, labels, num_train_per_class=2, group_share=0.1, num_val=5, seed=seed)
        assert checks.split_violations(split) == 0
        assert int(split.isolation_mask.sum()) == round(0.1 * nodes)
        assert not (split.train_mask & split.val_mask).any()
        assert (labels[split.train_mask | split.val_mask] >= 0).all()
        groups = split.test_groups(labels >= 0)
        for mask in groups.values():
            assert not (mask & (split.train_mask | split.val_mask | split.isolation_val_mask)).any()
        kept = {tuple(edge) for edge in split.edge_index.T.tolist()}
        assert kept <= {tuple(edge) for edge in edges.T.tolist()}

    def test_isolated_nodes_are_those_of_lowest_degree(self):
        edges, labels = graph(80, 0.2)
        split = cold_start(edges, labels, 2, 0.1, 5, seed=1)
        degrees = degree(edges[0], 80)
        chosen = split.isolation_mask | split.isolation_val_mask
        assert degrees[chosen].max() <= degrees[~chosen].min()

    def test_ties_are_broken_by_the_seed_not_by_the_index(self):
        ring = torch.stack([torch.arange(50), (torch.arange(50) + 1) % 50])
        both = torch.cat([ring, ring.flip(0)], dim=1)
        labels = torch.zeros(50, dtype=torch.long)
        first, second = (cold_start(both, labels, 2, 0.1, 5, seed).isolation_mask for seed in (0, 1))
        assert (first != second).any()
        assert not first[:7].all()


class TestTeacher:
    def test_an_embedding_row_is_its_own_nodes_alone(self):
        net = SEGNN(5, [2, 3], dropout=0.0)
        x = torch.zeros(5, 2)
        assert torch.equal(net.layers[0].before_aggregation(x), net.layers[0].embedding.weight)
        rows = torch.tensor([4, 1])
        assert torch.equal(net.layers[0].before_aggregation(x[rows], rows), net.layers[0].embedding.weight[rows])

    def test_squared_embeddings_are_the_sum_of_squares(self):
        net = SEGNN(5, [2, 3, 2], dropout=0.0)
        wanted = sum(float((layer.embedding.weight.detach() ** 2).sum()) for layer in net.layers)
        assert float(net.squared_embeddings().detach()) == pytest.approx(wanted, rel=1e-6)

    def test_memories_have_the_paper_s_widths(self):
        edges, _ = graph()
        net, x = SEGNN(60, [4, 8, 3], dropout=0.5), torch.randn(60, 4)
        widths = {
            kind: teacher_memory(net, x, adjacency(edges, 60), kind).shape for kind in ("logits", "concatenation")
        }
        assert widths == {"logits": (60, 3), "concatenation": (60, 8 + 3)}
        assert torch.allclose(teacher_memory(net, x, adjacency(edges, 60), "probabilities").sum(1), torch.ones(60))

    def test_the_memory_is_read_without_dropout(self):
        edges, _ = graph()
        net, x = SEGNN(60, [4, 8, 3], dropout=0.9).train(), torch.randn(60, 4)
        first, second = (teacher_memory(net, x, adjacency(edges, 60), "logits") for _ in range(2))
        assert torch.equal(first, second)

    def test_an_unknown_memory_is_named(self):
        with pytest.raises(ValueError, match="logits, probabilities, concatenation"):
            teacher_memory(SEGNN(3, [2, 2], 0.0), torch.zeros(3, 2), torch.eye(3), "both")


class TestStudent:
    @settings(deadline=None, max_examples=25)
    @given(st.integers(1, 12), st.integers(1, 9), st.one_of(st.none(), st.floats(0.05, 2)))
    def test_chunks_do_not_matter(self, k, chunk, temperature):
        torch.manual_seed(0)
        queries, memory = torch.randn(10, 4), torch.randn(12, 4)
        whole = virtual_neighbors(queries, memory, k, temperature)
        assert torch.allclose(virtual_neighbors(queries, memory, k, temperature, chunk), whole, atol=1e-5)

    def test_weights_are_a_distribution_over_k_keys(self):
        index, weights = top_k_attention(torch.randn(10, 4), torch.randn(12, 4), 5)
        assert index.shape == weights.shape == (10, 5)
        assert torch.allclose(weights.sum(1), torch.ones(10))
        assert all(len(set(row)) == 5 for row in index.tolist())

    @pytest.mark.parametrize("k", [0, 13, -1])
    def test_an_impossible_k_is_named(self, k):
        with pytest.raises(ValueError, match="use 1 to 12"):
            top_k_attention(torch.randn(2, 4), torch.randn(12, 4), k)

    def test_cosine_forgets_length_and_the_dot_product_does_not(self):
        queries, memory = torch.randn(10, 4), torch.randn(12, 4)
        assert torch.allclose(
            top_k_attention(3 * queries, memory, 3, 0.1)[1], top_k_attention(queries, memory, 3, 0.1)[1], atol=1e-5
        )
        assert not torch.allclose(
            top_k_attention(3 * queries, memory, 3)[1], top_k_attention(queries, memory, 3)[1], atol=1e-3
        )

    def test_the_two_networks_train_apart(self):
        memory = torch.randn(20, 3)
        student = StudentMLPs(5, memory, hidden_dim=8, num_classes=2, dropout=0.0)
        student(torch.randn(4, 5), memory[:4]).sum().backward()
        assert all(p.grad is None for p in student.xi1.parameters())
        assert all(p.grad is not None for p in student.xi2.parameters())

    def test_xi1_learns_the_memory(self):
        torch.manual_seed(0)
        x = torch.randn(200, 5)
        memory = 7 * x @ torch.randn(5, 3)
        student = StudentMLPs(5, memory, hidden_dim=32, num_classes=2, dropout=0.0)
        before = student.embedding_loss(x, memory).item()
        validate = lambda _: -student.embedding_loss(x, memory).item()  # noqa: E731
        loss_fn = lambda _, rows: student.embedding_loss(x[rows], memory[rows])  # noqa: E731
        train(student.xi1, lambda: [slice(None)], loss_fn, TrainConfig(lr=0.01, steps=300), validate)
        assert student.embedding_loss(x, memory).item() < 0.05 * before
        assert float((student.predict_embedding(x).detach() - memory).pow(2).mean() / memory.var()) < 0.1


def test_training_keeps_the_weights_of_the_best_evaluation():
    net = torch.nn.Linear(1, 1, bias=False)
    scores = iter([1.0, 5.0, 2.0])
    weights = []

    def validate(net):
        weights.append(float(net.weight.detach()))
        return next(scores)

    train(net, lambda: [torch.ones(1, 1)], lambda net, x: net(x).sum(), TrainConfig(lr=0.1, steps=30), validate)
    assert float(net.weight.detach()) == weights[1]


@pytest.mark.parametrize(
    ("z", "value"), [((80, 60, 70), 100 / 3), ((80, 80, 70), 100), ((80, 90, 70), 150), ((80, 60, 80), 0)]
)
def test_fcr_by_hand(z, value):
    assert fcr(*z) == pytest.approx(value)


@pytest.mark.parametrize("z", [(60, 50, 70), (60, 60, 60)])
def test_fcr_is_refused_where_it_has_no_meaning(z):
    with pytest.raises(ValueError, match="better than label propagation"):
        fcr(*z)


class TestBaselines:
    def test_distillation_on_hard_targets_is_cross_entropy(self):
        scores, labels = torch.randn(6, 3), torch.randint(3, (6,))
        hard = torch.nn.functional.one_hot(labels, 3).float()
        wanted = torch.nn.functional.cross_entropy(scores, labels)
        assert float(baselines.distillation_loss(scores, hard)) == pytest.approx(float(wanted), rel=1e-5)

    def test_label_propagation_follows_edges_and_knows_nothing_of_isolated_nodes(self):
        edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        scores = baselines.label_propagation(
            edges, torch.tensor([1, 0, 0, 0]), torch.tensor([True, False, False, False])
        )
        assert scores[:3].argmax(1).tolist() == [1, 1, 1]
        assert float(scores[3].sum()) == 0


class TestSampling:
    def loader(self, edges, fanout, nodes=60):
        data = Data(edge_index=edges, num_nodes=nodes)
        return NodeLoader(data, NeighborSampler(edges, nodes, fanout), input_nodes=torch.arange(nodes), batch_size=7)

    def test_pieces_hold_only_edges_of_the_graph_and_start_with_their_seeds(self):
        edges, _ = graph()
        real = {tuple(edge) for edge in edges.T.tolist()}
        seen = []
        for part in self.loader(edges, (3, 2)):
            sampled = part.n_id[part.edge_index]
            assert {tuple(edge) for edge in sampled.T.tolist()} <= real
            assert len(part.n_id.unique()) == len(part.n_id)
            assert degree(part.edge_index[1], len(part.n_id))[: part.batch_size].max() <= 3 + 2
            seen += part.n_id[: part.batch_size].tolist()
        assert seen == list(range(60))

    def test_a_wide_fanout_finds_every_neighbor(self):
        edges, _ = graph(30, 0.1)
        for part in self.loader(edges, (500,), nodes=30):
            got = degree(part.edge_index[1], len(part.n_id))[: part.batch_size]
            assert torch.equal(got, degree(edges[1], 30)[part.n_id[: part.batch_size]])

    def test_isolated_seeds_come_back_alone(self):
        edges = torch.tensor([[0, 1], [1, 0]])
        part = next(iter(self.loader(edges, (2, 2), nodes=3)))
        assert part.n_id.tolist() == [0, 1, 2]
        assert part.edge_index.shape == (2, 2)
