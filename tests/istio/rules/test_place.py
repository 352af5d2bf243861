from pyproxy.istio.rules.place import Finding, Place


def test_places_collect_what_is_found_there_and_below() -> None:
    findings: list[Finding] = []
    place = Place(findings, ("spec",))
    place.at("http", 0).error("is wrong")
    place.at("http").at(1).warning("may be wrong")
    place.top("metadata", "name").error("is wrong too")
    place.info("is odd", "X1")
    assert findings == [
        Finding("error", "IST0106", ("spec", "http", 0), "is wrong"),
        Finding("warning", "IST0133", ("spec", "http", 1), "may be wrong"),
        Finding("error", "IST0106", ("metadata", "name"), "is wrong too"),
        Finding("info", "X1", ("spec",), "is odd"),
    ]


def test_none_means_that_nothing_is_wrong() -> None:
    findings: list[Finding] = []
    Place(findings).error(None)
    Place(findings).warning(None)
    assert findings == []
