"""What one request would meet at a running proxy: `pyproxy explain`, with that proxy's own flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pyproxy.console.documents import Refused
from pyproxy.core.errors import CommandError

_WHO = ("workload", "namespace", "service_account", "labels", "gateway", "address")
_WHERE = ("outbound_port", "inbound_port", "http_proxy_port", "app_address")


def explain(
    paths: Sequence[Path], info: Mapping[str, Any], method: str, url: str, headers: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """An Explanation as JSON. `info` is the proxy's /server_info. Raises Refused."""
    # Here and not above: it is all of the compiler, which a console that nobody asks has no use for.
    from pyproxy.analysis.explain import Explainer, ask
    from pyproxy.reload import read
    from pyproxy.settings import Settings

    if not paths:
        raise Refused("start the console with --config and the proxies' documents")
    try:
        flags = info["pyproxy"]["flags"]
        settings = Settings(config=tuple(paths), **{name: flags[name] for name in (*_WHO, *_WHERE)})
    except (LookupError, TypeError) as error:
        raise Refused("the proxy does not say who it is") from error
    try:
        loaded = read(settings.config, settings.identity_in, settings.listening)
        if loaded.snapshot is None:
            raise Refused(f"the documents have an error: {loaded.errors[0]}")
        found = Explainer(loaded.snapshot, loaded.documents).explain(ask(method, url, headers))
    except CommandError as error:
        raise Refused(str(error)) from error
    return asdict(found)
