"""Requests with tokens, good and bad in every way, and the mesh that they are for: a gateway before an echo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from jwt.algorithms import get_default_algorithms

from tests.tokens import SigningKey, encoded, key_set, signing_key, token

NOW = int(time.time())
KEYS = {name: signing_key(name, name) for name in ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")}
SECRET = signing_key("HS256", "secret")
NAMELESS = signing_key("ES256", "nameless", key_id="")
STRANGER = signing_key("ES256", "stranger")
ALL_KEYS = key_set(*KEYS.values(), SECRET)
ME = {"iss": "me", "sub": "you"}
Lines = Mapping[str, str]


def rule(issuer: str, keys: str = ALL_KEYS, **more: Any) -> dict[str, Any]:
    return {"issuer": issuer, "jwks": keys, **more}


def mesh(*rules: Mapping[str, Any], listens: int = 0, name: str = "door") -> list[dict[str, Any]]:
    """A gateway with these rules, and routes that ask for claims; UPSTREAM is the port of the echo."""
    to = {"destination": {"host": "echo.default.svc.cluster.local"}}

    def route(label: str, **match: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"name": label, "route": [to], "headers": {"request": {"set": {"x-route": label}}}}
        return found | ({"match": [match]} if match else {})

    def claim(path: str, **how: str) -> dict[str, Any]:
        return {"headers": {f"@request.auth.claims{path}": how}}

    return [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "echo"},
            "spec": {
                "hosts": ["echo.default.svc.cluster.local"],
                "resolution": "STATIC",
                "location": "MESH_INTERNAL",
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "endpoints": [{"address": "127.0.0.1", "ports": {"http": "UPSTREAM"}}],
            },
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": name},
            "spec": {
                "selector": {"istio": "door"},
                "servers": [{"port": {"number": listens, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
            },
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "echo"},
            "spec": {
                "hosts": ["*"],
                "gateways": [name],
                "http": [
                    route("refused", uri={"prefix": "/claims"}, **claim(".banned", exact="yes")),
                    route("admins", uri={"prefix": "/claims"}, **claim(".groups", exact="admin")),
                    route("deep", uri={"prefix": "/claims"}, **claim("[a.b][c]", prefix="x")),
                    route("scoped", uri={"prefix": "/claims"}, **claim(".scope", regex="w.*")),
                    route(
                        "others",
                        uri={"prefix": "/claims"},
                        withoutHeaders={"@request.auth.claims.sub": {"exact": "you"}},
                    ),
                    route("told", uri={"prefix": "/told"}, headers={"x-sub": {"exact": "you"}}),
                    route("rest"),
                ],
            },
        },
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "RequestAuthentication",
            "metadata": {"name": "tokens"},
            "spec": {"selector": {"matchLabels": {"istio": "door"}}, "jwtRules": list(rules)},
        },
    ]


def bearer(text: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"} | {name.replace("_", "-"): value for name, value in more.items()}


def raw(payload: Any, header: Any = None, signature: str = "AAAA") -> str:
    """A token that nobody signed."""
    return f"{encoded(header or {'alg': 'ES256', 'kid': 'ES256'})}.{encoded(payload)}.{signature}"


def es(claims: Mapping[str, Any], **more: Any) -> str:
    return token({**ME, **claims}, KEYS["ES256"], **more)


def _renamed(key: SigningKey, algorithm: str) -> str:
    """Signed by a key, under an algorithm of another kind."""
    signed = f"{encoded({'alg': algorithm, 'kid': key.key_id})}.{encoded(ME)}"
    return f"{signed}.{encoded(get_default_algorithms()[key.algorithm].sign(signed.encode(), key.private))}"


ALONE = (
    rule(
        "me",
        outputPayloadToHeader="x-payload",
        outputClaimToHeaders=[
            {"header": "x-sub", "claim": "sub"},
            {"header": "x-deep", "claim": "a.b"},
            {"header": "x-many", "claim": "many"},
        ],
        spaceDelimitedClaims=["words"],
    ),
)
"""One rule, with the usual places."""

ALONE_CASES: dict[str, tuple[str, Lines]] = {
    "no token": ("/", {}),
    "no token, forged headers": ("/", {"x-sub": "root", "x-payload": "e30", "x-kept": "y"}),
    "basic": ("/", {"authorization": "Basic eDp5"}),
    **{f"by {name}": ("/x?y=1", bearer(token(ME, key))) for name, key in KEYS.items()},
    **{f"RS as {name}": ("/", bearer(token(ME, KEYS["RS256"], algorithm=name))) for name in ("RS384", "RS512")},
    **{f"PS as {name}": ("/", bearer(token(ME, KEYS["PS256"], algorithm=name))) for name in ("PS384", "PS512")},
    **{f"HS as {name}": ("/", bearer(token(ME, SECRET, algorithm=name))) for name in ("HS256", "HS384", "HS512")},
    "forged headers with a token": ("/", bearer(es({}), x_sub="root", x_deep="1")),
    "no key id": ("/", bearer(es({}, header={"kid": None}))),
    "an unknown key id": ("/", bearer(es({}, header={"kid": "zoe"}))),
    "another's key id": ("/", bearer(es({}, header={"kid": "RS256"}))),
    "a stranger": ("/", bearer(token(ME, STRANGER))),
    "a stranger with our key id": ("/", bearer(token(ME, STRANGER, header={"kid": "ES256"}))),
    "an algorithm that does not fit": ("/", bearer(raw(ME, {"alg": "RS256", "kid": "ES256"}, "A" * 86))),
    "a public key as secret": (
        "/",
        bearer(token(ME, SigningKey(KEYS["RS256"].jwk()["n"].encode(), "HS256", "RS256"))),
    ),
    "none": ("/", bearer(raw(ME, {"alg": "none"}))),
    "none, unsigned": ("/", bearer(raw(ME, {"alg": "none"}, ""))),
    "an algorithm nobody knows": ("/", bearer(raw(ME, {"alg": "XS256"}))),
    "no algorithm": ("/", bearer(raw(ME, {"typ": "JWT"}))),
    "an algorithm that is a number": ("/", bearer(raw(ME, {"alg": 5}))),
    "a key id that is a number": ("/", bearer(raw(ME, {"alg": "ES256", "kid": 5}))),
    "another issuer": ("/", bearer(es({"iss": "zoe"}))),
    "no issuer": ("/", bearer(token({"sub": "x"}, KEYS["ES256"]))),
    "an issuer that is a number": ("/", bearer(es({"iss": 5}))),
    "a subject that is a number": ("/", bearer(es({"sub": 5}))),
    "no subject": ("/", bearer(token({"iss": "me"}, KEYS["ES256"]))),
    "expired": ("/", bearer(es({"exp": NOW - 100}))),
    "expired within the leeway": ("/", bearer(es({"exp": NOW - 10}))),
    "not expired": ("/", bearer(es({"exp": NOW + 100}))),
    "expiry 0": ("/", bearer(es({"exp": 0}))),
    "expiry with a fraction": ("/", bearer(es({"exp": NOW + 1000.5}))),
    "expiry as text": ("/", bearer(es({"exp": str(NOW)}))),
    "expiry null": ("/", bearer(es({"exp": None}))),
    "expiry below zero": ("/", bearer(es({"exp": -1}))),
    "expiry beyond measure": ("/", bearer(es({"exp": 1e30}))),
    "not yet": ("/", bearer(es({"nbf": NOW + 1000}))),
    "not yet within the leeway": ("/", bearer(es({"nbf": NOW + 30}))),
    "not yet and expired": ("/", bearer(es({"nbf": NOW + 1000, "exp": 1}))),
    "issued as text": ("/", bearer(es({"iat": "x"}))),
    "an identifier that is a number": ("/", bearer(es({"jti": 5}))),
    "audiences that are numbers": ("/", bearer(es({"aud": [1]}))),
    "one section": ("/", bearer("abc")),
    "two sections": ("/", bearer("abc.def")),
    "four sections": ("/", bearer("a.b.c.d")),
    "empty sections": ("/", bearer("..")),
    "nothing": ("/", {"authorization": "Bearer "}),
    "dots before": ("/", bearer("." + es({}))),
    "a header that is no base64": ("/", bearer("a.b.c")),
    "a header that is no JSON": ("/", bearer(f"{encoded('{')}.b.c")),
    "a header that is a list": ("/", bearer(raw(ME, "[]"))),
    "a payload that is no base64": ("/", bearer(f"{encoded({'alg': 'ES256'})}.a+b.c")),
    "a payload that is no JSON": ("/", bearer(raw("x"))),
    "a payload with a number beyond measure": ("/", bearer(raw('{"a":1e999}'))),
    "a payload with a long number": ("/", bearer(raw('{"a":' + "9" * 400 + "}"))),
    "a payload with a key twice": ("/", bearer(raw('{"iss":"you","iss":"me"}'))),
    "a payload with half a surrogate pair": ("/", bearer(raw('{"a":"\\ud800"}'))),
    "a payload with deep brackets": ("/", bearer(raw('{"a":' + "[" * 200 + "]" * 200 + "}"))),
    "a payload with brackets less deep": ("/", bearer(raw('{"a":' + "[" * 40 + "]" * 40 + "}"))),
    "a payload that is a list": ("/", bearer(raw("[1]"))),
    "a payload with NaN": ("/", bearer(raw('{"a":NaN}'))),
    "a signature that is no base64": ("/", bearer(raw(ME, signature="a+b"))),
    "a signature of another length": ("/", bearer(raw(ME, signature="AAAA"))),
    "an Edwards signature of another length": ("/", bearer(raw(ME, {"alg": "EdDSA", "kid": "EdDSA"}))),
    "a changed payload": (
        "/",
        bearer(".".join((es({}).split(".")[0], encoded({**ME, "sub": "root"}), es({}).split(".")[2]))),
    ),
    "padding": ("/", bearer(es({}) + "==")),
    "a comma behind": ("/", bearer(es({}) + ", x")),
    "white space behind the prefix": ("/", {"authorization": f"Bearer    {es({})}"}),
    "a prefix in the middle": ("/", {"authorization": f"x Bearer {es({})}"}),
    "a prefix in small letters": ("/", {"authorization": f"bearer {es({})}"}),
    "quotes": ("/", {"authorization": f'Bearer "{es({})}"'}),
    "in a parameter": (f"/?access_token={es({})}", {}),
    "in a parameter beside others": (f"/p?b=1&access_token={es({})}&c=2", {}),
    "bad in a parameter": ("/p?b=1&access_token=bad", {}),
    "empty in a parameter": ("/p?access_token=", {}),
    "a parameter without a value": ("/p?access_token", {}),
    "good twice": (f"/?access_token={es({})}", bearer(es({}))),
    "bad twice": ("/?access_token=a", bearer("a.b.c")),
    "bad, and good in a parameter": (f"/?access_token={es({})}", bearer("a.b")),
    "a long path": ("/" + "a" * 400, bearer("bad")),
    "a query": ("/a?b=c", bearer("bad")),
    "claims as text, number, truth": ("/", bearer(es({"a": {"b": 1.5}, "many": True}))),
    "claims as whole number": ("/", bearer(es({"a": {"b": 15}, "many": -2}))),
    "claims as list": ("/", bearer(es({"a": {"b": ["x", 1, None, {"y": "<z>"}]}, "many": {"only": "ü/é"}}))),
    "claims empty": ("/", bearer(es({"a": {"b": ""}, "many": None}))),
    "claims of a dotted name": ("/", bearer(es({"a.b": "x"}))),
    "preflight": (
        "OPTIONS /",
        {"origin": "http://a", "access-control-request-method": "GET", "authorization": "Bearer bad"},
    ),
    "no preflight": ("OPTIONS /", {"origin": "http://a", "authorization": "Bearer bad"}),
    "a HEAD": ("HEAD /", bearer("bad")),
    "claims: none": ("/claims", {}),
    "claims: admin": ("/claims", bearer(es({"groups": ["x", "admin"]}))),
    "claims: admin as text": ("/claims", bearer(es({"groups": "admin"}))),
    "claims: no admin": ("/claims", bearer(es({"groups": ["administrator"]}))),
    "claims: deep": ("/claims", bearer(es({"a.b": {"c": ["y", "xy"]}}))),
    "claims: scope": ("/claims", bearer(es({"scope": "read write"}))),
    "claims: banned": ("/claims", bearer(es({"banned": "yes", "groups": "admin"}))),
    "claims: others": ("/claims", bearer(token({"iss": "me", "sub": "he"}, KEYS["ES256"]))),
    "other parameters, in disorder": (f"/p?z=%41%26&access_token={es({})}&a=1&z=2&m", {}),
    "the same parameter twice": (f"/p?access_token={es({})}&access_token=bad", {}),
    "the same parameter twice, bad first": (f"/p?access_token=bad&access_token={es({})}", {}),
    "an escaped parameter's name": (f"/p?access%5Ftoken={es({})}", {}),
    "preflight with forged headers": (
        "OPTIONS /",
        {"origin": "http://a", "access-control-request-method": "GET", "x-sub": "root"},
    ),
    "the right key under another algorithm": (
        "/",
        bearer(_renamed(KEYS["ES256"], "RS256")),
    ),
    "a claim that ends the line": ("/", bearer(es({"many": "a\r\nx-admin: yes"}))),
    "told": ("/told", bearer(es({}))),
    "told, forged": ("/told", {"x-sub": "you"}),
    "told, forged with a token": ("/told", bearer(token({"iss": "me", "sub": "he"}, KEYS["ES256"]), x_sub="you")),
}

SEVERAL = (
    rule("a", key_set(NAMELESS), audiences=["here", "http://web/"]),
    rule(
        "b",
        forwardOriginalToken=True,
        fromHeaders=[{"name": "x-b", "prefix": "Token "}, {"name": "x-b2"}],
        outputPayloadToHeader="x-payload",
    ),
    rule("c", fromParams=["t", "u"], fromCookies=["tea", "oat"]),
    rule("d"),
    rule("e", fromHeaders=[{"name": "x-e"}]),
)
"""Several rules: an issuer with audiences, one with headers, one with parameters and cookies, one beside the first."""


def of(issuer: str, **claims: Any) -> str:
    key = NAMELESS if issuer == "a" else KEYS["ES256"]
    return token({"iss": issuer, "sub": "s", **claims}, key)


SEVERAL_CASES: dict[str, tuple[str, Lines]] = {
    "no token": ("/", {}),
    "a": ("/", bearer(of("a", aud="here"))),
    "a with a scheme": ("/", bearer(of("a", aud=["x", "https://web"]))),
    "a for others": ("/", bearer(of("a", aud="there"))),
    "a for nobody": ("/", bearer(of("a"))),
    "d": ("/", bearer(of("d"))),
    "d expired": ("/", bearer(of("d", exp=1))),
    "an unknown issuer": ("/", bearer(of("zoe"))),
    "b where a and d look": ("/", bearer(of("b"))),
    "b": ("/", {"x-b": f"Token {of('b')}"}),
    "b without prefix": ("/", {"x-b": of("b")}),
    "b in the other header": ("/", {"x-b2": of("b")}),
    "e": ("/", {"x-e": of("e")}),
    "a, with a header that b writes": ("/", bearer(of("a", aud="here"), x_payload="forged")),
    "e, with a header that b writes": ("/", {"x-e": of("e"), "x-payload": "forged"}),
    "e in two cookies": ("/", {"cookie": f"tea={of('c')}; tea=bad"}),
    "c in two cookies, the first bad": ("/", {"cookie": f"tea=bad; tea={of('c')}"}),
    "c in both cookies": ("/", {"cookie": f"oat={of('c')};tea={of('c')}"}),
    "b bad": ("/", {"x-b2": "bad"}),
    "c": (f"/?x=1&t={of('c')}&y=2", {}),
    "c in the other parameter": (f"/?u={of('c')}", {}),
    "c bad": ("/?t=bad", {}),
    "c escaped": (f"/?t={of('c').replace('.', '%2E')}", {}),
    "c in a cookie": ("/", {"cookie": f"x=1; tea={of('c')}; y=2"}),
    "c in the other cookie": ("/", {"cookie": f'oat="{of("c")}"'}),
    "c in a bad cookie": ("/", {"cookie": "tea=bad"}),
    "a and b": ("/", bearer(of("a", aud="here"), x_b2=of("b"))),
    "a good, b bad": ("/", bearer(of("a", aud="here"), x_b2="bad")),
    "d good, b bad": ("/", bearer(of("d"), x_b2="bad")),
    "a bad, b good": ("/", bearer("bad", x_b2=of("b"))),
    "a bad, b bad": ("/", bearer("bad", x_b2="bad.b")),
    "b expired, c for others": (f"/?t={of('zoe')}", {"x-b2": of("b", exp=1)}),
}


TWICE_CASES = {
    "e twice, the first bad": [("x-e", "bad"), ("x-e", of("e"))],
    "e twice, the last bad": [("x-e", of("e")), ("x-e", "bad")],
    "e twice": [("x-e", of("e")), ("x-e", of("e", n=2))],
    "two lines of authorization": [("authorization", f"Bearer {of('d')}"), ("authorization", f"Bearer {of('d')}")],
    "two lines of cookies": [("cookie", f"tea={of('c')}"), ("cookie", "tea=bad")],
    "two lines of cookies, the first bad": [("cookie", "tea=bad"), ("cookie", f"tea={of('c')}")],
}
"""To several rules, with lines of one name."""


ALL_SEVERAL: dict[str, tuple[str, Any]] = {
    **SEVERAL_CASES,
    **{name: ("/", lines) for name, lines in TWICE_CASES.items()},
}


def as_request(identifier: str, asked: tuple[str, Lines | list[tuple[str, str]]]) -> bytes:
    """The bytes of a case."""
    target, lines = asked
    method, _, path = target.rpartition(" ")
    pairs = lines if isinstance(lines, list) else lines.items()
    head = [f"{method or 'GET'} {path} HTTP/1.1", "host: echo.test", f"x-case: {identifier}"]
    return "\r\n".join([*head, *(f"{name}: {value}" for name, value in pairs), "", ""]).encode()
