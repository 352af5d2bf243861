"""Message heads as the data path sees them: bytes, names in lower case, order kept."""

from __future__ import annotations

from pyproxy.core.token import VerifiedToken

Headers = list[tuple[bytes, bytes]]
"""Header lines in order; names are lower case, values have no surrounding white space."""


class RequestHead:
    """A request's head. `target` is origin-form (path and query); `authority` is the Host value as sent."""

    __slots__ = (
        "authority",
        "carries_trace",
        "headers",
        "keep_alive",
        "method",
        "minor_version",
        "notable",
        "path",
        "scheme",
        "target",
        "token",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        authority: bytes,
        headers: Headers,
        *,
        scheme: bytes = b"http",
        minor_version: int = 1,
        keep_alive: bool = True,
        notable: dict[bytes, bytes] | None = None,
        carries_trace: bool = True,
    ) -> None:
        self.method = method
        self.target = target
        self.path = target.partition(b"?")[0]
        self.authority = authority
        self.headers = headers
        """Without `host`: that is `authority`."""
        self.scheme = scheme
        self.minor_version = minor_version
        self.keep_alive = keep_alive
        self.notable = {} if notable is None else notable
        """First values of the names that a codec looks out for, whether or not they stay in `headers`."""
        self.carries_trace = carries_trace
        """One of the names in `notable` is a trace header."""
        self.token: VerifiedToken | None = None
        """Who the request is from, once a token of its own was verified."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name]


class ResponseHead:
    """A response's head."""

    __slots__ = ("headers", "notable", "status")

    def __init__(self, status: int, headers: Headers, notable: dict[bytes, bytes] | None = None) -> None:
        self.status = status
        self.headers = headers
        self.notable = {} if notable is None else notable
        """First values of the names that a codec looks out for, whether or not they stay in `headers`."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header, or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None
