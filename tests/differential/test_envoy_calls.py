"""A real Envoy, set up as Istio sets up a client's sidecar, calls a workload behind our proxy over mutual TLS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import PRODUCTPAGE, REVIEWS, Authority
from tests.differential.envoy_process import EXTENSIONS, Envoy, http_listener, loopback
from tests.in_process import SECONDS, header, port_of, status
from tests.inbound_side import MESH, OTHER, Side, workload

pytestmark = pytest.mark.integration
Start = Callable[[Sequence[Any], Sequence[Any]], Envoy]
REQUEST = b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n"
HTTP_OPTIONS = f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"


def cluster(
    name: str,
    side: Side,
    *,
    authority: Authority = MESH,
    identity: str = PRODUCTPAGE,
    expected: str = REVIEWS,
    alpn: Sequence[str] = ("istio-http/1.1", "istio", "http/1.1"),
    http2: bool = False,
) -> dict[str, Any]:
    """A cluster as Istio makes one for ISTIO_MUTUAL."""
    issued = authority.issue(identity)
    common = {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": issued.pem.decode()},
                "private_key": {"inline_string": issued.key_pem.decode()},
            }
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": MESH.root_pem.decode()},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": expected}}],
        },
        "alpn_protocols": list(alpn),
    }
    endpoint = {"endpoint": {"address": loopback(port_of(side.app, "virtualInbound"))}}
    made: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "transport_socket": {
            "name": "tls",
            "typed_config": {
                "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": common,
                "sni": "outbound_.80_._.reviews.default.svc.cluster.local",
            },
        },
    }
    if http2:
        options = {"@type": HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
        made["typed_extension_protocol_options"] = {HTTP_OPTIONS.rpartition("/")[2]: options}
    return made


def http(name: str) -> dict[str, Any]:
    return http_listener(name, [{"match": {"prefix": "/"}, "route": {"cluster": name}}])


def tcp(name: str) -> dict[str, Any]:
    proxy = {"@type": f"{EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": name}
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    return {"name": name, "address": loopback(0), "filter_chains": [chain]}


async def ask(envoy: Envoy, name: str) -> bytes:
    """The response to one request by way of that listener of Envoy's."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.ports[name])
        writer.write(REQUEST)
        answer = b""
        with contextlib.suppress(asyncio.IncompleteReadError):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return answer


async def test_http_of_either_version_arrives_with_its_callers_identity(tmp_path: Path, start_envoy: Start) -> None:
    async with workload(tmp_path, "STRICT") as side:
        clusters = [
            cluster("h1", side),
            cluster("h2", side, alpn=("istio-h2", "istio", "h2"), http2=True),
        ]
        envoy = await asyncio.to_thread(start_envoy, [http("h1"), http("h2")], clusters)
        for name in ("h1", "h2", "h1"):
            assert status(await ask(envoy, name)) == 200
        text = b"".join(side.app.env.metrics.pieces()).decode()
        assert f'source_principal="{PRODUCTPAGE}"' in text
        assert side.stats["ssl_handshake"] == 2


async def test_bytes_that_are_no_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_envoy: Start) -> None:
    """Envoy without Istio's filter offers `istio`: no metadata stands before the first byte."""
    async with workload(tmp_path, "STRICT", "TCP") as side:
        target = ("127.0.0.1", side.application.port)
        monkeypatch.setattr("pyproxy.downstream.listener.original_destination", lambda *_: target)
        clusters = [cluster("tcp", side, alpn=("istio",))]
        envoy = await asyncio.to_thread(start_envoy, [tcp("tcp")], clusters)
        assert status(await ask(envoy, "tcp")) == 200
        assert side.application.began == [REQUEST]


async def test_who_should_not_call_does_not_get_through(tmp_path: Path, start_envoy: Start) -> None:
    async with workload(tmp_path, "STRICT") as side:
        clusters = [
            cluster("other_root", side, authority=OTHER),
            cluster("other_domain", side, identity="spiffe://elsewhere/ns/default/sa/productpage"),
            cluster("other_server", side, expected="spiffe://cluster.local/ns/default/sa/ratings"),
        ]
        plaintext = cluster("plaintext", side)
        del plaintext["transport_socket"]
        clusters.append(plaintext)
        envoy = await asyncio.to_thread(start_envoy, [http(each["name"]) for each in clusters], clusters)
        for each in clusters:
            answer = await ask(envoy, each["name"])
            assert status(answer) == 503, each["name"]
            assert header(answer, b"x-envoy-upstream-service-time") is None
        assert side.application.began == []
        counted = side.stats
        assert counted["ssl_fail_verify_error"] >= 1
        assert counted["ssl_fail_verify_san"] >= 1
        assert counted["no_filter_chain_match"] >= 1
