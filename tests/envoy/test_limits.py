from __future__ import annotations

import pytest

from pyproxy.envoy.limits import left_out
from tests.snapshot.documents import compiled, entry, rules

SHOP = entry("shop.com", "80/HTTP", endpoints="{address: 10.0.0.1}")


def test_what_only_istios_build_has_is_always_said() -> None:
    (sentence,) = left_out(compiled(SHOP))
    assert "istio_requests_total" in sentence


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (rules("hosts: [shop.com]\nhttp: [{directResponse: {status: 600}}]"), "status 600 is none to Envoy"),
        (
            rules(
                "hosts: [shop.com]\nhttp: [{fault: {abort: {httpStatus: 600, percentage: {value: 1}}},"
                " route: [{destination: {host: shop.com}}]}]"
            ),
            "rules.default: status 600 is none to Envoy",
        ),
        (entry("*.wild.com", "80/HTTP", resolution="NONE"), "a wildcard and any port"),
        (
            entry("out.com", "80/HTTP", resolution="NONE").replace("number: 80,", "number: 80, targetPort: 8080,"),
            "outbound|80||out.com: targetPort 8080",
        ),
    ],
)
def test_what_envoy_cannot_take_is_said_once(document: str, said: str) -> None:
    _, *sentences = left_out(compiled(SHOP, document))
    assert [said in sentence for sentence in sentences] == [True]
