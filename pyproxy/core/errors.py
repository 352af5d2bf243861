"""Errors by whose fault they are; proxy/replies.py says what each becomes."""

from __future__ import annotations


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
