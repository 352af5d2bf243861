"""Header names, learned once."""

from pyproxy.wire.names import FORWARD, NameTable


def test_a_name_in_any_case_has_its_fate() -> None:
    table = NameTable({b"host": 4})
    assert table.known == {b"host": (b"host", 4)}
    assert table.learn(b"HoSt") == (b"host", 4)
    assert table.learn(b"X-Other") == (b"x-other", FORWARD)
    assert set(table.known) == {b"host", b"HoSt", b"X-Other"}


def test_a_peer_who_invents_names_fills_no_memory() -> None:
    table = NameTable({})
    for number in range(10_000):
        assert table.learn(b"X-%d" % number) == (b"x-%d" % number, FORWARD)
    assert len(table.known) == 2048
    assert table.learn(b"A" * 65) == (b"a" * 65, FORWARD)
    short = NameTable({})
    short.learn(b"A" * 65)
    assert short.known == {}
