"""`Lab`: what it says, what it refuses, and what travels with an output."""

import json
from dataclasses import replace

import pytest

from companion.errors import CompanionError
from companion.lab import Lab, display, load_record
from companion.lab.evidence import DIVERGED, Measurement, Measurements, bound, evaluate
from companion.lab.notebook import memory_advice

LESSON = "_template"


@pytest.fixture
def shown(monkeypatch):
    """Every bundle and its metadata that a notebook would display."""
    seen = []
    monkeypatch.setattr(display, "show_output", lambda data, metadata=None, **_: seen.append((data, metadata or {})))
    return seen


@pytest.fixture
def lab(shown):
    made = Lab(LESSON, scale="laptop", device="cpu", seed=0)
    shown.clear()
    return made


def stamped(lab, rows):
    """The rows, as if this session had measured them."""
    return Measurements(rows, lab.lesson.name, lab.config.as_dict(), lab.seeds)


def measured(lab, claim, difference):
    """Measurements in which the method is better than each baseline by margin + difference, nearly."""
    rows = []
    for comparison in claim.comparisons():
        for seed in lab.seeds:
            base, method = comparison.baseline, comparison.method
            value = 1.0 + claim.sign * (comparison.margin + difference + 1e-3 * abs(difference) * seed)
            rows.append(Measurement(claim.metric, base.method, base.setting, seed, 1.0))
            rows.append(Measurement(claim.metric, method.method, method.setting, seed, value))
    return stamped(lab, {(m.method, m.setting, m.seed): m for m in rows}.values())


def paired(lab):
    return next(c for c in lab.lesson.claims if c.kind == "paired" and len(c.comparisons()) == 1 and not c.ablates)


def test_it_says_what_it_resolved(shown):
    Lab(LESSON, scale="ci", device="cpu", seed=5)
    text = shown[0][0]["text/plain"]
    for word in ("ci", "cpu", "CPU seconds", "MB", "threads", "5", "meaning"):
        assert word in text
    assert "<details>" in shown[0][0]["text/html"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"lesson": "no_such"}, "no lesson 'no_such'"),
        ({"lesson": "../lab"}, "no lesson"),
        ({"scale": "huge"}, "ci, laptop, study, paper"),
        ({"device": "gpu"}, "auto, cpu, cuda, mps"),
        ({"seed": 1.5}, "whole number"),
    ],
)
def test_bad_input_is_one_sentence(bad, says, shown):
    with pytest.raises(CompanionError, match=says):
        Lab(**({"lesson": LESSON, "scale": "ci", "device": "cpu", "seed": 0} | bad))


