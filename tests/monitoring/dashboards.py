"""Grafana's dashboards as far as Prometheus is concerned: variables filled in as Grafana does, and the queries left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.monitoring.prometheus import Prometheus

FOLDER = Path(__file__).parents[2] / "config" / "grafana" / "dashboards"
RATE_INTERVAL = "1m"
_QUERY_RESULT = re.compile(r"query_result\((.*)\)\s*", re.DOTALL)
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Query:
    """One target of one panel."""

    dashboard: str
    panel: str
    reference: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard} · {self.panel} · {self.reference}: {self.expression}"


def load(name: str) -> dict[str, Any]:
    """One of the files, without `.json`."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def names() -> list[str]:
    """Every dashboard."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Without rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any], values: dict[str, str]) -> list[Query]:
    """Every target of every panel with the variables filled in."""
    return [
        Query(dashboard["title"], panel["title"], target["refId"], fill(target["expr"], values))
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def fill(expression: str, values: dict[str, str]) -> str:
    """Raises KeyError for a variable that no one defined."""
    values = {"__rate_interval": RATE_INTERVAL, **values}
    return _VARIABLE.sub(lambda found: values[found[1]], expression)


def choose(dashboard: dict[str, Any], server: Prometheus, wanted: dict[str, str]) -> dict[str, str]:
    """A value for each variable, out of those that its query finds: the wanted one, else all of them."""
    values: dict[str, str] = {}
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "custom":
            values[name] = _alternatives(option["value"] for option in variable["options"] if option["selected"])
        elif variable["type"] == "query":
            offered = _offered(variable, server, values)
            assert offered, f"{dashboard['title']}: the variable {name} offers nothing"
            assert wanted.get(name, offered[0]) in offered, f"{name} is none of {offered}"
            assert variable["multi"] or name in wanted, f"say which {name}"
            values[name] = wanted.get(name) or _alternatives(offered)
    return values


def _alternatives(values: Any) -> str:
    """How Grafana writes several values for Prometheus."""
    escaped = [re.escape(value).replace("\\", "\\\\") for value in values]
    return f"({'|'.join(escaped)})"


def _offered(variable: dict[str, Any], server: Prometheus, values: dict[str, str]) -> list[str]:
    found = _QUERY_RESULT.fullmatch(variable["query"]["query"])
    assert found, "only query_result is understood here"
    shown = [_shown(sample["metric"]) for sample in server.query(fill(found[1], values))]
    matches = (re.search(variable["regex"].strip("/"), text) for text in shown)
    return sorted({match[1] for match in matches if match})


def _shown(metric: dict[str, str]) -> str:
    """A series as Grafana hands it to a variable's regex."""
    labels = ",".join(f'{name}="{value}"' for name, value in metric.items() if name != "__name__")
    return f"{metric.get('__name__', '')}{{{labels}}} 1 0"
