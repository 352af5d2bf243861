"""gRPC's own library (C core) on both sides of a proxy: every kind of call, deadlines, errors, large messages."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration
grpc = pytest.importorskip("grpc")

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  endpoints: [{endpoints}]
---
"""
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: faulty}
spec:
  hosts: [faulty.test]
  http:
  - fault: {abort: {grpcStatus: RESOURCE_EXHAUSTED, percentage: {value: 100}}}
    route: [{destination: {host: faulty.test}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: slow}
spec:
  hosts: [slow.test]
  http:
  - timeout: 0.3s
    route: [{destination: {host: slow.test}}]
"""


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Messages are bytes."""

    def __init__(self) -> None:
        self.failures = 0
        """Calls to /t/Flaky that fail first."""
        self.calls = 0

    def service(self, details: Any) -> Any:
        method = details.method.rpartition("/")[2]
        self.calls += 1
        if method in ("Unary", "Fail", "Flaky", "Sleep"):
            return grpc.unary_unary_rpc_method_handler(getattr(self, method.lower()))
        if method == "Count":
            return grpc.unary_stream_rpc_method_handler(lambda message, _: (b"%d" % n for n in range(int(message))))
        if method == "Sum":
            return grpc.stream_unary_rpc_method_handler(lambda messages, _: b"%d" % sum(int(each) for each in messages))
        if method == "Chat":
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: (b"<%b>" % each for each in messages))
        return None

    def unary(self, message: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-size", str(len(message))),))
        return message

    def fail(self, message: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so, 100% not")
        raise AssertionError

    def flaky(self, message: bytes, context: Any) -> bytes:
        if self.failures:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return message

    def sleep(self, message: bytes, context: Any) -> bytes:
        import time

        time.sleep(1)
        return message


@pytest.fixture(scope="module")
def servers() -> Iterator[list[tuple[Service, int]]]:
    found = []
    running = []
    for _ in range(2):
        service = Service()
        options = [("grpc.max_receive_message_length", -1)]
        server = grpc.server(ThreadPoolExecutor(8), handlers=[service], options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        running.append(server)
        found.append((service, port))
    yield found
    for server in running:
        server.stop(None)


@pytest.fixture(scope="module")
def proxy(servers: list[tuple[Service, int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyproxyProcess]:
    endpoints = ", ".join(f"{{address: 127.0.0.1, ports: {{grpc: {port}}}}}" for _, port in servers)
    names = ("app", "faulty", "slow")
    documents = "".join(DOCUMENTS.format(name=name, endpoints=endpoints) for name in names)
    documents += DOCUMENTS.format(name="gone", endpoints="{address: 127.0.0.1, ports: {grpc: 1}}") + RULES
    proxy = PyproxyProcess(tmp_path_factory.mktemp("grpc") / "proxy", documents)
    yield proxy
    proxy.close()


def channel(proxy: PyproxyProcess, name: str = "app") -> Any:
    options = [
        ("grpc.default_authority", f"{name}.test"),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_http_proxy", 0),
    ]
    return grpc.insecure_channel(f"127.0.0.1:{proxy.outbound}", options=options)


def test_every_kind_of_call(proxy: PyproxyProcess) -> None:
    with channel(proxy) as there:
        answer, call = there.unary_unary("/t/Unary").with_call(b"hello")
        assert (answer, dict(call.trailing_metadata())["x-size"]) == (b"hello", "5")
        assert list(there.unary_stream("/t/Count")(b"100")) == [b"%d" % number for number in range(100)]
        assert there.stream_unary("/t/Sum")(iter([b"1", b"2", b"3"])) == b"6"
        assert list(there.stream_stream("/t/Chat")(iter([b"a", b"b"]))) == [b"<a>", b"<b>"]


def test_a_conversation_does_not_wait_for_its_end(proxy: PyproxyProcess) -> None:
    with channel(proxy) as there:
        heard: list[bytes] = []

        def words() -> Iterator[bytes]:
            for count in range(5):
                while len(heard) < count:
                    pass
                yield b"%d" % count

        for answer in there.stream_stream("/t/Chat")(words()):
            heard.append(answer)
        assert heard == [b"<0>", b"<1>", b"<2>", b"<3>", b"<4>"]


def test_a_large_message(proxy: PyproxyProcess) -> None:
    with channel(proxy) as there:
        message = bytes(range(256)) * 4096 * 16
        assert there.unary_unary("/t/Unary")(message) == message


@pytest.mark.parametrize(
    ("name", "method", "code", "words"),
    [
        ("app", "Fail", "FAILED_PRECONDITION", "not so, 100% not"),
        ("app", "Nothing", "UNIMPLEMENTED", ""),
        ("gone", "Unary", "UNAVAILABLE", "upstream connect error or disconnect/reset before headers. "),
        ("faulty", "Unary", "RESOURCE_EXHAUSTED", "fault filter abort"),
        ("slow", "Sleep", "UNAVAILABLE", "upstream request timeout"),
    ],
)
def test_how_calls_fail(proxy: PyproxyProcess, name: str, method: str, code: str, words: str) -> None:
    with channel(proxy, name) as there, pytest.raises(grpc.RpcError) as caught:
        there.unary_unary(f"/t/{method}")(b"x", timeout=20)
    error: Any = caught.value
    assert (error.code().name, error.details()[: len(words)]) == (code, words)


def test_a_deadline_reaches_the_server_and_ends_the_call(proxy: PyproxyProcess) -> None:
    with channel(proxy) as there, pytest.raises(grpc.RpcError) as caught:
        there.unary_unary("/t/Sleep")(b"x", timeout=0.3)
    error: Any = caught.value
    # The proxy's timer and the client's are set to the same time: as with Envoy, either may be first.
    assert error.code().name in ("DEADLINE_EXCEEDED", "UNAVAILABLE")


def test_unavailable_is_tried_again(proxy: PyproxyProcess, servers: list[tuple[Service, int]]) -> None:
    with channel(proxy) as there:
        for service, _ in servers:
            service.failures = 1
        assert there.unary_unary("/t/Flaky")(b"x", timeout=20) == b"x"


def test_calls_of_one_connection_spread_over_the_endpoints(
    proxy: PyproxyProcess, servers: list[tuple[Service, int]]
) -> None:
    for service, _ in servers:
        service.calls = 0
    with channel(proxy) as there:
        for _ in range(20):
            there.unary_unary("/t/Unary")(b"x")
    assert min(service.calls for service, _ in servers) >= 3


def test_messages_are_counted(proxy: PyproxyProcess) -> None:
    def counted(name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{proxy.ports['metrics']}/stats/prometheus", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))

    before = counted("istio_request_messages_total"), counted("istio_response_messages_total")
    with channel(proxy) as there:
        assert len(list(there.unary_stream("/t/Count")(b"100"))) == 100
        assert there.stream_unary("/t/Sum")(iter([b"1", b"2", b"3"])) == b"6"
    assert counted("istio_request_messages_total") - before[0] == 4
    assert counted("istio_response_messages_total") - before[1] == 101
