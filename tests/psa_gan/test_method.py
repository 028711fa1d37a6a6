"""PSA-GAN's parts: correctness checks hold and are able to fail, windows never cross a block, training can be cut."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.data.series import FIRST_HOUR, Panel
from companion.errors import CompanionError
from companion.psa_gan import baselines, checks, evaluation, method, training
from companion.psa_gan import data as panel
from companion.psa_gan.method import Stage, schedule
from companion.psa_gan.training import PSA, RECURRENT, VARIANTS, GANConfig

EXACT = (
    "discriminator_is_unchanged_at_alpha_0", "generator_is_unchanged_at_alpha_0", "fading_is_linear",
    "largest_singular_values_are_one", "attention_equals_the_formula", "only_attention_connects_distant_hours",
    "moment_loss_equals_by_hand", "frechet_closed_forms", "frechet_symmetries", "frechet_equals_sqrtm",
    "encoder_is_causal",
)  # fmt: skip
TINY = GANConfig(1e-3, channels=4, attention_dim=2, batch_size=4, steps=12)


def toy_panel(series: int = 3, blocks: int = 8) -> Panel:
    """Daily waves with a level of their own."""
    hours = np.arange(blocks * panel.BLOCK)
    level = np.arange(1, series + 1)[:, None]
    return Panel(tuple("abc"[:series]), level * (2 + np.sin(2 * np.pi * hours / 24)), FIRST_HOUR)


@pytest.fixture(scope="module")
def toy() -> panel.Windows:
    """Windows of 32 hours of the toy panel."""
    return panel.build(toy_panel(), 32)


class TestChecks:
    @pytest.mark.parametrize("name", EXACT)
    def test_it_holds(self, name: str) -> None:
        assert getattr(checks, name)() < 1e-9

    def test_the_bias_equals_theory(self) -> None:
        assert checks.bias_equals_theory() < 0.1

    def test_a_random_skip_jumps(self) -> None:
        assert checks.change_with_a_random_skip() > 0.1

    def test_a_fade_from_the_wrong_side_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = method.Generator.forward
        monkeypatch.setattr(
            method.Generator,
            "forward",
            lambda self, phi, i, z, alpha=1.0, context=None: whole(self, phi, i, z, 1 - alpha),
        )
        assert checks.generator_is_unchanged_at_alpha_0() > 1e-3

    def test_pooling_by_thinning_out_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "pool", lambda x, times=2: x[:, ::times])
        assert checks.discriminator_is_unchanged_at_alpha_0() > 1e-3

    def test_a_convolution_that_is_not_normalized_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        linear = torch.nn.utils.parametrizations.spectral_norm
        monkeypatch.setattr(method, "spectral_norm", lambda layer: linear(layer, n_power_iterations=1, eps=1.0))
        assert checks.largest_singular_values_are_one() > 1e-3

    def test_attention_that_is_on_from_the_start_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(method.Attention, "forward", lambda self, h: h + h.mean(1, keepdim=True))
        assert checks.attention_equals_the_formula() > 1e-3
        assert checks.only_attention_connects_distant_hours() > 1e-3

    def test_an_encoder_that_looks_ahead_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = evaluation.Encoder.features
        monkeypatch.setattr(evaluation.Encoder, "features", lambda self, x: whole(self, x.flip(1)).flip(1))
        assert checks.encoder_is_causal() > 1e-3

    def test_a_collapsed_encoder_is_refused(self) -> None:
        encoder = evaluation.Encoder()
        torch.nn.init.zeros_(encoder.out.weight)
        torch.nn.init.zeros_(encoder.out.bias)
        collapsed = evaluation.TrainedEncoder(encoder, 0.0, 1.0, evaluation.COLLAPSED)
        x, y = torch.rand(2, 300, 32)
        assert evaluation.context_fid(collapsed, x, y) < 1e-9  # a "perfect" score
        assert checks.encoder_has_not_collapsed(collapsed, x, y) == math.inf


class TestPlayers:
    @pytest.mark.parametrize("level", range(3))
    def test_shapes_at_every_level(self, level: int) -> None:
        hours = 8 << level
        generator, discriminator = method.Generator(3, 2, 4, 2), method.Discriminator(3, 2, 4, 2)
        phi, series = torch.rand(5, hours, 8), torch.tensor([0, 1, 2, 0, 1])
        z = generator.noise(5, hours, torch.Generator())
        x = generator(phi, series, z, 0.3)
        assert x.shape == (5, hours)
        assert discriminator(x, phi, series, 0.3).shape == (5,)

    def test_the_context_reaches_every_level_above_the_first(self) -> None:
        torch.manual_seed(0)
        generator = method.Generator(3, 2, 4, 2, context=6).eval()
        phi, series, z = torch.rand(5, 32, 8), torch.zeros(5, dtype=torch.long), torch.randn(5, 8, 1)
        before = torch.rand(5, 6)
        found, other = (generator.hidden(phi, series, z, context) for context in (before, before + 1))
        assert torch.equal(found[0], other[0])
        assert all(not torch.equal(a, b) for a, b in itertools.islice(zip(found, other, strict=True), 1, None))

    def test_a_window_is_pooled_and_upsampled_by_hand(self) -> None:
        toy = training.example_by_hand()
        assert toy["pooled"].tolist() == [[3, 7, 6, 2]]
        assert toy["upsampled"].tolist() == [[3, 3, 7, 7, 6, 6, 2, 2]]
        assert torch.equal(toy["alpha 0"], toy["upsampled"])

    def test_least_squares_by_hand(self) -> None:
        real, fake = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
        assert float(method.discriminator_loss(real, fake)) == 0.25 + 1
        assert float(method.generator_loss(fake)) == 0.5


class TestWindows:
    def test_no_window_crosses_a_block_and_no_hour_is_in_two_parts(self, toy: panel.Windows) -> None:
        hours = {}
        for part, residues in panel.PARTS.items():
            first = toy.starts[part][:, 1]
            assert (first // panel.BLOCK == (first + 31) // panel.BLOCK).all()
            assert set((first // panel.BLOCK % 4).tolist()) == set(residues)
            hours[part] = set((first.unsqueeze(1) + torch.arange(32)).flatten().tolist())
        assert not hours["test"] & hours["train"]
        assert not hours["choose"] & hours["fit"]
        assert hours["fit"] | hours["choose"] == hours["train"]

    def test_the_hours_before_lie_in_the_block_too(self) -> None:
        told = panel.build(toy_panel(), 32, before=16)
        batch = told.draw("train", 50, torch.Generator().manual_seed(0))
        assert batch.before.shape == (50, 16)
        assert ((batch.hours - 16) // panel.BLOCK == (batch.hours + 31) // panel.BLOCK).all()
        place = torch.stack([batch.series, batch.hours], 1)
        assert torch.equal(told.values[place[0, 0], place[0, 1] - 16 : place[0, 1]], batch.before[0])

    def test_the_scale_is_that_of_the_training_blocks(self) -> None:
        whole = toy_panel()
        values = whole.values.copy()
        values[:, 3 * panel.BLOCK : 4 * panel.BLOCK] *= 9  # a test block
        loud = panel.build(replace(whole, values=values), 32)
        calm = panel.build(whole, 32)
        assert torch.equal(loud.values[:, : panel.BLOCK], calm.values[:, : panel.BLOCK])

    def test_gaps_are_left_out_and_single_hours_filled(self) -> None:
        whole = toy_panel()
        values = whole.values.copy()
        values[0, 100], values[1, 200:203] = np.nan, np.nan
        holed = panel.build(replace(whole, values=values), 32)
        first = holed.starts["train"]
        assert not ((first[:, 0] == 1) & (first[:, 1] > 168) & (first[:, 1] < 203)).any()
        assert ((first[:, 0] == 0) & (first[:, 1] == 90)).any()

    def test_the_calendar_knows_hours_and_weekdays(self, toy: panel.Windows) -> None:
        clock = toy_panel().clock
        monday = list(clock).index(np.datetime64("2023-01-02T00"))
        assert toy.calendar[monday, :2].tolist() == [-0.5, -0.5]
        assert toy.calendar[monday - 1, :2].tolist() == [0.5, 0.5]
        assert int(toy.week[monday]) == 0
        assert toy.calendar[monday, 4:].tolist() == pytest.approx([0, 0, 1, 1])

    def test_a_window_longer_than_a_block_is_refused(self) -> None:
        with pytest.raises(CompanionError, match="use at most 672"):
            panel.build(toy_panel(), 673)


class TestTraining:
    def test_a_schedule_spends_all_steps_and_grows(self) -> None:
        stages = schedule(3, 100, 0.6, 0.5)
        assert [stage.level for stage in stages] == [0, 1, 2, 3]
        assert sum(stage.steps for stage in stages) == 100
        assert stages[-1] == Stage(3, 61, 30)
        assert [stages[-1].alpha(step) for step in (0, 15, 30, 60)] == [0.0, 0.5, 1.0, 1.0]
        assert stages[0].alpha(0) == 1.0
        assert schedule(0, 10, 0.6, 0.5) == [Stage(0, 10, 0)]

    @pytest.mark.parametrize("name", [PSA, RECURRENT])
    def test_a_cut_training_ends_where_the_whole_one_does(self, toy: panel.Windows, name: str, tmp_path) -> None:
        whole = training.fit(name, toy, "train", TINY, 3)
        file = tmp_path / "gan.pt"

        def cut(gan: method.GAN, stage: Stage, step: int) -> None:
            if file.exists() and stage is gan.stages[-1] and step > 2:
                raise KeyboardInterrupt

        gan = training.build(name, toy, TINY, 3)
        with pytest.raises(KeyboardInterrupt):
            training.train(gan, toy, "train", torch.Generator().manual_seed(3), cut, file, checkpoint_every=4)
        again = training.build(name, toy, TINY, 99)
        training.train(again, toy, "train", torch.Generator().manual_seed(0), None, file, checkpoint_every=4)
        for a, b in zip(whole.generator.state_dict().values(), again.generator.state_dict().values(), strict=True):
            assert torch.equal(a, b)

    def test_a_file_of_another_plan_is_refused(self, toy: panel.Windows, tmp_path) -> None:
        gan = training.build(PSA, toy, TINY, 3)
        training.save(tmp_path / "gan.pt", gan, torch.Generator(), 5)
        other = training.build(PSA, toy, replace(TINY, steps=20), 3)
        with pytest.raises(CompanionError, match="another plan of stages"):
            training.load(tmp_path / "gan.pt", other, torch.Generator())

    @pytest.mark.parametrize("name", list(VARIANTS))
    def test_every_method_trains_and_generates_windows(self, name: str) -> None:
        told = panel.build(toy_panel(), 32, before=4)
        gan = training.fit(name, told, "train", TINY, 0)
        made = training.sampler_of(gan, 0)(told.draw("test", 7, torch.Generator()))
        assert made.shape == (7, 32)
        assert made.isfinite().all()
        assert gan.losses["moments"] > 0

    def test_both_players_learn_and_the_rate_falls_to_nothing(self, toy: panel.Windows) -> None:
        fresh, taught = training.build(PSA, toy, TINY, 3), training.fit(PSA, toy, "train", TINY, 3)
        for network in ("generator", "discriminator"):
            before, after = (dict(getattr(gan, network).named_parameters()) for gan in (fresh, taught))
            assert any(not torch.equal(before[name], after[name]) for name in before)
        assert method.lr_factor(0, 10) == method.lr_factor(5, 10) == 1
        assert method.lr_factor(9, 10) == pytest.approx(0.2)

    def test_the_story_keeps_every_level_and_the_fade(self, toy: panel.Windows) -> None:
        told = training.fit_with_snapshots(toy, "train", TINY, 0)
        assert [made.shape[1] for _, made in told.levels] == [8, 16, 32]
        identity, random = told.fades.values()
        assert torch.allclose(identity[0], told.before, atol=1e-6)
        assert not torch.allclose(random[0], told.before, atol=1e-3)


class TestBaselines:
    def test_the_bootstrap_copies_no_window_and_keeps_the_hour(self, toy: panel.Windows) -> None:
        torch.manual_seed(0)
        batch = toy.draw("test", 60, torch.Generator().manual_seed(0))
        donors = toy.starts["train"]
        lent = baselines.draw_donors(toy.week, batch.series, batch.hours, donors)
        assert (toy.week[lent] % 24 == toy.week[batch.hours] % 24).all()
        assert (toy.week[lent] != toy.week[batch.hours]).all()
        train_blocks = lent // panel.BLOCK % 4
        assert (train_blocks != 3).all()

    def test_where_every_day_is_alike_the_bootstrap_is_exact(self, toy: panel.Windows) -> None:
        batch = toy.draw("test", 20, torch.Generator().manual_seed(0))
        assert torch.allclose(training.bootstrap_sampler(toy, "train", 0)(batch), batch.x, atol=1e-4)

    def test_a_profile_is_a_mean_over_known_hours(self) -> None:
        values = torch.arange(336.0).unsqueeze(0)
        week, known = torch.arange(336) % 168, torch.ones(1, 336, dtype=torch.bool)
        assert float(baselines.weekly_profile(values, week, known)[0, 5]) == (5 + 173) / 2
        known[0, 173] = False
        assert float(baselines.weekly_profile(values, week, known)[0, 5]) == 5


class TestJudges:
    def test_a_shuffled_window_has_another_spectrum(self) -> None:
        x = torch.sin(torch.arange(32) / 4 + 6 * torch.rand(500, 1, generator=torch.Generator().manual_seed(0)))
        assert evaluation.log_spectral_distance(x, x) == 0
        assert evaluation.log_spectral_distance(x, x[:, torch.randperm(32)]) > 1

    def test_a_copy_has_no_distance_to_its_neighbor(self) -> None:
        x = torch.rand(50, 32, dtype=torch.float64)
        assert float(evaluation.nearest_distance(x[:7], x).max()) < 1e-3
        assert float(evaluation.nearest_distance(x[:7] + 1, x).min()) > 1

    def test_a_forecaster_of_a_wave_needs_little(self) -> None:
        stream = torch.Generator().manual_seed(0)
        x = 2 + torch.sin(torch.arange(32) * 2 * torch.pi / 24 + 6 * torch.rand(400, 1, generator=stream))
        assert evaluation.ridge_error(x[:200], x[200:], 8) < 1
        assert evaluation.seasonal_naive_error(x, 8) < 1e-3
        noise = torch.rand(200, 32, generator=stream)
        found = evaluation.augmented_errors([x[:5]], {"noise": noise}, x[200:], 8)
        assert found["noise"] > found["alone"]

    def test_a_horizon_without_a_day_before_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a day must be known"):
            evaluation.seasonal_naive_error(torch.rand(5, 32), 16)

    def test_an_encoder_learns_to_tell_series_apart(self, toy: panel.Windows) -> None:
        torch.manual_seed(0)
        losses = list(evaluation.training_losses(evaluation.Encoder(), toy, "train", 150, 16, 0))
        assert np.mean(losses[-30:]) < 2.02 < evaluation.COLLAPSED < np.mean(losses[:5])
