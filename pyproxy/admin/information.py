"""What the process says about itself: /ready, /server_info, /listeners, /memory, /certs, /reload_status."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from pyproxy import __version__
from pyproxy.admin.pages import Page, Query, as_json, text
from pyproxy.admin.served import Served
from pyproxy.envoy.values import Resource, address, duration, node, timestamp
from pyproxy.mtls.facts import CertificateFacts
from pyproxy.mtls.holding import Holding


def ready(served: Served, query: Query) -> Page:
    """200 when traffic is welcome, else 503; the text is the state."""
    return text(served.state + "\n", 200 if served.state == "LIVE" else 503)


def server_info(served: Served, query: Query) -> Page:
    """Version, state, uptime, flags, node; under `pyproxy` what Envoy has no field for."""
    settings = served.settings
    uptime = duration(int(served.clock.time() - served.started_at))
    flags = {name: _plain(value) for name, value in asdict(settings).items()}
    return as_json(
        {
            "version": f"pyproxy/{__version__}/Python-{platform.python_version()}/RELEASE/OpenSSL",
            "state": served.state,
            "uptime_current_epoch": uptime,
            "uptime_all_epochs": uptime,
            "hot_restart_version": "disabled",
            "command_line_options": {
                "config_path": ",".join(map(str, settings.config)),
                "log_level": settings.log_level,
                "concurrency": max(1, len(served.workers)),
                "drain_time": duration(settings.drain_duration),
                "mode": "Serve",
                "disable_hot_restart": True,
            },
            "node": node(served.live.serving.snapshot.identity),
            "pyproxy": {
                "flags": flags,
                "addresses": served.addresses(),
                "reload": _reloads(served),
                "workers": [dict(worker) for worker in served.workers],
            },
        }
    )


def listeners(served: Served, query: Query) -> Page:
    """Name and address of every listener."""
    bound = [(one.listener.name, one.listener.address, one.port) for one in served.listeners.values()]
    if query.get("format") == "json":
        statuses = [{"name": name, "local_address": address(host, port)} for name, host, port in bound]
        return as_json({"listener_statuses": statuses})
    return Page([f"{name}::{_shown(host, port)}\n" for name, host, port in bound])


def reload_status(served: Served, query: Query) -> Page:
    """Whether the last change of the documents was taken up, and what was wrong with it. Envoy has no such page."""
    return as_json(_reloads(served))


def memory(served: Served, query: Query) -> Page:
    """Bytes: resident of our own, reserved for data, resident in all; 0 for what the system does not say."""
    kilobytes = memory_kilobytes(served)
    sizes = {
        "allocated": kilobytes.get("RssAnon", 0),
        "heap_size": kilobytes.get("VmData", 0),
        "pageheap_unmapped": 0,
        "pageheap_free": 0,
        "total_thread_cache": 0,
        "total_physical_bytes": kilobytes.get("VmRSS", 0),
    }
    return as_json({name: str(size * 1024) for name, size in sizes.items()})


def certs(served: Served, query: Query) -> Page:
    """The certificates in use, never their keys; under `pyproxy` what became of the last change of their files."""
    return as_json({"certificates": [_certificate(holding, served.clock.time()) for holding in served.certificates]})


def memory_kilobytes(served: Served) -> dict[str, int]:
    """What Linux counts for this process and its workers together, proc_pid_status(5); empty elsewhere."""
    total: Counter[str] = Counter()
    for process in ("self", *(str(worker["pid"]) for worker in served.workers)):
        try:
            lines = Path("/proc", process, "status").read_text().splitlines()
        except OSError:
            continue
        total.update({line.partition(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")})
    return total


def _reloads(served: Served) -> Resource:
    status = served.reload_status
    return {
        "version": served.live.serving.snapshot.version,
        "last_reload_successful": status.successful,
        "last_success": timestamp(status.succeeded_at),
        "accepted": status.accepted,
        "rejected": status.rejected,
        "errors": list(status.errors),
        "warnings": list(status.warnings),
    }


def _certificate(holding: Holding, now: float) -> Resource:
    material, sources = holding.material, holding.sources
    return {
        "ca_cert": [_details(each, sources.ca, now) for each in material.roots] if material else [],
        "cert_chain": [_details(each, sources.certificate, now) for each in material.chain] if material else [],
        "pyproxy": {
            "last_rotation_successful": not holding.error,
            "last_success": timestamp(holding.succeeded_at),
            "error": holding.trouble,
        },
    }


def _details(facts: CertificateFacts, path: str, now: float) -> Resource:
    """Source: Envoy api/envoy/admin/v3/certs.proto, tls/utility.cc."""
    names = [("dns", facts.dns_sans), ("uri", facts.uri_sans), ("ip_address", facts.ip_sans)]
    return {
        "path": path,
        "serial_number": facts.serial,
        "subject_alt_names": [{kind: name} for kind, found in names for name in found],
        "days_until_expiration": str(days_left(facts.not_after, now)),
        "valid_from": _whole(facts.not_before),
        "expiration_time": _whole(facts.not_after),
    }


def _whole(time: float) -> str:
    """Certificates know no fractions of a second, and protobuf's JSON writes none then."""
    return timestamp(time).replace(".000Z", "Z")


def days_left(not_after: float, now: float) -> int:
    """Whole days; 0 once it has expired."""
    return max(0, int(not_after - now) // 86_400)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    return str(value) if isinstance(value, Path) else value


def _shown(host: str, port: int) -> str:
    if host.startswith("unix:"):
        return host.removeprefix("unix:").replace("///", "/")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
