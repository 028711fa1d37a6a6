"""Deep AutoAugment's algebra: the correctness checks pass, and each notices when the code it speaks of is broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.deepaa import baselines, checks, evaluation, method, studies
from companion.deepaa.augmentations import Bank, make_bank
from companion.deepaa.method import CROP, CUTOUT, FLIP, IDENTITY, Candidate
from companion.lab import load_lesson

CHECKS = {
    "X1": checks.jvp_is_autograd,
    "X2": checks.policy_average_is_zero,
    "X3": checks.direction_is_orthogonal,
    "X4": checks.length_of_the_reference_does_not_matter,
    "X5": checks.identities_have_no_reward,
    "X6": checks.logit_gradient_is_closed,
    "X7": checks.start_is_its_closed_form,
    "X8": checks.identity_is_exact,
    "X9": checks.mixed_batch_is_one_by_one,
    "X10": checks.geometry_is_that_of_scipy,
    "X11": checks.sampling_is_the_policy,
    "X12": checks.chunks_change_nothing,
}
TOLERANCE = {check.id: check.tolerance for check in load_lesson("deepaa").checks}


def test_every_correctness_check_of_the_lesson_is_tried_here() -> None:
    assert TOLERANCE.keys() == CHECKS.keys()


@pytest.mark.parametrize("id", CHECKS)
def test_the_correctness_checks_pass(id: str) -> None:
    assert CHECKS[id]() < TOLERANCE[id]


WHOLE = {
    name: getattr(method, name)
    for name in (
        "orthogonal_part",
        "candidate_rewards",
        "gradients",
        "policy_loss",
        "rewards",
        "sample",
        "start_logits",
    )
}


def projected(v: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    return v


def shorter(losses, w, v, g):
    return WHOLE["candidate_rewards"](losses, w, v, g) * v.norm()


def the_last_image_alone(network, images, labels, weight):
    return WHOLE["gradients"](network, images[:, -1:], labels[:, -1:], weight[:, -1:])


def off_by_a_thousandth(network, images, labels, v, g):
    return WHOLE["rewards"](network, images, labels, v, g) + 1e-3 * torch.arange(images.shape[1])


def other_layer(policy, n, generator):
    return WHOLE["sample"](policy.flip(0), n, generator)


def without_softmax(logits: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    return -(r * logits).sum()


# What is broken, and which correctness checks must notice.
BREAKS = {
    "no projection": ("orthogonal_part", projected, ("X1", "X2", "X3")),
    "no division by |v|": ("candidate_rewards", shorter, ("X1", "X4")),
    "a gradient of the last image": ("gradients", the_last_image_alone, ("X1",)),
    "rewards by place in the chunk": ("rewards", off_by_a_thousandth, ("X5", "X12")),
    "a loss without softmax": ("policy_loss", without_softmax, ("X6",)),
    "a start at zero": ("start_logits", lambda m, identity: WHOLE["start_logits"](m, 0.0), ("X7",)),
    "layers exchanged": ("sample", other_layer, ("X11",)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_correctness_checks_fail_when_the_code_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    what, broken, noticed_by = BREAKS[name]
    monkeypatch.setattr(method, what, broken)
    for id in noticed_by:
        assert not CHECKS[id]() < TOLERANCE[id], f"{id} does not notice"


def jittered(bank: Bank, images: torch.Tensor, which: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return WHOLE_BANK(bank, images, which, generator) + 1e-6 * len(images)


def sheared_the_other_way(
    bank: Bank, images: torch.Tensor, which: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    return WHOLE_BANK(bank, images, bank_mirror(bank)[which], generator)


def bank_mirror(bank: Bank) -> torch.Tensor:
    """Each shear's number becomes that of the shear of the opposite sign."""
    mirror = torch.arange(len(bank))
    rows = bank.rows("ShearX")
    mirror[rows] = torch.tensor(rows[::-1])
    return mirror


WHOLE_BANK = Bank.__call__


@pytest.mark.parametrize(("broken", "noticed_by"), [(jittered, ("X8", "X9")), (sheared_the_other_way, ("X10",))])
def test_a_broken_bank_is_noticed(broken, noticed_by, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bank, "__call__", broken)
    for id in noticed_by:
        assert not CHECKS[id]() < TOLERANCE[id], f"{id} does not notice"


def test_every_correctness_check_is_broken_once() -> None:
    noticed = {id for _, _, ids in BREAKS.values() for id in ids} | {"X8", "X9", "X10"}
    assert noticed == CHECKS.keys()


def apply(name: str, magnitude: float, image: torch.Tensor) -> torch.Tensor:
    bank = Bank([Candidate(IDENTITY), Candidate(name, magnitude)])
    return bank(image[None], torch.tensor([1]), torch.Generator().manual_seed(0))[0]


