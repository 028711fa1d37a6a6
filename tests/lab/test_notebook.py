"""`Lab`: what it says, what it refuses, and what travels with an output."""

import json

import pytest

from companion.errors import CompanionError
from companion.lab import Lab, display, load_record
from companion.lab.evidence import Measurement, bound, evaluate
from companion.lab.notebook import memory_advice

LESSON = "_template"


@pytest.fixture
def shown(monkeypatch):
    """Every bundle and its metadata that a notebook would display."""
    seen = []
    monkeypatch.setattr(display, "display", lambda data, **kw: seen.append((data, kw.get("metadata") or {})))
    return seen


@pytest.fixture
def lab(shown):
    made = Lab(LESSON, scale="laptop", device="cpu", seed=0)
    shown.clear()
    return made


def arms(claim, difference, seeds=4):
    """Measurements in which the method is better than each baseline by margin + difference, nearly."""
    rows = []
    for comparison in claim.comparisons():
        for seed in range(seeds):
            wiggle = 1e-3 * abs(difference) * seed
            base, method = comparison.baseline, comparison.method
            value = 1.0 + claim.sign * (comparison.margin + difference + wiggle)
            rows.append(Measurement(claim.metric, base.method, base.setting, seed, 1.0))
            rows.append(Measurement(claim.metric, method.method, method.setting, seed, value))
    return list({(m.method, m.setting, m.seed): m for m in rows}.values())


def paired(lab):
    return next(c for c in lab.lesson.claims if c.kind == "paired" and len(c.comparisons()) == 1 and not c.ablates)


def test_it_says_what_it_resolved(shown):
    Lab(LESSON, scale="ci", device="cpu", seed=5)
    text = shown[0][0]["text/plain"]
    for word in ("ci", "cpu", "CPU seconds", "MB", "threads", "5"):
        assert word in text


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
    rows = arms(claim, difference=1.0)
    lab.claim(claim.id, rows)
    data, metadata = shown[0]
    wanted = evaluate(claim, rows, "laptop").as_dict()
    assert metadata["companion"] == {"lesson": LESSON, **wanted}
    assert json.loads((tmp_path / f"{LESSON}.jsonl").read_text()) == wanted
    assert "holds" in data["text/plain"]
    assert claim.statement in data["text/html"]
    assert data["text/plain"].endswith(f"Why this bound: {claim.why.rstrip('.')}.")


@pytest.mark.parametrize(("difference", "verdict"), [(1.0, "holds"), (-1.0, "fails")])
def test_the_scoreboard_names_verdicts_and_no_measured_number(lab, shown, difference, verdict):
    claim = paired(lab)
    lab.claim(claim.id, arms(claim, difference))
    shown.clear()
    lab.scoreboard()
    line = next(text for text in shown[0][0]["text/plain"].splitlines() if text.startswith(f"{claim.id} "))
    assert verdict in line
    assert bound(claim) in line
    assert all(deviation in shown[1][0]["text/plain"] for deviation in lab.lesson.deviations)


def test_a_number_far_from_our_runs_is_called_outside(lab, shown):
    claim = paired(lab)
    lab.claim(claim.id, [m for m in load_record(LESSON).runs["laptop"].measurements if m.seed < 3])
    lab.claim(claim.id, arms(claim, difference=1e6))
    assert [("inside" in data["text/plain"], "outside" in data["text/plain"]) for data, _ in shown] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(("error", "passed"), [(0.0, True), ([0.0, -1e9], False), (float("nan"), False)])
def test_a_check_prints_true_or_false_and_no_number(lab, capsys, error, passed):
    lab.check(lab.lesson.checks[0].id, error)
    out = capsys.readouterr().out
    assert out.rstrip().endswith(f": {passed}")
    assert "1e9" not in out.replace("+", "")


def test_unknown_names_list_the_known_ones(lab):
    for call in (lambda: lab.claim("Z9", []), lambda: lab.check("Z9", 0), lambda: lab.exercise("Z9")):
        with pytest.raises(CompanionError, match="Z9"):
            call()
    with pytest.raises(CompanionError, match="study"):
        lab.recorded("nothing")


def test_measure_runs_every_seed_and_shows_one_bar(lab, shown, monkeypatch):
    bars = []

    class Handle:
        def update(self, data, **_):
            bars.append(data["text/plain"])

    monkeypatch.setattr(display, "display", lambda data, **_: bars.append(data["text/plain"]) or Handle())
    rows = lab.measure(lambda config, seed, device: [Measurement("m", "a", "s", seed, float(seed))])
    assert [m.seed for m in rows] == lab.seeds
    n = len(lab.seeds)
    assert bars == [f"seeds done: {i} of {n}" for i in range(n + 1)]


def test_memory_advice_speaks_only_where_it_is_short(monkeypatch):
    assert memory_advice(1) == ""
    monkeypatch.setenv("MEM_LIMIT", str(600 * 2**20))
    assert "shut down other kernels" in memory_advice(10_000)
