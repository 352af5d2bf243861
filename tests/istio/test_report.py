from pathlib import Path

from yaml import Node

from pyproxy.istio.problems import Problem
from pyproxy.istio.report import Report
from pyproxy.istio.rules.place import Finding
from pyproxy.istio.schema import Mismatch
from pyproxy.istio.yaml_text import Fault, compose


def report_on(text: str) -> Report:
    (root,) = compose(text)
    assert isinstance(root, Node)
    report = Report(Path("a.yaml"), root)
    report.resource = "Gateway/default/a"
    return report


def test_everything_found_becomes_a_problem_with_its_place() -> None:
    report = report_on("spec:\n  servers: 5\n")
    report.add_findings([Finding("warning", "IST0133", ("spec", "servers"), "may be wrong")])
    assert not report.failed
    report.add_mismatches(("spec",), [Mismatch(("servers",), "is wrong", ("servers",), of_key=True)])
    report.add_faults([Fault(9, 8, "is no YAML")])
    assert report.failed
    a = Path("a.yaml")
    assert report.problems == [
        Problem("warning", "IST0133", a, 2, 12, "Gateway/default/a", "spec.servers", "may be wrong"),
        Problem("error", "IST0106", a, 2, 3, "Gateway/default/a", "spec.servers", "is wrong"),
        Problem("error", "PYP0002", a, 9, 8, "Gateway/default/a", "", "is no YAML"),
    ]


def test_what_a_scalar_was_written_as_unless_it_is_in_quotes() -> None:
    report = report_on('a: on\nb: "on"\nc: [1]\n')
    assert [report.written((key,)) for key in "abcd"] == ["on", None, None, None]
