"""Random HTTP rules of a VirtualService, out of small pools of texts, so that conditions and requests often meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Spec = dict[str, Any]
NUMBER = "NNN"
"""Stands for the case's number in every text of it."""
HOST = f"shop-{NUMBER}.default.svc.cluster.local"
WILD = f"wild-{NUMBER}.test"
PORTS = (80, 8080)
SUBSETS = ("v1", "v2", "v3")


def maybe(strategy: st.SearchStrategy[Any], chance: int = 2) -> st.SearchStrategy[Any]:
    """The strategy once in `chance`, else None."""
    return st.integers(0, chance - 1).flatmap(lambda number: strategy if number == 0 else st.none())


def filled(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """A message of the parts that are not None."""
    return st.fixed_dictionaries(parts).map(lambda found: {k: v for k, v in found.items() if v is not None})


# Texts

PATHS = (
    "/",
    "/api",
    "/api/",
    "/api/v1",
    "/API/v1",
    "/api/v22/items",
    "/apix",
    "/a",
    "/a/b.html",
    "/a%2Fb",
    "/caf%C3%A9",
    "//api//v1",
    "/a;p=1/b",
    "/api/v1/..",
    "/x/../api/v1",
    "/./a",
    "/%61pi",
    "/api%2fv1",
    "/a\\b",
    "/+a,b",
    "/(a)",
    "/*",
    "/api:v1",
)
PATH_PATTERNS = (
    ".*",
    "/api/v[0-9]+",
    "/api.*",
    "(?i)/api/.*",
    ".*\\.html",
    "/a|/api",
    "^/a$",
    "/api(/.*)?",
    "/[^/]+/v1",
    "/.{3}",
    "api",
    "/a%2Fb",
)
QUERIES = (
    "",
    "?",
    "?q=1",
    "?q=",
    "?q",
    "?Q=1",
    "?q=1&q=2",
    "?page=10&q=a",
    "?a=b?c=d",
    "?q=%31",
    "?q=a+b",
    "?&q=1",
)
NAMES = ("x-a", "x-b", "end-user", "user-agent", "cookie", "accept")
VALUES = ("", "a", "ab", "A", "1", "jason", "a,b", "x y", "a;b=c")
PATTERNS = (".*", "a+", "a|b", "[0-9]*", "(?i)a", ".+", "^a$", "j.s.n", "a,b")
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
HOSTS = (
    HOST,
    HOST.upper(),
    f"shop-{NUMBER}",
    f"shop-{NUMBER}.default",
    f"shop-{NUMBER}.default.svc",
    f"{HOST}.",
    f"shop-{NUMBER}:80",
    f"{HOST}:8080",
    f"shop-{NUMBER}:9999",
    f"shop-{NUMBER}.elsewhere",
    f"a.{WILD}",
    f"b.a.{WILD}:80",
    WILD,
    f"exact.{WILD}",
    f"exact.{WILD}:8080",
    f"nobody-{NUMBER}.test",
)
COMMANDS = (
    "v",
    "v w",
    "",
    "a%%b",
    "%REQ(x-a)%",
    "<%REQ(x-a?x-b)%>",
    "%REQ(x-missing)%",
    "%REQ(:path)%",
    "%REQ(:authority)%",
    "%REQ(:method)% %PROTOCOL%",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%ROUTE_NAME%",
    "%UPSTREAM_CLUSTER%",
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "%QUERY_PARAM(q)%",
)
RESPONSE_COMMANDS = (
    *COMMANDS,
    "%RESP(x-up)%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%RESP(x-dup)%",
    "%RESPONSE_CODE_DETAILS%",
)


PRESENT: tuple[Spec, ...] = ({},)
"""Wants a text to be there."""


def string_match(
    texts: tuple[str, ...], patterns: tuple[str, ...], present: tuple[Spec, ...] = ()
) -> st.SearchStrategy[Spec]:
    """A StringMatch: one of the ways, or one of `present`."""
    ways = [
        st.sampled_from(texts).map(lambda text: {"exact": text}),
        st.sampled_from([text for text in texts if text]).map(lambda text: {"prefix": text}),
        st.sampled_from(patterns).map(lambda text: {"regex": text}),
    ]
    return st.one_of(*ways, *map(st.just, present))


# Rules

matches = filled(
    name=maybe(st.sampled_from(("m", "other")), 5),
    uri=maybe(string_match(PATHS, PATH_PATTERNS)),
    ignoreUriCase=maybe(st.booleans(), 4),
    method=maybe(string_match(METHODS, ("GET|PUT", "P.*")), 5),
    authority=maybe(string_match((HOST, f"shop-{NUMBER}", f"shop-{NUMBER}:80"), (f"shop-{NUMBER}.*", ".*:80")), 6),
    scheme=maybe(string_match(("http", "https"), ("http.?",)), 8),
    headers=maybe(
        st.dictionaries(
            st.sampled_from((*NAMES, "X-A", "x-case", ":method", "host")),
            string_match(VALUES, PATTERNS, PRESENT),
            min_size=1,
            max_size=2,
        ),
        3,
    ),
    withoutHeaders=maybe(
        st.dictionaries(
            st.sampled_from(NAMES),
            string_match(VALUES, PATTERNS, (*PRESENT, {"regex": "*"})),
            min_size=1,
            max_size=2,
        ),
        5,
    ),
    queryParams=maybe(
        st.dictionaries(
            st.sampled_from(("q", "Q", "page", "a")),
            string_match(("", "1", "a", "b?c=d", "%31", "a+b"), (".*", "[0-9]+", "a.*"), PRESENT),
            min_size=1,
            max_size=2,
        ),
        4,
    ),
)


def operations(commands: tuple[str, ...], names: tuple[str, ...], *, host: bool) -> st.SearchStrategy[Spec]:
    """set, add and remove; `host`: the request's own host may be set."""
    lines = st.dictionaries(st.sampled_from(names), st.sampled_from(commands), min_size=1, max_size=2)
    own = st.sampled_from(("host", ":authority")).map(lambda name: {name: "set.test"})
    return filled(
        set=maybe(st.one_of(lines, lines, lines, own) if host else lines),
        add=maybe(lines, 3),
        remove=maybe(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True), 3),
    )


