"""An address that cannot be had: why, and what to do."""

import errno

import pytest

from pyproxy.core.errors import CommandError, cannot_listen


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EADDRINUSE, "Address already in use. Stop what uses the port, or choose another with --x-port."),
        (errno.EADDRNOTAVAIL, "Cannot assign requested address. This machine has no such address"),
        (errno.EACCES, "Permission denied. Ports below 1024 need root"),
    ],
)
def test_the_remedy_fits_the_reason(number: int, said: str) -> None:
    error = cannot_listen("127.0.0.1:80", "the x listener", "--x-port", OSError(number, "anything"))
    assert str(error).startswith(f"cannot listen on 127.0.0.1:80 (the x listener): {said}")
    assert error.exit_code == 1


def test_what_the_system_has_no_word_for_is_told_as_it_came() -> None:
    assert "Name or service not known" in str(cannot_listen("x:80", "x", "y", OSError(-2, "Name or service not known")))


def test_bad_usage_is_exit_code_2() -> None:
    assert CommandError("x").exit_code == 2
