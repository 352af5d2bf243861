"""Paths in canonical form, as Envoy leaves them; the differential tests compare the whole proxy."""

import pytest

from pyproxy.wire.paths import normalize


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/../../b", b"/b"),
        (b"/a/.", b"/a/"),
        (b"/a/..", b"/"),
        (b"/a\\b", b"/a/b"),
        (b"/%61%2d%7E", b"/a-~"),
        (b"/%2e%2e/b", b"/b"),
        (b"/%2F%5c", b"/%2F%5c"),
        (b"/a//b", b"/a//b"),
        (b"/a?b=/../c", b"/a?b=/../c"),
    ],
)
def test_dots_backslashes_and_needless_escapes_go_the_query_stays(target: bytes, canonical: bytes) -> None:
    assert normalize(target) == canonical


def test_slashes_merge_and_are_decoded_where_the_mesh_wants_it() -> None:
    assert normalize(b"/a//b///c?d//e", merge_slashes=True) == b"/a/b/c?d//e"
    assert normalize(b"/a%2Fb%5cc", merge_slashes=True, decode_slashes=True) == b"/a/b/c"
    assert normalize(b"/a%2F%2fb", merge_slashes=True, decode_slashes=True) == b"/a/b"


@pytest.mark.parametrize("target", [b"/a#b", b"/a%00b"])
def test_what_has_no_canonical_form(target: bytes) -> None:
    assert normalize(target) is None
