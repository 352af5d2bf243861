"""Stands in for the proxies of the lab's fleet: is ready, has metrics, and the gateway answers every visit itself.
`pyproxy certs issue` makes the folder, which the proxies want to see.

FAKE_DIES names a workload whose sidecar ends at once, FAKE_CRASHES one whose sidecar ends when its metrics are read,
FAKE_REFUSES what a proxy logs that has refused a reload. With FAKE_NO_CERTS there are no certificates.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import yaml

PAGE = json.dumps({"reviews": {"version": "v1"}})
SERIES = (
    'reporter="source",source_workload="gateway",destination_workload="productpage-v1",destination_version="v1",'
    'destination_service_name="productpage.default.svc.cluster.local",response_code="200"'
)


async def run() -> None:
    if sys.argv[1] == "certs":
        if "FAKE_NO_CERTS" in os.environ:
            sys.exit("the disk is full")
        Path(sys.argv[sys.argv.index("--certs") + 1]).mkdir()
        return
    flags = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    workload = flags.get("--workload", "gateway")
    if os.environ.get("FAKE_DIES") == workload:
        sys.exit("these documents do not compile")
    if not Path(flags["--certs"]).is_dir():
        sys.exit("no certificates")
    if "FAKE_REFUSES" in os.environ:
        print(os.environ["FAKE_REFUSES"], file=sys.stderr)
    visits = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            if "/stats/prometheus" in head:
                if os.environ.get("FAKE_CRASHES") == workload:
                    os._exit(3)
                body = f"istio_requests_total{{{SERIES}}} {visits}\n" if workload == "gateway" else ""
                body += f"pyproxy_config_last_reload_successful {int('FAKE_REFUSES' not in os.environ)}\n"
                kind = "text/plain"
            elif "/overview" in head:
                body, kind = "{}", "application/json"  # the console says that this is none of ours
            else:
                visits, body, kind = visits + 1, PAGE, "application/json"
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
            )

    address = flags["--address"]
    metrics = await asyncio.start_server(serve, address, int(flags["--metrics-port"]))
    if workload == "gateway":
        documents = yaml.safe_load((Path(flags["--config"]) / "workloads" / "gateway.yaml").read_text())
        await asyncio.start_server(serve, address, documents["spec"]["servers"][0]["port"]["number"])
    host, port = metrics.sockets[0].getsockname()
    ready = Path(flags["--ready-file"])
    partial = ready.with_suffix(".partial")  # as pyproxy does: it is whole when it is there
    partial.write_text(json.dumps({"addresses": dict.fromkeys(("metrics", "admin"), f"{host}:{port}")}))
    partial.replace(ready)
    await asyncio.Event().wait()


def main() -> None:
    asyncio.run(run())
