"""Who is traced, how, and where spans go: Telemetry's tracing over MeshConfig's.

Source: Istio pilot/pkg/model/telemetry.go (Tracing), pilot/pkg/networking/core/tracing.go, pkg/bootstrap/config.go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from pyproxy.istio.mesh import proxy
from pyproxy.istio.mesh.providers import (
    ExtensionProvider,
    OpenTelemetryTracingProvider,
    ZipkinTracingProvider,
)
from pyproxy.istio.telemetry import CustomTag
from pyproxy.istio.telemetry import Tracing as TracingEntry
from pyproxy.snapshot.canonical import canonical_revision, canonical_service, service_cluster
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint, Identity
from pyproxy.snapshot.providers import ProviderError, Providers
from pyproxy.snapshot.reporting import Propagation, SpanExport, SpanFormat, SpanTag, TagSource, Tracing
from pyproxy.wire.format import FormatError, compile_header_value

ZIPKIN_CLUSTER = "zipkin"
"""What Istio's bootstrap calls the cluster of defaultConfig.tracing.zipkin."""
_ZIPKIN_PATH = "/api/v2/spans"
_ZIPKIN_TIMEOUT = 5.0
_OTLP_TIMEOUT = 3.0
_OFF = Tracing(enabled=False)
_MODES = {"CLIENT": ("client",), "SERVER": ("server",)}
_NO_TRACING = proxy.Tracing.model_construct()


@dataclass(slots=True)
class _Spec:
    """What Telemetry entries say for one direction, the later over the earlier."""

    provider: str = ""
    disabled: bool = False
    sampling: float | None = None
    tags: Mapping[str, CustomTag] = field(default_factory=dict)
    by_request_id: bool = True
    istio_tags: bool = True
    propagates: bool = True

    def overlay(self, entry: TracingEntry) -> None:
        """Of several providers the first; custom tags as a whole."""
        if entry.providers:
            self.provider = entry.providers[0].name
        if entry.disable_span_reporting is not None:
            self.disabled = entry.disable_span_reporting
        if entry.custom_tags:
            self.tags = entry.custom_tags
        if entry.random_sampling_percentage is not None:
            self.sampling = entry.random_sampling_percentage
        if entry.use_request_id_for_trace_sampling is not None:
            self.by_request_id = entry.use_request_id_for_trace_sampling
        if entry.enable_istio_tags is not None:
            self.istio_tags = entry.enable_istio_tags
        if entry.disable_context_propagation is not None:
            self.propagates = not entry.disable_context_propagation


