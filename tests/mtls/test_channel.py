"""Two channels back to back, over a wire that splits as it likes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyproxy.mtls.channel import CLOSED, TIMED_OUT, TlsChannel
from pyproxy.mtls.openssl import TlsContext
from tests.certificates import Authority, Issued
from tests.fakes import FakeTransport

CA = Authority()
OTHER_CA = Authority("other")
SERVER = CA.issue("server.test")
CLIENT = CA.issue("client.test")
HIGH = 64 * 1024


TLS_1_2, TLS_1_3 = 0x0303, 0x0304


def show(context: TlsContext, issued: Issued) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(issued.pem + issued.key_pem)
        file.flush()
        context.show(file.name, file.name)


def server_context(*, version: int = TLS_1_3) -> TlsContext:
    context = TlsContext(server_side=True)
    context.set_versions(TLS_1_2, version)
    show(context, SERVER)
    context.roots.add((CA.own.der,))
    context.verify("everybody")
    context.set_alpn(("istio", "http/1.1"))
    return context


def client_context(*, ca: Authority = CA, shows: bool = True) -> TlsContext:
    context = TlsContext(server_side=False)
    context.roots.add((ca.own.der,))
    context.verify("everybody")
    if shows:
        show(context, CLIENT)
    context.set_alpn(("istio",))
    return context


class Upper(asyncio.Protocol):
    """The protocol above: remembers what it heard."""

    def __init__(self, *, stays: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.transport: Any = None
        self.ended = 0
        self.lost = 0
        self.writable = True
        self._stays = stays

    @property
    def got(self) -> bytes:
        return b"".join(self.pieces)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def eof_received(self) -> bool:
        self.ended += 1
        return self._stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True


class End:
    """One channel on a raw transport of its own."""

    def __init__(self, context: TlsContext, *, stays: bool = False, **options: Any) -> None:
        self.upper = Upper(stays=stays)
        self.failures: list[str] = []
        self.raw = FakeTransport(limit=HIGH)
        self.passed = 0
        """Bytes of `raw.written` that the other end has."""
        self.channel = TlsChannel(context, secured=self._secured, failed=self.failures.append, **options)
        self.raw.set_protocol(cast(asyncio.Protocol, self.channel))

    def _secured(self, channel: TlsChannel) -> None:
        channel.set_protocol(self.upper)
        self.upper.connection_made(cast(asyncio.Transport, channel))

    def start(self) -> None:
        self.channel.connection_made(self.raw)

    def take(self, size: int) -> bytes:
        data = self.raw.written[self.passed : self.passed + size]
        self.passed += len(data)
        if self.passed == len(self.raw.written) and not self.raw.lost:
            self.raw.read()
        return data


class Wire:
    """Two ends; `run` carries bytes until neither has any left."""

    def __init__(self, server: End, client: End, sizes: Iterator[int] | None = None) -> None:
        self.server, self.client = server, client
        self._sizes = sizes

    def start(self) -> None:
        self.server.start()
        self.client.start()
        self.run()

    def run(self) -> None:
        moved = True
        while moved:
            moved = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                size = next(self._sizes, 1 << 20) if self._sizes is not None else 1 << 20
                if not target.raw.reading:
                    continue
                data = source.take(size)
                if data:
                    moved = True
                    target.raw.deliver(data)


def wire(
    server: TlsContext | None = None, client: TlsContext | None = None, *, stays: bool = False, **options: Any
) -> Wire:
    return Wire(
        End(server or server_context(), stays=stays),
        End(client or client_context(), stays=stays, server_hostname="server.test", **options),
    )


async def test_a_handshake_then_bytes_both_ways() -> None:
    both = wire()
    both.start()
    assert both.server.channel.handshake_done and both.client.channel.handshake_done
    assert both.server.channel.tls.alpn == both.client.channel.tls.alpn == "istio"
    both.client.upper.transport.write(b"ping")
    both.run()
    both.server.upper.transport.writelines([b"po", b"ng"])
    both.run()
    assert both.server.upper.pieces == [b"ping"]
    assert both.client.upper.pieces == [b"pong"]
    assert both.client.failures == both.server.failures == []


async def test_what_is_written_at_once_leaves_with_the_end_of_the_handshake() -> None:
    both = wire()
    writes: list[int] = []
    both.client.upper.connection_made = lambda transport: cast(Any, transport).write(b"first")  # type: ignore[method-assign]
    real = both.client.raw.write
    both.client.raw.write = lambda data: (writes.append(len(data)), real(data))[1]  # type: ignore[method-assign, func-returns-value]
    both.start()
    assert both.server.upper.got == b"first"
    assert len(writes) == 2, "a hello, then everything else"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(min_size=0, max_size=40_000), max_size=6),
    st.lists(st.binary(min_size=0, max_size=40_000), max_size=6),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=60),
    st.sampled_from([TLS_1_2, TLS_1_3]),
)
def test_bytes_arrive_however_they_are_split(
    up: list[bytes], down: list[bytes], sizes: list[int], version: int
) -> None:
    async def run() -> None:
        both = wire(server_context(version=version))
        both._sizes = iter(sizes)
        both.start()
        for index in range(max(len(up), len(down))):
            if index < len(up):
                both.client.upper.transport.write(up[index])
            if index < len(down):
                both.server.upper.transport.write(down[index])
            both._sizes = iter(sizes)
            both.run()
        assert both.server.upper.got == b"".join(up)
        assert both.client.upper.got == b"".join(down)

    asyncio.run(run())


async def test_one_raw_read_is_one_piece_of_plaintext() -> None:
    both = wire()
    both.start()
    body = bytes(range(256)) * 400
    both.client.upper.transport.write(body)
    both.run()
    assert both.server.upper.pieces == [body]


async def test_a_large_body_goes_at_the_readers_pace() -> None:
    both = wire()
    both.start()
    server = both.server.upper
    server.transport.write(b"x" * (HIGH + 1))
    assert server.writable is False
    assert server.transport.get_write_buffer_size() > HIGH
    both.run()
    assert both.server.upper.writable is True
    assert len(both.client.upper.got) == HIGH + 1


async def test_nothing_comes_while_reading_is_paused() -> None:
    both = wire()
    both.start()
    both.client.upper.transport.pause_reading()
    both.server.upper.transport.write(b"wait")
    both.run()
    assert both.client.upper.got == b""
    both.client.upper.transport.resume_reading()
    both.run()
    assert both.client.upper.got == b"wait"


async def test_bytes_that_were_read_before_are_fed_in() -> None:
    both = wire()
    both.client.start()
    hello = both.client.take(1 << 20)
    both.server.start()
    both.server.channel.data_received(hello)
    both.run()
    assert both.server.channel.handshake_done


# Ends


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
async def test_a_half_close_is_the_peers_end_and_no_more(version: int) -> None:
    both = wire(server_context(version=version), stays=True)
    both.start()
    client, server = both.client.upper, both.server.upper
    client.transport.write(b"last words")
    client.transport.write_eof()
    both.run()
    assert (server.got, server.ended) == (b"last words", 1)
    for piece in (b"answer", b"x" * 100_000):
        both._sizes = iter([1000] * 20)
        server.transport.write(piece)
        both.run()
    server.transport.write_eof()
    both.run()
    assert client.got == b"answer" + b"x" * 100_000
    assert client.ended == 1
    assert not both.client.raw.is_closing()


async def test_close_says_so() -> None:
    both = wire()
    both.start()
    both.client.upper.transport.write(b"bye")
    both.client.upper.transport.close()
    both.client.upper.transport.write(b"too late")
    assert both.client.upper.transport.is_closing()
    both.run()
    await asyncio.sleep(0)
    assert both.server.upper.got == b"bye"
    assert both.server.upper.ended == 1
    assert both.server.raw.is_closing(), "nobody stays to write"
    await asyncio.sleep(0)
    assert both.client.upper.lost == both.server.upper.lost == 1


async def test_an_end_without_close_notify_is_an_end() -> None:
    both = wire()
    both.start()
    both.server.raw.deliver_end()
    assert both.server.upper.ended == 1
    both.server.take(1 << 20)
    assert both.server.upper.lost == 1


async def test_who_stays_after_close_notify_stays_after_the_raw_end() -> None:
    both = wire(stays=True)
    both.start()
    both.client.upper.transport.write_eof()
    both.run()
    both.server.raw.deliver_end()
    assert both.server.upper.ended == 1
    assert not both.server.raw.is_closing()


async def test_abort_and_loss_are_told_once() -> None:
    both = wire()
    both.start()
    both.server.upper.transport.abort()
    await asyncio.sleep(0)
    assert both.server.raw.aborted
    assert both.server.upper.lost == 1
    assert both.server.failures == []


async def test_a_broken_record_ends_everything() -> None:
    both = wire()
    both.start()
    both.client.upper.transport.write(b"fine")
    damaged = bytearray(both.client.take(1 << 20))
    damaged[-1] ^= 1
    both.server.raw.deliver(bytes(damaged))
    await asyncio.sleep(0)
    assert both.server.upper.got == b""
    assert both.server.upper.lost == 1
    assert "DECRYPTION_FAILED_OR_BAD_RECORD_MAC" in both.server.channel.failure


# Handshakes that fail


async def test_a_server_of_another_root_is_refused_and_told() -> None:
    both = wire(client=client_context(ca=OTHER_CA))
    both.start()
    (reason,) = both.client.failures
    why = "X509_verify_cert: certificate verification error at depth 0: unable to get local issuer certificate"
    lead = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: "
    assert reason == f"{lead}{why}:TLS_error_end"
    both.server.raw.deliver(both.client.take(1 << 20))
    (reason,) = both.server.failures
    assert "TLSV1_ALERT_UNKNOWN_CA" in reason
    assert both.client.upper.transport is None


async def test_a_client_without_certificate_hears_of_it_after_its_handshake() -> None:
    both = wire(client=client_context(shows=False))
    both.start()
    (reason,) = both.server.failures
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason
    both.client.raw.deliver(both.server.take(1 << 20))
    assert "CERTIFICATE_REQUIRED" in both.client.channel.failure
    await asyncio.sleep(0)
    assert both.client.upper.lost == 1


async def test_plaintext_is_no_handshake() -> None:
    end = End(server_context())
    end.start()
    end.raw.deliver(b"GET / HTTP/1.1\r\n\r\n")
    assert end.raw.is_closing()
    assert "HTTP_REQUEST" in end.failures[0]


async def test_a_peer_that_leaves_before_the_end_of_the_handshake() -> None:
    end = End(server_context())
    end.start()
    end.raw.deliver_end()
    end.raw.lose()
    assert end.failures == [CLOSED]


async def test_a_handshake_has_its_time() -> None:
    end = End(server_context())
    end.start()
    end.channel.time_out()
    assert end.failures == [TIMED_OUT]
    assert end.raw.is_closing()
    both = wire()
    both.start()
    both.client.channel.time_out()
    assert both.client.failures == []
    assert not both.client.channel.is_closing()


async def test_a_channel_that_is_refused_where_it_was_announced() -> None:
    both = wire()
    both.server.channel._secured = lambda channel: channel.abort()
    both.start()
    await asyncio.sleep(0)
    assert both.server.raw.lost
    assert both.server.failures == []


# Sessions and what is known


async def test_a_session_is_resumed() -> None:
    server, client = server_context(), client_context()
    both = wire(server, client)
    both.start()
    both.server.upper.transport.write(b"x")
    both.run()
    again = wire(server, client, session=both.client.channel.tls.session)
    again.start()
    assert again.client.channel.tls.resumed
    assert again.server.channel.tls.resumed
    assert again.server.channel.tls.certificate == CLIENT.der


async def test_tickets_leave_with_the_first_bytes() -> None:
    server, client = server_context(), client_context()
    both = wire(server, client)
    both.start()
    written = len(both.server.raw.written)
    early = wire(server, client, session=both.client.channel.tls.session)
    early.start()
    assert not early.client.channel.tls.resumed
    both.server.upper.transport.write(b"x")
    assert len(both.server.raw.written) > written + 200
    both.run()
    later = wire(server, client, session=both.client.channel.tls.session)
    later.start()
    assert later.client.channel.tls.resumed


async def test_what_it_does_not_know_it_asks_the_raw_transport() -> None:
    both = wire()
    both.start()
    channel = both.client.channel
    assert channel.get_extra_info("tls_channel") is channel
    assert channel.get_extra_info("socket", "nothing") == "nothing"
    assert channel.get_protocol() is both.client.upper
