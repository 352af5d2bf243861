"""From PERMISSIVE to STRICT with a client that has no certificate yet."""

from pyproxy.lab.load import Kind, Load
from pyproxy.lab.scenario import Check, Scenario, Step


def _mode(mode: str) -> dict[str, str]:
    return {
        "security.yaml": f"""\
# Whom the sidecars let in. PERMISSIVE: with and without mutual TLS. STRICT: with it only.
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: istio-system
spec:
  mtls:
    mode: {mode}
"""
    }


_LOADS = (
    Load("details", 20, kinds=(Kind("mesh"),)),
    Load("plain:details-v1", 10, kinds=(Kind("old client"),)),
)

SCENARIO = Scenario(
    name="strict-mtls",
    title="From PERMISSIVE to STRICT",
    teaches="How to migrate: let both in, see in the metrics who still comes without TLS, then close the door.",
    question="A third of the requests to details comes without TLS. What becomes of them, and of the others, under "
    "STRICT?",
    because="Under STRICT a sidecar takes nothing but TLS with a certificate of the mesh: who speaks plaintext is "
    "hung up on, without an HTTP answer. The mesh's own clients notice nothing. connection_security_policy "
    "said beforehand who would be lost.",
    steps=(
        Step(
            title="PERMISSIVE: both are let in",
            documents=_mode("PERMISSIVE"),
            loads=_LOADS,
            watch=(
                "curl -s http://127.0.1.2:15090/stats/prometheus | "
                "grep -o 'connection_security_policy=\"[a-z_]*\"' | sort | uniq -c",
            ),
            checks=(
                Check(
                    "old client answered", lambda m: m.met.share(200, kind="old client"), 0.99, 1, "mode: PERMISSIVE"
                ),
                Check(
                    "arrived without TLS",
                    lambda m: (
                        m.grown.requests("destination", target="details-v1", policy="none")
                        / m.grown.requests("destination", target="details-v1")
                    ),
                    0.28,
                    0.39,
                    "connection_security_policy is none for them",
                ),
            ),
        ),
        Step(
            title="STRICT: certificates only",
            documents=_mode("STRICT"),
            loads=_LOADS,
            watch=("curl -s -i http://127.0.1.2:9080/details/0",),
            checks=(
                Check("old client answered", lambda m: m.met.share(200, kind="old client"), 0, 0, "mode: STRICT"),
                Check("the mesh answered", lambda m: m.met.share(200, kind="mesh"), 0.99, 1, "they have certificates"),
                Check(
                    "arrived with mutual TLS",
                    lambda m: (
                        m.grown.requests("destination", target="details-v1", policy="mutual_tls")
                        / m.grown.requests("destination", target="details-v1")
                    ),
                    1,
                    1,
                    "mode: STRICT",
                ),
            ),
        ),
    ),
)
