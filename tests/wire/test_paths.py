"""Paths in canonical form, as Envoy leaves them; the differential tests compare the whole proxy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyproxy.wire.paths import normalize


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/../../b", b"/b"),
        (b"/a/.", b"/a/"),
        (b"/a/..", b"/"),
        (b"/a\\b", b"/a/b"),
        (b"/%61%2d%7E", b"/a-~"),
        (b"/%2e%2e/b", b"/b"),
        (b"/%2F%5c", b"/%2F%5c"),
        (b"/a//b", b"/a//b"),
        (b"/a?b=/../c", b"/a?b=/../c"),
    ],
)
def test_dots_backslashes_and_needless_escapes_go_the_query_stays(target: bytes, canonical: bytes) -> None:
    assert normalize(target) == canonical


def test_slashes_merge_and_are_decoded_where_the_mesh_wants_it() -> None:
    assert normalize(b"/a//b///c?d//e", merge_slashes=True) == b"/a/b/c?d//e"
    assert normalize(b"/a%2Fb%5cc", merge_slashes=True, decode_slashes=True) == b"/a/b/c"
    assert normalize(b"/a%2F%2fb", merge_slashes=True, decode_slashes=True) == b"/a/b"


@pytest.mark.parametrize("target", [b"/a#b", b"/a%00b"])
def test_what_has_no_canonical_form(target: bytes) -> None:
    assert normalize(target) is None


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        (b"/a/..;/b", b"/b"),
        (b"/a/..;x=y;z/b", b"/b"),
        (b"/a/.;", b"/a/"),
        (b"/a;x/b", b"/a;x/b"),
        (b"/a/%2e%2e;x", b"/a/..;x"),
        (b'/"<>^`{|}', b"/%22%3C%3E%5E%60%7B%7C%7D"),
        (b"/%", b"/%"),
        (b"/%zz", b"/%zz"),
        (b"/%%34%31", b"/%2541"),
    ],
)
def test_parameters_of_dots_go_and_what_no_url_has_is_escaped(target: bytes, canonical: bytes) -> None:
    assert normalize(target) == canonical


def slowly(target: bytes) -> bytes | None:
    """The same, one step after the other and one character after the other."""
    path, mark, query = target.partition(b"?")
    segments = path.split(b"/")
    for index, segment in enumerate(segments):
        if segment.startswith((b".;", b"..;")):
            segments[index] = segment.split(b";")[0]
    path = b"/".join(segments)
    if b"#" in target or b"%00" in path:
        return None
    pieces: list[bytes] = []
    while path:
        piece, path = path[:1], path[1:]
        if piece == b"%" and len(path) > 1 and all(each in b"0123456789abcdefABCDEF" for each in path[:2]):
            byte, piece, path = int(path[:2], 16), piece + path[:2], path[2:]
            if chr(byte) in "-._~" or (byte < 128 and chr(byte).isalnum()):
                piece = bytes((byte,))
        elif piece == b"\\":
            piece = b"/"
        elif piece in (b'"', b"<", b">", b"^", b"`", b"{", b"|", b"}"):
            piece = b"%%%02X" % ord(piece)
        pieces.append(piece)
    for index, piece in enumerate(pieces):
        after = b"".join(pieces[index + 1 : index + 3])[:2]
        if piece == b"%" and len(after) == 2 and all(each in b"0123456789abcdefABCDEF" for each in after):
            pieces[index] = b"%25"
    stack: list[bytes] = []
    *inner, last = b"".join(pieces).split(b"/")[1:]
    for segment in inner:
        if segment == b"..":
            stack = stack[:-1]
        elif segment != b".":
            stack.append(segment)
    if last == b"..":
        stack = stack[:-1]
    stack.append(b"" if last in (b".", b"..") else last)
    return b"/" + b"/".join(stack) + mark + query


PARTS = [b"/", b".", b"..", b"%2e", b"%2E", b"a", b"b", b"%41", b";", b"\\", b"%2f", b"%5c", b"%", b"%zz", b"%2", b'"']
PARTS += [b"{", b"~", b"%7e", b"[", b"%00", b"?", b"#", b"|", b"4", b"1", b"%34", b"%25", b"%c3", b"=", b"&", b"'"]


@settings(max_examples=2000)
@given(st.lists(st.sampled_from(PARTS), max_size=14).map(b"".join))
def test_any_path_is_what_it_is_slowly(rest: bytes) -> None:
    assert normalize(b"/" + rest) == slowly(b"/" + rest)


@given(st.lists(st.sampled_from(PARTS), max_size=14).map(b"".join))
def test_a_canonical_path_stays_below_its_root(rest: bytes) -> None:
    canonical = normalize(b"/" + rest)
    if canonical is not None:
        segments = canonical.partition(b"?")[0].split(b"/")
        assert segments[0] == b""
        assert not {b".", b".."} & set(segments)
        assert b"\\" not in canonical.partition(b"?")[0]
