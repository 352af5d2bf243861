"""Asks every proxy's admin port for its overview, and remembers each one's last answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from aiohttp import ClientError, ClientSession, ClientTimeout

from pyproxy.console.reading import Reading, parse_reading

ANSWER_SECONDS = 2.0
MAX_ANSWER = 64 * 1024 * 1024
REST_PER_BYTE = 2e-6
"""Seconds until a proxy is asked again, for each byte that it told us: making one takes it less than 20 ns, so that it
spends no more than a hundredth of its time on us, however large its mesh."""
_AS_IT_IS = {"Accept-Encoding": "identity"}
"""To compress a page would cost the proxy as much as to make it, and admin ports are near."""


class Poller:
    """The proxies whose admin ports are at `addresses` (`ip:port`)."""

    def __init__(self, session: ClientSession, addresses: Sequence[str]) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        self.readings: dict[str, Reading] = {}
        """By address: the last answer of each that ever answered."""
        self.errors: dict[str, str] = {}
        """By address: why the last question had no answer."""
        self._session = session
        self._rested: dict[str, float] = {}
        """By address: when it may be asked again; monotonic."""

    async def poll(self, now: float) -> None:
        """Ask at once all that had their rest; returns when each has answered or taken too long. `now`: monotonic."""
        await asyncio.gather(*(self._ask(each, now) for each in self.addresses if self._rested.get(each, now) <= now))

    async def _ask(self, address: str, now: float) -> None:
        try:
            content = await self._content(address, "/overview")
            self._rested[address] = now + len(content) * REST_PER_BYTE
            self.readings[address] = parse_reading(_object(content), address)
        except NoAnswer as error:
            self.errors[address] = str(error)
        except (LookupError, TypeError, ValueError):
            self.errors[address] = "answers, but not as a pyproxy of this version does"
        else:
            self.errors.pop(address, None)

    async def page(self, address: str, path: str) -> dict[str, object]:
        """A JSON object of one proxy. Raises NoAnswer, which says why."""
        return _object(await self._content(address, path))

    async def _content(self, address: str, path: str) -> bytes:
        try:
            async with self._session.get(
                f"http://{address}{path}",
                timeout=ClientTimeout(total=ANSWER_SECONDS),
                allow_redirects=False,
                headers=_AS_IT_IS,
            ) as response:
                if response.status != 200:
                    raise NoAnswer(f"answers {response.status} to {path}: is this the admin port of a pyproxy?")
                content = bytearray()
                async for part in response.content.iter_any():
                    content += part
                    if len(content) > MAX_ANSWER:
                        raise NoAnswer(f"answers with more than {MAX_ANSWER} bytes")
                return bytes(content)
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {ANSWER_SECONDS:g} s") from error
        except (ClientError, OSError) as error:
            raise NoAnswer(_reason(error)) from error


class NoAnswer(Exception):
    """A proxy did not say what it was asked; the text says why."""


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return "nobody listens there" if isinstance(cause, ConnectionRefusedError) else str(cause) or type(cause).__name__


def _object(content: bytes) -> dict[str, object]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise NoAnswer("answers, but not with JSON: is this the admin port?") from error
    if not isinstance(found, dict):
        raise NoAnswer("answers, but not as a pyproxy of this version does")
    return found
