"""nginx as the upstream that both subsets share: it answers from memory and is never what limits a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.process import free_port, running, wait_for_port

SUBSETS = ("v1", "v2")

_CONFIG = """\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 0;
    sendfile on;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{failing}{servers}}}
"""

_SERVER = """\
    server {{
        listen 127.0.0.1:{port}{how} backlog=4096;
        root {folder}/files;
{refusal}        location = /echo {{
            set $ids '"request_id": "$http_x_request_id", "trace": "$http_x_b3_traceid"';
            return 200 '{{"subset": "{subset}", $ids, "attempt": "$http_x_envoy_attempt_count"}}';
        }}
        location = /64k {{ }}
        location = /16m {{ }}
        location = /grpc {{
            default_type application/grpc;
            add_trailer grpc-status 0;
            error_page 405 =200 $uri;
        }}
        location / {{
            return 200 '{{"id": 0, "author": "Reviewer1", "subset": "{subset}", "text": "A most entertaining play"}}';
        }}
    }}
"""


# $request_id is nginx's own: sixteen random bytes for each request, so that tries are independent of each other.
_FAILING = """\
    split_clients $request_id $fails {{ {}% 1; * ""; }}
"""
_REFUSAL = """\
        if ($fails) { return 503 "not now"; }
"""


_TLS = """\
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {0}/cert-chain.pem;
    ssl_certificate_key {0}/key.pem;
    ssl_client_certificate {0}/root-cert.pem;
    ssl_verify_client on;
    ssl_verify_depth 3;
"""


GRPC_MESSAGE = b"\0\0\0\0\x20" + b"x" * 32
"""Length-prefixed."""


@dataclass(frozen=True)
class Upstream:
    """Where each subset listens."""

    ports: dict[str, int]


def config(
    folder: Path, ports: dict[str, int], failing: int = 0, certificates: Path | None = None, *, http2: bool = False
) -> str:
    """nginx's configuration, one server for each subset; `failing` percent of the requests are answered with 503.

    With `certificates` it takes nothing but mutual TLS, with `http2` nothing but HTTP/2.
    """
    how = " ssl" * (certificates is not None) + " http2" * http2
    refusal = _REFUSAL if failing else ""
    servers = "".join(
        _SERVER.format(port=port, folder=folder, subset=subset, refusal=refusal, how=how)
        for subset, port in ports.items()
    )
    before = _FAILING.format(failing) if failing else ""
    if certificates is not None:
        before += _TLS.format(certificates)
    return _CONFIG.format(folder=folder, servers=servers, failing=before)


@contextmanager
def upstream(
    folder: Path, *, cores: str, failing: int = 0, certificates: Path | None = None, http2: bool = False
) -> Iterator[Upstream]:
    """A running nginx."""
    ports = {subset: free_port() for subset in SUBSETS}
    files = folder / "files"
    files.mkdir()
    (files / "64k").write_bytes(b"x" * 65536)
    (files / "grpc").write_bytes(GRPC_MESSAGE)
    (files / "16m").write_bytes(b"x" * (1 << 24))
    (folder / "nginx.conf").write_text(config(folder, ports, failing, certificates, http2=http2))
    log = folder / "nginx.log"
    with running(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], cores=cores, log=log) as pid:
        for port in ports.values():
            wait_for_port(port, pid=pid, log=log)
        yield Upstream(ports)
