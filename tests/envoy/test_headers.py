from __future__ import annotations

from pyproxy.envoy.headers import header_operations
from pyproxy.istio.networking.virtual_service import Headers
from pyproxy.snapshot.headers import compile_headers


def test_operations_are_written_as_the_documents_have_them() -> None:
    level = compile_headers(
        Headers.model_validate(
            {
                "request": {"set": {"X-B": "100%%", "x-a": "%REQ(y)%"}, "remove": ["X-Old"]},
                "response": {"add": {"x-c": "1"}},
            }
        )
    )
    assert header_operations(level.request, level.response) == {
        "request_headers_to_add": [
            {"header": {"key": "x-b", "value": "100%%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
            {"header": {"key": "x-a", "value": "%REQ(y)%"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ],
        "request_headers_to_remove": ["x-old"],
        "response_headers_to_add": [
            {"header": {"key": "x-c", "value": "1"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
        ],
    }


def test_nothing_to_do_is_nothing_to_say() -> None:
    assert header_operations(None, None) == {}
