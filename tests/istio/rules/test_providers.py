from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("provider", "path", "part"),
    [
        ("{prometheus: {}}", "[0].name", "is required"),
        ("{name: a}", "[0]", "says nothing"),
        ("{name: a, zipkin: {service: a.com}}", "[0].zipkin.port", "1 to 65535"),
        ("{name: a, zipkin: {port: 1}}", "[0].zipkin.service", "is required"),
        ("{name: a, zipkin: {service: a_b/c.com, port: 1}}", "[0].zipkin.service", "NAMESPACE"),
        (
            "{name: a, envoyExtAuthzHttp: {service: a.com, port: 1, statusOnError: '999'}}",
            "[0].envoyExtAuthzHttp.statusOnError",
            "HTTP status",
        ),
        (
            "{name: a, envoyExtAuthzHttp: {service: a.com, port: 1, pathPrefix: a}}",
            "[0].envoyExtAuthzHttp.pathPrefix",
            "/",
        ),
        ("{name: a, opentelemetry: {service: a.com, port: 1, http: {}, grpc: {}}}", "[0].opentelemetry", "exclude"),
        ("{name: a, prometheus: {}}, {name: a, prometheus: {}}", "[1].name", "there twice"),
    ],
)
def test_what_is_wrong_is_a_warning(expect: Callable[..., None], provider: str, path: str, part: str) -> None:
    where = f"meshConfig.extensionProviders{path}"
    expect("IstioOperator", f"meshConfig: {{extensionProviders: [{provider}]}}", where, part, "warning")
