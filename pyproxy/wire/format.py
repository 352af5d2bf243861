"""Envoy's format strings, compiled once to functions of a request's context: log lines, header values, JSON records.

Source: Envoy source/common/formatter/substitution_formatter.cc and json formatter; Istio writes them in accessLogFormat
and in header operations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring

from pyproxy.core.context import RequestContext
from pyproxy.wire.commands import always_missing, compile_command
from pyproxy.wire.facts import FormatError, Getter

__all__ = ["FormatError", "always_missing_commands", "compile_format", "compile_header_value", "compile_json_format"]

Part = bytes | Getter
_ONLY_IN_LOGS = frozenset({"REQ_WITHOUT_QUERY"})
"""What Envoy has in an extension that an access log can name, and a route cannot."""
_COMMAND = re.compile(r"%(?:%|(?P<name>[A-Z0-9_]+)(?:\((?P<argument>.*?)\))?(?::(?P<limit>[0-9]+))?%)")


def compile_format(text: str, *, missing: bytes = b"-") -> Callable[[RequestContext], bytes]:
    """A log line's text, with `missing` for what is; nothing is quoted or escaped. Raises FormatError."""
    return _compile_text(_parse(text), missing)


def compile_header_value(text: str) -> Callable[[RequestContext], bytes]:
    """A header value. What is missing is empty, and a value that ends up empty is not to be written.

    Source: Envoy router/header_parser.cc. Raises FormatError, for operators too that only a log can have.
    """
    for found in _COMMAND.finditer(text):
        if found["name"] in _ONLY_IN_LOGS:
            raise FormatError(f"%{found['name']}% can stand in an access log, not in a header")
    return _compile_text(_parse(text), b"")


def compile_json_format(
    mapping: Mapping[str, object], *, omit_empty: bool = False
) -> Callable[[RequestContext], bytes]:
    """One JSON object per call, with a newline after it; keys are sorted.

    Values are format strings, numbers, booleans, null, lists and mappings of these. A string that is one operator
    keeps the operator's type (numbers unquoted, null when missing); any other becomes a string. With `omit_empty`
    there is no null: what is missing, and what is empty without it, is left out. Raises FormatError.
    """
    if omit_empty:
        sparse = _sparse(mapping)
        return lambda ctx: (sparse(ctx) or b"{}") + b"\n"
    parts: list[Part] = []
    _add_json(parts, mapping)
    getters = [part for part in parts if not isinstance(part, bytes)]
    pattern = _pattern([*parts, b"\n"])

    def render(ctx: RequestContext) -> bytes:
        values: list[bytes] = []
        for getter in getters:
            value = getter(ctx)
            if value is None:
                values.append(b"null")
            else:
                values.append(b"%d" % value if isinstance(value, int) else quote_json(value))
        return pattern % tuple(values)

    return render


def always_missing_commands(text: str) -> list[str]:
    """Operators in `text` that Envoy knows and pyproxy can never fill, for a warning."""
    names = [found["name"] for found in _COMMAND.finditer(text) if found["name"]]
    return [name for name in names if always_missing(name)]


def _parse(text: str) -> list[Part]:
    """Literal bytes and getters by turns, no two literals in a row."""
    parts: list[Part] = []
    literal = ""
    position = 0
    while (percent := text.find("%", position)) >= 0:
        found = _COMMAND.match(text, percent)
        if found is None:
            raise FormatError(
                f"no command operator at position {percent} of {text!r}: "
                "the form is %NAME%, %NAME(argument)% or %NAME(argument):length%, and %% is a literal percent sign"
            )
        literal += text[position:percent]
        position = found.end()
        if found["name"] is None:
            literal += "%"
            continue
        limit = found["limit"]
        getter = compile_command(found["name"], found["argument"] or "", int(limit) if limit else None)
        parts += [literal.encode(), getter] if literal else [getter]
        literal = ""
    literal += text[position:]
    return [*parts, literal.encode()] if literal else parts