def headers(*, host: bool) -> st.SearchStrategy[Spec]:
    """Operations on request and response."""
    requests = (*NAMES, "X-New", "x-request-id", "x-forwarded-proto", "content-type")
    return filled(
        request=maybe(operations(COMMANDS, requests, host=host)),
        response=maybe(
            operations(RESPONSE_COMMANDS, ("x-up", "x-dup", "X-New", "content-type", "server", "date"), host=False)
        ),
    )


DESTINATIONS: tuple[tuple[str, Spec], ...] = (
    *((subset, {"host": HOST, "subset": subset}) for subset in SUBSETS),
    ("main", {"host": f"shop-{NUMBER}"}),
    ("main", {"host": f"shop-{NUMBER}", "port": {"number": 8080}}),
    ("none", {"host": HOST, "subset": "missing"}),
    ("none", {"host": f"nobody-{NUMBER}.test"}),
)
"""With the cluster that each may lead to: destinations of one split must be told apart by it."""
rewrites = st.one_of(
    filled(
        uri=st.sampled_from(("/", "/new", "/new/", "/v2?x=1", "new")), authority=maybe(st.just("rewritten.test"), 3)
    ),
    st.just({"authority": "rewritten.test:81"}),
    st.just({"authority": HOST}),
    st.sampled_from(
        (
            ("^/api/(.*)$", "/\\1"),
            ("/", "_"),
            ("a", "\\0\\0"),
            ("(.)", "\\1-"),
            ("[0-9]+", "N"),
            ("x*", "-"),
            ("(?i)API", "\\\\"),
            ("^", "/first"),
            ("(a)|(p)", "<\\2>"),
        )
    ).map(lambda pair: {"uriRegexRewrite": {"match": pair[0], "rewrite": pair[1]}}),
)
redirects = filled(
    uri=maybe(st.sampled_from(("/to", "/to?y=2", "to", "/to#f"))),
    authority=maybe(st.sampled_from(("to.test", "to.test:81", "[::1]:82"))),
    scheme=maybe(st.sampled_from(("http", "https")), 3),
    port=maybe(st.sampled_from((80, 443, 8080)), 3),
    redirectCode=maybe(st.sampled_from((301, 302, 303, 307, 308))),
).filter(lambda found: set(found) - {"redirectCode"})
direct_responses = st.just({"status": 204}) | filled(
    status=st.sampled_from((200, 201, 301, 404, 418, 503, 599)),
    body=maybe(st.one_of(st.just({"string": "text ü"}), st.just({"bytes": "AAH/"}), st.just({"string": ""}))),
)
faults = st.one_of(
    st.sampled_from((200, 400, 503, 555)).map(
        lambda status: {"abort": {"httpStatus": status, "percentage": {"value": 100}}}
    ),
    st.sampled_from(("UNAVAILABLE", "OK", "DEADLINE_EXCEEDED")).map(
        lambda status: {"abort": {"grpcStatus": status, "percentage": {"value": 100}}}
    ),
    st.just({"abort": {"httpStatus": 500}}),
)
cors_policies = filled(
    allowOrigins=maybe(
        st.lists(string_match(("https://a.test", "*"), ("https://.*\\.test", ".*")), min_size=1, max_size=2), 1
    ),
    allowMethods=maybe(st.lists(st.sampled_from(("GET", "POST", "*")), min_size=1, max_size=2, unique=True)),
    allowHeaders=maybe(st.lists(st.sampled_from(("x-a", "*")), min_size=1, max_size=2, unique=True)),
    exposeHeaders=maybe(st.just(["x-up"])),
    maxAge=maybe(st.just("24h")),
    allowCredentials=maybe(st.booleans()),
    unmatchedPreflights=maybe(st.sampled_from(("FORWARD", "IGNORE"))),
)


