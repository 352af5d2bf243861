"""Telemetry: providers, sampling, tags and filters."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.amounts import percent_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.visibility import check_targets
from pyproxy.istio.telemetry import CustomTag, Metrics, MetricsOverrides, ProviderRef, Telemetry, Tracing


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
        _check_providers(logging.providers, place.at("accessLogging", index, "providers"))


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


def _check_metrics(metrics: Metrics, place: Place) -> None:
    _check_providers(metrics.providers, place.at("providers"))
    for index, override in enumerate(metrics.overrides):
        _check_override(override, place.at("overrides", index))


def _check_override(override: MetricsOverrides, place: Place) -> None:
    if override.match is not None and override.match.custom_metric == "":
        place.at("match", "customMetric").error("may not be empty")
    for name, tag in override.tag_overrides.items():
        at = place.at("tagOverrides", name)
        if not name:
            at.warning("a tag without a name has no effect")
        if tag.operation == "REMOVE" and tag.value:
            at.at("value").error("operation REMOVE excludes it")
        elif tag.operation != "REMOVE" and not tag.value:
            at.error("value is required, unless operation is REMOVE")
