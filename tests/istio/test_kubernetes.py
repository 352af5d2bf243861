import pytest
from pydantic import ValidationError

from pyproxy.istio.kubernetes import KubernetesService, KubernetesServicePort


@pytest.mark.parametrize("target", [8080, "http"])
def test_a_target_port_is_a_number_or_a_name(target: int | str) -> None:
    assert KubernetesServicePort.model_validate({"port": 80, "targetPort": target}).target_port == target


@pytest.mark.parametrize("target", [True, 1.5, []])
def test_a_target_port_is_nothing_else(target: object) -> None:
    with pytest.raises(ValidationError, match="a port number or the name of a port"):
        KubernetesServicePort.model_validate({"port": 80, "targetPort": target})


def test_abbreviations_keep_their_capitals() -> None:
    service = KubernetesService.model_validate(
        {"clusterIP": "None", "clusterIPs": ["None"]}, by_alias=True, by_name=False
    )
    assert (service.cluster_ip, service.cluster_ips) == ("None", ("None",))