def test_a_claim_travels_as_json_beside_its_table(lab, shown, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_RESULTS", str(tmp_path))
    claim = paired(lab)
    rows = measured(lab, claim, difference=1.0)
    lab.claim(claim.id, rows)
    data, metadata = shown[0]
    wanted = evaluate(claim, rows, "laptop").as_dict()
    assert metadata["companion"] == {"lesson": LESSON, **wanted}
    assert json.loads((tmp_path / f"{LESSON}.jsonl").read_text()) == wanted
    assert "holds" in data["text/plain"]
    assert claim.statement in data["text/html"]
    assert data["text/plain"].endswith(f"Why this margin: {claim.why.rstrip('.')}.")


def test_findings_draw_one_plot_and_say_a_sentence_for_each_claim(lab, shown):
    claims = [claim for claim in lab.lesson.claims if claim.unit == paired(lab).unit]
    rows = {(m.method, m.setting, m.seed): m for claim in claims for m in measured(lab, claim, 1.0)}
    lab.findings([claim.id for claim in claims], stamped(lab, rows.values()), "The method wins each comparison here.")
    pictures = [(data, metadata) for data, metadata in shown if "image/png" in data]
    assert len(pictures) == 1
    assert pictures[0][1]["image/png"]["alt"].startswith("Forest plot, a row per comparison")
    tables = [(data, metadata["companion"]) for data, metadata in shown if "companion" in metadata]
    assert [found["claim"] for _, found in tables] == [claim.id for claim in claims]
    for (data, found), claim in zip(tables, claims, strict=True):
        assert data["text/html"].startswith("<p>") or "<details>" in data["text/html"]
        assert claim.statement in data["text/html"]
        assert found["verdict"] in data["text/plain"]
        assert "95 % prediction interval" in data["text/plain"]


def test_an_ablation_test_says_what_was_broken_and_that_this_was_expected(lab, shown):
    claim = next(claim for claim in lab.lesson.claims if claim.ablates)
    lab.findings([claim.id], measured(lab, claim, -1.0), "Without its component the method no longer wins.")
    text = shown[-1][0]["text/plain"]
    assert f"{claim.id}, {claim.ablates} no longer holds, as expected" in text
    assert f"Ablation test of {claim.ablates}: {claim.removed}" in text


@pytest.mark.parametrize("method", ["claim", "findings"])
def test_measurements_of_another_run_are_refused(lab, shown, method):
    claim = paired(lab)
    rows = list(measured(lab, claim, 1.0))

    def call(measurements):
        if method == "claim":
            lab.claim(claim.id, measurements)
        else:
            lab.findings([claim.id], measurements, "A caption that is long enough to be one.")

    config, seeds = lab.config.as_dict(), lab.seeds
    for other, says in (
        (rows, "no stamp"),
        (Measurements(rows, "rim", config, seeds), r"lesson rim \(now _template\)"),
        (Measurements(rows, LESSON, {**config, "scale": "ci"}, seeds), r"scale ci \(now laptop\)"),
        (Measurements(rows, LESSON, config, [seed + 5 for seed in seeds]), r"seeds \[5, 6, 7"),
    ):
        with pytest.raises(CompanionError, match=says):
            call(other)
    assert not shown
    call(Measurements(rows, LESSON, config, seeds))


def test_two_runs_of_one_session_keep_their_stamp(lab):
    claim = paired(lab)
    rows = measured(lab, claim, 1.0)
    assert isinstance(rows + rows, Measurements)
    assert not isinstance(rows + list(rows), Measurements)


def test_a_run_that_diverged_is_neither_success_nor_failure(lab, shown):
    claim = paired(lab)
    rows = [Measurement(m.metric, m.method, m.setting, m.seed, float("nan")) for m in measured(lab, claim, 1.0)]
    lab.claim(claim.id, stamped(lab, rows))
    assert DIVERGED in shown[0][0]["text/plain"]
    json.dumps(shown[0][1], allow_nan=False)


def test_claims_in_different_units_do_not_share_an_axis(lab):
    first, second = lab.lesson.claims[:2]
    claims = (replace(first, unit="points"), replace(second, unit="seconds"))
    lab.lesson = replace(lab.lesson, claims=claims)
    with pytest.raises(CompanionError, match=r"their units are \['points', 'seconds'\]"):
        lab.findings([first.id, second.id], [], "A caption that is long enough to be one.")


def test_a_changed_setting_takes_the_prediction_interval_away_and_says_why(lab, shown):
    claim, draws = paired(lab), lab.config.draws
    before = measured(lab, claim, 1.0)
    lab.configure(draws=draws + 1)
    assert lab.config.draws == draws + 1
    assert "before this change" in shown[0][0]["text/plain"]
    with pytest.raises(CompanionError, match=f"draws {draws}"):
        lab.claim(claim.id, before)
    shown.clear()
    lab.claim(claim.id, measured(lab, claim, 1.0))
    text = shown[0][0]["text/plain"]
    assert "This session runs a changed configuration." in text
    assert "inside" not in text
    assert "outside" not in text
    with pytest.raises(CompanionError, match="no setting 'drawz'"):
        lab.configure(drawz=1)


def test_a_dictionary_of_settings_is_not_replaced_by_a_part_of_it(shown):
    lab = Lab("cold_brew", scale="ci", device="cpu", seed=0)
    assert "lab.configure(**{'train." in shown[0][0]["text/html"].replace("&#x27;", "'")
    with pytest.raises(CompanionError, match=r"train lacks .*; to change one of its entries, write a name with a dot"):
        lab.configure(train={"MLP": lab.config.train["MLP"]})
    lab.configure(**{"train.MLP.lr": 0.5})
    assert lab.config.train["MLP"].lr == 0.5


@pytest.mark.parametrize(("difference", "verdict"), [(1.0, "holds"), (-1.0, "fails")])
def test_the_scoreboard_names_verdicts_and_no_measured_number(lab, shown, difference, verdict):
    claim = paired(lab)
    lab.claim(claim.id, measured(lab, claim, difference))
    shown.clear()
    lab.scoreboard()
    line = next(text for text in shown[0][0]["text/plain"].splitlines() if text.startswith(f"{claim.id} "))
    assert verdict in line
    assert bound(claim) in line
    assert claim.source in line
    assert all(deviation in shown[1][0]["text/plain"] for deviation in lab.lesson.deviations)


def test_a_number_far_from_the_stored_runs_is_called_outside(lab, shown):
    claim = paired(lab)
    ours = [m for m in load_record(LESSON).runs["laptop"].measurements if m.seed in lab.seeds]
    lab.claim(claim.id, stamped(lab, ours))
    lab.claim(claim.id, measured(lab, claim, difference=1e6))
    assert [("inside" in data["text/plain"], "outside" in data["text/plain"]) for data, _ in shown] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("error", "word"), [(0.0, "passed"), ([0.0, -1e9], "fails"), (float("nan"), "fails"), ([1e-30], "passed")]
)
def test_a_check_shows_the_error_beside_its_tolerance(lab, capsys, error, word):
    check = lab.lesson.checks[0]
    lab.check(check.id, error)
    out = capsys.readouterr().out
    assert out.rstrip().endswith(f"tolerance {check.tolerance:g}: {word}")
    assert "error " in out
    with pytest.raises(CompanionError, match="no error at all"):
        lab.check(check.id, [])


