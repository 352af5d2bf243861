"""Heads."""

from pyproxy.core.http import RequestHead, ResponseHead

LINES = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]


def test_headers_are_found_by_name_the_first_or_all() -> None:
    for head in (RequestHead(b"GET", b"/p?q=1", b"x", LINES), ResponseHead(200, LINES)):
        assert (head.get(b"a"), head.get(b"b"), head.get(b"c")) == (b"1", b"2", None)
    assert RequestHead(b"GET", b"/", b"x", LINES).get_all(b"a") == [b"1", b"3"]


def test_a_path_is_the_target_without_its_query() -> None:
    assert RequestHead(b"GET", b"/p?q=1?2", b"x", []).path == b"/p"


def test_heads_share_nothing_that_changes() -> None:
    one, other = ResponseHead(200, []), ResponseHead(200, [])
    one.notable[b"date"] = b"now"
    assert other.notable == {}
