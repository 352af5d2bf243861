"""Names: DNS labels, domains with wildcards, labels of workloads, IP addresses and unix sockets.

Each check returns what is wrong with a text, or None. The rules are Istio's (pkg/config/validation/agent/validation.go,
pkg/config/labels/instance.go, pkg/config/host/name.go), which are wider than DNS: upper case is allowed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

from pyproxy.istio.rules.place import Place

UNIX_PREFIX = "unix://"

_DNS_LABEL = r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?"
_QUALIFIED = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_DNS_LABEL_PATTERN = re.compile(_DNS_LABEL)
_WILDCARD_LABEL_PATTERN = re.compile(rf"\*|(?:\*-?)?{_DNS_LABEL}")
_LABEL_KEY_PATTERN = re.compile(rf"(?:({_DNS_LABEL}(?:\.{_DNS_LABEL})*)/)?({_QUALIFIED})")
_LABEL_VALUE_PATTERN = re.compile(rf"(?:{_QUALIFIED})?")


# Domains


def is_dns_label(text: str) -> bool:
    """Letters, digits and inner hyphens, 63 at most."""
    return len(text) <= 63 and _DNS_LABEL_PATTERN.fullmatch(text) is not None


def dns_label_problem(text: str) -> str | None:
    """For names of ports, subsets, gateways and namespaces."""
    if is_dns_label(text):
        return None
    return f'"{text}" must be letters, digits and inner hyphens, 1 to 63 of them'


@lru_cache(maxsize=4096)
def fqdn_problem(domain: str) -> str | None:
    """For a host name without a wildcard; a trailing dot is fine."""
    return _length_problem(domain) or _labels_problem(domain, domain)


@lru_cache(maxsize=4096)
def wildcard_domain_problem(domain: str) -> str | None:
    """For a host name whose first label may be `*`, `*suffix` or `*-suffix`."""
    if (problem := _length_problem(domain)) is not None:
        return problem
    first, dot, rest = domain.partition(".")
    if len(first) > 63 or _WILDCARD_LABEL_PATTERN.fullmatch(first) is None:
        return f'"{domain}" is not a host name: its first part may be a label, * or * and a suffix'
    return _labels_problem(rest, domain) if dot else None


_SNI_FORM = "outbound_.PORT_.SUBSET_.HOST"


@lru_cache(maxsize=4096)
def sni_domain_problem(domain: str) -> str | None:
    """For a host or server name on a gateway, which may also be one that Istio makes for AUTO_PASSTHROUGH."""
    if not domain.startswith("outbound_"):
        return wildcard_domain_problem(domain)
    parts = domain.split("_")
    if len(parts) < 4 or not any(c.isdigit() for c in parts[1]) or not any(c.isalpha() for c in parts[3]):
        return f'"{domain}" is not of the form {_SNI_FORM}'
    return _length_problem(domain)


def partial_wildcard_problem(domain: str) -> str | None:
    """`*` may stand for whole labels only: `*` and `*.example.com`, but not `*-a.example.com`."""
    if "*" in domain and domain != "*" and not domain.startswith("*."):
        return f'"{domain}" is a partial wildcard: * may only stand alone or before a dot'
    return None


def _length_problem(domain: str) -> str | None:
    if not domain:
        return "a host name may not be empty"
    return f"a host name has 255 characters at most, not {len(domain)}" if len(domain) > 255 else None


def _labels_problem(rest: str, domain: str) -> str | None:
    labels = rest.split(".")
    if _is_number(labels[-1]):
        return f'"{domain}" is not a host name: its last part may not be a number'
    if labels[-1] == "":
        labels.pop()  # `example.com.` says that it is whole
    for label in labels:
        if not is_dns_label(label):
            return (
                f'"{domain}" is not a host name: "{label}" must be letters, digits and inner hyphens, 1 to 63 of them'
            )
    return None


def _is_number(text: str) -> bool:
    return text.removeprefix("-").removeprefix("+").isdigit() and text.isascii()


def hosts_overlap(one: str, other: str) -> bool:
    """Whether some host name matches both; either may begin with `*`."""
    if one.startswith("*") and other.startswith("*"):
        short, long = sorted((one[1:], other[1:]), key=len)
        return long.endswith(short)
    return _covers(one, other) or _covers(other, one)


def host_within(narrow: str, wide: str) -> bool:
    """Whether every host name that `narrow` matches is matched by `wide`."""
    if narrow.startswith("*"):
        return wide.startswith("*") and len(narrow) >= len(wide) and narrow[1:].endswith(wide[1:])
    return _covers(wide, narrow)


def _covers(pattern: str, host: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


# Labels of workloads


def label_problem(key: str, value: str) -> str | None:
    """For one label, by Kubernetes' rules for qualified names."""
    match = _LABEL_KEY_PATTERN.fullmatch(key)
    if match is None or len(match[1] or "") > 253 or len(match[2]) > 63:
        return (
            f'"{key}" is not a label key: [domain/]name of letters, digits, -, _ and ., the name 63 characters at most'
        )
    if len(value) > 63 or _LABEL_VALUE_PATTERN.fullmatch(value) is None:
        return f'"{value}" is not a label value: 63 letters, digits, -, _ and ., a letter or a digit at both ends'
    return None


def check_labels(labels: Mapping[str, str], place: Place) -> None:
    """Every key and value of a set of labels."""
    for key, value in labels.items():
        place.at(key).error(label_problem(key, value))


# Addresses


@lru_cache(maxsize=4096)
def is_ip_address(text: str) -> bool:
    """IPv4 or IPv6, a zone allowed."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def ip_address_problem(text: str) -> str | None:
    """For one address."""
    return None if is_ip_address(text) else f'"{text}" is not an IP address'


def ip_block_problem(text: str) -> str | None:
    """For an address, or a block such as 10.0.0.0/8; bits beyond the mask may be set."""
    address, slash, bits = text.partition("/")
    if not slash:
        return ip_address_problem(text)
    if is_ip_address(address) and "%" not in address and bits.isascii() and bits.isdigit() and str(int(bits)) == bits:
        widest = 128 if ":" in address else 32
        if int(bits) <= widest:
            return None
    return f'"{text}" is not an IP block such as 10.0.0.0/8'


def unix_address_problem(address: str) -> str | None:
    """For what follows `unix://`: an absolute path of a file, or an abstract name after @."""
    if address.startswith("@") or (address.startswith("/") and not address.endswith("/")):
        return None
    return f'"{UNIX_PREFIX}{address}" is not a socket: an absolute path of a file, or an abstract name after @'
