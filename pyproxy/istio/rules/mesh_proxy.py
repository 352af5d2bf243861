"""MeshConfig's defaultConfig: addresses, ports and limits of every proxy."""

from __future__ import annotations

from pyproxy.istio.mesh.proxy import ConnectionSettings, PrivateKeyProvider, ProxyConfig, Tracing
from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.amounts import not_negative, percent_problem, port_problem
from pyproxy.istio.rules.client_tls import check_client_tls
from pyproxy.istio.rules.names import fqdn_problem, is_ip_address
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.workload_entry import check_probe

_SMALLEST_WINDOW = 65535


def check_proxy(proxy: ProxyConfig, place: Place) -> None:
    """What is set of it; Istio has defaults for the rest."""
    if proxy.drain_duration is not None and (proxy.drain_duration < 1 or proxy.drain_duration % 1):
        place.at("drainDuration").error("must be a whole number of seconds, at least 1s")
    _check_addresses(proxy, place)
    for name, port in (("proxyAdminPort", proxy.proxy_admin_port), ("statusPort", proxy.status_port)):
        if port is not None:
            place.at(name).error(port_problem(port))
    place.at("concurrency").error(not_negative(proxy.concurrency))
    if proxy.control_plane_auth_policy == "INHERIT":
        place.at("controlPlaneAuthPolicy").error("must be NONE or MUTUAL_TLS")
    if proxy.tracing is not None:
        _check_tracing(proxy.tracing, place.at("tracing"))
    if proxy.readiness_probe is not None:
        check_probe(proxy.readiness_probe, place.at("readinessProbe"))
    if proxy.private_key_provider is not None:
        _check_key_provider(proxy.private_key_provider, place.at("privateKeyProvider"))
    if proxy.connection_settings is not None:
        _check_connections(proxy.connection_settings, place.at("connectionSettings"))
    if "ISTIO_META_DNS_AUTO_ALLOCATE" in proxy.proxy_metadata:
        place.at("proxyMetadata", "ISTIO_META_DNS_AUTO_ALLOCATE").warning(
            "is deprecated: addresses are allocated anyway"
        )


def _check_addresses(proxy: ProxyConfig, place: Place) -> None:
    metrics, log = proxy.envoy_metrics_service, proxy.envoy_access_log_service
    for steps, address in (
        (("discoveryAddress",), proxy.discovery_address),
        (("statsdUdpAddress",), proxy.statsd_udp_address),
        (("envoyMetricsServiceAddress",), proxy.envoy_metrics_service_address),
        (("envoyMetricsService", "address"), metrics.address if metrics is not None else None),
        (("envoyAccessLogService", "address"), log.address if log is not None else None),
    ):
        if address:
            place.at(*steps).error(address_problem(address))


def address_problem(address: str) -> str | None:
    """For a host name or an IP address with a port."""
    host, colon, port = address.replace("$(HOST_IP)", "127.0.0.1").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()):
        return f'"{address}" must be HOST:PORT'
    if not is_ip_address(host) and fqdn_problem(host) is not None:
        return f'"{host}" is neither a host name nor an IP address'
    return port_problem(int(port))


def _check_tracing(tracing: Tracing, place: Place) -> None:
    place.at("sampling").error(percent_problem(tracing.sampling))
    for name, tracer in (("zipkin", tracing.zipkin), ("datadog", tracing.datadog), ("lightstep", tracing.lightstep)):
        if tracer is not None:
            place.at(name, "address").error(address_problem(tracer.address or ""))
    if tracing.lightstep is not None and not tracing.lightstep.access_token:
        place.at("lightstep", "accessToken").error("is required")
    check_client_tls(tracing.tls_settings, ObjectMeta(), place.at("tlsSettings"))


def _check_key_provider(provider: PrivateKeyProvider, place: Place) -> None:
    if provider.cryptomb is None and provider.qat is None:
        place.error("cryptomb or qat is required")
    for name, one in (("cryptomb", provider.cryptomb), ("qat", provider.qat)):
        if one is not None and not one.poll_delay:
            place.at(name, "pollDelay").error("is required, and must be above 0s")


def _check_connections(settings: ConnectionSettings, place: Place) -> None:
    for name, number in (
        ("listenerPerConnectionBufferLimitBytes", settings.listener_per_connection_buffer_limit_bytes),
        ("clusterPerConnectionBufferLimitBytes", settings.cluster_per_connection_buffer_limit_bytes),
        ("httpIdleTimeout", settings.http_idle_timeout),
        ("httpMaxConnectionDuration", settings.http_max_connection_duration),
        ("httpDrainTimeout", settings.http_drain_timeout),
        ("httpRequestTimeout", settings.http_request_timeout),
        ("httpRequestHeadersTimeout", settings.http_request_headers_timeout),
        ("httpStreamIdleTimeout", settings.http_stream_idle_timeout),
        ("httpMaxStreamDuration", settings.http_max_stream_duration),
    ):
        place.at(name).error(not_negative(number))
    for name, limit in (
        ("httpMaxConcurrentStreams", settings.http_max_concurrent_streams),
        ("listenerConnectionLimit", settings.listener_connection_limit),
        ("globalDownstreamConnectionLimit", settings.global_downstream_connection_limit),
    ):
        if limit is not None and limit <= 0:
            place.at(name).error(f"must be above 0, not {limit}")
    for name, window in (
        ("http2InitialStreamWindowSize", settings.http2_initial_stream_window_size),
        ("http2InitialConnectionWindowSize", settings.http2_initial_connection_window_size),
    ):
        if window is not None and window < _SMALLEST_WINDOW:
            place.at(name).error(f"must be {_SMALLEST_WINDOW} or more, not {window}")