class TestBank:
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))

    def test_the_paper_has_139_candidates(self) -> None:
        assert len(make_bank(3, 13, False, 0.5)) == 139
        assert len(make_bank(1, 13, False, 0.5)) == 139 - 12  # no Color
        assert len(make_bank(1, 5, True, 0.0)) == 50

    def test_turns_and_shifts_are_those_of_numpy(self) -> None:
        x = self.image
        assert torch.allclose(apply("VerticalFlip", 0, x), x.flip(1), atol=1e-6)
        assert torch.allclose(apply("Rotate180", 0, x), x.flip(1, 2), atol=1e-6)
        turned = apply("Rotate90", 0, x)
        assert any(torch.allclose(turned, x.rot90(k, (1, 2)), atol=1e-6) for k in (1, 3))
        shifted = apply("TranslateX", 0.25, x)
        assert torch.allclose(shifted[:, :, :6], x[:, :, 2:], atol=1e-6)
        assert not shifted[:, :, 6:].any()

    def test_photometric_operations_by_hand(self) -> None:
        x = self.image
        assert torch.equal(apply("Invert", 0, x), 1 - x)
        assert torch.equal(apply("Solarize", 0, x), 1 - x)
        assert torch.allclose(apply("Brightness", 0.5, x), x / 2)
        assert torch.allclose(apply("Contrast", 0.0, x), x.mean().expand_as(x), atol=1e-6)
        stretched = apply("AutoContrast", 0, x / 2 + 0.2)
        assert stretched.min() == 0
        assert torch.isclose(stretched.max(), torch.tensor(1.0))
        assert len(apply("Posterize", 2.0, x).unique()) <= 4
        assert torch.allclose(apply("Sharpness", 1.0, x), x, atol=1e-6)

    def test_equalized_levels_are_spread_evenly(self) -> None:
        x = (torch.arange(64) // 4).float().view(1, 8, 8) / 255
        wanted = torch.linspace(0, 1, 16).repeat_interleave(4).view(1, 8, 8)
        assert torch.allclose(apply("Equalize", 0, x), wanted, atol=1e-5)
        flat = torch.full((1, 8, 8), 0.3)
        assert torch.equal(apply("Equalize", 0, flat), flat)

    def test_random_operations_differ_by_image(self) -> None:
        bank = Bank([Candidate(IDENTITY), Candidate(FLIP), Candidate(CROP), Candidate(CUTOUT)], fill=0.5)
        generator = torch.Generator().manual_seed(0)
        images = self.image.expand(200, 1, 8, 8)
        flipped = bank(images, torch.full((200,), 1), generator)
        share = float((flipped.flatten(1) != images.flatten(1)).any(1).float().mean())
        assert 0.4 < share < 0.6
        assert len(bank(images, torch.full((200,), 2), generator).flatten(1).unique(dim=0)) == 9  # shifts of -1, 0, 1
        cut = bank(images, torch.full((200,), 3), generator)
        assert int((cut == 0.5).flatten(1).sum(1).min()) >= 1
        assert int((cut == 0.5).flatten(1).sum(1).max()) == 16

    def test_color_needs_three_channels_and_leaves_gray_alone(self) -> None:
        gray = self.image.expand(3, 8, 8).clone()
        assert torch.allclose(apply("Color", 1.9, gray), gray, atol=1e-2)
        assert "Color" in make_bank(3, 5, False, 0.5).operations
        assert "Color" not in make_bank(1, 5, False, 0.5).operations

    def test_what_cannot_be_is_refused_in_a_sentence(self) -> None:
        with pytest.raises(ValueError, match="must begin with"):
            Bank([Candidate("Invert")])
        with pytest.raises(ValueError, match="unknown operations: Blur"):
            Bank([Candidate(IDENTITY), Candidate("Blur")])
        bank = Bank([Candidate(IDENTITY)])
        with pytest.raises(ValueError, match="one number per image"):
            bank(self.image[None], torch.zeros(2, dtype=torch.int64), torch.Generator())
        with pytest.raises(ValueError, match="which the bank does not have"):
            baselines.always(bank, [CROP])


class TestSearch:
    def test_the_std_is_that_of_a_population_over_draws(self) -> None:
        c = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        assert method.regularize(c, 1.0).tolist() == [1.0, 0.0]

    def test_layer_one_acts_first(self) -> None:
        bank = Bank([Candidate(IDENTITY), Candidate("Invert"), Candidate("Brightness", 0.5)])
        x = torch.full((1, 1, 4, 4), 0.4)
        seen = method.augment(bank, x, torch.tensor([[1, 2]]), torch.Generator())
        assert torch.allclose(seen, torch.full_like(x, 0.3))

    def test_all_candidates_stand_behind_the_same_prefix(self) -> None:
        _, bank, source, generator = checks.example()
        policy = baselines.always(bank, ["Invert"])
        found = method.apply_every_candidate(bank, source.images[:2], policy, 3, generator)
        assert found.shape[:2] == (2, 3 * len(bank))
        for prefix in range(3):
            assert torch.equal(found[:, prefix * len(bank)], 1 - source.images[:2])

    def test_search_stops_at_identity_and_no_sooner(self) -> None:
        network, bank, source, generator = checks.example()
        config = method.SearchConfig(steps=3, later_steps=3, draws=4, batch_size=2, layers=3, lr=0.01, later_lr=0.01)
        stays = method.search(network, bank, source, config, generator)
        assert len(stays) == 1
        goes = method.search(network, bank, source, replace(config, stop=0.9999), generator)
        assert len(goes) == 3

    def test_a_cut_search_goes_on_as_if_it_had_not_been(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        network, bank, source, _ = checks.example()
        config = method.SearchConfig(steps=3, later_steps=2, draws=4, batch_size=2, layers=2, stop=1.0)
        seed = lambda: torch.Generator().manual_seed(3)  # noqa: E731
        whole = method.search(network, bank, source, config, seed())
        file, layer, done = tmp_path / "search.pt", method.search_layer, []

        def cut(*given):
            if done:
                raise KeyboardInterrupt
            done.append(1)
            return layer(*given)

        monkeypatch.setattr(method, "search_layer", cut)
        with pytest.raises(KeyboardInterrupt):
            method.search(network, bank, source, config, seed(), checkpoint=file)
        monkeypatch.setattr(method, "search_layer", layer)
        again = method.search(network, bank, source, config, seed(), checkpoint=file)
        for one, other in zip(whole, again, strict=True):
            assert torch.equal(one.probabilities, other.probabilities)
            assert one.cosines == other.cosines

    def test_mixed_precision_keeps_rewards_in_single_precision_and_near(self) -> None:
        network, bank, source, generator = checks.example()
        single = method.Network(network.net.float())
        half = method.Network(network.net, amp=True)
        source = replace(source, images=source.images.float(), validation=source.validation.float())
        config, p = method.SearchConfig(draws=4, batch_size=3), baselines.uniform(bank, 1)[0]
        empty = method.empty_policy(bank)
        c, d = (
            method.score_layer(n, bank, source, empty, p, config, generator.clone_state())[0] for n in (single, half)
        )
        assert d.dtype == torch.float32
        assert not torch.equal(c, d)
        assert torch.allclose(c, d, atol=0.05 * float(c.abs().max()))

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_a_gpu_gives_what_the_cpu_gives(self) -> None:
        network, bank, source, generator = checks.example()
        config, p = method.SearchConfig(draws=4, batch_size=3), baselines.uniform(bank, 1)[0]
        here = method.score_layer(network, bank, source, method.empty_policy(bank), p, config, generator.clone_state())
        there_network = method.Network(network.net.cuda())
        moved = method.SearchData(*(getattr(source, name).cuda() for name in vars(source)))
        there = method.score_layer(
            there_network, bank, moved, method.empty_policy(bank), p, config, generator.clone_state()
        )
        assert np.allclose(here[0], there[0].cpu(), atol=1e-6)


def test_the_long_way_of_the_benchmark_is_the_short_way() -> None:
    network, images, labels, p, v = checks.one_draw()
    g = method.gradients(network, images[None], labels[None], p[None])[0]
    long = studies.rewards_by_each_gradient(network, images, labels, v, g)
    short = method.candidate_rewards(network.losses(images, labels), network.weights, v, g)
    assert torch.allclose(long, short, atol=1e-12)


def test_baselines_are_policies() -> None:
    bank = make_bank(1, 5, True, 0.0)
    for policy in (baselines.none(bank), baselines.hand_picked(bank), baselines.uniform(bank, 2)):
        assert torch.allclose(policy.sum(1), torch.ones(len(policy), dtype=torch.float64))
    assert evaluation.probability(bank, baselines.none(bank)[0], [IDENTITY]) == 100
    assert evaluation.inversion_probability(bank, baselines.uniform(bank, 1)[0]) == pytest.approx(
        4
    )  # Invert, and Solarize from 0


class TestKornia:
    """The bank against another library's operations, where the extra `augment` is installed."""

    image = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))

    def test_turns_and_rotations(self) -> None:
        geometry = pytest.importorskip("kornia").geometry
        x = self.image
        assert torch.allclose(apply("VerticalFlip", 0, x[0]), geometry.vflip(x)[0], atol=1e-5)
        assert torch.allclose(apply("Rotate180", 0, x[0]), geometry.rot180(x)[0], atol=1e-5)
        turned = [geometry.rotate(x, torch.tensor([angle]))[0] for angle in (-30.0, 30.0)]
        assert any(torch.allclose(apply("Rotate", 30, x[0]), other, atol=1e-4) for other in turned)

    def test_operations_that_move_nothing(self) -> None:
        enhance = pytest.importorskip("kornia").enhance
        x = self.image
        assert torch.allclose(apply("Invert", 0, x[0]), enhance.invert(x)[0], atol=1e-6)
        assert torch.allclose(apply("Solarize", 0.5, x[0]), enhance.solarize(x, 0.5)[0], atol=1e-6)
        assert torch.allclose(apply("Sharpness", 0.1, x[0]), enhance.sharpness(x, 0.1)[0], atol=1e-5)

    def test_its_automatic_policies_return_images_of_the_same_kind(self) -> None:
        auto = pytest.importorskip("kornia.augmentation.auto")
        images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        for policy in (auto.TrivialAugment(), auto.RandAugment(n=2, m=10)):
            assert policy(images).shape == images.shape
