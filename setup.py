"""Compiles the data path with mypyc where that is possible: the same source, about half the time per request.

`pip install .` compiles when it finds a C compiler and Python's headers; else it falls back to plain Python.
An editable install stays plain Python, so that edits count. PYPROXY_COMPILE=1 demands it, PYPROXY_COMPILE=0 forbids it.
What runs is shown by `pyproxy version`. Why: docs/decisions/0007-compiled-data-path.md.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

COMPILED = [
    "pyproxy/core/context.py",
    "pyproxy/core/http.py",
    "pyproxy/core/spiffe.py",
    "pyproxy/core/trace.py",
    "pyproxy/downstream/entrance.py",
    "pyproxy/downstream/filter_chains.py",
    "pyproxy/downstream/http1.py",
    "pyproxy/downstream/http2.py",
    "pyproxy/downstream/http2_head.py",
    "pyproxy/downstream/listener.py",
    "pyproxy/downstream/original_destination.py",
    "pyproxy/downstream/tracker.py",
    "pyproxy/mtls/channel.py",
    "pyproxy/mtls/contexts.py",
    "pyproxy/mtls/engine.py",
    "pyproxy/mtls/openssl.py",
    "pyproxy/mtls/peers.py",
    "pyproxy/mtls/roots.py",
    "pyproxy/policy/choosers.py",
    "pyproxy/policy/circuit_breaker.py",
    "pyproxy/policy/cors.py",
    "pyproxy/policy/fault.py",
    "pyproxy/policy/hashing.py",
    "pyproxy/policy/host.py",
    "pyproxy/policy/levels.py",
    "pyproxy/policy/rbac.py",
    "pyproxy/policy/rbac_matchers.py",
    "pyproxy/policy/rbac_rules.py",
    "pyproxy/policy/timeouts.py",
    "pyproxy/policy/token_places.py",
    "pyproxy/policy/tokens.py",
    "pyproxy/policy/weights.py",
    "pyproxy/proxy/attempt.py",
    "pyproxy/proxy/client_cert.py",
    "pyproxy/proxy/client_stream.py",
    "pyproxy/proxy/environment.py",
    "pyproxy/proxy/exchange.py",
    "pyproxy/proxy/forwarder.py",
    "pyproxy/proxy/grpc_messages.py",
    "pyproxy/proxy/grpc_web.py",
    "pyproxy/proxy/gate.py",
    "pyproxy/proxy/headers.py",
    "pyproxy/proxy/internal_requests.py",
    "pyproxy/proxy/mirror.py",
    "pyproxy/proxy/question.py",
    "pyproxy/proxy/routing.py",
    "pyproxy/proxy/timed_exchange.py",
    "pyproxy/runtime/clusters.py",
    "pyproxy/runtime/counters.py",
    "pyproxy/runtime/live.py",
    "pyproxy/snapshot/model.py",
    "pyproxy/telemetry/metrics.py",
    "pyproxy/telemetry/request_id.py",
    "pyproxy/telemetry/series.py",
    "pyproxy/telemetry/trace_headers.py",
    "pyproxy/upstream/http1.py",
    "pyproxy/upstream/http2.py",
    "pyproxy/upstream/http2_pool.py",
    "pyproxy/upstream/pool.py",
    "pyproxy/upstream/pools.py",
    "pyproxy/upstream/stream.py",
    "pyproxy/wire/client_hello.py",
    "pyproxy/wire/hpack.py",
    "pyproxy/wire/http1.py",
    "pyproxy/wire/http2.py",
    "pyproxy/wire/http2_fields.py",
    "pyproxy/wire/http2_frames.py",
    "pyproxy/wire/http2_stream.py",
    "pyproxy/wire/http2_tunnel.py",
    "pyproxy/wire/names.py",
    "pyproxy/wire/paths.py",
]


def wanted() -> bool:
    """Whether to compile."""
    choice = os.environ.get("PYPROXY_COMPILE", "")
    if choice in ("0", "1"):
        return choice == "1"
    editable = bool({"develop", "editable_wheel", "dist_info"} & set(sys.argv))
    return not editable and bool(shutil.which("cc") or shutil.which("gcc")) and has_headers()


def has_headers() -> bool:
    """Whether Python.h is there (Debian: python3-dev)."""
    return Path(sysconfig.get_paths()["include"], "Python.h").exists()


def extensions() -> list[Extension]:
    """The compiled modules; none, with the reason said, where that cannot be."""
    if not wanted():
        return []
    # What is not compiled is not judged here: `mypy` does that, where its dependencies are installed.
    # Libraries that are not there while building have no types, and nothing of it may fail for that.
    options = ["--ignore-missing-imports", "--follow-imports=silent"]
    options += ["--no-warn-return-any", "--no-warn-unused-ignores"]
    try:
        from mypyc.build import mypycify

        found: list[Extension] = mypycify(
            [*options, "--disable-error-code=misc", *COMPILED], opt_level="3", debug_level="0"
        )
    except (ImportError, SystemExit) as error:
        if os.environ.get("PYPROXY_COMPILE") == "1":
            raise
        print(f"pyproxy: not compiled ({error!r}); it runs as plain Python", file=sys.stderr)
        return []
    for extension in found:
        extension.extra_compile_args += [
            "-fno-plt",
            "-fno-semantic-interposition",
        ]  # direct calls between our functions
    return found


setup(ext_modules=extensions())
