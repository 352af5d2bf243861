"""Format strings, what they print for one request, and those that are refused: for unit tests and for Envoy alike."""

from __future__ import annotations

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead, ResponseHead


def a_request() -> RequestContext:
    head = RequestHead(
        b"GET",
        b"/p/q?x=hello%20w&y=1",
        b"h.example",
        [(b"user-agent", b"curl/8"), (b"x-b", b"value"), (b"x-b", b"second"), (b"x-empty", b"")],
    )
    ctx = RequestContext(head, 100.0, 1795269407.355949)
    ctx.status = 200
    ctx.response = ResponseHead(200, [(b"x-multi", b"a"), (b"x-multi", b"b")])
    ctx.response_body_ended = 100.0415
    ctx.details = "via_upstream"
    ctx.bytes_sent = 251
    ctx.upstream_host = "[::1]:9080"
    ctx.downstream_remote_address = "127.0.0.1:60320"
    ctx.request_id = b"97e73afb-4a28-4e4f-8551-8190cc74f427"
    return ctx


PRINTED: list[tuple[str, bytes]] = [
    ("", b""),
    ("plain", b"plain"),
    ("%%", b"%"),
    ("100%% of %PROTOCOL%%%", b"100% of HTTP/1.1%"),
    ("%REQ(:METHOD)% %REQ(:path)%", b"GET /p/q?x=hello%20w&y=1"),
    ("%REQ(Host)%/%REQ(:AUTHORITY)%/%REQ(:SCHEME)%", b"h.example/h.example/http"),
    ("%REQ(X-B)%", b"value"),
    ("%REQ(X-B):2%", b"va"),
    ("%REQ(X-B):0%", b""),
    ("%REQ(nope?x-b)%|%REQ(nope)%|%REQ(x-empty?x-b)%", b"value|-|"),
    ("%REQUEST_HEADER(x-b)%%RESPONSE_HEADER(x-multi)%", b"valuea"),
    ("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", b"/p/q"),
    ("%REQ(x-request-id):8% %STREAM_ID%", b"97e73afb 97e73afb-4a28-4e4f-8551-8190cc74f427"),
    ("%RESP(x-multi)% %RESP(:status)% %RESP(nope)%", b"a 200 -"),
    ("%TRAILER(x)%", b"-"),
    ("%START_TIME%", b"2026-11-21T13:56:47.355Z"),
    ("%START_TIME(%s.%3f)% %START_TIME(%s.%6f)%", b"1795269407.355 1795269407.355949"),
    ("%START_TIME(%Y%)%", b"2026%"),
    ("%START_TIME(%Y-%m-%d %f %1f %E3S %%)%", b"2026-11-21 355949000 3 47.355 %"),
    ("%START_TIME(a)b)%", b"a)b"),
    ("%EMIT_TIME%", b"2026-11-21T13:56:47.397Z"),
    ("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", b"200 - -"),
    ("%RESPONSE_CODE_DETAILS%", b"via_upstream"),
    ("%BYTES_RECEIVED%/%BYTES_SENT%", b"0/251"),
    ("%DURATION% %COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%", b"41 41500"),
    ("%COMMON_DURATION(FOO:DS_TX_END)% %RESPONSE_DURATION%", b"- -"),
    ("%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%", b"[::1]:9080 ::1 9080"),
    ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%", b"127.0.0.1 60320"),
    ("%UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_LOCAL_PORT%", b"- -"),
    ("%QUERY_PARAM(x)% %QUERY_PARAM(x):2% %QUERY_PARAM(z)%", b"hello w he -"),
    ("%QUERY_PARAMS%|%QUERY_PARAMS(DECODED):8%", b"x=hello%20w&y=1|x=hello%"),
    ("%PATH% %PATH(NQ)% %PATH(WQ:ORIG)% %PATH(NQ:PATH):2%", b"/p/q?x=hello%20w&y=1 /p/q - /p"),
    ("%GRPC_STATUS% %GRPC_STATUS_NUMBER%", b"- -"),
    ("%FILTER_STATE(a:PLAIN)%%DYNAMIC_METADATA(a:b):3%", b"--"),
    ("%TRACE_ID%%ROUTE_NAME%", b"--"),
]
"""Format, and what `a_request` prints."""

REFUSED: list[tuple[str, str]] = [
    ("100%", "position 3"),
    ("%req(X)%", "position 0"),
    ("%PROTOCOL%%", "position 10"),
    ("%REQ(X):%", "position 0"),
    ("%REQ(X):a%", "position 0"),
    ("%REQ(a\n)%", "position 0"),
    ("%REQ%", "needs an argument"),
    ("%REQ()%", "needs an argument"),
    ("%REQ(X?Y?Z)%", "more than one alternative"),
    ("%REQ(a b)%", "not a header name"),
    ("%REQ(a)b)%", "not a header name"),
    ("%PROTOCOL():3%", "neither an argument nor a length"),
    ("%DURATION:3%", "neither an argument nor a length"),
    ("%HOSTNAME(x)%", "neither an argument nor a length"),
    ("%START_TIME(%Y):3%", "does not take a length"),
    ("%START_TIME(%n)%", "newline"),
    ("%GRPC_STATUS(BAD)%", "only CAMEL_STRING, SNAKE_STRING and NUMBER"),
    ("%GRPC_STATUS():3%", "does not take a length"),
    ("%COMMON_DURATION(A)%", "START:END"),
    ("%COMMON_DURATION(A:B:x)%", "ms, us or ns"),
    ("%PATH(BAD)%", "only WQ and NQ"),
    ("%PATH(WQ:X)%", "only ORIG, PATH"),
    ("%QUERY_PARAMS(x)%", "only ORIG and DECODED"),
    ("%UPSTREAM_HOTS%", "%UPSTREAM_HOTS% is not a command operator; did you mean %UPSTREAM_HOST%?"),
    ("%ZZZZZZZZ%", "%ZZZZZZZZ% is not a command operator"),
]
"""Format, and a part of the reason."""
