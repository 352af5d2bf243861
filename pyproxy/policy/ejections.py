"""What can be told of an ejection: its kinds, and the record of one in Envoy's event log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum


class Ejection(Enum):
    """Why a host was ejected. Values are Envoy's words in the names of statistics."""

    CONSECUTIVE_5XX = "consecutive_5xx"
    CONSECUTIVE_GATEWAY_FAILURE = "consecutive_gateway_failure"
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE = "consecutive_local_origin_failure"
    SUCCESS_RATE = "success_rate"
    SUCCESS_RATE_LOCAL_ORIGIN = "local_origin_success_rate"
    FAILURE_PERCENTAGE = "failure_percentage"
    FAILURE_PERCENTAGE_LOCAL_ORIGIN = "local_origin_failure_percentage"


@dataclass(frozen=True, slots=True)
class Ejected:
    """How it stands with an ejected host."""

    seconds_left: float
    """Until its time is up; the next sweep then lets it return."""
    times: int
    """So far, this one with them."""


@dataclass(frozen=True, slots=True)
class EjectionEvent:
    """A host was ejected, would have been, or came back."""

    kind: Ejection
    """CONSECUTIVE_5XX for every return."""
    at: float
    """Unix seconds."""
    seconds_since_last: int | None
    """Since the host last came back, or for a return, since it was ejected; None the first time."""
    cluster: str
    host: str
    ejected: bool
    """False: it came back."""
    times_ejected: int
    enforced: bool
    details: Mapping[str, object] | None = None
    """The rates that decided, under Envoy's names."""

    def to_json(self) -> str:
        """One line of the event log, without its end. Source: Envoy outlier_detection_event.proto, api/.../v3."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record: dict[str, object] = {"type": self.kind.name, "timestamp": at}
        if self.seconds_since_last is not None:
            record["secs_since_last_action"] = str(self.seconds_since_last)
        record["cluster_name"] = self.cluster
        record["upstream_url"] = self.host
        record["action"] = "EJECT" if self.ejected else "UNEJECT"
        record["num_ejections"] = self.times_ejected
        record["enforced"] = self.enforced
        if self.ejected:
            record[_DETAILS_FIELD[self.kind]] = dict(self.details or {})
        return json.dumps(record, separators=(",", ":"))


_DETAILS_FIELD = {
    Ejection.CONSECUTIVE_5XX: "eject_consecutive_event",
    Ejection.CONSECUTIVE_GATEWAY_FAILURE: "eject_consecutive_event",
    Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE: "eject_consecutive_event",
    Ejection.SUCCESS_RATE: "eject_success_rate_event",
    Ejection.SUCCESS_RATE_LOCAL_ORIGIN: "eject_success_rate_event",
    Ejection.FAILURE_PERCENTAGE: "eject_failure_percentage_event",
    Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN: "eject_failure_percentage_event",
}
