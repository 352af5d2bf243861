from collections.abc import Callable

import pytest

SELECTOR = "selector: {matchLabels: {a: b}}"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        ("portLevelMtls: {80: {mode: STRICT}}", "portLevelMtls", "needs a selector"),
        (f"{SELECTOR}\nportLevelMtls: {{}}", "portLevelMtls", "is empty"),
        (f"{SELECTOR}\nportLevelMtls: {{0: {{}}}}", 'portLevelMtls["0"]', "1 to 65535"),
        (f"{SELECTOR}\nportLevelMtls: {{http: {{}}}}", "portLevelMtls.http", "1 to 65535"),
        ("mtls: {mode: strict}", "mtls.mode", "must be one of UNSET, DISABLE, PERMISSIVE, STRICT"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("PeerAuthentication", spec, path, part)
