"""The command line: what users get wrong ends in one sentence, on stderr, with a non-zero exit."""

from __future__ import annotations

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
        (["run", "tiny", "--seed", "1.5"], "'1.5' is not a valid integer range"),
        (["run", "tiny", "--seed", "-1"], "-1 is not in the range x>=0"),
        (["run"], "Name the lessons to run, or say --all, or --bench, and only one of these."),
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


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_every_command_has_help(command: str, capsys) -> None:
    call(command, "--help")
    assert "Usage: companion" in capsys.readouterr().out


def test_ctrl_c_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.cli, "main", interrupt)
    call(code=130)
    assert capsys.readouterr().err == "Stopped; everything that had finished was saved.\n"


def test_data_says_where_it_is_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path))
    call("data", "status")
    assert "missing" in capsys.readouterr().out
    call("data", "verify", code=1)
    assert "python -m companion data fetch" in capsys.readouterr().err


def test_record_from_the_command_line(tiny_course: Path, capsys) -> None:
    call("record", "tiny", "--scale", "ci", "--seeds", "1")
    assert "tiny at ci: 1 seeds" in capsys.readouterr().out
    call("record", "tiny", "--reduced")
    printed = capsys.readouterr().out
    assert "tiny, ci, reduced:" in printed
    assert "tiny, pilot, reduced:" in printed
