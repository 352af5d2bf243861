"""One rule of an AuthorizationPolicy → the conditions that Istio gives Envoy for it, for HTTP or for TCP.

Source: Istio pilot/pkg/security/authz/model/{model,generator}.go, pilot/pkg/security/authz/matcher.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pyproxy.core.regex import quote
from pyproxy.istio.security import Condition, Operation, Rule, Source
from pyproxy.policy.cidr import parse_block
from pyproxy.policy.path_template import is_template
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
from pyproxy.snapshot.trust_domains import TrustDomains

_SPIFFE = "spiffe://"
_SOMETHING = Text("regex", ".+")
_FILTERS = "experimental."


class HttpOnly(Exception):
    """A rule that allows says something that connections do not have: there it can never match."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the rules of one policy are read. Raises HttpOnly where `strict`."""

    namespace: str
    """The policy's."""
    trust_domains: TrustDomains
    tcp: bool
    strict: bool
    """Action ALLOW: what TCP does not have takes the whole rule away; elsewhere only what cannot be asked falls out."""

    def permission(self, rule: Rule) -> Term:
        """What may be done: `to`, and the part of `when` that asks about the destination."""
        conditions = [term for each in rule.when for term in self._condition(each, self._of_destination(each))]
        operations = [each.operation for each in rule.to] or [None]
        return AnyOf(tuple(AllOf((*self._operation(operation), *conditions)) for operation in operations))

    def principal(self, rule: Rule) -> Term:
        """By whom: `from`, and the rest of `when`."""
        conditions = [term for each in rule.when for term in self._condition(each, self._of_source(each))]
        sources = [each.source for each in rule.from_] or [None]
        return AnyOf(tuple(AllOf((*self._source(source), *conditions)) for source in sources))

    # Parts of a rule

    def _operation(self, operation: Operation | None) -> Iterator[Term]:
        if operation is None:
            return
        yield from self._both(operation.hosts, operation.not_hosts, _host, http_only=True)
        yield from self._both(operation.methods, operation.not_methods, _method, http_only=True)
        yield from self._both(operation.paths, operation.not_paths, _path, http_only=True)
        yield from self._both(operation.ports, operation.not_ports, _port)

    def _source(self, source: Source | None) -> Iterator[Term]:
        if source is None:
            return
        known = self.trust_domains
        yield from self._both(
            known.of_principals(source.principals), known.of_principals(source.not_principals), _principal
        )
        yield from self._both(
            source.request_principals, source.not_request_principals, _request_principal, http_only=True
        )
        yield from self._both(source.service_accounts, source.not_service_accounts, self._service_account)
        yield from self._both(known.expand(source.trust_domains), known.expand(source.not_trust_domains), _trust_domain)
        yield from self._both(source.namespaces, source.not_namespaces, _namespace)
        yield from self._both(source.remote_ip_blocks, source.not_remote_ip_blocks, _remote_ip)
        yield from self._both(source.ip_blocks, source.not_ip_blocks, _direct_ip)

    def _condition(self, condition: Condition, meaning: tuple[Callable[[str], Term], bool] | None) -> Iterator[Term]:
        if meaning is None:
            return
        values, not_values = condition.values, condition.not_values
        if condition.key == "source.principal":
            values, not_values = (self.trust_domains.of_principals(each) for each in (values, not_values))
        elif condition.key == "source.trustDomain":
            values, not_values = (self.trust_domains.expand(each) for each in (values, not_values))
        make, http_only = meaning
        yield from self._both(values, not_values, make, http_only=http_only)

    def _of_destination(self, condition: Condition) -> tuple[Callable[[str], Term], bool] | None:
        key = condition.key
        if key.startswith(_FILTERS):
            name, _, field = key.removeprefix(_FILTERS).removesuffix("]").partition("[")
            return lambda value: _metadata(name, field, value), False
        make = {"destination.ip": _destination_ip, "destination.port": _port, "connection.sni": _server_name}.get(key)
        return None if make is None else (make, False)

    def _of_source(self, condition: Condition) -> tuple[Callable[[str], Term], bool] | None:
        key = condition.key
        if key.startswith("request.headers"):
            name = key.removeprefix("request.headers").removeprefix("[").removesuffix("]").lower()
            return lambda value: _header(name, value), True
        if key.startswith("request.auth.claims"):
            path = claim_path(key.removeprefix("request.auth.claims"))
            return lambda value: Claim(path, (text(value),)), True
        request: dict[str, Callable[[str], Term]] = {
            "request.auth.principal": _request_principal,
            "request.auth.audiences": lambda value: Claim(("aud",), (text(value),)),
            "request.auth.presenter": lambda value: Claim(("azp",), (text(value),)),
        }
        if key in request:
            return request[key], True
        connection: dict[str, Callable[[str], Term]] = {
            "source.ip": _direct_ip,
            "remote.ip": _remote_ip,
            "source.namespace": _namespace,
            "source.trustDomain": _trust_domain,
            "source.serviceAccount": self._service_account,
            "source.principal": _principal,
        }
        return (connection[key], False) if key in connection else None

    def _both(
        self,
        values: Sequence[str],
        not_values: Sequence[str],
        make: Callable[[str], Term],
        *,
        http_only: bool = False,
    ) -> Iterator[Term]:
        """One of the values, and none of the others."""
        if not values and not not_values:
            return
        if http_only and self.tcp:
            if self.strict:
                raise HttpOnly
            return
        if values:
            yield AnyOf(tuple(make(value) for value in values))
        if not_values:
            yield Not(AnyOf(tuple(make(value) for value in not_values)))

    def _service_account(self, value: str) -> Term:
        namespace, slash, account = value.partition("/")
        if not slash:
            namespace, account = self.namespace, value
        return _named("regex", f"spiffe://.+/ns/{quote(namespace)}/(.+/|)sa/{quote(account)}(/.+)?")


