"""Header operations of one level and of two."""

from __future__ import annotations

from pyproxy.core.context import RequestContext
from pyproxy.istio.networking.virtual_service import Headers
from pyproxy.snapshot.headers import compile_headers, merge
from pyproxy.snapshot.model import HeaderOps
from tests.snapshot.documents import request


def context() -> RequestContext:
    found = RequestContext(request("/books", {"x-user": "jason"}), 0.0, 0.0)
    found.route_name = "tester"
    return found


def rendered(ops: HeaderOps | None) -> tuple[list[bytes], list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    assert ops is not None
    at = context()
    return (
        list(ops.remove),
        [(name, value(at)) for name, value in ops.set],
        [(name, value(at)) for name, value in ops.add],
    )


def level(**operations: object) -> Headers:
    return Headers.model_validate(operations)


def test_names_are_lower_case_and_sorted_and_values_may_hold_commands() -> None:
    found = compile_headers(
        level(
            request={
                "remove": ["X-Old"],
                "set": {"X-B": "100%%", "X-A": "user %REQ(x-user)%"},
                "add": {"X-Route": "%ROUTE_NAME%"},
            }
        )
    )

    assert rendered(found.request) == (
        [b"x-old"],
        [(b"x-a", b"user jason"), (b"x-b", b"100%")],
        [(b"x-route", b"tester")],
    )
    assert found.response is None


def test_the_texts_stand_beside_their_templates_whatever_was_left_out() -> None:
    first = compile_headers(level(request={"set": {"x-b": "%BAD%", "x-c": "100%%", "x-a": ""}, "add": {"x-d": "d"}}))
    second = compile_headers(level(request={"set": {"x-e": "%REQ(x-user)%"}}))

    found = merge(first, second).request

    assert found is not None
    assert [name for name, _ in found.set] == [b"x-c", b"x-e"]
    assert (found.set_texts, found.add_texts) == (("100%%", "%REQ(x-user)%"), ("d",))


def test_an_empty_value_is_never_written() -> None:
    assert compile_headers(level(request={"set": {"x": ""}})).request is None


def test_host_is_a_rewrite_and_no_header_and_set_beats_add() -> None:
    found = compile_headers(level(request={"set": {"Host": "set.com"}, "add": {":authority": "add.com", "x": "1"}}))

    assert found.authority == "set.com"
    assert rendered(found.request) == ([], [], [(b"x", b"1")])
    assert compile_headers(level(request={"add": {"host": "add.com"}})).authority == "add.com"


def test_one_destination_adds_its_operations_after_the_routes() -> None:
    route = compile_headers(
        level(request={"set": {"x": "route", "host": "r.com"}, "remove": ["a"]}, response={"remove": ["s"]})
    )
    destination = compile_headers(
        level(request={"set": {"x": "destination", "host": "d.com"}, "remove": ["b"]}, response={"add": {"t": "1"}})
    )

    found = merge(route, destination)

    assert rendered(found.request) == ([b"a", b"b"], [(b"x", b"route"), (b"x", b"destination")], [])
    assert rendered(found.response) == ([b"s"], [], [(b"t", b"1")])
    assert found.authority == "r.com"


def test_a_level_without_operations_changes_nothing() -> None:
    route = compile_headers(level(request={"set": {"x": "1"}}))

    assert merge(route, compile_headers(None)).request is route.request
    assert merge(compile_headers(None), route).request is route.request
