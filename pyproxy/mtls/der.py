"""Reads DER, the form of certificates: elements within elements, strictly. Source: X.690, sections 8.1 and 10."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31


class Element(NamedTuple):
    """One value."""

    tag: int
    """Class, form and number, as the first byte has them."""
    content: bytes
    whole: bytes
    """With its tag and length."""


def elements(data: bytes) -> Iterator[Element]:
    """The values that stand one after the other. Raises ValueError at what is no DER."""
    start = 0
    while start < len(data):
        begin, end = _bounds(data, start)
        yield Element(data[start], data[begin:end], data[start:end])
        start = end


def only(data: bytes, tag: int) -> Element:
    """The one value that there is, of this tag. Raises ValueError."""
    [found] = elements(data)
    return expect(found, tag)


def expect(element: Element, tag: int) -> Element:
    """The same, if it has this tag. Raises ValueError."""
    if element.tag != tag:
        raise ValueError(f"tag {element.tag:#x} where {tag:#x} belongs")
    return element


def identifier(content: bytes) -> str:
    """`2.5.4.3`, of an object identifier (X.690, section 8.19). Raises ValueError."""
    if not content or content[-1] & 0x80:
        raise ValueError("an object identifier that does not end")
    arcs, arc = [], 0
    for byte in content:
        arc = arc << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def _bounds(data: bytes, start: int) -> tuple[int, int]:
    """Where the content of the value at `start` begins and ends."""
    if data[start] & 0x1F == 0x1F or len(data) < start + 2:
        raise ValueError("a tag of several bytes, or no length")
    begin, length = start + 2, data[start + 1]
    if length & 0x80:
        size = length & 0x7F
        begin += size
        length = int.from_bytes(data[start + 2 : begin])
        if length < 0x80 or length >> 8 * (size - 1) == 0:
            raise ValueError("a length that is not written as short as can be, or none")
    if begin + length > len(data):
        raise ValueError("a value that ends behind its frame")
    return begin, begin + length
