from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from pyproxy.envoy.manager import http_filter, tcp_filter
from pyproxy.snapshot.model import (
    AccessLog,
    Direction,
    ForwardClientCert,
    HttpSettings,
    Identity,
    Listener,
    ListenerKind,
    PathNormalization,
    Reporting,
    Snapshot,
    Telemetry,
)
from pyproxy.snapshot.tcp_routes import route_to

TOLD = Reporting(access_logs=(AccessLog("/dev/stdout"),))
SNAPSHOT = Snapshot(Identity(), (), {}, {}, telemetry=Telemetry(client=TOLD, server=TOLD))


def manager(kind: ListenerKind = ListenerKind.NAMED, **settings: Any) -> Any:
    listener = Listener("l", kind, "127.0.0.1", 80, HttpSettings(**settings))
    found: Any = http_filter(listener, {"rds": "somewhere"}, SNAPSHOT, by_name=False)
    return found["typed_config"]


def test_a_sidecars_connection_manager() -> None:
    found = manager()
    assert found["stat_prefix"] == "outbound_127.0.0.1_80"
    assert (found["rds"], found["server_name"], found["use_remote_address"]) == ("somewhere", "envoy", False)
    assert (found["normalize_path"], found["path_with_escaped_slashes_action"]) == (True, "KEEP_UNCHANGED")
    assert found["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    assert (found["proxy_100_continue"], found["generate_request_id"]) == (True, True)
    assert found["common_http_protocol_options"] == {"idle_timeout": "3600s", "max_headers_count": 100}
    assert (found["stream_idle_timeout"], found["max_request_headers_kb"]) == ("0s", 60)
    assert found["access_log"]
    assert found["tracing"]["random_sampling"] == {"value": 1.0}
    assert not {"merge_slashes", "xff_num_trusted_hops", "request_headers_timeout", "http_protocol_options"} & set(
        found
    )


def test_what_documents_and_flags_change() -> None:
    found = manager(
        server_name=b"", xff_trusted_hops=2, request_headers_timeout=10.0, accept_http_10=True, use_remote_address=True
    )
    assert found["server_header_transformation"] == "PASS_THROUGH"
    assert (found["xff_num_trusted_hops"], found["request_headers_timeout"]) == (2, "10s")
    assert found["http_protocol_options"] == {"accept_http_10": True}


@pytest.mark.parametrize(
    ("kind", "normalized", "merged", "action"),
    [
        (PathNormalization.NONE, False, False, "KEEP_UNCHANGED"),
        (PathNormalization.MERGE_SLASHES, True, True, "KEEP_UNCHANGED"),
        (PathNormalization.DECODE_AND_MERGE_SLASHES, True, True, "UNESCAPE_AND_FORWARD"),
    ],
)
def test_paths(kind: PathNormalization, normalized: bool, merged: bool, action: str) -> None:
    found = manager(path_normalization=kind)
    assert (found["normalize_path"], found.get("merge_slashes", False)) == (normalized, merged)
    assert found["path_with_escaped_slashes_action"] == action


def test_the_inbound_capture_has_istios_prefix() -> None:
    assert manager(ListenerKind.INBOUND_CAPTURE)["stat_prefix"] == "inbound_0.0.0.0_15006"


def test_bytes_that_pass() -> None:
    found: Any = tcp_filter(route_to("c"), SNAPSHOT, Direction.OUTBOUND)
    assert (found["typed_config"]["cluster"], found["typed_config"]["stat_prefix"]) == ("c", "c")
    assert found["typed_config"]["access_log"]


def test_bytes_that_pass_through_a_tunnel() -> None:
    route = replace(route_to("c"), tunnel="target.com:443")
    found: Any = tcp_filter(route, SNAPSHOT, Direction.OUTBOUND)
    assert found["typed_config"]["tunneling_config"] == {"hostname": "target.com:443"}


def test_internal_networks() -> None:
    found = manager(internal_networks=(ip_network("10.0.0.0/8"),))
    assert found["internal_address_config"] == {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    assert "internal_address_config" not in manager()


def test_who_tells_of_client_certificates() -> None:
    assert manager()["forward_client_cert_details"] == "SANITIZE"
    assert "set_current_client_cert_details" not in manager()
    found = manager(
        forward_client_cert=ForwardClientCert.APPEND_FORWARD, client_cert_details=("Cert", "Subject", "URI", "DNS")
    )
    assert found["forward_client_cert_details"] == "APPEND_FORWARD"
    assert found["set_current_client_cert_details"] == {"cert": True, "subject": True, "uri": True, "dns": True}
