"""MNIST-5k and what EfficientNet-Lite0 makes of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.data import card, status
from companion.data import efficientnet_lite0 as lite0
from companion.data.images import cifar10_subset, flowers102, mnist5k, reduce_mnist5k
from companion.errors import CompanionError

needs_digits = pytest.mark.skipif(status("mnist5k") != "cached", reason="MNIST-5k is not in the cache: make data")
needs_lite0 = pytest.mark.skipif(status("lite0") != "cached", reason="Lite0 is not in the cache: make data")


def test_the_table_becomes_images_and_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.integers(0, 256, (4, 784)), [3, 1, 4, 1]])
    file = tmp_path / "mnist_5k.csv.gz"
    file.write_bytes(gzip.compress("\n".join(",".join(map(str, row)) for row in table.tolist()).encode()))
    reduced = reduce_mnist5k({file.name: file})
    assert reduced["images"].shape == (4, 28, 28)
    assert (reduced["images"].reshape(4, -1) == table[:, :-1]).all()
    assert reduced["labels"].tolist() == [3, 1, 4, 1]


@needs_digits
def test_the_digits_are_as_their_card_says() -> None:
    images, labels = mnist5k()
    facts = card("mnist5k").facts
    assert images.shape == (facts["images"], 28, 28)
    assert np.bincount(labels).tolist() == [facts["images of each class"]] * int(facts["classes"])
    assert images.dtype == np.uint8
    assert images.max() == 255


@needs_lite0
def test_the_backbone_is_as_its_card_says() -> None:
    facts = card("lite0").facts
    assert lite0.lite0_features().shape == (facts["images"], facts["features"])
    assert sum(value.numel() for value in lite0.lite0_weights().values()) == facts["numbers in the folded weights"]


@needs_digits
@needs_lite0
def test_the_stored_features_are_those_of_the_network() -> None:
    rows = [0, 777, 4999]
    seen = lite0.embed(mnist5k()[0][rows], lite0.lite0_weights(), torch.device("cpu"), batch=2)
    assert np.allclose(seen, lite0.lite0_features()[rows], rtol=2e-3, atol=2e-3)


@needs_lite0
def test_the_network_is_that_of_the_package_where_it_is_installed() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    net = package.EfficientNet.from_name("efficientnet-lite0")
    rng = torch.Generator().manual_seed(0)
    for name, value in net.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=rng)
    x = torch.rand(2, 3, 64, 64, generator=rng)
    with torch.no_grad():
        wanted = net.eval().extract_features(x).mean((2, 3))
        assert torch.allclose(lite0.features(lite0.fold(net.state_dict()), x), wanted, atol=1e-4)


def test_folding_a_normalization_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "_pairs", lambda: iter([("conv", "norm")]))
    conv, norm = torch.nn.Conv2d(3, 5, 3, bias=False), torch.nn.BatchNorm2d(5, eps=lite0.SMALLEST_VARIANCE)
    for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        torch.nn.init.uniform_(value, 0.5, 2)
    norm.eval()
    state = {f"conv.{k}": v for k, v in conv.state_dict().items()} | {
        f"norm.{k}": v for k, v in norm.state_dict().items()
    }
    folded, x = lite0.fold(state), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        given = torch.nn.functional.conv2d(x, folded["conv.weight"], folded["conv.bias"])
        assert torch.allclose(given, norm(conv(x)), atol=1e-5)


@pytest.mark.parametrize(("load", "name"), [(cifar10_subset, "cifar10_jpeg"), (flowers102, "flowers102")])
def test_sets_that_are_not_there_say_how_to_bring_them(
    load, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.delenv("COMPANION_REAL", raising=False)
    with pytest.raises(CompanionError, match=f"set COMPANION_REAL to a folder that holds {name}/"):
        load()
    (tmp_path / name).mkdir()
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    with pytest.raises(CompanionError, match="lacks the file"):
        load()
