"""Errors by whose fault they are; proxy/replies.py says what each becomes."""

from __future__ import annotations

import errno
import os


class ProxyError(Exception):
    """Ends an exchange. Leaves say what happened, families whose fault it is."""


class ClientError(ProxyError):
    """The client sent what cannot be served. Answered by the codec: the reason phrase, then a close."""

    status = 400
    flag = "DPE"

    def __init__(self, details: str, *, status: int = 400) -> None:
        super().__init__(details)
        self.details = details
        """Envoy's response code details, such as `http1.codec_error`."""
        self.status = status


class UpstreamError(ProxyError):
    """The upstream broke its side; `Outcome` carries the same fact where it is ordinary."""


class CommandError(Exception):
    """A command cannot go on; the text tells the user what to do. Exit code 2 unless said otherwise."""

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_NO_SUCH_ADDRESS = "This machine has no such address: choose one that it has, or one of 127.0.0.0/8 on Linux."
_NOT_ALLOWED = "Ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start."


def cannot_listen(address: str, whose: str, elsewhere: str, error: OSError) -> CommandError:
    """Why an address cannot be had and what to do; `elsewhere` says how to choose another."""
    number = error.errno or 0
    remedies = {errno.EADDRNOTAVAIL: _NO_SUCH_ADDRESS, errno.EACCES: _NOT_ALLOWED}
    remedy = remedies.get(number, f"Stop what uses the port, or choose another with {elsewhere}.")
    reason = os.strerror(number) if number > 0 else str(error)
    return CommandError(f"cannot listen on {address} ({whose}): {reason}. {remedy}", exit_code=1)
