"""One way to ask and to answer, whichever HTTP is spoken on either side of the proxy."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes import World
from tests.http2_peers import Http2ClientEnd, Http2Network, Http2UpstreamEnd, Message

Lines = list[tuple[bytes, bytes]]
UPGRADE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app.test
  trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}
"""


@dataclass(frozen=True)
class Answer:
    """What an upstream does about a request."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b"ok"
    cut: bool = False
    """It breaks off in the middle of its body."""
    silent: bool = False


@dataclass
class Seen:
    """A request as an upstream saw it."""

    method: bytes
    target: bytes
    authority: bytes
    headers: Lines
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Got:
    """A response as the client saw it."""

    status: int
    headers: Lines
    body: bytes
    whole: bool

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Talk:
    """A client and an upstream of the given versions, with a proxy between them."""

    world: World
    client_version: int
    upstream_version: int
    answers: list[Answer] = field(default_factory=list)
    """For the requests to come; then plain ones."""

    def __post_init__(self) -> None:
        self._network2 = Http2Network(self.world) if self.upstream_version == 2 else None
        if self._network2 is not None:
            self._network2.answers = [self._answer2] * 100
        else:
            self.world.network.answer = self._answer1  # type: ignore[assignment,method-assign]
        self._client2 = Http2ClientEnd(self.world) if self.client_version == 2 else None
        self._client1 = self.world.client() if self.client_version == 1 else None
        self._methods: list[bytes] = []
        self._stream = 0

    # The client

    def send(self, method: bytes = b"GET", path: bytes = b"/", *lines: tuple[bytes, bytes], body: bytes = b"") -> None:
        """Ask; the answer is in `got`, perhaps later."""
        if self._client2 is not None:
            client = self._client2
            self._stream = client.begin(*lines, method=method, path=path, end=not body)
            for start in range(0, len(body), 16384):
                client.h2.send_data(self._stream, body[start : start + 16384])
            if body:
                client.h2.end_stream(self._stream)
            client.flush()
            return
        assert self._client1 is not None
        self._methods.append(method)
        size = ((b"content-length", b"%d" % len(body)),) if body else ()
        head = b"".join(b"%b: %b\r\n" % line for line in ((b"host", b"app.test"), *size, *lines))
        self._client1.send(b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, head), *([body] if body else []))

    @property
    def got(self) -> Got:
        """The last answer."""
        if self._client2 is not None:
            self._client2.flush()
            message = self._client2.streams[self._stream]
            headers = [line for line in message.headers if line[0] != b":status"]
            return Got(message.status if message.headers else 0, headers, message.body, message.ended)
        assert self._client1 is not None
        responses = self._client1.responses(*self._methods)
        if len(responses) < len(self._methods):
            return Got(0, [], b"", False)
        last = responses[-1]
        return Got(last.status, last.headers, last.body, last.whole)

    def ask(self, method: bytes = b"GET", path: bytes = b"/", *lines: tuple[bytes, bytes], body: bytes = b"") -> Got:
        """Ask, and give the answer."""
        self.send(method, path, *lines, body=body)
        return self.got

    def leave(self) -> None:
        """The client is gone."""
        end = self._client2.end if self._client2 is not None else self._client1
        assert end is not None
        end.leave()

    # The upstream

    @property
    def requests(self) -> list[Seen]:
        """What came upstream."""
        if self._network2 is None:
            return [
                Seen(each.method, each.target, each.get(b"host") or b"", each.headers, each.body)
                for each in self.world.network.requests
            ]
        return [
            Seen(
                each.get(b":method") or b"",
                each.get(b":path") or b"",
                each.get(b":authority") or b"",
                each.headers,
                each.body,
            )
            for each in self._network2.requests
        ]

    @property
    def given_up(self) -> bool:
        """The last request was, by the proxy."""
        if self._network2 is None:
            return self.world.network.ends[-1].transport.lost
        return self._network2.requests[-1].reset is not None

    def _next(self) -> Answer:
        return self.answers.pop(0) if self.answers else Answer()

    def _answer1(self, end: object, request: object) -> None:
        answer = self._next()
        if answer.silent:
            return
        lines = b"".join(b"%b: %b\r\n" % line for line in answer.headers)
        size = len(answer.body) + (10 if answer.cut else 0)
        bodiless = getattr(request, "method", b"") == b"HEAD" or answer.status in (204, 304)
        framing = b"" if answer.status == 204 else b"content-length: %d\r\n" % size
        data = b"HTTP/1.1 %d -\r\n%b%b\r\n%b" % (answer.status, lines, framing, b"" if bodiless else answer.body)
        end.send(data)  # type: ignore[attr-defined]
        if answer.cut:
            end.transport.lose()  # type: ignore[attr-defined]

    def _answer2(self, end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        answer = self._next()
        if answer.silent:
            return
        bodiless = request.get(b":method") == b"HEAD" or answer.status in (204, 304)
        size = [] if answer.status == 204 else [(b"content-length", b"%d" % len(answer.body))]
        lines = [(b":status", b"%d" % answer.status), *answer.headers, *([] if answer.cut else size)]
        end.h2.send_headers(stream, lines, end_stream=bodiless)
        if bodiless:
            return
        for start in range(0, len(answer.body), 16384):
            end.h2.send_data(stream, answer.body[start : start + 16384])
        if answer.cut:
            end.h2.reset_stream(stream, 2)
        else:
            end.h2.end_stream(stream)
