from pyproxy.istio.operator import IstioOperator


def test_names_that_follow_no_rule_are_kept() -> None:
    spec = IstioOperator.model_validate(
        {
            "meshConfig": {"meshMTLS": {"minProtocolVersion": "TLSV1_3"}},
            "values": {"istio_cni": {}, "global": {"meshID": "m", "proxy_init": {}, "proxy": {"includeIPRanges": "*"}}},
        },
        by_alias=True,
        by_name=False,
    )
    assert spec.mesh_config is not None and spec.mesh_config.mesh_mtls is not None
    assert spec.mesh_config.mesh_mtls.min_protocol_version == "TLSV1_3"
    assert spec.values is not None and spec.values.global_ is not None and spec.values.global_.proxy is not None
    assert (spec.values.global_.mesh_id, spec.values.global_.proxy.include_ip_ranges) == ("m", "*")
