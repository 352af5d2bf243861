"""Our /config_dump read as Envoy's: a real Envoy takes every cluster, listener and route table of it for its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from pyproxy.admin.endpoints import ADMIN, answer
from tests.admin.fake_app import FakeApp, compile_text


def test_envoy_accepts_what_the_dump_shows(envoy_path: str, tmp_path: Path) -> None:
    app = FakeApp(compile_text(tmp_path))
    page = answer(app, ADMIN, "GET", "/config_dump", {})
    bootstrap_dump, clusters, listeners, _, routes, _, _ = json.loads("".join(map(str, page.pieces)))["configs"]
    tables = {one["route_config"]["name"]: untyped(one["route_config"]) for one in routes["dynamic_route_configs"]}
    bootstrap = {
        **bootstrap_dump["bootstrap"],
        "static_resources": {
            "clusters": [
                untyped(one["cluster"]) for one in clusters["static_clusters"] + clusters["dynamic_active_clusters"]
            ],
            "listeners": [
                with_tables(untyped(one["active_state"]["listener"]), tables) for one in listeners["dynamic_listeners"]
            ],
        },
    }
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(bootstrap))
    ran = subprocess.run(
        [envoy_path, "--mode", "validate", "-c", str(file), "--reject-unknown-dynamic-fields", "-l", "error"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(tables) >= 4


def untyped(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource out of the `Any` that a dump keeps it in."""
    return {name: member for name, member in resource.items() if name != "@type"}


def with_tables(value: Any, tables: dict[str, Any]) -> Any:
    """Route tables in place, because there is no control plane to ask."""
    if isinstance(value, list):
        return [with_tables(member, tables) for member in value]
    if not isinstance(value, dict):
        return value
    if "rds" in value:
        value = {name: member for name, member in value.items() if name != "rds"} | {
            "route_config": tables[value["rds"]["route_config_name"]]
        }
    return {name: with_tables(member, tables) for name, member in value.items()}
