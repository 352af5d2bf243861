"""How an attempt ended."""

from pyproxy.core.outcome import RESPONSE_FLAG, Outcome
from pyproxy.wire.facts import LONG_FLAGS


def test_every_failure_has_a_flag_that_envoy_knows() -> None:
    assert set(RESPONSE_FLAG) == set(Outcome) - {Outcome.RESPONSE}
    assert set(RESPONSE_FLAG.values()) <= set(LONG_FLAGS)
