"""Where a redirect points. Expected values: Envoy config_impl.cc, newUri, and its tests."""

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.proxy.redirects import location_of
from pyproxy.snapshot.model import Redirect, Route


def location(
    redirect: Redirect, authority: bytes = b"a.com", target: bytes = b"/one/two?q=1", port: int = 8080
) -> bytes:
    route = Route("", None, redirect, matched_prefix=b"/one")
    return location_of(redirect, route, RequestHead(b"GET", target, authority, []), port)


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(), b"http://a.com/one/two?q=1"),
        (Redirect(authority=b"b.com"), b"http://b.com/one/two?q=1"),
        (Redirect(scheme=b"https"), b"https://a.com/one/two?q=1"),
        (Redirect(uri=b"/new"), b"http://a.com/new?q=1"),
        (Redirect(uri=b"/new?own=1"), b"http://a.com/new?own=1"),
        (Redirect(prefix_rewrite=b"/uno"), b"http://a.com/uno/two?q=1"),
        (Redirect(port=8443), b"http://a.com:8443/one/two?q=1"),
        (Redirect(port=80), b"http://a.com/one/two?q=1"),
        (Redirect(scheme=b"https", port=443), b"https://a.com/one/two?q=1"),
        (Redirect(port_from_listener=True), b"http://a.com:8080/one/two?q=1"),
    ],
)
def test_what_is_not_given_stays(redirect: Redirect, expected: bytes) -> None:
    assert location(redirect) == expected


def test_the_port_of_the_request_stays_unless_it_was_the_other_schemes_own() -> None:
    assert location(Redirect(), b"a.com:8080").startswith(b"http://a.com:8080/")
    assert location(Redirect(scheme=b"https"), b"a.com:80").startswith(b"https://a.com/")
    assert location(Redirect(scheme=b"https"), b"a.com:8080").startswith(b"https://a.com:8080/")
    assert location(Redirect(authority=b"b.com:9"), b"a.com:8080").startswith(b"http://b.com:9/")