def test_checks_fold_all_but_those_named(lab, shown):
    ids = [check.id for check in lab.lesson.checks]
    lab.checks(dict.fromkeys(ids, 0.0), show=ids[:1])
    page = shown[0][0]["text/html"]
    before, _, folded = page.partition("<details>")
    assert ids[0] in before
    assert all(id in folded for id in ids[1:])
    assert f"{len(ids) - 1} more checks" in folded
    assert all(id in shown[0][0]["text/plain"] for id in ids)


def test_unknown_names_list_the_known_ones(lab):
    for call in (lambda: lab.claim("Z9", []), lambda: lab.check("Z9", 0), lambda: lab.exercise("Z9")):
        with pytest.raises(CompanionError, match="Z9"):
            call()
    with pytest.raises(CompanionError, match="study"):
        lab.stored("nothing")


def test_run_seeds_runs_every_seed_shows_one_bar_and_stamps(lab, monkeypatch):
    bars = []

    class Handle:
        def update(self, data, **_):
            bars.append(data["text/plain"])

    monkeypatch.setattr(display, "show_output", lambda data, **_: bars.append(data["text/plain"]) or Handle())
    rows = lab.run_seeds(lambda config, seed, device: [Measurement("m", "a", "s", seed, float(seed))])
    assert [m.seed for m in rows] == lab.seeds
    assert (rows.lesson, rows.config, list(rows.seeds)) == (LESSON, lab.config.as_dict(), lab.seeds)
    n = len(lab.seeds)
    assert bars == [f"seeds done: {i} of {n}" for i in range(n + 1)]


def test_the_time_to_run_is_measured_or_follows_from_the_stored_run(shown):
    record = load_record(LESSON)
    assert record.expected_seconds("laptop", 3) == record.cost["laptop"]["cpu_seconds"]
    run = record.runs["study"]
    half = len(run.seeds) // 2
    without = replace(record, cost={})
    assert without.expected_seconds("study", half) == pytest.approx(run.stamp["cpu_seconds"] * half / len(run.seeds))
    assert without.expected_seconds("paper", 1) is None


@pytest.mark.parametrize("returned", [[], [Measurement("m", "a", "s", 99, 1.0)], [("m", 1.0)]])
def test_an_experiment_that_does_not_measure_its_seed_is_refused(lab, returned):
    with pytest.raises(CompanionError, match="must return a list of Measurement, each with seed = 0"):
        lab.run_seeds(lambda config, seed, device: returned)


@pytest.mark.parametrize(
    ("change", "says"), [({"scale": "ci"}, "when the lesson is loaded"), ({"seeds": 0}, "seeds = 0")]
)
def test_scale_and_seeds_are_not_changed_to_what_cannot_run(lab, change, says):
    with pytest.raises(CompanionError, match=says):
        lab.configure(**change)
    assert not lab.overridden


def test_memory_advice_speaks_only_where_it_is_short(monkeypatch):
    assert memory_advice(1) == ""
    monkeypatch.setenv("MEM_LIMIT", str(600 * 2**20))
    assert "shut down other kernels" in memory_advice(10_000)
