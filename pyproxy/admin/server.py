"""Starts and stops the admin, status and metrics ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyproxy.admin.served import Served
from pyproxy.core.errors import CommandError

if TYPE_CHECKING:
    from pyproxy.admin.port import Port


class AdminServers:
    """The three ports of one process."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._ports: list[Port] = []

    async def start(self) -> None:
        """Listen on all three. Raises CommandError (exit code 1) that names the flag of a port that cannot be had."""
        # Here and not above: aiohttp takes a tenth of a second, which a run that ends in an error can do without.
        from pyproxy.admin.endpoints import ADMIN, METRICS, STATUS
        from pyproxy.admin.guard import Guard
        from pyproxy.admin.port import Port

        served, flags = self._served, self._served.settings
        admin, status = flags.admin_address, flags.status_address
        self._ports = [
            Port("admin", admin, flags.admin_port, served, ADMIN, Guard(admin)),
            Port("status", status, flags.status_port, served, STATUS),
            Port("metrics", status, flags.metrics_port, served, METRICS),
        ]
        try:
            for port in self._ports:
                await port.start()
        except CommandError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the ports and what is connected to them."""
        for port in self._ports:
            await port.stop()

    def addresses(self) -> dict[str, str]:
        """`ip:port` by name: admin, status, metrics."""
        return {port.name: port.bound for port in self._ports}
