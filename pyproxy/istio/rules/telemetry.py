"""Telemetry: providers, sampling, tags and filters."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.cel.errors import SyntaxProblem, UnsupportedProblem
from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.amounts import percent_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_targets
from pyproxy.istio.telemetry import CustomTag, Metrics, MetricsOverrides, ProviderRef, Telemetry, Tracing

_STANDARD = (
    "requests_total",
    "request_duration_milliseconds",
    "request_bytes",
    "response_bytes",
    "request_messages_total",
    "response_messages_total",
    "tcp_connections_opened_total",
    "tcp_connections_closed_total",
    "tcp_sent_bytes_total",
    "tcp_received_bytes_total",
)
_NAMES = ", ".join(_STANDARD)


def check_telemetry(spec: Telemetry, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a Telemetry on its own."""
    check_targets(spec.selector, spec.target_ref, spec.target_refs, place)
    if len(spec.tracing) > 1:
        place.at("tracing").warning("only the first entry is used")
    for index, tracing in enumerate(spec.tracing):
        _check_tracing(tracing, place.at("tracing", index))
    for index, metrics in enumerate(spec.metrics):
        _check_metrics(metrics, place.at("metrics", index))
    for index, logging in enumerate(spec.access_logging):
        at = place.at("accessLogging", index)
        _check_providers(logging.providers, at.at("providers"))
        if logging.filter is not None and logging.filter.expression:
            _check_filter(logging.filter.expression, at.at("filter", "expression"))


def _check_providers(providers: Sequence[ProviderRef], place: Place) -> None:
    for index, provider in enumerate(providers):
        if not provider.name:
            place.at(index, "name").error("is required")


def _check_tracing(tracing: Tracing, place: Place) -> None:
    _check_providers(tracing.providers, place.at("providers"))
    if len(tracing.providers) > 1:
        place.at("providers").warning("only the first provider is used")
    place.at("randomSamplingPercentage").error(percent_problem(tracing.random_sampling_percentage))
    for name, tag in tracing.custom_tags.items():
        if not name:
            place.at("customTags").error("a tag needs a name")
        _check_tag(tag, place.at("customTags", name))


def _check_tag(tag: CustomTag, place: Place) -> None:
    if tag.literal is not None and not tag.literal.value:
        place.at("literal", "value").error("is required")
    if tag.environment is not None and not tag.environment.name:
        place.at("environment", "name").error("is required")
    if tag.header is not None and not tag.header.name:
        place.at("header", "name").error("is required")
    if tag.formatter is not None and not tag.formatter.value:
        place.at("formatter", "value").error("is required")


def _check_filter(expression: str, place: Place) -> None:
    """Istio refuses what is no CEL; what is outside of the part that we know is never true."""
    problem = _problem_with(expression)
    if isinstance(problem, UnsupportedProblem):
        place.warning(f"{problem}; nothing is logged")
    elif problem is not None:
        place.error(str(problem))


def _problem_with(expression: str) -> SyntaxProblem | None:
    from pyproxy.cel.expression import problem_with  # most meshes have no expression

    return problem_with(expression)


def _check_metrics(metrics: Metrics, place: Place) -> None:
    _check_providers(metrics.providers, place.at("providers"))
    for index, override in enumerate(metrics.overrides):
        _check_override(override, place.at("overrides", index))


def _check_override(override: MetricsOverrides, place: Place) -> None:
    custom = override.match.custom_metric if override.match is not None else None
    if custom == "":
        place.at("match", "customMetric").error("may not be empty")
    elif custom is not None and custom.removeprefix("istio_") not in _STANDARD:
        place.at("match", "customMetric").warning(f"there is no metric {custom}: Istio's own are {_NAMES}")
    for name, tag in override.tag_overrides.items():
        at = place.at("tagOverrides", name)
        if not name:
            at.warning("a tag without a name has no effect")
        if tag.operation == "REMOVE" and tag.value:
            at.at("value").error("operation REMOVE excludes it")
        elif tag.operation != "REMOVE" and not tag.value:
            at.error("value is required, unless operation is REMOVE")
        elif tag.value:
            _check_value(tag.value, at.at("value"))


def _check_value(expression: str, place: Place) -> None:
    """Istio takes any text."""
    problem = _problem_with(expression)
    if isinstance(problem, UnsupportedProblem):
        place.warning(f"{problem}; the label is unknown")
    elif problem is not None:
        place.warning(f"{problem}; a standard label is taken away, any other is not added")
