"""Envoy as a process, and upstreams that name themselves: what the tests beside it stand on."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
EXTENSIONS = "type.googleapis.com/envoy.extensions"
_OPTIONS = ("--concurrency", "1", "--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "100")


class Upstreams:
    """Plain HTTP servers on free loopback ports; each names its port in `x-who` and keeps what it was asked.

    A request with `x-status` is answered with that status, with `x-answer: name=value` with that header as well;
    `x-end: close` closes instead of an answer, `x-end: silence` leaves it out.
    """

    def __init__(self, count: int) -> None:
        self.ports: list[int] = []
        self.seen: list[tuple[int, bytes]] = []
        """Port and request head, in order of arrival."""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(count, ready), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, count: int, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        servers = self._loop.run_until_complete(self._listen(count))
        ready.set()
        self._loop.run_forever()
        for server in servers:
            server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self, count: int) -> list[asyncio.Server]:
        servers = [await asyncio.start_server(self._serve, "127.0.0.1", 0) for _ in range(count)]
        self.ports = [server.sockets[0].getsockname()[1] for server in servers]
        return servers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen.append((port, head))
                asked = dict(line.partition(b": ")[::2] for line in head.split(b"\r\n"))
                if asked.get(b"x-end") == b"close":
                    break
                if asked.get(b"x-end") == b"silence":
                    continue
                name, _, value = asked.get(b"x-answer", b"x-none=").partition(b"=")
                head = b"HTTP/1.1 %s -\r\nx-who: %d\r\n" % (asked.get(b"x-status", b"200"), port)
                writer.write(head + b"%s: %s\r\ncontent-length: 0\r\n\r\n" % (name, value))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        writer.close()


class Envoy:
    """One Envoy process, one worker, on ports of its own choice."""

    def __init__(
        self,
        path: str,
        folder: Path,
        listeners: Sequence[Any],
        clusters: Sequence[Any],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        admin = folder / "admin.txt"
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(
            json.dumps(
                {
                    "admin": {"address": loopback(0)},
                    "static_resources": {"listeners": listeners, "clusters": clusters},
                    **(more or {}),
                }
            )
        )
        with (folder / "envoy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [path, "-c", str(bootstrap), "--admin-address-path", str(admin), *_OPTIONS],
                stdout=log,
                stderr=log,
            )
        try:
            self._await(lambda: admin.exists() and ":" in admin.read_text(), folder)
            self.admin_port = int(admin.read_text().rpartition(":")[2])
            self._await(lambda: self.get_admin("/ready").strip() == "LIVE", folder)
        except BaseException:
            self.close()
            raise
        self.ports = {
            listener["name"]: listener["local_address"]["socket_address"]["port_value"]
            for listener in json.loads(self.get_admin("/listeners?format=json"))["listener_statuses"]
            if "socket_address" in listener["local_address"]
        }

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def get_admin(self, path: str) -> str:
        """A page of the admin port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()

    def _await(self, condition: Callable[[], bool], folder: Path) -> None:
        until = time.monotonic() + START_SECONDS
        while not condition():
            assert self._process.poll() is None, (folder / "envoy.log").read_text()[:2000]
            assert time.monotonic() < until, "Envoy did not start"
            time.sleep(0.02)


def loopback(port: int) -> dict[str, Any]:
    """An Envoy address; port 0 is any free one."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def http_listener(
    name: str, routes: Sequence[Any], filters: Sequence[Any] = (), **manager_settings: Any
) -> dict[str, Any]:
    """A plain HTTP listener with one virtual host for everything."""
    router_type = f"{EXTENSIONS}.filters.http.router.v3.Router"
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": router_type}}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, router],
        **manager_settings,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": name, "address": loopback(0), "filter_chains": [chain]}
