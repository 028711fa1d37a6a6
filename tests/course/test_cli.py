"""The command line: what users get wrong ends in one sentence, on stderr, with a non-zero exit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from companion.course import cli


def call(*arguments: str, code: int = 0) -> None:
    """Run a command and check its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "tinny"], "There is no lesson 'tinny'; there is tiny."),
        (["record", "tinny"], "There is no lesson 'tinny'; there is tiny."),
        (["run", "tiny", "--scale", "huge"], "scale = 'huge' is not a scale of this course; use one of ci, laptop"),
        (["run", "tiny", "--device", "abacus"], "device = 'abacus' is not known; use one of auto, cpu"),
        (["run", "tiny", "--seed", "1.5"], "'1.5' is not a seed; use a whole number, 0 or larger"),
        (["run", "tiny", "--seed", "-1"], "'-1' is not a seed; use a whole number, 0 or larger"),
        (["run"], "Name the lessons to run, or say --all, and not both."),
        (["run", "tiny", "--notebooks", "nowhere"], "nowhere holds no notebooks"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["record", "tiny", "--scale", "huge"], "tiny has no run 'huge' to record; choose one of ci,"),
        (["data", "fetch", "nothing"], "There is no data set 'nothing'"),
        (["scoreboard", "--run", "study"], "study holds no notebooks; name a folder that does, or run them first."),
        (["pages"], "README.md cannot be used: No such file or directory."),
    ],
)
def test_one_sentence_and_a_non_zero_exit(tiny_notebook: Path, capsys, arguments: list[str], sentence: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code in (1, 2)
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert printed.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_an_absent_device_is_one_sentence(tiny_notebook: Path, capsys) -> None:
    call("run", "tiny", "--device", "cuda", code=1)
    assert "PyTorch finds none on this machine" in capsys.readouterr().err


def test_the_benchmark_is_published_and_a_failed_run_leaves_the_page(tiny_notebook: Path, capsys) -> None:
    call("bench", "--threads", "1")
    page = tiny_notebook.parents[1] / cli.BENCHMARK
    text = page.read_text("utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "Run 1: ci scale, one thread",
        "Run 2: laptop scale, one thread",
    ]
    assert text in capsys.readouterr().out
    broken = tiny_notebook.read_text("utf-8").replace("print(", "prnt(")
    tiny_notebook.write_text(broken, "utf-8")
    call("bench", "--threads", "1", code=1)
    assert "NameError" in capsys.readouterr().out
    assert page.read_text("utf-8") == text


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_every_command_has_help(command: str, capsys) -> None:
    call(command, "--help")
    assert "Usage: companion" in capsys.readouterr().out


def test_ctrl_c_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupt)
    call(code=130)
    assert capsys.readouterr().err == "Stopped. What had finished is kept.\n"


def test_data_says_where_it_is_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    call("data", "status")
    assert "missing" in capsys.readouterr().out
    call("data", "verify", code=1)
    assert "python -m companion data fetch" in capsys.readouterr().err


def test_record_and_harmless_from_the_command_line(tiny_course: Path, capsys) -> None:
    call("record", "tiny", "--scale", "ci", "--seeds", "1")
    assert "tiny at ci: 1 seeds" in capsys.readouterr().out
    call("record", "tiny", "--harmless", "no reason")
    assert "nothing: the record is fresh" in capsys.readouterr().out


def test_the_doctor_is_quick_and_names_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    began = time.process_time()
    call("doctor", code=1)
    assert time.process_time() - began < 5
    printed = capsys.readouterr().out
    assert "PROBLEM data wordnet: missing -> run `python -m companion data fetch wordnet`" in printed
    call("doctor", "--json", code=1)
    assert '"remedy"' in capsys.readouterr().out
