"""Documents of a mesh of two workloads: who is called, behind three ports of three modes, and who calls."""

from __future__ import annotations

import json
from pathlib import Path

from tests.certificates import PRODUCTPAGE
from tests.tokens import key_set, signing_key

ISSUER = "https://issuer.example.com"
CLIENT_FORMAT = (
    "%REQ(X-CASE)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
    "%UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_PEER_URI_SAN% %UPSTREAM_LOCAL_URI_SAN% %UPSTREAM_TLS_VERSION% "
    "%UPSTREAM_PROTOCOL%"
)
SERVER_FORMAT = (
    "%REQ(X-CASE)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQUESTED_SERVER_NAME% "
    "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_TLS_VERSION% %PROTOCOL%"
)


def operator(log_format: str, more: str = "") -> str:
    """What holds for the whole mesh; `more` is YAML in flow style, of MeshConfig."""
    return f"""
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec: {{meshConfig: {{accessLogFile: ACCESS_LOG, accessLogFormat: {json.dumps(log_format + chr(10))}, {more}}}}}
"""


def modes(*ports: dict[str, int]) -> str:
    """STRICT, and otherwise at two of each workload's ports. Callers read it as well: they decide what is automatic."""
    level = ", ".join(f"{each[name]}: {{mode: {name.upper()}}}" for each in ports for name in ("permissive", "disable"))
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: reviews}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  mtls: {{mode: STRICT}}
  portLevelMtls: {{{level}}}
"""


RULES = f"""
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: reviews}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  jwtRules: [{{issuer: "{ISSUER}", jwks: 'JWKS', forwardOriginalToken: false, outputPayloadToHeader: x-payload}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: reviews}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  rules:
  - to: [{{operation: {{paths: [/, /open/*]}}}}]
  - to: [{{operation: {{paths: [/principal]}}}}]
    from: [{{source: {{principals: ["{PRODUCTPAGE.removeprefix("spiffe://")}"]}}}}]
  - to: [{{operation: {{paths: [/namespace]}}}}]
    from: [{{source: {{namespaces: [default]}}}}]
  - to: [{{operation: {{paths: [/account]}}}}]
    from: [{{source: {{serviceAccounts: [default/productpage]}}}}]
  - to: [{{operation: {{paths: [/token]}}}}]
    from: [{{source: {{requestPrincipals: ["{ISSUER}/jane"], namespaces: [default]}}}}]
    when: [{{key: "request.auth.claims[group]", values: [staff]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: never}}
spec:
  selector: {{matchLabels: {{app: reviews}}}}
  action: DENY
  rules:
  - to: [{{operation: {{paths: [/open/known]}}}}]
    from: [{{source: {{notPrincipals: ["*"]}}}}]
"""


def called(application: int, ports: dict[str, int], more: str = "") -> str:
    """The mesh as the proxy sees it that is called."""
    listeners = "".join(
        f"""
  - port: {{number: {port}, name: http-{name}, protocol: HTTP}}
    bind: 127.0.0.1
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:{application}"""
        for name, port in ports.items()
    )
    return f"""
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews-v1}}
spec: {{address: 127.0.0.1, labels: {{app: reviews}}, serviceAccount: reviews}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: reviews}}
spec:
  workloadSelector: {{labels: {{app: reviews}}}}
  ingress:{listeners}
{modes(ports)}{RULES.replace("JWKS", key_set(signing_key()))}{operator(SERVER_FORMAT, more)}"""


def towards(name: str, port: int, tls: str = "", *, policy: str = "", account: str = "reviews") -> str:
    """A service whose only endpoint is that port; without `tls` mutual TLS is automatic."""
    block = ", ".join(each for each in (f"tls: {{{tls}}}" if tls else "", policy) if each)
    rule = f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: {name}.test, trafficPolicy: {{{block}}}}}
"""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints:
  - {{address: 127.0.0.1, ports: {{http: {port}}}, labels: {{app: reviews}}, serviceAccount: {account}}}
{rule if block else ""}"""


def caller() -> str:
    """The workload that calls."""
    return """
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: productpage-v1}
spec: {address: 127.0.0.1, labels: {app: productpage}, serviceAccount: productpage}
"""


def shown(folder: Path, identity: str) -> str:
    """DestinationRule's TLS towards reviews that shows the certificate of a folder instead of the mesh's."""
    files = {"clientCertificate": "cert-chain.pem", "privateKey": "key.pem", "caCertificates": "root-cert.pem"}
    paths = ", ".join(f"{name}: {folder / file}" for name, file in files.items())
    return f"mode: MUTUAL, {paths}, subjectAltNames: ['{identity}']"
