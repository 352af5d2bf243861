"""The cases of h2spec 2.6 (github.com/summerwind/h2spec), each under h2spec's own number, and a client that plays them.

A case is what a client sends behind the prefaces, and what it must see for it: `HEADERS 1`, `RST_STREAM 1 CANCEL`,
`GOAWAY PROTOCOL_ERROR`, `closed`. Sections are RFC 7540's and RFC 7541's, as h2spec has them.
"""

# ruff: noqa: E501 - the table has a case a line

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.peers import SECONDS

Lines = list[tuple[bytes, bytes]]
Wanted = frozenset[str]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODY = b"hello world!"
"""What the service behind the proxy answers: the cases of flow control need five bytes and more."""


@dataclass(frozen=True)
class Await:
    """Send nothing more until one of these was seen."""

    wanted: Wanted


@dataclass(frozen=True)
class Case:
    """`steps` are bytes and frames to send, and what to wait for between them; one of `wanted` must be seen then."""

    what: str
    steps: tuple[Frame | bytes | Await, ...]
    wanted: Wanted
    prefaced: bool = True
    """Both prefaces are exchanged first."""
    closing_will_do: bool = True
    """h2spec takes the end of the connection for an error that it waits for."""

    @property
    def enough(self) -> Wanted:
        """What satisfies h2spec."""
        erring = all(event.startswith(("GOAWAY", "RST_STREAM")) for event in self.wanted)
        return self.wanted | {"closed"} if erring and self.closing_will_do else self.wanted


class Client:
    """One connection. `events` are the frames that came, each in a few words."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._buffer = b""
        self.events: list[str] = []

    def play(self, case: Case, wanted: Wanted, seconds: float) -> bool:
        """Whether one of `wanted` is seen, `seconds` after all was sent at the latest."""
        with contextlib.closing(self._socket):
            if case.prefaced:
                self._send(PREFACE, SettingsFrame(0, settings={4: 65535}))
                assert self._sees(frozenset({"SETTINGS ACK"}), SECONDS) and "SETTINGS" in self.events
                self._send(SettingsFrame(0, flags=["ACK"]))
                self.events.clear()
            for step in case.steps:
                if not isinstance(step, Await):
                    self._send(step)
                elif not self._sees(step.wanted, SECONDS):
                    return False
                else:
                    self.events.clear()
            return self._sees(wanted, seconds)

    def _send(self, *steps: Frame | bytes) -> None:
        with contextlib.suppress(OSError):  # what the proxy said before it closed is read all the same
            for step in steps:
                self._socket.sendall(step if isinstance(step, bytes) else step.serialize())

    def _sees(self, wanted: Wanted, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not wanted & set(self.events):
            left = deadline - time.monotonic()
            if left <= 0 or "closed" in self.events:
                return False
            self._socket.settimeout(left)
            try:
                received = self._socket.recv(1 << 16)
            except TimeoutError:
                return False
            except ConnectionError:
                received = b""
            self._buffer += received
            self.events += self._frames()
            if not received:
                self.events.append("closed")
        return True

    def _frames(self) -> Iterator[str]:
        if self._buffer.startswith(b"HTTP/1.1 "):
            yield self._buffer[:12].decode()
            self._buffer = b""
        while len(self._buffer) >= 9:
            end = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < end:
                return
            head, payload, self._buffer = self._buffer[:9], self._buffer[9:end], self._buffer[end:]
            yield _named(head[3], head[4], int.from_bytes(head[5:], "big"), payload)


def _named(kind: int, flags: int, stream: int, payload: bytes) -> str:
    ack, end = (" ACK", " END") if flags & 1 else ("", "")
    if kind == 0:
        return f"DATA {stream} {len(payload)}{end}"
    if kind == 1:
        return f"HEADERS {stream}"
    if kind == 3:
        return f"RST_STREAM {stream} {ErrorCodes(int.from_bytes(payload, 'big')).name}"
    if kind == 4:
        return f"SETTINGS{ack}"
    if kind == 6:
        return f"PING{ack} {payload.rstrip(bytes(1)).decode()}"
    if kind == 7:
        return f"GOAWAY {ErrorCodes(int.from_bytes(payload[4:8], 'big')).name}"
    return f"frame {kind}"


# What is sent

GET: Lines = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"app.test")]
POST: Lines = [(b":method", b"POST"), *GET[1:]]
HEAD: Lines = [(b":method", b"HEAD"), *GET[1:]]
LONG = b"x" * 4000
TEST = b"test"


def packed(lines: Lines) -> bytes:
    """A block that needs nothing of the blocks before it."""
    return Encoder().encode(lines)


def dummies(count: int, *, huffman: bool = True) -> bytes:
    """A block of long fields."""
    return Encoder().encode([(b"x-dummy%d" % number, LONG) for number in range(count)], huffman=huffman)


def head(
    lines: Lines | bytes = GET, *flags: str, stream: int = 1, end: bool = True, whole: bool = True, **more: int
) -> HeadersFrame:
    """HEADERS."""
    found = [*flags, *(["END_STREAM"] if end else []), *(["END_HEADERS"] if whole else [])]
    block = lines if isinstance(lines, bytes) else packed(lines)
    return HeadersFrame(stream, data=block, flags=found, **more)


def rest(block: bytes = b"", *, stream: int = 1, whole: bool = True) -> ContinuationFrame:
    """CONTINUATION, of a long field if no other block is given."""
    return ContinuationFrame(stream, data=block or dummies(1), flags=["END_HEADERS"] if whole else [])


def data(body: bytes = TEST, *flags: str, end: bool = True, **more: int) -> DataFrame:
    """DATA on stream 1."""
    return DataFrame(1, data=body, flags=[*flags, *(["END_STREAM"] if end else [])], **more)


def cancel(stream: int = 1) -> RstStreamFrame:
    return RstStreamFrame(stream, error_code=ErrorCodes.CANCEL)


def ping(name: bytes = b"") -> PingFrame:
    return PingFrame(0, opaque_data=name.ljust(8, b"\0"))


def priority(stream: int = 1, on: int = 0, weight: int = 255, *, exclusive: bool = False) -> PriorityFrame:
    return PriorityFrame(stream, depends_on=on, stream_weight=weight, exclusive=exclusive)


def settings(**values: int) -> SettingsFrame:
    """SETTINGS, of h2's names in lower case."""
    return SettingsFrame(0, settings={_SETTINGS[name]: value for name, value in values.items()})


