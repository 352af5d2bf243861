#!/bin/sh
# Certificates for trying things out: an authority in certs/ca, a folder for every WorkloadEntry of the documents, one for
# `pyproxy gateway`, and a server certificate for localhost. Run it again to renew what is due.
#
#   certs/make-dev-certs.sh [DOCUMENTS]      from config/ if not said
#
# PYPROXY names the command, if it is not the first one in PATH or in .venv.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
documents=${1:-$here/../config}
if [ -z "${PYPROXY:-}" ]; then
    PYPROXY=$here/../.venv/bin/pyproxy
    [ -x "$PYPROXY" ] || PYPROXY=pyproxy
fi
"$PYPROXY" certs issue --init --all --gateway --dns localhost --config "$documents" --certs "$here" --ca "$here/ca"
"$PYPROXY" certs verify --certs "$here" --ca "$here/ca"