def _compile_text(parts: Sequence[Part], missing: bytes) -> Callable[[RequestContext], bytes]:
    getters = [part for part in parts if not isinstance(part, bytes)]
    if not getters:
        constant = b"".join([part for part in parts if isinstance(part, bytes)])
        return lambda _ctx: constant
    if len(parts) == 1:
        return _one(getters[0], missing)
    pattern = _pattern(parts)

    def render(ctx: RequestContext) -> bytes:
        values: list[bytes] = []
        for getter in getters:
            value = getter(ctx)
            if value is None:
                value = missing
            elif value.__class__ is int:
                value = b"%d" % value
            values.append(value)  # type: ignore[arg-type]  # __class__ is twice as fast as isinstance; mypy is not told
        return pattern % tuple(values)

    return render


def _pattern(parts: Sequence[Part]) -> bytes:
    """A bytes format with `%b` for each getter."""
    return b"".join([part.replace(b"%", b"%%") if isinstance(part, bytes) else b"%b" for part in parts])


def _one(getter: Getter, missing: bytes) -> Callable[[RequestContext], bytes]:
    def render(ctx: RequestContext) -> bytes:
        value = getter(ctx)
        if value is None:
            return missing
        return b"%d" % value if isinstance(value, int) else value

    return render


# JSON


def _add_json(parts: list[Part], value: object) -> None:
    if isinstance(value, str):
        parts.append(_json_string(value))
    elif isinstance(value, Mapping):
        parts.append(b"{")
        for index, key in enumerate(sorted(value)):
            parts.append((b"," if index else b"") + encode_basestring(key).encode() + b":")
            _add_json(parts, value[key])
        parts.append(b"}")
    elif isinstance(value, list | tuple):
        parts.append(b"[")
        for index, item in enumerate(value):
            if index:
                parts.append(b",")
            _add_json(parts, item)
        parts.append(b"]")
    elif value is None or isinstance(value, bool | int | float):
        parts.append(json.dumps(value).encode())
    else:
        raise FormatError(f"a JSON format cannot hold a {type(value).__name__}: {value!r}")


def _json_string(text: str, missing: bytes = b"-") -> Part:
    """A constant, quoted; or a getter, whose bytes are still to be quoted."""
    parts = _parse(text)
    if len(parts) == 1 and not isinstance(parts[0], bytes):
        return parts[0]
    if all(isinstance(part, bytes) for part in parts):
        return quote_json(b"".join([part for part in parts if isinstance(part, bytes)]))
    return _compile_text(parts, missing)


def _sparse(value: object) -> Callable[[RequestContext], bytes | None]:
    """JSON of a value without what is missing; None when nothing is left of it."""
    if isinstance(value, str):
        found = _json_string(value, b"")
        return (lambda _ctx: found) if isinstance(found, bytes) else _sparse_text(found)
    if isinstance(value, Mapping):
        members = [(encode_basestring(key).encode() + b":", _sparse(value[key])) for key in sorted(value)]

        def render(ctx: RequestContext) -> bytes | None:
            lines = [key + text for key, part in members if (text := part(ctx)) is not None]
            return b"{" + b",".join(lines) + b"}" if lines else None

        return render
    if isinstance(value, list | tuple):
        items = [_sparse(item) for item in value]
        return lambda ctx: b"[" + b",".join([text for item in items if (text := item(ctx)) is not None]) + b"]"
    parts: list[Part] = []
    _add_json(parts, value)
    constant = b"".join([part for part in parts if isinstance(part, bytes)])
    return lambda _ctx: None if value is None else constant


def _sparse_text(getter: Getter) -> Callable[[RequestContext], bytes | None]:
    def render(ctx: RequestContext) -> bytes | None:
        value = getter(ctx)
        if value is None:
            return None
        return b"%d" % value if isinstance(value, int) else quote_json(value)

    return render


def quote_json(value: bytes) -> bytes:
    """A JSON string. Bytes that are not UTF-8 are written one by one as \\u00XX, as Envoy does (json_sanitizer.cc)."""
    if not value.translate(None, _PLAIN):  # nothing to escape, as nearly always: four times as fast
        return b'"' + value + b'"'
    try:
        return encode_basestring(value.decode()).encode()
    except UnicodeDecodeError:
        return b'"' + b"".join([_ESCAPED[byte] for byte in value]) + b'"'


_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')
_ESCAPED = [
    b"\\u%04x" % byte if byte < 0x20 or byte >= 0x7F or byte in b'"\\' else bytes((byte,)) for byte in range(256)
]
