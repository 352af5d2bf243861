"""Gives a running lab an order, from another terminal, and waits for its answer."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from pyproxy.core.errors import CommandError
from pyproxy.lab.running import START, RunningLab

PATIENCE = 120.0
"""Seconds: a check waits until there is enough to judge."""


def give(lab: RunningLab, order: str, **arguments: Any) -> dict[str, Any]:
    """The answer. Raises CommandError when the lab cannot do it (with its reason), or has gone."""
    place = urlsplit(lab.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
    try:
        headers = {"authorization": f"Bearer {lab.token}", "content-type": "application/json"}
        connection.request("POST", f"/{order}", json.dumps(arguments), headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandError(f"the lab does not answer ({error}): is it still running? {START}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise CommandError(str(answer.get("error", f"the lab answered {response.status}")))
    return answer
