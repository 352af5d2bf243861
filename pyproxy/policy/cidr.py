"""IP addresses and blocks, as rules compare them. Families never match one another. Source: Envoy cidr_range.cc."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Block:
    """A CIDR block; bits beyond its length do not count."""

    version: int
    prefix: int
    """The first `length` bits, as a number."""
    length: int

    @property
    def text(self) -> str:
        """The first address of the block."""
        shift = (32 if self.version == 4 else 128) - self.length
        number = self.prefix << shift
        return str(IPv4Address(number) if self.version == 4 else IPv6Address(number))

    def contains(self, address: Address) -> bool:
        """Whether an address is in the block."""
        return address.version == self.version and int(address) >> (address.max_prefixlen - self.length) == self.prefix


def parse_block(text: str) -> Block:
    """`10.0.0.0/8`, `10.1.2.3`, `fd00::/8`. Raises ValueError for anything else."""
    network = ip_network(text, strict=False)
    shift = network.max_prefixlen - network.prefixlen
    return Block(network.version, int(network.network_address) >> shift, network.prefixlen)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """An address as a connection or a header gives it; None when it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None