# Texts


def text(value: str) -> Text:
    """`pre*`, `*suf`, `*` (not empty), or exact."""
    if value == "*":
        return _SOMETHING
    if value.startswith("*"):
        return Text("suffix", value.removeprefix("*"))
    return Text("prefix", value[:-1]) if value.endswith("*") else Text("exact", value)


def _line(value: str, *, ignore_case: bool = False) -> Text | None:
    """The same for a header, where `*` takes an empty one too."""
    if value == "*":
        return None
    found = text(value)
    return Text(found.how, found.text, ignore_case)


def claim_path(brackets: str) -> tuple[str, ...]:
    """`[a][b]` is b within a; what is not of that form is one name."""
    if re.fullmatch(r"(\[[^\[\]]*\])+", brackets):
        return tuple(brackets[1:-1].split("]["))
    return (brackets.removeprefix("[").removesuffix("]"),)


# Conditions


def _named(how: str, wanted: str) -> Term:
    return Authenticated(Text("regex" if how == "regex" else "exact" if how == "exact" else "prefix", wanted))


def _principal(value: str) -> Term:
    if value == "*":
        return Authenticated(_SOMETHING)
    if value.startswith("*"):
        return _named("regex", f"{_SPIFFE}.*{quote(value.removeprefix('*'))}")
    return _named("prefix", _SPIFFE + value[:-1]) if value.endswith("*") else _named("exact", _SPIFFE + value)


def _namespace(value: str) -> Term:
    return _named("regex", f".*/ns/{'.*'.join(quote(part) for part in value.split('*'))}/.*")


def _trust_domain(value: str) -> Term:
    if value == "*":
        return _named("prefix", _SPIFFE)
    if "*" not in value:
        return _named("prefix", f"{_SPIFFE}{value}/")
    before, _, after = value.partition("*")
    return _named("regex", f"{_SPIFFE}{quote(before)}[^/]*{quote(after)}/.*")


def _request_principal(value: str) -> Term:
    issuer, subject = _token_names(value)
    return AllOf((Claim(("iss",), (issuer,), in_lists=False), Claim(("sub",), (subject,), in_lists=False)))


def _token_names(value: str) -> tuple[Text, Text]:
    """Issuer and subject: divided at the last slash, for an issuer may be a URL."""
    issuer, slash, subject = value.rpartition("/")
    if value == "*":
        return _SOMETHING, _SOMETHING
    if not slash:
        if value.startswith("*"):
            return _SOMETHING, Text("suffix", value.removeprefix("*"))
        if value.endswith("*"):
            return Text("prefix", value[:-1]), _SOMETHING
        return Text("exact", value), Text("exact", "")
    if value.startswith("*"):
        return (_SOMETHING if issuer == "*" else Text("suffix", issuer.removeprefix("*"))), Text("exact", subject)
    if value.endswith("*"):
        return Text("exact", issuer), (_SOMETHING if subject == "*" else Text("prefix", subject[:-1]))
    return Text("exact", issuer), Text("exact", subject)


def _host(value: str) -> Term:
    return Header(":authority", _line(value, ignore_case=True))


def _method(value: str) -> Term:
    return Header(":method", _line(value))


def _header(name: str, value: str) -> Term:
    return Header(name, _line(value))


def _path(value: str) -> Term:
    return PathTemplate(value) if is_template(value) else Path(text(value))


def _port(value: str) -> Term:
    return DestinationPort(int(value))


def _direct_ip(value: str) -> Term:
    return DirectIp(parse_block(value))


def _remote_ip(value: str) -> Term:
    return RemoteIp(parse_block(value))


def _destination_ip(value: str) -> Term:
    return DestinationIp(parse_block(value))


def _server_name(value: str) -> Term:
    return ServerName(text(value))


def _metadata(filter_name: str, key: str, value: str) -> Term:
    in_list = value.startswith("[") and value.endswith("]")
    return Metadata(filter_name, key, (text(value.strip("[]") if in_list else value),), (in_list,))