_SETTINGS = {"push": 2, "window": 4, "frame": 5, "unknown": 0xFF}


def raw(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0, length: int | None = None) -> bytes:
    """A frame that hyperframe would not write."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def window(size: int, stream: int = 0) -> bytes:
    return raw(8, size.to_bytes(4, "big"), stream=stream)


def bit_of(payload: bytes) -> HeadersFrame:
    """A request's block with these bytes of a header representation behind it."""
    return head(packed(GET) + payload)


UNKNOWN = raw(0x16, bytes(8))
ZERO_WINDOW = settings(window=0)

# What must come

ANSWER = frozenset({"HEADERS 1"})
PONG = frozenset({"PING ACK "})
NAMED_PONG = frozenset({"PING ACK h2spec"})
PONG_OR_END = PONG | {"closed"}
NAMED_PONG_OR_END = NAMED_PONG | {"closed"}
BODY_BYTE = frozenset({"DATA 1 1"})
WHOLE = frozenset({f"DATA 1 {len(BODY)} END", "DATA 1 0 END"})
ACK = frozenset({"SETTINGS ACK"})
OVER = Await(WHOLE)


def broken(*codes: str) -> Wanted:
    """The connection is."""
    return frozenset(f"GOAWAY {code}" for code in codes)


def stream_broken(*codes: str, stream: int = 1) -> Wanted:
    """The stream is; or the connection with it."""
    return broken(*codes) | {f"RST_STREAM {stream} {code}" for code in codes}


PROTOCOL = broken("PROTOCOL_ERROR")
COMPRESSION = broken("COMPRESSION_ERROR")
SIZE = broken("FRAME_SIZE_ERROR")
FLOW = broken("FLOW_CONTROL_ERROR")
STREAM_PROTOCOL = stream_broken("PROTOCOL_ERROR")
STREAM_OVER = stream_broken("STREAM_CLOSED")

