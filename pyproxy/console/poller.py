"""Asks every proxy's admin port for its overview, and remembers each one's last answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from aiohttp import ClientError, ClientSession, ClientTimeout

from pyproxy.console.reading import Reading, parse_reading

ANSWER_SECONDS = 2.0
MAX_ANSWER = 64 * 1024 * 1024


class Poller:
    """The proxies whose admin ports are at `addresses` (`ip:port`)."""

    def __init__(self, session: ClientSession, addresses: Sequence[str]) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        self.readings: dict[str, Reading] = {}
        """By address: the last answer of each that ever answered."""
        self.errors: dict[str, str] = {}
        """By address: why the last question had no answer."""
        self._session = session

    async def poll(self) -> None:
        """Ask all at once; returns when each has answered or taken too long."""
        await asyncio.gather(*map(self._ask, self.addresses))

    async def _ask(self, address: str) -> None:
        try:
            self.readings[address] = parse_reading(await self.page(address, "/overview"), address)
        except NoAnswer as error:
            self.errors[address] = str(error)
        except (LookupError, TypeError, ValueError):
            self.errors[address] = "answers, but not as a pyproxy of this version does"
        else:
            self.errors.pop(address, None)

    async def page(self, address: str, path: str) -> dict[str, object]:
        """A JSON object of one proxy. Raises NoAnswer, which says why."""
        try:
            async with self._session.get(
                f"http://{address}{path}", timeout=ClientTimeout(total=ANSWER_SECONDS), allow_redirects=False
            ) as response:
                content = await response.content.read(MAX_ANSWER)
                if response.status != 200:
                    raise NoAnswer(f"answers {response.status} to {path}: is this the admin port of a pyproxy?")
                found = json.loads(content)
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {ANSWER_SECONDS:g} s") from error
        except (ClientError, OSError) as error:
            raise NoAnswer(_reason(error)) from error
        except ValueError as error:
            raise NoAnswer("answers, but not with JSON: is this the admin port?") from error
        if not isinstance(found, dict):
            raise NoAnswer("answers, but not as a pyproxy of this version does")
        return found


class NoAnswer(Exception):
    """A proxy did not say what it was asked; the text says why."""


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return "nobody listens there" if isinstance(cause, ConnectionRefusedError) else str(cause) or type(cause).__name__
