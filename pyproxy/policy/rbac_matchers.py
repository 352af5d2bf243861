"""Conditions of authorization rules → predicates over the facts of a request. Source: Envoy common/rbac/matchers.cc."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pyproxy.core.http import RequestHead
from pyproxy.core.regex import compile_regex
from pyproxy.policy.cidr import Block, parse_address
from pyproxy.policy.path_template import template_pattern
from pyproxy.policy.rbac_terms import (
    AllOf,
    AnyOf,
    Authenticated,
    Claim,
    DestinationIp,
    DestinationPort,
    DirectIp,
    Header,
    Metadata,
    Not,
    Path,
    PathTemplate,
    RemoteIp,
    ServerName,
    Term,
    Text,
)

NO_REQUEST: Final = RequestHead(b"", b"", b"", [])
"""The head of a connection that is not HTTP."""


class Facts:
    """What rules may ask about one request, or about one connection that is not HTTP."""

    __slots__ = (
        "destination_ip",
        "destination_port",
        "direct_ip",
        "head",
        "names",
        "remote_ip",
        "server_name",
    )

    def __init__(
        self,
        *,
        names: tuple[str, ...] | None = None,
        direct_ip: str = "",
        remote_ip: str = "",
        destination_ip: str = "",
        destination_port: int = 0,
        server_name: str = "",
        head: RequestHead = NO_REQUEST,
    ) -> None:
        self.names = names
        """In the peer's certificate: URI names, DNS names, subject. None: plaintext."""
        self.direct_ip = direct_ip
        self.remote_ip = remote_ip
        self.destination_ip = destination_ip
        self.destination_port = destination_port
        self.server_name = server_name
        self.head = head
        """`head.token` says what was verified."""


Predicate = Callable[[Facts], bool]
Fact = Callable[[Facts], object]
"""One hashable fact; requests that agree in all facts that a rule reads get the same answer from it."""


def compile_term(term: Term) -> Predicate:
    """A predicate for one condition, whatever it is made of."""
    if isinstance(term, AllOf):
        return _all_of(tuple(compile_term(each) for each in term.terms))
    if isinstance(term, AnyOf):
        return _any_of(tuple(compile_term(each) for each in term.terms))
    if isinstance(term, Not):
        return _negation(compile_term(term.term))
    if isinstance(term, Authenticated):
        return _authenticated(text_test(term.name))
    if isinstance(term, DirectIp):
        return _in_block(_direct_ip, term.block)
    if isinstance(term, RemoteIp):
        return _in_block(_remote_ip, term.block)
    if isinstance(term, DestinationIp):
        return _in_block(_destination_ip, term.block)
    if isinstance(term, DestinationPort):
        return _to_port(term.port)
    if isinstance(term, ServerName):
        return _server_name(text_test(term.name))
    if isinstance(term, Header):
        return _header(term.name, term.value)
    if isinstance(term, Path):
        return _path(bytes_test(term.path))
    if isinstance(term, PathTemplate):
        return _path(bytes_test(Text("regex", template_pattern(term.template))))
    if isinstance(term, Claim):
        return _claim(term)
    return _never


def facts_read(term: Term) -> dict[str, Fact]:
    """What a condition looks at, by name: the facts that decide it, and no others."""
    if isinstance(term, AllOf | AnyOf):
        found: dict[str, Fact] = {}
        for each in term.terms:
            found |= facts_read(each)
        return found
    if isinstance(term, Not):
        return facts_read(term.term)
    if isinstance(term, Header):
        return {f"header {term.name}": _header_fact(term.name)}
    if isinstance(term, Metadata):
        return {}
    if isinstance(term, Claim):
        path = term.path
        return {f"claim {path}": lambda facts: _claimed(facts, path)}
    name = type(term).__name__
    return {name: _FACTS[name]}


# Combinations


def _always(facts: Facts) -> bool:
    return True


def _never(facts: Facts) -> bool:
    return False