@st.composite
def rules(draw: st.DrawFn, *, last: bool) -> Spec:
    """One HTTP rule. The last one may match everything, and so make sure that something answers."""
    rule: Spec = {}
    found = draw(st.lists(matches, min_size=0 if last else 1, max_size=2))
    if found:
        rule["match"] = found
    if name := draw(maybe(st.sampled_from(("first", "r-2")), 3)):
        rule["name"] = name
    kind = draw(st.sampled_from(("route", "route", "route", "route", "redirect", "direct")))
    if kind == "redirect":
        rule["redirect"] = draw(redirects)
        if all("prefix" in match.get("uri", {"prefix": ""}) for match in found) and draw(st.booleans()):
            rule["redirect"].pop("uri", None)
            rule["redirect"]["prefixRewrite"] = draw(st.sampled_from(("/", "/p", "/p/")))
    elif kind == "direct":
        rule["directResponse"] = draw(direct_responses)
    else:
        rule |= draw(forwards())
    if found_headers := draw(maybe(headers(host=kind == "route" and "rewrite" not in rule))):
        rule["headers"] = found_headers
    if cors := draw(maybe(cors_policies, 5)):
        rule["corsPolicy"] = cors
    return rule


@st.composite
def forwards(draw: st.DrawFn) -> Spec:
    """A rule's way to its destinations."""
    if draw(st.integers(0, 4)):
        routes = [draw(_routes(st.sampled_from(DESTINATIONS), st.none()))]
    else:
        chosen = draw(st.lists(st.sampled_from(DESTINATIONS), unique_by=lambda one: one[0], min_size=2, max_size=3))
        routes = [draw(_routes(st.just(one), st.sampled_from((1, 1, 2, 0)))) for one in chosen]
        if not any(route["weight"] for route in routes):
            routes[0]["weight"] = 1
    rule: Spec = {"route": routes}
    if rewrite := draw(maybe(rewrites)):
        rule["rewrite"] = rewrite
    if fault := draw(maybe(faults, 8)):
        rule["fault"] = fault
    if draw(st.integers(0, 5)) == 0:
        rule["timeout"] = "20s"
        rule["retries"] = {"attempts": 1, "perTryTimeout": "10s", "retryOn": "connect-failure"}
    return rule


def _routes(
    destination: st.SearchStrategy[tuple[str, Spec]], weight: st.SearchStrategy[int | None]
) -> st.SearchStrategy[Spec]:
    return filled(destination=destination.map(lambda one: one[1]), weight=weight, headers=maybe(headers(host=True), 4))
