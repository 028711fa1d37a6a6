"""What the two ways to the network are asked for, and how their troubles are told. Neither is really called."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest

from companion.data import download
from companion.data.catalog import Address, Distribution

SDIST = Distribution(sha256="ab" * 32, members={"m": ""}, distribution="tiny", version="1.0", form="sdist")
WHEEL = Distribution(sha256="ab" * 32, members={"m": ""}, distribution="tiny", version="1.0", form="wheel")
ADDRESS = Address(sha256="ab" * 32, members={"m": ""}, urls=("https://one.org/a.zip", "https://two.org/a.zip"))


def stub_pip(monkeypatch: pytest.MonkeyPatch, returncode: int = 0, stderr: str = "") -> list[list[str]]:
    """Puts a stub in pip's place and returns the list in which it notes its command lines."""
    calls: list[list[str]] = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        calls.append(command)
        into = Path(command[command.index("--dest") + 1])
        into.mkdir()
        (into / "tiny-1.0.tar.gz").write_bytes(b"archive")
        return SimpleNamespace(returncode=returncode, stderr=stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


@pytest.mark.parametrize(("source", "option"), [(SDIST, "--no-binary"), (WHEEL, "--only-binary")])
def test_pip_is_asked_for_one_pinned_archive_without_dependencies(monkeypatch, tmp_path, source, option) -> None:
    calls = stub_pip(monkeypatch)
    archive = download.download(source, tmp_path)
    assert archive.name == "tiny-1.0.tar.gz"
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in calls[0]
    assert calls[0][calls[0].index(option) + 1] == "tiny"
    requirement = Path(calls[0][calls[0].index("--requirement") + 1]).read_text()
    assert requirement.strip() == f"tiny==1.0 --hash=sha256:{'ab' * 32}"


def test_pip_keeps_the_user_s_index(monkeypatch, tmp_path) -> None:
    calls = stub_pip(monkeypatch)
    download.download(SDIST, tmp_path)
    assert not [word for word in calls[0] if "index" in word or "://" in word]


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM …", "cut short or changed"),
        ("WARNING: x\nERROR: No matching distribution found for tiny==1.0", "pip finds no tiny 1.0"),
        ("/bin/python: No module named pip", "this Python has no pip"),
        ("note: y\nERROR: Cannot unpack file", "^Cannot unpack file$"),
        ("", "pip gave no reason"),
    ],
)
def test_pip_s_trouble_is_told_in_a_few_words(monkeypatch, tmp_path, stderr, said) -> None:
    stub_pip(monkeypatch, 1, stderr)
    with pytest.raises(download.SourceError, match=said):
        download.download(SDIST, tmp_path)


def test_a_full_disk_under_pip_is_a_full_disk(monkeypatch, tmp_path) -> None:
    stub_pip(monkeypatch, 1, "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
    with pytest.raises(OSError, match="No space left") as caught:
        download.download(SDIST, tmp_path)
    assert caught.value.errno == errno.ENOSPC


def stub_pooch(monkeypatch: pytest.MonkeyPatch, *answers: object) -> list[str]:
    """Puts a stub in pooch's place, which gives these answers in turn, and returns the list of addresses asked."""
    asked: list[str] = []
    turn = iter(answers)

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> object:
        assert known_hash == "sha256:" + "ab" * 32
        asked.append(url)
        answer = next(turn)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    return asked


@pytest.mark.parametrize("trouble", [ValueError("hash"), ConnectionError("down"), TimeoutError()])
def test_the_mirror_serves_when_the_address_fails(monkeypatch, tmp_path, trouble) -> None:
    asked = stub_pooch(monkeypatch, trouble, str(tmp_path / "a.zip"))
    assert download.download(ADDRESS, tmp_path) == tmp_path / "a.zip"
    assert asked == list(ADDRESS.urls)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(ValueError("hash"), "cut short or changed"), (ConnectionError(), r"could not be reached \(ConnectionError\)")],
)
def test_the_last_mirror_s_trouble_is_told(monkeypatch, tmp_path, trouble, said) -> None:
    stub_pooch(monkeypatch, trouble, trouble)
    with pytest.raises(download.SourceError, match=said):
        download.download(ADDRESS, tmp_path)


def test_a_full_disk_under_pooch_is_a_full_disk(monkeypatch, tmp_path) -> None:
    asked = stub_pooch(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        download.download(ADDRESS, tmp_path)
    assert len(asked) == 1
