"""Every lesson as data: its documents are valid together, its knobs exist, its checks can fail. That they hold
in a real lab is shown by tests/integration/test_lab_lessons.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.istio.loader import load
from pyproxy.lab.answers import listing, listing_text
from pyproxy.lab.folder import write_documents
from pyproxy.lab.knobs import Knobs
from pyproxy.lab.layout import INSTANCES, choose_layout
from pyproxy.lab.load import Met
from pyproxy.lab.samples import Samples, parse_samples
from pyproxy.lab.scenario import Check, Measured, Scenario, Step, judge
from pyproxy.lab.scenarios import NAMES, find_scenario
from pyproxy.lab.scenarios.mystery import ANSWERS, FAULTS
from pyproxy.lab.stage import Stage
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.identity import identity_of
from pyproxy.snapshot.model import Listening

WORKLOADS = {f"{service}-{version}" for service, version in INSTANCES}
STEPS = [(name, number) for name in NAMES for number in range(1, len(find_scenario(name).steps) + 1)]


def step_of(name: str, number: int) -> Step:
    return find_scenario(name).steps[number - 1]


@pytest.mark.parametrize("name", NAMES)
def test_it_says_who_it_is_what_it_teaches_and_what_to_predict(name: str) -> None:
    scenario: Scenario = find_scenario(name)
    assert scenario.name == name
    assert scenario.question.endswith("?")
    for text in (scenario.title, scenario.teaches, scenario.because):
        assert text and "  " not in text
    assert all(step.checks and step.loads for step in scenario.steps)
    assert all(check.hint for step in scenario.steps for check in step.checks)


@pytest.mark.parametrize(("name", "number"), STEPS)
def test_its_documents_are_valid_among_the_others(name: str, number: int, tmp_path: Path) -> None:
    write_documents(tmp_path, choose_layout("none"), 8080)
    stage = Stage(tmp_path)
    stage.begin()
    stage.put(step_of(name, number).documents)
    loaded = load([tmp_path])
    said = [str(problem) for problem in loaded.problems if problem.severity != "info"]
    if (name, number) == ("header-routing", 2):
        assert len(said) == 1 and "is never used" in said[0]  # which is the lesson
    else:
        assert said == []
    for workload in ("productpage-v1", "reviews-v2"):
        compiled = compile_snapshot(loaded.documents, identity_of(loaded.documents, workload), Listening())
        assert [str(problem) for problem in compiled.problems if problem.severity == "error"] == []


@pytest.mark.parametrize(("name", "number"), STEPS)
def test_its_knobs_and_loads_name_what_is_there(name: str, number: int) -> None:
    step = step_of(name, number)
    assert set(step.knobs) <= WORKLOADS
    for knobs in step.knobs.values():
        Knobs(**knobs)
    for each in step.loads:
        assert each.to.removeprefix("plain:") in {"page", "details", "reviews", "ratings", *WORKLOADS}
        assert each.via in WORKLOADS
        assert each.clients or 0 < each.rate <= 100, "a lab must not take the machine down"
    assert 0 < step.seconds + step.settle <= 15, "a class does not wait"


def at_its_worst() -> Measured:
    """Everything goes wrong that can."""
    met = Met()
    for label in ("anybody", "jason", "anonymous", "mesh", "old client", "reviews", "productpage", "elsewhere"):
        met.record(label, 500, "v9", 60_000.0)
    lines = [
        f'istio_requests_total{{reporter="{reporter}",source_workload="{source}",destination_workload="{target}",'
        f'destination_service_name="{target.partition("-")[0]}",response_code="500",response_flags="XX",'
        f'connection_security_policy="none"}} 500'
        for reporter in ("source", "destination")
        for source in ("gateway", *WORKLOADS)
        for target in WORKLOADS
    ]
    lines += [line.replace("requests_total{", 'request_duration_milliseconds_bucket{le="60000",') for line in lines]
    lines += [
        f'envoy_cluster_{name}{{cluster_name="outbound|9080||{host}"}} 9000'
        for name in ("upstream_rq_retry", "upstream_rq_total", "outlier_detection_ejections_enforced_total")
        for host in ("details", "reviews", "ratings")
    ]
    lines.append('envoy_cluster_outlier_detection_ejections_active{cluster_name="x"} 3')
    samples = Samples(
        {
            series: value
            for proxy in ("productpage-v1", "reviews-v2")
            for series, value in parse_samples(proxy, "\n".join(lines)).items()
        }
    )
    logs = {"gateway": "request a GET /productpage 200\n", "ratings-v1": "request b GET /ratings/0 200\n"}
    return Measured(1.0, samples, samples, met, logs, "nobody:well")


def at_rest() -> Measured:
    return Measured(5.0, Samples(), Samples(), Met(), {"gateway": "", "ratings-v1": ""})


def too_good() -> Measured:
    """Every request is answered by v1, and every page can be traced."""
    met = Met()
    for label in ("anybody", "jason", "anonymous", "mesh", "old client", "reviews", "productpage", "elsewhere"):
        met.record(label, 200, "v1", 1.0)
    line = "request a GET / 200\n"
    return Measured(5.0, Samples(), Samples(), met, {"gateway": line, "ratings-v1": line})


def checks() -> Iterator[tuple[str, int, Check]]:
    for name, number in STEPS:
        for check in step_of(name, number).checks:
            yield name, number, check


@pytest.mark.parametrize(("name", "number", "check"), [pytest.param(*each, id=str(each[:2])) for each in checks()])
def test_each_check_can_fail(name: str, number: int, check: Check) -> None:
    step = Step("one", (check,))
    situations = (at_its_worst(), at_rest(), too_good())
    assert not all(judge(step, situation)[0].ok for situation in situations), check.what


@pytest.mark.parametrize("number", range(1, len(FAULTS) + 1))
def test_a_mystery_is_solved_by_its_answer_alone(number: int) -> None:
    step = find_scenario("mystery").steps[number - 1]
    right = {
        answer
        for answer in ANSWERS
        if judge(step, Measured(5.0, Samples(), Samples(), Met(), {}, f" {answer.upper()} "))[0].ok
    }
    workload, ailment, _ = FAULTS[number - 1]
    assert right == {f"{workload}:{ailment}"}


def test_a_name_that_is_not_there_is_told_the_nearest() -> None:
    with pytest.raises(CommandError, match="Did you mean canary"):
        find_scenario("cannary")
    with pytest.raises(CommandError, match="pyproxy lab scenario list"):
        find_scenario("zzz")


def test_the_list_has_every_one_in_order() -> None:
    lines = listing_text(listing([find_scenario(name) for name in NAMES])).splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(NAMES)]] == list(NAMES)


def test_names_and_modules_are_the_same() -> None:
    folder = Path(__file__).parents[2] / "pyproxy" / "lab" / "scenarios"
    modules = {path.stem.replace("_", "-") for path in folder.glob("*.py")} - {"--init--", "documents"}
    assert modules == set(NAMES)
