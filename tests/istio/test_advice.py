from __future__ import annotations

from collections.abc import Callable

import pytest

from pyproxy.istio.loader import Loaded

LoadText = Callable[[str], Loaded]


def told(loaded: Loaded) -> list[tuple[str, str, str]]:
    assert loaded.ok
    return [(problem.severity, problem.code, problem.path) for problem in loaded.problems]


def test_a_field_that_nothing_acts_on_is_told_once_however_much_is_in_it(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: a}
        spec:
          host: a
          trafficPolicy:
            retryBudget: {percent: 20, budgetInterval: 5s}
            loadBalancer: {zoneAwareLbSetting: {enabled: true, failoverPriority: []}}
        """)
    assert told(loaded) == [
        ("warning", "PYP0005", "spec.trafficPolicy.retryBudget.budgetInterval"),
        ("warning", "PYP0005", "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting"),
    ]
    assert loaded.problems[0].line == 7
    assert loaded.problems[0].message == "is known, but not acted on yet"


@pytest.mark.parametrize(("protocol", "acts"), [("POST", False), ("CONNECT", True)])
def test_a_tunnel_is_opened_by_connect_alone(load_text: LoadText, protocol: str, acts: bool) -> None:
    loaded = load_text(f"""\
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {{name: a}}
        spec:
          host: a
          trafficPolicy: {{tunnel: {{protocol: {protocol}, targetHost: a.com, targetPort: 1}}}}
        """)
    assert told(loaded) == ([] if acts else [("warning", "PYP0005", "spec.trafficPolicy.tunnel.protocol")])


def test_what_is_in_a_field_that_nothing_acts_on_is_not_told_as_well(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: Sidecar
        metadata: {name: a}
        spec:
          workloadSelector: {labels: {app: a}}
          ingress:
            - port: {number: 80, name: http, protocol: HTTPS}
              defaultEndpoint: 127.0.0.1:8080
              tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}
        """)
    assert told(loaded) == [("warning", "PYP0005", "spec.ingress[0].tls")]


def test_what_is_acted_on_is_not_told(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: install.istio.io/v1alpha1
        kind: IstioOperator
        spec:
          meshConfig:
            defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 9}, http: {http1MaxPendingRequests: 9}}}
            localityLbSetting: {enabled: false}
            defaultConfig:
              concurrency: 2
              interceptionMode: NONE
              gatewayTopology: {numTrustedProxies: 1}
              proxyHeaders: {server: {value: web}, requestId: {disabled: true}, attemptCount: {disabled: true}}
              connectionSettings: {httpIdleTimeout: 60s, httpMergeSlashes: true}
        ---
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: a}
        spec:
          host: a
          trafficPolicy:
            connectionPool: {tcp: {maxConnections: 9}, http: {http2MaxRequests: 9}}
            portLevelSettings: [{port: {number: 80}, connectionPool: {http: {maxRetries: 9}}}]
            retryBudget: {percent: 20, minRetryConcurrency: 3}
        ---
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: a}
        spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"], tls: {httpsRedirect: true}}]}
        """)
    assert told(loaded) == []


def test_what_is_empty_is_not_told(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: a}
        spec: {hosts: [a], tls: [], tcp: , http: [{route: [{destination: {host: a}}]}]}
        """)
    assert told(loaded) == []


def test_a_kind_that_nothing_acts_on_is_told_as_a_whole(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: WorkloadGroup
        metadata: {name: a}
        spec: {template: {labels: {a: b}}, probe: {exec: {command: [a]}}}
        """)
    assert told(loaded) == [("warning", "PYP0005", "kind")]


@pytest.mark.parametrize(
    ("spec", "path", "advice"),
    [
        (
            "trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}",
            "spec.trafficPolicy.loadBalancer.simple",
            "LEAST_REQUEST",
        ),
        (
            "trafficPolicy: {loadBalancer: {warmupDurationSecs: 1s}}",
            "spec.trafficPolicy.loadBalancer.warmupDurationSecs",
            "use warmup",
        ),
    ],
)
def test_what_is_deprecated_is_told_with_what_to_write_instead(
    load_text: LoadText, spec: str, path: str, advice: str
) -> None:
    top = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a\n  "
    (problem,) = load_text(top + spec).problems
    assert (problem.severity, problem.code, problem.path) == ("warning", "IST0002", path)
    assert advice in problem.message


def test_what_is_for_the_installer_is_a_notice(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: install.istio.io/v1alpha1
        kind: IstioOperator
        spec:
          profile: demo
          components: {pilot: {enabled: true}}
          meshConfig: {accessLogFile: /dev/stdout}
          values:
            pilot: {autoscaleEnabled: false, env: {OTHER: a, ENABLE_HCM_INTERNAL_NETWORKS: true}}
            global: {meshID: a, hub: b, proxy: {clusterDomain: c}}
        """)
    assert told(loaded) == [
        ("info", "PYP0004", "spec.profile"),
        ("info", "PYP0004", "spec.components"),
        ("info", "PYP0004", "spec.values.pilot.autoscaleEnabled"),
        ("info", "PYP0004", "spec.values.pilot.env.OTHER"),
        ("info", "PYP0004", "spec.values.global.hub"),
    ]


def test_a_document_with_errors_gets_no_advice(load_text: LoadText) -> None:
    loaded = load_text("""\
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: a}
        spec: {host: "", trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}
        """)
    assert [problem.severity for problem in loaded.problems] == ["error"]
