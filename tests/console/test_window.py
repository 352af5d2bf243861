from pyproxy.console.edges import Edge
from pyproxy.console.window import Window, difference
from tests.console.overviews import HOME, reading, requests

V2 = Edge("productpage-v1", f"reviews{HOME}", "reviews-v2", "v2")


def test_rates_are_of_the_last_five_seconds() -> None:
    window = Window()
    for second in range(20):
        window.add(float(second), {"a": reading([requests(10 * second)])})
    assert window.seconds == 5.0
    assert window.edges()[V2].requests == 50


def test_what_a_proxy_counted_before_we_looked_did_not_happen_now() -> None:
    window = Window()
    window.add(0.0, {})
    window.add(0.5, {"a": reading([requests(1_000_000)])})
    assert window.edges()[V2].requests == 0


def test_a_proxy_that_was_started_anew_counts_from_nothing() -> None:
    before = reading([requests(100)])
    now = reading([requests(120)], started=990.0)
    assert difference(now, before)[V2].requests == 120
