import pytest

from pyproxy.lab.samples import Samples, parse_samples

TEXT = """\
# TYPE istio_requests_total counter
istio_requests_total{reporter="source",source_workload="a-v1",destination_service_name="b.default.svc.cluster.local",response_code="200"} 7
istio_requests_total{reporter="source",source_workload="a-v1",destination_service_name="b.default.svc.cluster.local",response_code="503"} 3
istio_requests_total{reporter="destination",source_workload="a-v1",destination_service_name="b.default.svc.cluster.local",response_code="200"} 9
istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a-v1",le="100"} 5
istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a-v1",le="200"} 10
istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a-v1",le="+Inf"} 10
envoy_cluster_upstream_rq_retry{cluster_name="outbound|9080||b.default.svc.cluster.local"} 4
envoy_cluster_upstream_rq_total{cluster_name="outbound|9080||b.default.svc.cluster.local"} 0
python_gc_objects_collected_total{generation="0"} 12
"""  # noqa: E501


def samples() -> Samples:
    return Samples(parse_samples("a-v1", TEXT))


def test_only_what_checks_read_is_kept_and_no_zero() -> None:
    names = {name for name, _ in samples().values}
    assert names == {
        "istio_requests_total",
        "istio_request_duration_milliseconds_bucket",
        "envoy_cluster_upstream_rq_retry",
    }


def test_requests_are_summed_by_what_is_asked_for_and_short_names_do() -> None:
    assert samples().requests() == 10
    assert samples().requests(source="a-v1", service="b", code="5..") == 3
    assert samples().requests("destination", service="b") == 9
    assert samples().requests(source="a") == 0


def test_a_cluster_statistic_has_its_proxy() -> None:
    assert samples().cluster("upstream_rq_retry", proxy="a-v1", cluster=".*b") == 4
    assert samples().cluster("upstream_rq_retry", proxy="b-v1") == 0


def test_a_quantile_is_linear_within_its_bucket() -> None:
    assert samples().quantile_ms(0.75, source="a-v1") == pytest.approx(150)
    assert samples().quantile_ms(0.75, source="nobody") == 0


def test_growth_is_the_difference_and_a_counter_that_began_anew_counts_whole() -> None:
    series = ("n", (("proxy", "a"),))
    assert Samples({series: 5.0}).since(Samples({series: 2.0})).total("n") == 3
    assert Samples({series: 5.0}).since(Samples({series: 9.0})).total("n") == 5
    assert Samples({series: 5.0}).since(Samples()).total("n", proxy="a") == 5
