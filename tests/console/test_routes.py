import yaml

from pyproxy.console.routes import routes_in, weights
from tests.console.test_yaml_edit import TEXT


def test_a_route_says_what_it_takes_and_where_it_sends_it() -> None:
    tester, everybody = routes_in(TEXT)
    assert (tester["document"], tester["route"], tester["match"]) == (1, 0, "[{headers: {end-user: {exact: jason}}}]")
    assert (everybody["name"], everybody["match"]) == ("everybody", "everything")
    assert everybody["destinations"] == [
        {"title": "reviews v1", "weight": 50.0},
        {"title": "reviews v2", "weight": 50.0},
    ]
    assert (everybody["abort"], everybody["delay"]) == (None, None)


def test_faults_are_read_as_istio_reads_them() -> None:
    (route,) = routes_in(
        "kind: VirtualService\nspec: {http: [{fault: {abort: {httpStatus: 418}, "
        "delay: {percentage: {value: 5}, fixedDelay: 250ms}}}]}"
    )
    assert route["abort"] == {"percent": 100.0, "status": 418.0}  # without a percentage every request
    assert route["delay"] == {"percent": 5.0, "seconds": 0.25}


def test_text_that_is_wrong_has_what_can_be_read_of_it() -> None:
    assert next(iter(routes_in("kind: VirtualService\nspec: {http: [7, {route: 3}]}")))["destinations"] == []
    assert list(routes_in("a: [")) == []
    assert list(routes_in("kind: VirtualService\nspec: 7")) == []


def test_weights_are_of_the_last_route_and_by_the_version_of_the_subset() -> None:
    documents = [
        *yaml.safe_load_all(TEXT),
        {
            "kind": "DestinationRule",
            "spec": {
                "host": "reviews",
                "subsets": [
                    {"name": "v1", "labels": {"version": "v1"}},
                    {"name": "v2", "labels": {"version": "second"}},
                ],
            },
        },
    ]
    assert weights(documents) == {("reviews", "v1"): 50.0, ("reviews", "second"): 50.0}
