import os

import pytest

from tests.console_blocks import Command, commands_of, matches, run

PAGE = """\
# Page

```console
$ echo one
one
$ true
```

```
$ not this
```

```console
$ printf 'a\\nb\\n'
...
b
```
"""


def test_commands_come_with_what_they_print() -> None:
    assert list(commands_of(PAGE)) == [
        Command("echo one", ("one",)),
        Command("true", ()),
        Command("printf 'a\\nb\\n'", ("...", "b")),
    ]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("share 10.2 %   ok", "share   9 % ok\n"),
        ("a\n...\nd", "a\nb\nc\nd\n"),
        ("a\n...", "a\n"),
        ("from ... to 5", "from here to 77\n"),
        ("127.0.1.4:9080 up", "127.0.1.4:9081 up"),
        ("", "\n"),
    ],
)
def test_numbers_spaces_and_ellipses_may_differ(shown: str, printed: str) -> None:
    assert matches(tuple(shown.splitlines()), printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("v3 is ill", "v2 is ill"), ("ok", "NO"), ("a", "a\nb"), ("a\nb", "a"), ("a\n...\nd", "a\nb"), ("5 ok", "x ok")],
)
def test_nothing_else_may(shown: str, printed: str) -> None:
    assert not matches(tuple(shown.splitlines()), printed)


def test_what_differs_is_shown() -> None:
    def same(text: str) -> str:
        return text

    assert run(Command("echo hello", ("hello",)), os.environ, same, same) == ""
    assert "it printed\nhello" in run(Command("echo hello", ("goodbye",)), os.environ, same, same)
    assert run(Command("echo X >&2", ("Y",)), os.environ, same, lambda text: text.replace("X", "Y")) == ""
