"""Format strings print what a real Envoy prints, in logs, in JSON and in headers; what Envoy refuses is refused."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.wire.format import FormatError, compile_format, compile_header_value, compile_json_format
from tests.differential.envoy_process import EXTENSIONS, Envoy, Upstreams, http_listener, loopback
from tests.wire.format_cases import PRINTED, REFUSED

pytestmark = pytest.mark.integration

APART = ("DURATION", "EMIT_TIME", "REQ_WITHOUT_QUERY")
"""What no two runs print alike, and what an Envoy without Istio's extensions does not know."""
FORMATS = [text for text, _ in PRINTED if not any(word in text for word in APART)]
EPOCH = "%START_TIME(%s.%6f)%"
SEPARATOR = "\x1e"
JSON_FORMAT: dict[str, Any] = {
    "code": "%RESPONSE_CODE%",
    "missing": "%REQ(nope)%",
    "mixed": "a-%REQ(nope)%-%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
    "list": ["%BYTES_RECEIVED%", "x", 1.5, True, 1e20],
    "nest": {"b": "%PROTOCOL%", "a": "%REQ(x-odd)%"},
    "odd": "<%REQ(x-odd)%>",
    "é": "",
    "port": "%UPSTREAM_REMOTE_PORT%",
    "cut": "%REQ(x-b):2%",
    "status": "%RESP(:status)%",
    "grpc": "%GRPC_STATUS%",
}
HEADERS = {
    "x-1": "plain",
    "x-2": "%REQ(nope)%",
    "x-3": "a%REQ(nope)%b",
    "x-4": "%REQ(x-b?:path):3%",
    "x-5": "100%% %PROTOCOL%",
    "x-6": "%ENVIRONMENT(NOPE_NOT_SET)%",
    "x-7": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "x-8": "%TRACE_ID%",
    "x-9": "",
    "x-a": "%RESPONSE_FLAGS%",
    "x-b": "%UPSTREAM_CLUSTER%",
}
REQUESTS: dict[str, list[tuple[bytes, bytes]]] = {
    "plain": [(b"user-agent", b"curl/8"), (b"x-b", b"value"), (b"x-b", b"second"), (b"x-empty", b"")],
    "odd": [(b"x-odd", b'"q\\ \t <a>/&'), (b"user-agent", b"u")],
    "utf-8": [(b"x-odd", "é€".encode()), (b"x-b", b"\xc3\xa9")],
    "not utf-8": [(b"x-odd", b'"\xc3\xa9\xe2\x82')],
    "failing": [(b"x-status", b"503")],
}


def file_log(path: Path, log_format: Mapping[str, Any]) -> dict[str, Any]:
    kind = f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"
    return {"name": "file", "typed_config": {"@type": kind, "path": str(path), "log_format": log_format}}


def text_log(path: Path, text: str) -> dict[str, Any]:
    return file_log(path, {"text_format_source": {"inline_string": text}})


@dataclass
class Served:
    """One request, as Envoy told it."""

    context: RequestContext
    texts: list[bytes]
    record: bytes
    upstream_head: bytes


def ask(port: int, sent: Sequence[tuple[bytes, bytes]]) -> tuple[int, str]:
    """(status, our own address)."""
    lines = b"".join(b"%b: %b\r\n" % header for header in sent)
    request = b"GET /p/q?x=hello%20w&y=1 HTTP/1.1\r\nhost: h.example\r\nconnection: close\r\n" + lines + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while received := client.recv(4096):
            answer += received
        name = client.getsockname()
    return int(answer[9:12]), f"{name[0]}:{name[1]}"


def context(
    sent: Sequence[tuple[bytes, bytes]], status: int, remote: str, facts: Mapping[str, Any], upstream: int
) -> RequestContext:
    head = RequestHead(b"GET", b"/p/q?x=hello%20w&y=1", b"h.example", list(sent))
    ctx = RequestContext(head, 1.0, float(facts["epoch"]))
    ctx.status = status
    ctx.details = "via_upstream"
    ctx.response = ResponseHead(status, [(b"x-who", b"%d" % upstream)])
    ctx.route_name = "named"
    ctx.upstream_cluster = "up"
    ctx.upstream_host = f"127.0.0.1:{upstream}"
    ctx.upstream_local_address = facts["upstream_local"]
    ctx.downstream_local_address = facts["downstream_local"]
    ctx.downstream_remote_address = ctx.direct_remote_address = remote
    ctx.request_id = facts["request_id"].encode()
    return ctx


