"""All access logs of a proxy: which lines each direction writes where, and of which requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.loop import Clock
from pyproxy.snapshot.model import AccessLog, Direction, Telemetry
from pyproxy.telemetry.access_log import AccessLogger

_log = logging.getLogger(__name__)
_INBOUND: Final = Direction.INBOUND
_Condition = Callable[[RequestContext], bool]


class AccessLogs:
    """`log` never raises and never waits; somebody calls `flush` once a second."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self.settings = telemetry.client.access_logs, telemetry.server.access_logs
        self._loggers: dict[AccessLog, AccessLogger] = {
            each: AccessLogger(each, clock) for each in dict.fromkeys((*self.settings[0], *self.settings[1]))
        }
        self._outbound = self._pairs(self.settings[0], inbound=False)
        self._inbound = self._pairs(self.settings[1], inbound=True)

    def log(self, ctx: RequestContext, direction: Direction) -> None:
        """An exchange or a connection is over."""
        for logger, condition in self._inbound if direction is _INBOUND else self._outbound:
            if condition is None or condition(ctx):
                logger.log(ctx)

    def flush(self) -> None:
        """Write what has been gathered."""
        for logger in self._loggers.values():
            logger.flush()

    def close(self) -> None:
        """Write what is left and let go of the files."""
        for logger in self._loggers.values():
            logger.close()

    def fits(self, telemetry: Telemetry) -> bool:
        """Whether these are the logs that are wanted."""
        return self.settings == (telemetry.client.access_logs, telemetry.server.access_logs)

    def _pairs(self, logs: Iterable[AccessLog], *, inbound: bool) -> list[tuple[AccessLogger, _Condition | None]]:
        return [(self._loggers[each], compile_filter(each.filter, inbound=inbound)) for each in logs]


def compile_filter(expression: str, *, inbound: bool) -> _Condition | None:
    """Whether an expression is true for a request; None for an empty one. An error is not true, as in Envoy."""
    if not expression:
        return None
    # at the first filter: most meshes have none
    from pyproxy.cel.errors import EvaluationError, SyntaxProblem
    from pyproxy.cel.expression import compile_expression
    from pyproxy.telemetry.attributes import VALUES, Subject

    try:
        compiled = compile_expression(expression, VALUES)
    except SyntaxProblem as problem:  # documents are checked before
        _log.error("access log filter %r: %s; nothing is logged", expression, problem)
        return lambda _ctx: False

    def condition(ctx: RequestContext) -> bool:
        try:
            return compiled(Subject(ctx, inbound=inbound)) is True
        except EvaluationError:
            return False

    return condition
