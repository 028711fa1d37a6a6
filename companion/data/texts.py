"""Graphs of texts that the user brings: Cora with words, ogbn-arxiv with titles and abstracts, published vectors."""

import csv
import gzip
from pathlib import Path

import numpy as np

from companion.data.cache import brought
from companion.data.graphs import TextGraph, ogbn_arxiv
from companion.errors import CompanionError


def cora_text() -> TextGraph:
    """2277 papers on machine learning with title and abstract, their citations and seven subjects; -1: no subject.

    Names are the first six words of a text. Loops and repeated citations are dropped.
    """
    texts = brought("cora_text", "data.txt").read_text("utf-8").splitlines()
    groups = brought("cora_text", "group.txt").read_text("utf-8").split("\n")[: len(texts)]
    pairs = np.loadtxt(brought("cora_text", "graph.txt"), dtype=np.int64, ndmin=2)
    classes = sorted(set(groups) - {""})
    labels = np.array([classes.index(group) if group else -1 for group in groups])
    edges = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    names = [" ".join(text.split()[:6]) for text in texts]
    return TextGraph(texts, names, labels, [f"subject {name}" for name in classes], np.unique(edges, axis=0).T)


def arxiv_texts() -> list[str]:
    """Title and abstract of every node of ogbn-arxiv, in its order; raises CompanionError where a paper has no text."""
    with gzip.open(brought("ogbn_arxiv_text", "nodeidx2paperid.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        next(rows)
        papers = [paper for _, paper in rows]
    with gzip.open(brought("ogbn_arxiv_text", "titleabs.tsv.gz"), "rt", encoding="utf-8") as lines:
        found = {row[0]: f"{row[1]}: {row[2]}" for row in (line.rstrip("\n").split("\t") for line in lines) if row[2:]}
    missing = [paper for paper in papers if paper not in found]
    if missing:
        raise CompanionError(
            f"titleabs.tsv.gz has no text for {len(missing)} of {len(papers)} papers, the first of them {missing[0]}; "
            "get the file from the publisher again."
        )
    return [found[paper] for paper in papers]


def arxiv_with_texts() -> TextGraph:
    """ogbn-arxiv as a graph of texts, its citations undirected; a node's name is the beginning of its title."""
    data, texts = ogbn_arxiv(), arxiv_texts()
    pairs = np.sort(data.edge_index.numpy(), axis=0)
    edges = np.unique(pairs[:, pairs[0] != pairs[1]], axis=1)
    classes = [f"subject {i}" for i in range(int(data.y.max()) + 1)]
    return TextGraph(texts, [text[:40] for text in texts], data.y.flatten().numpy(), classes, edges)


def published_vectors(name: str, nodes: int) -> np.ndarray:
    """The authors' own vectors of a graph's nodes, [nodes, h], read from the disk as they are asked for.

    name: "ogbn-arxiv", "ogbn-products" or "ogbn-papers100M". Raises CompanionError unless there is a row a node.
    """
    file = brought("xrt_vectors", str(Path(name) / "X.all.xrt-emb.npy"))
    vectors = np.load(file, mmap_mode="r")
    if vectors.ndim != 2 or len(vectors) != nodes:
        raise CompanionError(f"{file.name} of {name} has shape {vectors.shape}; it needs {nodes} rows, one a node.")
    return vectors
