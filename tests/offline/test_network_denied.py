"""The denial works where tests run code: in this process, in a child Python, in a kernel. No real address is asked for.

192.0.2.1 belongs to a block reserved for documentation and `.invalid` is a name that can never exist: should the denial
be broken, nobody is disturbed.
"""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from network_denied import NetworkDeniedError

ATTEMPTS = {
    "connect": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)",
    "connect_ex": "import socket; socket.socket().connect_ex(('192.0.2.1', 80))",
    "datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))",
    "look-up": "import socket; socket.getaddrinfo('nobody.invalid', 80)",
    "old look-up": "import socket; socket.gethostbyname('nobody.invalid')",
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_denied_in_this_process(attempt: str) -> None:
    with pytest.raises(NetworkDeniedError, match="the tests run without a network"):
        exec(attempt, {})


def test_denied_to_a_library_that_wraps_errors() -> None:
    with pytest.raises(OSError, match=r"without a network.*nobody\.invalid"):
        urllib.request.urlopen("http://nobody.invalid/file")


def test_denied_in_a_child_python() -> None:
    child = subprocess.run([sys.executable, "-c", ATTEMPTS["connect"]], capture_output=True, text=True, timeout=60)
    assert child.returncode != 0
    assert "NetworkDeniedError: the tests run without a network" in child.stderr


def test_denied_in_a_kernel() -> None:
    code = f"try:\n    {ATTEMPTS['look-up']}\nexcept OSError as error:\n    print(type(error).__name__)"
    notebook = new_notebook(cells=[new_code_cell(code)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert notebook.cells[0].outputs[0].text == "NetworkDeniedError\n"


def test_this_machine_stays_reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
    monkeypatch.chdir(tmp_path)  # a Unix socket's path must be short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")
