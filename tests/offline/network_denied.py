"""Importing this denies the process every address but this machine's own.

The tests put this folder on PYTHONPATH, so that each child Python (a kernel, papermill, a server) starts with it too.
An audit hook sees what the socket module is asked for, whichever library asks, and cannot be taken off again. It does
not see programs that are not Python; none that the tests start has any reason to reach out.
"""

import ipaddress
import socket
import sys

LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
TRAFFIC = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class NetworkDeniedError(OSError):
    """A test, or something it started, asked for an address outside this machine."""


def is_local(host: object) -> bool:
    """Say whether a host name or address stands for this machine."""
    if isinstance(host, (bytes, bytearray)):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def deny(event: str, args: tuple) -> None:
    """Refuse a look-up or a packet that would leave this machine."""
    if event in LOOKUPS:
        host = args[0]
    elif event in TRAFFIC and isinstance(args[1], tuple) and args[0].family in (socket.AF_INET, socket.AF_INET6):
        host = args[1][0]
    else:
        return
    if not is_local(host):
        raise NetworkDeniedError(f"the tests run without a network, and something asked for {host!r} ({event})")


sys.addaudithook(deny)
