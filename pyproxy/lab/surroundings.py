"""What a scenario can do to the lab, and read from it: addresses, numbers, logs, knobs, counters."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from pyproxy.core.errors import CommandError
from pyproxy.lab.folder import SHIPPED_SUBNET
from pyproxy.lab.layout import PORT_FIELDS, Workload
from pyproxy.lab.load import Aim, Load
from pyproxy.lab.samples import Samples, Series, parse_samples

PATHS = {"details": "/details/0", "reviews": "/reviews/0", "ratings": "/ratings/0", "productpage": "/productpage"}
ANSWER = ClientTimeout(total=3.0)
_SHIPPED = re.compile(re.escape(SHIPPED_SUBNET) + r"\.(\d):(\d+)")
_SHIPPED_PAGE = "http://127.0.0.1:8080/productpage"
_SHIPPED_LINK = "~/bookshop/.lab"
MOST_ERRORS = 3
"""How many of the documents' errors are shown at once."""


class Surroundings:
    """One running lab; `folder` is its own, with logs and ready files."""

    def __init__(self, workloads: Iterable[Workload], page: str, folder: Path, session: ClientSession) -> None:
        self._workloads = {workload.name: workload for workload in workloads}
        self._page = page
        self._folder = folder
        self._session = session
        self._ports = {name: self._bound(name) for name in ("gateway", *self._workloads)}

    def _bound(self, name: str) -> dict[str, str]:
        return dict(json.loads((self._folder / f"{name}.ready").read_text("utf-8"))["addresses"])

    # Numbers and logs

    async def read(self) -> Samples:
        """Every proxy's numbers. One that does not answer in time has none."""
        values: dict[Series, float] = {}
        for part in await asyncio.gather(*(self._read(name) for name in self._ports)):
            values.update(part)
        return Samples(values)

    async def _read(self, name: str) -> dict[Series, float]:
        try:
            url = f"http://{self._ports[name]['metrics']}/stats/prometheus"
            async with self._session.get(url, timeout=ANSWER) as response:
                return parse_samples(name, await response.text())
        except (ClientError, TimeoutError):
            return {}

    async def reloads(self) -> dict[str, float]:
        """How often each proxy has taken up or refused documents."""
        samples = await self.read()
        return {name: samples.total("pyproxy_config_reloads_total", proxy=name) for name in self._ports}

    async def refusals(self) -> list[str]:
        """What is wrong with the documents as they are now, in the words of the first proxy that refused them."""
        samples = await self.read()
        for name, path in self._logs().items():
            if not samples.total("pyproxy_config_last_reload_successful", proxy=name):
                return refused(path.read_text("utf-8", "replace"))[:MOST_ERRORS]
        return []

    def log_sizes(self) -> dict[str, int]:
        """Bytes of each proxy's log so far."""
        return {name: path.stat().st_size for name, path in self._logs().items()}

    def logged_since(self, sizes: Mapping[str, int]) -> dict[str, str]:
        """What each has logged since its log had this size."""
        found = {}
        for name, path in self._logs().items():
            with path.open("rb") as file:
                file.seek(sizes.get(name, 0))
                found[name] = file.read().decode("utf-8", "replace")
        return found

    def _logs(self) -> dict[str, Path]:
        paths = {name: self._folder / "logs" / f"{name}.log" for name in self._ports}
        return {name: path for name, path in paths.items() if path.exists()}

    def here(self, command: str) -> str:
        """A command as the lessons have it, with this lab's addresses."""
        workloads = list(self._workloads.values())

        def address(found: re.Match[str]) -> str:
            workload = workloads[int(found[1]) - 1]
            usual = Workload(workload.service, workload.version, "")
            port = next(getattr(workload, name) for name in PORT_FIELDS if getattr(usual, name) == int(found[2]))
            return f"{workload.address}:{port}"

        command = command.replace(_SHIPPED_PAGE, self._page).replace(_SHIPPED_LINK, str(self._folder))
        return _SHIPPED.sub(address, command)

    # What can be turned

    def aim(self, load: Load) -> Aim:
        """Where such a load goes."""
        if load.to == "page":
            return Aim(self._page)
        if load.to.startswith("plain:"):
            workload = self._workloads[load.to.removeprefix("plain:")]
            return Aim(f"http://{workload.address}:{workload.service_port}{load.path or PATHS[workload.service]}")
        sidecar = self._workloads[load.via]
        url = f"http://{sidecar.address}:{sidecar.outbound_port}{load.path or PATHS[load.to]}"
        return Aim(url, (("Host", load.to),))

    async def turn(self, knobs: Mapping[str, Mapping[str, Any]], seed: int) -> None:
        """These knobs, and every other program well again."""
        await asyncio.gather(*(self._turn(each, knobs.get(name), seed) for name, each in self._workloads.items()))

    async def _turn(self, workload: Workload, knobs: Mapping[str, Any] | None, seed: int) -> None:
        url = f"http://{workload.address}:{workload.app_port}/knobs"
        async with self._session.delete(url, timeout=ANSWER) as response:
            await response.read()
        if knobs is not None:
            async with self._session.put(url, json={"seed": seed, **knobs}, timeout=ANSWER) as response:
                if response.status != 200:
                    raise CommandError(f"{workload.name}: {await response.text()}")

    async def reset_counters(self) -> None:
        """Envoy's counters of every proxy to nothing; Istio's go on, as they do with Envoy."""
        await asyncio.gather(*(self._post(ports["admin"], "/reset_counters") for ports in self._ports.values()))

    async def _post(self, address: str, path: str) -> None:
        async with self._session.post(f"http://{address}{path}", timeout=ANSWER) as response:
            await response.read()


def refused(log: str) -> list[str]:
    """The errors of the last reload that a proxy refused, from its log: as many as its last word on it counts."""
    errors = re.findall(r"^\S+ +error +pyproxy\.config +(.*)", log, re.MULTILINE)
    counted = re.fullmatch(r"kept the last good configuration: (\d+) .*", errors[-1]) if errors else None
    return errors[-1 - int(counted[1]) : -1] if counted else []
