"""The names of the files in a workload's folder. Source: Istio security/pkg/pki/ca/ca.go."""

from __future__ import annotations

from typing import Final

ROOT: Final = "root-cert.pem"
CHAIN: Final = "cert-chain.pem"
KEY: Final = "key.pem"