@pytest.fixture(scope="module")
def served(
    start_upstreams: Callable[[int], Upstreams],
    start_envoy: Callable[[Sequence[Any], Sequence[Any]], Envoy],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Served]:
    """Every request of REQUESTS, through an Envoy that has already ended: that writes its logs."""
    folder = tmp_path_factory.mktemp("logs")
    upstreams = start_upstreams(1)
    facts = {
        "epoch": EPOCH,
        "request_id": "%REQ(x-request-id)%",
        "upstream_local": "%UPSTREAM_LOCAL_ADDRESS%",
        "downstream_local": "%DOWNSTREAM_LOCAL_ADDRESS%",
    }
    add = [
        {"header": {"key": f"out-{name}", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in HEADERS.items()
    ]
    route = {"name": "named", "match": {"prefix": "/"}, "route": {"cluster": "up"}, "request_headers_to_add": add}
    listener = http_listener("l", [route])
    listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [
        text_log(folder / "text", SEPARATOR.join([*FORMATS, ""]) + "\x1d"),
        file_log(folder / "json", {"json_format": JSON_FORMAT}),
        file_log(folder / "facts", {"json_format": facts}),
    ]
    endpoint = {"endpoint": {"address": loopback(upstreams.ports[0])}}
    assignment = {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]}
    cluster = {"name": "up", "alt_stat_name": "up;", "type": "STATIC", "connect_timeout": "1s"}  # as Istio names it
    envoy = start_envoy([listener], [cluster | {"load_assignment": assignment}])
    answers = [ask(envoy.ports["l"], sent) for sent in REQUESTS.values()]
    envoy.close()
    texts = (folder / "text").read_bytes().split(b"\x1d")
    records = (folder / "json").read_bytes().splitlines(keepends=True)
    told = [json.loads(line) for line in (folder / "facts").read_bytes().splitlines()]
    return {
        name: Served(
            context(sent, status, remote, told[index], upstreams.ports[0]),
            texts[index].split(SEPARATOR.encode())[:-1],
            records[index],
            upstreams.seen[index][1],
        )
        for index, ((name, sent), (status, remote)) in enumerate(zip(REQUESTS.items(), answers, strict=True))
    }


@pytest.mark.parametrize("name", REQUESTS)
def test_log_lines_are_envoys(name: str, served: dict[str, Served]) -> None:
    one = served[name]
    ours = [compile_format(text)(one.context) for text in FORMATS]
    assert dict(zip(FORMATS, ours, strict=True)) == dict(zip(FORMATS, one.texts, strict=True))


@pytest.mark.parametrize("name", REQUESTS)
def test_json_records_are_envoys(name: str, served: dict[str, Served]) -> None:
    one = served[name]
    assert compile_json_format(JSON_FORMAT)(one.context) == one.record


@pytest.mark.parametrize("name", REQUESTS)
def test_header_values_are_envoys(name: str, served: dict[str, Served]) -> None:
    one = served[name]
    theirs = dict(line.partition(b": ")[::2] for line in one.upstream_head.split(b"\r\n") if line.startswith(b"out-"))
    one.context.upstream_cluster = "up"
    values = {f"out-{name}".encode(): compile_header_value(text)(one.context) for name, text in HEADERS.items()}
    assert {header: value for header, value in values.items() if value} == theirs


@pytest.fixture(scope="module")
def accepts(envoy_path: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        bootstrap = tmp_path_factory.mktemp("validate") / "bootstrap.json"
        listener = http_listener("l", [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}])
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["access_log"] = [text_log(Path("/dev/null"), text)]
        bootstrap.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
        command = [envoy_path, "--mode", "validate", "-c", str(bootstrap), "-l", "off", "--disable-hot-restart"]
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0

    return accepts


@pytest.mark.parametrize("text", [text for text, _ in REFUSED])
def test_envoy_refuses_what_we_refuse(text: str, accepts: Callable[[str], bool]) -> None:
    assert not accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "%PROTOCOL()%",
        "%REQ(A%B)%",
        "%REQ(?b)%",
        "%REQ(a?)%",
        "%REQ(a):99999999999%",
        "%REQ(x_y!#)%",
        "%START_TIME()%",
        "%%%PROTOCOL%",
    ],
)
def test_envoy_takes_what_looks_odd_and_so_do_we(text: str, accepts: Callable[[str], bool]) -> None:
    assert accepts(text)
    try:
        compile_format(text)
    except FormatError as error:
        pytest.fail(str(error))
