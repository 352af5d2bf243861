"""The facts of one exchange."""

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead


def fresh() -> RequestContext:
    return RequestContext(RequestHead(b"GET", b"/", b"x", []), 1.0, 2.0)


def test_a_flag_is_set_once_in_the_order_of_first_setting() -> None:
    context = fresh()
    for flag in ("UF", "URX", "UF"):
        context.add_flag(flag)
    assert context.flags == ("UF", "URX")


def test_what_one_exchange_learns_no_other_knows() -> None:
    context = fresh()
    context.add_flag("NR")
    context.status = 404
    assert (fresh().flags, fresh().status) == ((), 0)
