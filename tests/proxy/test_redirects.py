"""Where a redirect points. Expected values: Envoy config_impl.cc, newUri and processRequestHost, and its tests."""

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.proxy.redirects import location_of
from pyproxy.snapshot.model import Redirect


def location(
    redirect: Redirect,
    authority: bytes = b"a.com",
    target: bytes = b"/one/two?q=1",
    port: int = 8080,
    spoken: bytes = b"http",
) -> bytes:
    head = RequestHead(b"GET", target, authority, [(b"x-forwarded-proto", spoken)], scheme=spoken)
    return location_of(redirect, head, port)


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(), b"http://a.com/one/two?q=1"),
        (Redirect(authority=b"b.com"), b"http://b.com/one/two?q=1"),
        (Redirect(scheme=b"https"), b"https://a.com/one/two?q=1"),
        (Redirect(uri=b"/new"), b"http://a.com/new?q=1"),
        (Redirect(uri=b"/new?own=1"), b"http://a.com/new?own=1"),
        (Redirect(uri=b"new"), b"http://a.com/new?q=1"),
        (Redirect(port=8443), b"http://a.com:8443/one/two?q=1"),
        (Redirect(port=80), b"http://a.com:80/one/two?q=1"),  # the compiler leaves it out where it goes unsaid
        (Redirect(port_from_listener=True), b"http://a.com:8080/one/two?q=1"),
        (Redirect(authority=b"b.com:1", port=2), b"http://b.com:1:2/one/two?q=1"),  # Envoy joins what it is given
    ],
)
def test_what_is_not_given_stays(redirect: Redirect, expected: bytes) -> None:
    assert location(redirect) == expected


@pytest.mark.parametrize(
    ("redirect", "authority", "host"),
    [
        (Redirect(), b"a.com:8080", b"http://a.com:8080/"),
        (Redirect(), b"a.com:80", b"http://a.com:80/"),
        (Redirect(scheme=b"https"), b"a.com:80", b"https://a.com/"),
        (Redirect(scheme=b"https"), b"a.com:8080", b"https://a.com:8080/"),
        (Redirect(scheme=b"https"), b"[::1]:80", b"https://[::1]/"),
        (Redirect(scheme=b"https"), b"[::1]", b"https://[::1]/"),
        (Redirect(port=9), b"a.com:8080", b"http://a.com:9/"),
        (Redirect(port=9), b"[::1]", b"http://[::1]:9/"),
        (Redirect(authority=b"b.com:9"), b"a.com:8080", b"http://b.com:9/"),
    ],
)
def test_the_port_of_the_request_stays_unless_it_was_the_old_schemes_own(
    redirect: Redirect, authority: bytes, host: bytes
) -> None:
    assert location(redirect, authority).startswith(host)


def test_what_the_client_spoke_is_what_the_proxy_before_us_says() -> None:
    assert location(Redirect(scheme=b"http"), b"a.com:443", spoken=b"https").startswith(b"http://a.com/")
    assert location(Redirect(scheme=b"https"), b"a.com:443", spoken=b"https").startswith(b"https://a.com:443/")
