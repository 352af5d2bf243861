"""Path templates; Envoy's own answers are in tests/differential/test_authorization.py."""

from __future__ import annotations

import re

import pytest

from pyproxy.policy.path_template import is_template, template_pattern


@pytest.mark.parametrize(
    ("template", "path", "matches"),
    [
        ("/foo/{*}", "/foo/bar", True),
        ("/foo/{*}", "/foo/", False),
        ("/foo/{*}", "/foo/a/b", False),
        ("/foo/{**}", "/foo/", True),
        ("/foo/{**}", "/foo/a/b", True),
        ("/foo/{**}", "/foo", False),
        ("/foo/{**}/", "/foo/bar/", True),
        ("/foo/{**}/", "/foo//", True),
        ("/foo/{**}/", "/foo/bar", False),
        ("/{*}/bar/{**}", "/x/bar/y/z", True),
        ("/a.b/{*}", "/aXb/c", False),
        ("/a(b)+$/{*}", "/a(b)+$/c", True),
        ("/foo/{*}", "/foo/a|b", False),
    ],
)
def test_a_template_takes_whole_paths(template: str, path: str, matches: bool) -> None:
    assert (re.fullmatch(template_pattern(template), path) is not None) is matches


def test_only_operators_make_a_template() -> None:
    assert is_template("/a/{*}")
    assert is_template("/a/{**}")
    assert not is_template("/a/*")