class TracingRules:
    """Makes both directions' tracing for one proxy; `troubles` and `clusters` tell what came of it besides."""

    def __init__(self, identity: Identity, mesh: MeshSettings, providers: Providers) -> None:
        self._identity = identity
        self._mesh = mesh
        self._providers = providers
        self._settings = mesh.proxy.tracing or _NO_TRACING
        self.troubles: dict[str, str] = {}
        """Provider's name → why no span goes to it."""
        self.clusters: dict[str, Cluster] = {}
        """Those that defaultConfig asks for."""

    def compile(self, entries: Sequence[TracingEntry]) -> tuple[Tracing, Tracing]:
        """What is traced of what leaves (of a gateway, of everything), and of what enters."""
        defaults = self._mesh.config.default_providers
        default = defaults.tracing[0] if defaults is not None and defaults.tracing else ""
        if not entries and not default:
            legacy = self._legacy()
            return legacy, legacy
        specs = {"client": _Spec(default), "server": _Spec(default)}
        for entry in entries:
            mode = (entry.match.mode if entry.match is not None else None) or ""
            for name in _MODES.get(mode, ("client", "server")):
                specs[name].overlay(entry)
        return self._of(specs["client"]), self._of(specs["server"])

    def _of(self, spec: _Spec) -> Tracing:
        """Off without a provider: so Istio reads a Telemetry that names none where the mesh has no default either."""
        provider = self._providers.named(spec.provider) if spec.provider else None
        if spec.provider and provider is None:
            self.troubles[spec.provider] = "no extension provider of MeshConfig has this name"
        if spec.disabled or provider is None:
            return _OFF
        found = self._provider(provider)
        if found is None:
            return _OFF
        tags: Iterable[SpanTag] = _custom_tags(spec.tags or self._settings.custom_tags)
        return replace(
            found,
            random_sampling=self._sampling if spec.sampling is None else spec.sampling,
            by_request_id=spec.by_request_id,
            propagates=spec.propagates,
            tags=_in_order([*(self._istio_tags() if spec.istio_tags else ()), *tags]),
            upstream_spans=self._identity.gateway,
        )

    def _legacy(self) -> Tracing:
        """No Telemetry: what MeshConfig and its defaultConfig say."""
        settings = self._settings
        if self._mesh.config.enable_tracing is False:
            return replace(_OFF, random_sampling=self._sampling)
        istio = self._istio_tags() if settings.enable_istio_tags is not False else ()
        return Tracing(
            random_sampling=self._sampling,
            export=self._bootstrap_export(),
            tags=_in_order([*istio, *_custom_tags(settings.custom_tags)]),
            max_path_length=settings.max_path_tag_length or 256,
        )

    @property
    def _sampling(self) -> float:
        sampling = self._settings.sampling
        return 1.0 if sampling is None else sampling

    # Providers

    def _provider(self, provider: ExtensionProvider) -> Tracing | None:
        """None: it is none for traces, or its service is not there; Istio then traces nothing."""
        name = provider.name or ""
        try:
            if provider.zipkin is not None:
                return self._zipkin(provider.zipkin)
            if provider.opentelemetry is not None:
                return self._open_telemetry(name, provider.opentelemetry)
        except ProviderError as error:
            self.troubles[name] = str(error)
            return None
        if provider.datadog is not None or provider.skywalking is not None:
            self.troubles[name] = "spans are sent to zipkin and opentelemetry providers; to no other kind yet"
        else:
            self.troubles[name] = "it is no provider for traces"
        return None

    def _zipkin(self, spec: ZipkinTracingProvider) -> Tracing:
        host, cluster = self._providers.service(spec.service or "", spec.port or 0)
        both = spec.trace_context_option == "USE_B3_WITH_W3C_PROPAGATION"
        timeout = _ZIPKIN_TIMEOUT if spec.timeout is None else spec.timeout
        headers = self._providers.headers(spec.headers)
        return Tracing(
            propagation=Propagation.B3_AND_W3C if both else Propagation.B3,
            trace_id_128bit=not spec.enable_64bit_trace_id,
            export=self._export(SpanFormat.ZIPKIN, cluster, host, spec.path or _ZIPKIN_PATH, timeout, headers),
            max_path_length=self._path_length(spec.max_tag_length),
        )

    def _open_telemetry(self, name: str, spec: OpenTelemetryTracingProvider) -> Tracing:
        host, cluster = self._providers.service(spec.service or "", spec.port or 0)
        export = None
        if spec.http is None:
            self.troubles[name] = "no spans are sent over gRPC yet: with http they go to its path, such as /v1/traces"
        else:
            timeout = _OTLP_TIMEOUT if spec.http.timeout is None else spec.http.timeout
            path = "/" + (spec.http.path or "").lstrip("/")
            export = self._export(
                SpanFormat.OTLP, cluster, host, path, timeout, self._providers.headers(spec.http.headers)
            )
        return Tracing(
            propagation=Propagation.W3C, export=export, max_path_length=self._path_length(spec.max_tag_length)
        )

    def _path_length(self, asked: int | None) -> int:
        return asked or self._settings.max_path_tag_length or 256

    def _export(
        self,
        kind: SpanFormat,
        cluster: str,
        host: str,
        path: str,
        timeout: float,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> SpanExport:
        service = service_cluster(self._identity, self._mesh.proxy)
        return SpanExport(kind, cluster, host, path, timeout, headers, service)

    def _bootstrap_export(self) -> SpanExport | None:
        """Of defaultConfig.tracing.zipkin.address: a service of the mesh, else a cluster of its own."""
        address = (self._settings.zipkin and self._settings.zipkin.address) or ""
        host, _, digits = address.rpartition(":")
        host = host.strip("[]")
        if not host or not digits.isdecimal():
            return None
        try:
            _, cluster = self._providers.service(host, int(digits))
        except ProviderError:
            cluster = ZIPKIN_CLUSTER
            discovery = Discovery.STATIC if _is_ip(host) else Discovery.STRICT_DNS
            self.clusters[cluster] = Cluster(cluster, discovery, (Endpoint(host, int(digits)),), port=int(digits))
        return self._export(SpanFormat.ZIPKIN, cluster, cluster, _ZIPKIN_PATH, _ZIPKIN_TIMEOUT)

    # Tags

    def _istio_tags(self) -> Iterator[SpanTag]:
        """Source: tracing.go, buildServiceTags."""
        identity = self._identity
        yield _literal("istio.canonical_revision", canonical_revision(identity.labels))
        yield _literal("istio.canonical_service", canonical_service(identity.labels, identity.workload) or "unknown")
        yield _literal("istio.mesh_id", identity.mesh_id)
        yield _literal("istio.namespace", identity.namespace)
        yield _literal("istio.cluster_id", identity.cluster_id)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _in_order(tags: Iterable[SpanTag]) -> tuple[SpanTag, ...]:
    """By name; of one name the last, which is the operator's."""
    return tuple(sorted({tag.name: tag for tag in tags}.values(), key=lambda tag: tag.name))


def _literal(name: str, text: str) -> SpanTag:
    value = text.encode()
    return SpanTag(name, TagSource.LITERAL, text, value=(lambda _ctx: value) if value else None)


def _custom_tags(tags: Mapping[str, CustomTag] | Mapping[str, proxy.CustomTag]) -> Iterator[SpanTag]:
    for name, tag in tags.items():
        formatter = tag.formatter if isinstance(tag, CustomTag) else None
        if tag.literal is not None:
            yield _literal(name, tag.literal.value or "")
        elif tag.environment is not None:
            default = tag.environment.default_value or ""
            text = os.environ.get(tag.environment.name or "", default)
            found = _literal(name, text)
            yield replace(found, source=TagSource.ENVIRONMENT, text=tag.environment.name or "", default=default)
        elif tag.header is not None:
            yield _header(name, tag.header.name or "", tag.header.default_value or "")
        elif formatter is not None:
            try:
                yield SpanTag(name, TagSource.FORMATTER, formatter.value, value=compile_header_value(formatter.value))
            except FormatError:
                pass  # the rules of Telemetry have said so


def _header(name: str, header: str, default: str) -> SpanTag:
    missing = default.encode()
    try:
        read = compile_header_value(f"%REQ({header})%")
    except FormatError:
        return SpanTag(name, TagSource.HEADER, header, default, value=lambda _ctx: missing)
    return SpanTag(name, TagSource.HEADER, header, default, value=lambda ctx: read(ctx) or missing)
