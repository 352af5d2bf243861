import pytest

from pyproxy.istio.kinds import KINDS, kind_of, split_api_version, why_not_applied


def test_api_versions_have_a_group_and_a_version() -> None:
    assert split_api_version("networking.istio.io/v1") == ("networking.istio.io", "v1")
    assert split_api_version("v1") == ("", "v1")


@pytest.mark.parametrize(("group", "kind"), KINDS)
def test_a_kind_is_known_in_each_of_its_versions_and_in_no_other(group: str, kind: str) -> None:
    for version in KINDS[group, kind].versions:
        assert kind_of(f"{group}/{version}" if group else version, kind) is KINDS[group, kind]
    assert kind_of(f"{group}/v9", kind) is None


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("apps/v1", "Deployment"),
        ("v1", "Namespace"),
        ("batch/v1", "Job"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ],
)
def test_what_runs_the_workloads_is_passed_over_with_a_notice(api_version: str, kind: str) -> None:
    assert why_not_applied(api_version, kind) == ("info", f"ignored: {kind} says nothing to a proxy")


@pytest.mark.parametrize(
    ("api_version", "kind", "part"),
    [
        ("networking.istio.io/v1alpha3", "EnvoyFilter", "is not applied"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "is not applied"),
        ("gateway.networking.k8s.io/v1", "Gateway", "did you mean Gateway of networking.istio.io/v1?"),
        ("networking.istio.io/v1", "VirtualServce", "did you mean VirtualService of networking.istio.io/v1?"),
        (
            "networking.istio.io/v2",
            "VirtualService",
            "accepted are networking.istio.io/v1, networking.istio.io/v1beta1",
        ),
        ("example.com/v1", "Config", "Config of example.com/v1 is not applied"),
    ],
)
def test_anything_else_is_passed_over_with_a_warning(api_version: str, kind: str, part: str) -> None:
    severity, message = why_not_applied(api_version, kind)
    assert severity == "warning"
    assert part in message


def test_kinds_of_others_get_no_far_fetched_suggestion() -> None:
    assert "did you mean" not in why_not_applied("skaffold/v2", "Config")[1]