USER_AGENT, USER_AGENT_HUFFMAN = b"\x0auser-agent\x06h2spec", b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93\x84\x9c\x48\xac\xa4"
X_TEST, X_TEST_HUFFMAN = b"\x06x-test\x06h2spec", b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"
INDEXED, PLAIN, NEVER = b"\x40", b"\x00", b"\x10"

CASES: dict[str, Case] = {
    # What every endpoint takes
    "generic/1/1": Case("the preface is answered by SETTINGS", (PREFACE, settings(window=65535)), frozenset({"SETTINGS"}), prefaced=False),
    "generic/2/1": Case("PRIORITY on an idle stream", (priority(), ping()), PONG),
    "generic/2/2": Case("WINDOW_UPDATE behind the request's end", (ZERO_WINDOW, head(), window(1, 1)), BODY_BYTE),
    "generic/2/3": Case("PRIORITY behind the request's end", (ZERO_WINDOW, head(), priority(), window(1, 1)), BODY_BYTE),
    "generic/2/4": Case("RST_STREAM behind the request's end", (head(), cancel(), ping()), PONG_OR_END),
    "generic/2/5": Case("PRIORITY on a closed stream", (head(), OVER, priority(), ping()), PONG),
    "generic/3.1/1": Case("DATA", (head(POST, end=False), data()), ANSWER),
    "generic/3.1/2": Case("two of DATA", (head(POST, end=False), data(end=False), data()), ANSWER),
    "generic/3.1/3": Case("DATA with padding", (head(POST, end=False), data(TEST, "PADDED", pad_length=5)), ANSWER),
    "generic/3.2/1": Case("HEADERS", (head(),), ANSWER),
    "generic/3.2/2": Case("HEADERS with padding", (head(GET, "PADDED", pad_length=8),), ANSWER),
    "generic/3.2/3": Case("HEADERS with a priority", (head(GET, "PRIORITY", stream_weight=255),), ANSWER),
    "generic/3.3/1": Case("PRIORITY, the lowest weight", (priority(weight=0), head()), ANSWER),
    "generic/3.3/2": Case("PRIORITY, the highest weight", (priority(), head()), ANSWER),
    "generic/3.3/3": Case("PRIORITY behind another stream", (priority(3, on=1), head()), ANSWER),
    "generic/3.3/4": Case("PRIORITY, exclusive", (priority(exclusive=True), head()), ANSWER),
    "generic/3.3/5": Case("PRIORITY on an idle stream, a request on a lower one", (priority(3), head()), ANSWER),
    "generic/3.4/1": Case("RST_STREAM", (head(end=False), cancel(), ping()), PONG_OR_END),
    "generic/3.5/1": Case("SETTINGS, all six", (SettingsFrame(0, settings={1: 4096, 2: 1, 3: 100, 4: 65535, 5: 16384, 6: 100}),), ACK),
    "generic/3.7/1": Case("PING", (ping(b"h2spec"),), NAMED_PONG),
    "generic/3.8/1": Case("GOAWAY", (GoAwayFrame(0, additional_data=b"h2spec"), ping(b"h2spec")), NAMED_PONG_OR_END),
    "generic/3.9/1": Case("WINDOW_UPDATE of the connection", (window(1), ping()), PONG),
    "generic/3.9/2": Case("WINDOW_UPDATE of a stream", (head(), window(1, 1)), ANSWER),
    "generic/3.10/1": Case("a block in two frames", (head(packed(GET)[:5], whole=False), rest(packed(GET)[5:])), ANSWER),
    "generic/3.10/2": Case("a block in three", (head(packed(GET)[:5], whole=False), rest(packed(GET)[5:10], whole=False), rest(packed(GET)[10:])), ANSWER),
    "generic/4/1": Case("GET", (head(),), ANSWER),
    "generic/4/2": Case("HEAD", (head(HEAD),), ANSWER),
    "generic/4/3": Case("POST", (head(POST, end=False), data()), ANSWER),
    "generic/4/4": Case("POST with trailers", (head([*POST, (b"trailer", b"x-test")], end=False), data(end=False), head([(b"x-test", b"ok")])), ANSWER),
    "generic/5/1": Case("an indexed field", (bit_of(b"\xba"),), ANSWER),
    "generic/5/2": Case("a field to index, of a known name", (bit_of(INDEXED + USER_AGENT_HUFFMAN),), ANSWER),
    "generic/5/3": Case("a field to index, of a known name, not Huffman-coded", (bit_of(INDEXED + USER_AGENT),), ANSWER),
    "generic/5/4": Case("a field to index, of a new name", (bit_of(INDEXED + X_TEST),), ANSWER),
    "generic/5/5": Case("a field to index, of a new name, Huffman-coded", (bit_of(INDEXED + X_TEST_HUFFMAN),), ANSWER),
    "generic/5/6": Case("a field not indexed, of a known name", (bit_of(PLAIN + USER_AGENT),), ANSWER),
    "generic/5/7": Case("a field not indexed, of a known name, Huffman-coded", (bit_of(PLAIN + USER_AGENT_HUFFMAN),), ANSWER),
    "generic/5/8": Case("a field not indexed, of a new name", (bit_of(PLAIN + X_TEST),), ANSWER),
    "generic/5/9": Case("a field not indexed, of a new name, Huffman-coded", (bit_of(PLAIN + X_TEST_HUFFMAN),), ANSWER),
    "generic/5/10": Case("a field never indexed, of a known name", (bit_of(NEVER + USER_AGENT),), ANSWER),
    "generic/5/11": Case("a field never indexed, of a known name, Huffman-coded", (bit_of(NEVER + USER_AGENT_HUFFMAN),), ANSWER),
    "generic/5/12": Case("a field never indexed, of a new name", (bit_of(NEVER + X_TEST),), ANSWER),
    "generic/5/13": Case("a field never indexed, of a new name, Huffman-coded", (bit_of(NEVER + X_TEST_HUFFMAN),), ANSWER),
    "generic/5/14": Case("the table's size changes", (head(b"\x3f\x61" + packed(GET)),), ANSWER),
    "generic/5/15": Case("the table's size changes twice", (head(b"\x3f\x61\x3f\xe1\x1f" + packed(GET)),), ANSWER),
    # 3 Starting HTTP/2
    "http2/3.5/1": Case("SETTINGS is the first frame that comes", (PREFACE, settings(window=65535)), frozenset({"SETTINGS"}), prefaced=False),
    "http2/3.5/2": Case("no preface", (b"INVALID CONNECTION PREFACE\r\n\r\n",), PROTOCOL, prefaced=False),
    # 4 HTTP Frames
    "http2/4.1/1": Case("an unknown type is passed over", (UNKNOWN, ping()), PONG),
    "http2/4.1/2": Case("undefined flags are passed over", (raw(6, bytes(8), flags=0x16),), PONG),
    "http2/4.1/3": Case("the reserved bit is passed over", (raw(6, bytes(8), flags=0x16, stream=1 << 31),), PONG),
    "http2/4.2/1": Case("DATA as large as may be", (head(POST, end=False), data(b"x" * 16384)), ANSWER),
    "http2/4.2/2": Case("DATA too large", (head(POST, end=False), data(b"x" * 16385)), stream_broken("FRAME_SIZE_ERROR")),
    "http2/4.2/3": Case("HEADERS too large", (head(packed(GET) + dummies(5, huffman=False)),), SIZE),
    "http2/4.3/1": Case("a block that is none", (head(b"\x40"),), COMPRESSION),
    "http2/4.3/2": Case("PRIORITY within a block", (head(end=False, whole=False), priority(), rest()), PROTOCOL),
    "http2/4.3/3": Case("another stream's HEADERS within a block", (head(end=False, whole=False), head(stream=3), rest()), PROTOCOL),
    # 5 Streams and Multiplexing
    "http2/5.1/1": Case("idle: DATA", (data(),), stream_broken("PROTOCOL_ERROR", "STREAM_CLOSED")),
    "http2/5.1/2": Case("idle: RST_STREAM", (cancel(),), PROTOCOL),
    "http2/5.1/3": Case("idle: WINDOW_UPDATE", (window(100, 1),), PROTOCOL),
    "http2/5.1/4": Case("idle: CONTINUATION", (rest(packed(GET)),), PROTOCOL),
    "http2/5.1/5": Case("half-closed (remote): DATA", (head(), data()), STREAM_OVER),
    "http2/5.1/6": Case("half-closed (remote): HEADERS", (head(), head()), STREAM_OVER),
    "http2/5.1/7": Case("half-closed (remote): CONTINUATION", (head(), rest(packed(GET))), stream_broken("STREAM_CLOSED", "PROTOCOL_ERROR")),
    "http2/5.1/8": Case("closed by the client: DATA", (head(end=False), cancel(), data()), STREAM_OVER),
    "http2/5.1/9": Case("closed by the client: HEADERS", (head(end=False), cancel(), head()), STREAM_OVER),
    "http2/5.1/10": Case("closed by the client: CONTINUATION", (head(end=False), cancel(), rest()), stream_broken("STREAM_CLOSED", "PROTOCOL_ERROR")),
    "http2/5.1/11": Case("closed: DATA", (head(), OVER, data()), STREAM_OVER),
    "http2/5.1/12": Case("closed: HEADERS", (head(), OVER, head()), broken("STREAM_CLOSED")),
    "http2/5.1/13": Case("closed: CONTINUATION", (head(), OVER, rest()), broken("STREAM_CLOSED", "PROTOCOL_ERROR")),
    "http2/5.1.1/1": Case("an even number", (head(stream=2),), PROTOCOL),
    "http2/5.1.1/2": Case("a lower number than before", (head(stream=5), head(stream=3)), PROTOCOL),
    "http2/5.1.2/1": Case("one stream too many", (ZERO_WINDOW, *(head(stream=1 + 2 * number) for number in range(1025))), stream_broken("PROTOCOL_ERROR", "REFUSED_STREAM", stream=2049)),
    "http2/5.3.1/1": Case("HEADERS behind themselves", (head(GET, "PRIORITY", depends_on=1, stream_weight=255),), STREAM_PROTOCOL),
    "http2/5.3.1/2": Case("PRIORITY behind itself", (priority(on=1),), STREAM_PROTOCOL),
    "http2/5.4.1/1": Case("a connection that is broken is closed", (raw(6, bytes(8), stream=3),), frozenset({"closed"})),
    "http2/5.4.1/2": Case("and told so first", (raw(6, bytes(8), stream=3),), PROTOCOL, closing_will_do=False),
    "http2/5.5/1": Case("an extension's frame is passed over", (UNKNOWN, ping()), PONG),
    "http2/5.5/2": Case("but not within a block", (head(whole=False), UNKNOWN), PROTOCOL),
    # 6 Frame Definitions
    "http2/6.1/1": Case("DATA of no stream", (raw(0, TEST, flags=1),), PROTOCOL),
    "http2/6.1/2": Case("DATA behind the end", (head(POST), data()), STREAM_OVER),
    "http2/6.1/3": Case("DATA of nothing but too much padding", (head([*POST, (b"content-length", b"4")], end=False), raw(0, b"\x06Test", flags=9, stream=1)), PROTOCOL),
    "http2/6.2/1": Case("PRIORITY between HEADERS and CONTINUATION", (head(end=False, whole=False), priority(), rest()), PROTOCOL),
    "http2/6.2/2": Case("HEADERS between HEADERS and CONTINUATION", (head(end=False, whole=False), head(stream=3), rest()), PROTOCOL),
    "http2/6.2/3": Case("HEADERS of no stream", (raw(1, packed(GET), flags=5),), PROTOCOL),
    "http2/6.2/4": Case("HEADERS with too much padding", (raw(1, bytes((len(packed(GET)) + 2,)) + packed(GET), flags=0xD, stream=1),), STREAM_PROTOCOL),
    "http2/6.3/1": Case("PRIORITY of no stream", (raw(2, bytes((0, 0, 0, 0, 255))),), PROTOCOL),
    "http2/6.3/2": Case("PRIORITY of four bytes", (head(), raw(2, b"\x80\0\0\1", stream=1)), stream_broken("FRAME_SIZE_ERROR")),
    "http2/6.4/1": Case("RST_STREAM of no stream", (raw(3, bytes((0, 0, 0, 8))),), PROTOCOL),
    "http2/6.4/2": Case("RST_STREAM of an idle stream", (cancel(),), PROTOCOL),
    "http2/6.4/3": Case("RST_STREAM of three bytes", (head(), raw(3, bytes(3), stream=1)), stream_broken("FRAME_SIZE_ERROR")),
    "http2/6.5/1": Case("SETTINGS that acknowledge and say something", (raw(4, bytes(1), flags=1),), SIZE),
    "http2/6.5/2": Case("SETTINGS of a stream", (raw(4, b"\0\3\0\0\0\x64", stream=1),), PROTOCOL),
    "http2/6.5/3": Case("SETTINGS of three bytes", (raw(4, b"\0\3\0"),), broken("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")),
    "http2/6.5.2/1": Case("push neither on nor off", (settings(push=2),), PROTOCOL),
    "http2/6.5.2/2": Case("a first window above the most", (settings(window=1 << 31),), FLOW),
    "http2/6.5.2/3": Case("frames smaller than all must take", (settings(frame=16383),), PROTOCOL),
    "http2/6.5.2/4": Case("frames larger than there are", (settings(frame=1 << 24),), PROTOCOL),
    "http2/6.5.2/5": Case("an unknown setting is passed over", (settings(unknown=1), ping()), PONG),
    "http2/6.5.3/1": Case("of one setting the last counts", (raw(4, b"\0\4\0\0\0\x64" b"\0\4\0\0\0\1"), Await(ACK), head()), BODY_BYTE),
    "http2/6.5.3/2": Case("SETTINGS are acknowledged", (settings(push=0),), ACK),
    "http2/6.7/1": Case("PING is answered", (ping(b"h2spec"),), NAMED_PONG),
    "http2/6.7/2": Case("its answer is not", (PingFrame(0, flags=["ACK"], opaque_data=b"invalid\0"), ping(b"h2spec")), NAMED_PONG),
    "http2/6.7/3": Case("PING of a stream", (raw(6, bytes(8), stream=1),), PROTOCOL),
    "http2/6.7/4": Case("PING of six bytes", (raw(6, bytes(6)),), SIZE),
    "http2/6.8/1": Case("GOAWAY of a stream", (raw(7, bytes(8), stream=1),), PROTOCOL),
    "http2/6.9/1": Case("WINDOW_UPDATE of nothing", (window(0),), PROTOCOL),
    "http2/6.9/2": Case("WINDOW_UPDATE of nothing for a stream", (head(end=False), window(0, 1)), STREAM_PROTOCOL),
    "http2/6.9/3": Case("WINDOW_UPDATE of three bytes", (raw(8, b"\0\0\1"),), SIZE),
    "http2/6.9.1/1": Case("a window of one byte is kept to", (settings(window=1), Await(ACK), head()), BODY_BYTE),
    "http2/6.9.1/2": Case("the connection's window above the most", (window((1 << 31) - 1), window((1 << 31) - 1)), FLOW, closing_will_do=False),
    "http2/6.9.1/3": Case("a stream's window above the most", (head(end=False), window((1 << 31) - 1, 1), window((1 << 31) - 1, 1)), frozenset({"RST_STREAM 1 FLOW_CONTROL_ERROR"}), closing_will_do=False),
    "http2/6.9.2/1": Case("a first window counts for open streams too", (ZERO_WINDOW, Await(ACK), head(), settings(window=1)), BODY_BYTE),
    "http2/6.9.2/2": Case("a window may be below nothing", (settings(window=3), Await(ACK), head(), Await(frozenset({"DATA 1 3"})), settings(window=2), Await(ACK), window(2, 1)), BODY_BYTE),
    "http2/6.9.2/3": Case("a first window above the most", (raw(4, b"\0\4\x80\0\0\0"),), FLOW),
    "http2/6.10/1": Case("two of CONTINUATION", (head(whole=False), rest(whole=False), rest()), ANSWER),
    "http2/6.10/2": Case("DATA between two of CONTINUATION", (head(POST, end=False, whole=False), rest(whole=False), data()), PROTOCOL),
    "http2/6.10/3": Case("CONTINUATION of no stream", (head(whole=False), raw(9, dummies(1), flags=4)), PROTOCOL),
    "http2/6.10/4": Case("CONTINUATION behind a whole HEADERS", (head(), rest()), PROTOCOL),
    "http2/6.10/5": Case("CONTINUATION behind the last", (head(whole=False), rest(), rest()), PROTOCOL),
    "http2/6.10/6": Case("CONTINUATION behind DATA", (head(POST, end=False, whole=False), data(), rest(whole=False), raw(9, dummies(1), flags=4)), PROTOCOL),
    # 7 Error Codes
    "http2/7/1": Case("GOAWAY with an unknown code", (GoAwayFrame(0, error_code=0xFF), ping(b"h2spec")), NAMED_PONG_OR_END),
    "http2/7/2": Case("RST_STREAM with an unknown code", (head(POST, end=False), RstStreamFrame(1, error_code=0xFF), ping()), PONG_OR_END),
    # 8 HTTP Message Exchanges
    "http2/8.1/1": Case("trailers that are not the end", (head(POST, end=False), data(end=False), head([(b"x-test", b"ok")], end=False)), STREAM_PROTOCOL),
    "http2/8.1.2/1": Case("a name in upper case", (head([*GET, (b"X-TEST", b"ok")]),), STREAM_PROTOCOL),
    "http2/8.1.2.1/1": Case("an unknown pseudo field", (head([*GET, (b":test", b"ok")]),), STREAM_PROTOCOL),
    "http2/8.1.2.1/2": Case("a response's pseudo field", (head([*GET, (b":status", b"200")]),), STREAM_PROTOCOL),
    "http2/8.1.2.1/3": Case("a pseudo field in trailers", (head(POST, end=False), data(end=False), head([(b":method", b"POST")], end=False)), STREAM_PROTOCOL),
    "http2/8.1.2.1/4": Case("a pseudo field behind a regular one", (head([(b"x-test", b"ok"), *GET]),), STREAM_PROTOCOL),
    "http2/8.1.2.2/1": Case("a field of the connection's", (head([*GET, (b"connection", b"keep-alive")]),), STREAM_PROTOCOL),
    "http2/8.1.2.2/2": Case("te that says more than trailers", (head([*GET, (b"trailers", b"test"), (b"te", b"trailers, deflate")]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/1": Case("an empty path", (head([*GET[:2], (b":path", b""), GET[3]]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/2": Case("no method", (head(GET[1:]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/3": Case("no scheme", (head([GET[0], *GET[2:]]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/4": Case("no path", (head([*GET[:2], GET[3]]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/5": Case("two methods", (head([*GET, GET[0]]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/6": Case("two schemes", (head([*GET, GET[1]]),), STREAM_PROTOCOL),
    "http2/8.1.2.3/7": Case("two paths", (head([*GET, GET[2]]),), STREAM_PROTOCOL),
    "http2/8.1.2.6/1": Case("a body longer than its content-length", (head([*POST, (b"content-length", b"1")], end=False), data()), STREAM_PROTOCOL),
    "http2/8.1.2.6/2": Case("a body of two frames longer than its content-length", (head([*POST, (b"content-length", b"1")], end=False), data(end=False), data()), STREAM_PROTOCOL),
    "http2/8.2/1": Case("PUSH_PROMISE from a client", (PushPromiseFrame(1, promised_stream_id=3, data=packed(GET), flags=["END_HEADERS"]),), PROTOCOL),
    # HPACK
    "hpack/2.3.3/1": Case("an index behind the tables", (bit_of(b"\xc6"),), COMPRESSION),
    "hpack/2.3.3/2": Case("a name's index behind the tables", (bit_of(b"\x7f\x07\x00"),), COMPRESSION),
    "hpack/4.2/1": Case("the table's size changes at a block's end", (bit_of(b"\x21"),), COMPRESSION),
    "hpack/5.2/1": Case("Huffman-coded, padding of a byte and more", (bit_of(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),), COMPRESSION),
    "hpack/5.2/2": Case("Huffman-coded, padding of zeros", (bit_of(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),), COMPRESSION),
    "hpack/5.2/3": Case("Huffman-coded, with the end's symbol", (bit_of(b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"),), COMPRESSION),
    "hpack/6.1/1": Case("index 0", (bit_of(b"\x80"),), COMPRESSION),
    "hpack/6.3/1": Case("a table larger than the setting", (head(b"\x3f\xe2\x1f" + packed(GET)),), COMPRESSION),
}  # fmt: skip