def _all_of(tests: tuple[Predicate, ...]) -> Predicate:
    if not tests:
        return _always
    if len(tests) == 1:
        return tests[0]

    def holds(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 - all() costs a generator per request
            if not test(facts):
                return False
        return True

    return holds


def _any_of(tests: tuple[Predicate, ...]) -> Predicate:
    if not tests:
        return _never
    if len(tests) == 1:
        return tests[0]

    def holds(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 - as above
            if test(facts):
                return True
        return False

    return holds


def _negation(test: Predicate) -> Predicate:
    return lambda facts: not test(facts)


# Texts


def text_test(text: Text) -> Callable[[str], bool]:
    """A test of one text."""
    wanted = text.text.lower() if text.ignore_case else text.text
    if text.how == "regex":
        full_match = compile_regex(wanted).fullmatch
        return lambda value: full_match(value.encode("utf-8", "surrogateescape")) is not None
    if text.how == "exact":
        return lambda value: value == wanted
    if text.how == "prefix":
        return lambda value: value.startswith(wanted)
    return lambda value: value.endswith(wanted)


def bytes_test(text: Text) -> Callable[[bytes], bool]:
    """The same for what is on the wire; letter case counts unless `ignore_case`."""
    wanted = text.text.encode()
    if text.how == "regex":
        full_match = compile_regex(text.text).fullmatch
        return lambda value: full_match(value) is not None
    if text.ignore_case:
        folded = wanted.lower()
        if text.how == "exact":
            return lambda value: value.lower() == folded
        if text.how == "prefix":
            return lambda value: value.lower().startswith(folded)
        return lambda value: value.lower().endswith(folded)
    if text.how == "exact":
        return lambda value: value == wanted
    if text.how == "prefix":
        return lambda value: value.startswith(wanted)
    return lambda value: value.endswith(wanted)


# Connection


def _authenticated(test: Callable[[str], bool]) -> Predicate:
    def holds(facts: Facts) -> bool:
        if facts.names is not None:
            for name in facts.names:
                if test(name):
                    return True
        return False

    return holds


def _direct_ip(facts: Facts) -> str:
    return facts.direct_ip


def _remote_ip(facts: Facts) -> str:
    return facts.remote_ip


def _destination_ip(facts: Facts) -> str:
    return facts.destination_ip


def _in_block(address_of: Callable[[Facts], str], block: Block) -> Predicate:
    def holds(facts: Facts) -> bool:
        address = parse_address(address_of(facts))
        return address is not None and block.contains(address)

    return holds


def _to_port(port: int) -> Predicate:
    return lambda facts: facts.destination_port == port


def _server_name(test: Callable[[str], bool]) -> Predicate:
    return lambda facts: test(facts.server_name)


# Request


def _path(test: Callable[[bytes], bool]) -> Predicate:
    return lambda facts: test(facts.head.path)


def _header(name: str, value: Text | None) -> Predicate:
    key = name.encode()
    if value is None:
        return lambda facts: bool(header_values(facts.head, key))
    test = bytes_test(value)
    if key == b":method":
        return lambda facts: test(facts.head.method)
    if key in _AUTHORITY:
        return lambda facts: test(facts.head.authority)

    def holds(facts: Facts) -> bool:
        for line in header_values(facts.head, key):  # noqa: SIM110 - as above
            if test(line):
                return True
        return False

    return holds


_AUTHORITY: Final = (b":authority", b"host")  # Envoy knows the two as one header
_OF_UPGRADES: Final = (b"connection", b"upgrade")


def header_values(head: RequestHead, name: bytes) -> list[bytes]:
    """Every line of a header, as Envoy's filters see it."""
    if name in _AUTHORITY:
        return [head.authority]
    if name[:1] == b":":
        pseudo = {b":method": head.method, b":path": head.target, b":scheme": head.scheme}.get(name)
        return [] if pseudo is None else [pseudo]
    if name in _OF_UPGRADES:
        # Hop-by-hop: taken off at once, but for a request that wants to become something else.
        return [head.notable[name]] if b":upgrade" in head.notable and name in head.notable else []
    return head.get_all(name)


# Token


def _claim(term: Claim) -> Predicate:
    path = term.path
    tests = tuple(text_test(value) for value in term.values)
    in_lists = term.in_lists

    def holds(facts: Facts) -> bool:
        found = _claimed(facts, path)
        if isinstance(found, tuple):
            return in_lists and any(test(each) for each in found for test in tests)
        return found is not None and any(test(found) for test in tests)

    return holds


def _claimed(facts: Facts, path: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """A claim's text, or the texts in its list; None when it is neither."""
    token = facts.head.token
    if token is None:
        return None
    value: object = token.claims
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    if isinstance(value, list | tuple):
        return tuple(each for each in value if isinstance(each, str))
    return value if isinstance(value, str) else None


# What decisions are remembered by


def _header_fact(name: str) -> Fact:
    key = name.encode()
    if key == b":method":
        return lambda facts: facts.head.method
    if key in _AUTHORITY:
        return lambda facts: facts.head.authority
    return lambda facts: tuple(header_values(facts.head, key))


_FACTS: Final[dict[str, Fact]] = {
    "Authenticated": lambda facts: facts.names,
    "DirectIp": _direct_ip,
    "RemoteIp": _remote_ip,
    "DestinationIp": _destination_ip,
    "DestinationPort": lambda facts: facts.destination_port,
    "ServerName": lambda facts: facts.server_name,
    "Path": lambda facts: facts.head.path,
    "PathTemplate": lambda facts: facts.head.path,
}
