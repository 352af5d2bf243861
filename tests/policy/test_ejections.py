"""Records of the event log. The lines here are a real Envoy's."""

from __future__ import annotations

from datetime import datetime

import pytest

from pyproxy.policy.ejections import Ejection, EjectionEvent

AT = datetime.fromisoformat("2026-11-21T14:17:46.514Z").timestamp()


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            EjectionEvent(Ejection.CONSECUTIVE_GATEWAY_FAILURE, AT, None, "one", "127.0.0.1:1", True, 0, False),
            '{"type":"CONSECUTIVE_GATEWAY_FAILURE","timestamp":"2026-11-21T14:17:46.514Z","cluster_name":"one",'
            '"upstream_url":"127.0.0.1:1","action":"EJECT","num_ejections":0,"enforced":false,'
            '"eject_consecutive_event":{}}',
        ),
        (
            EjectionEvent(Ejection.CONSECUTIVE_5XX, AT, 1, "one", "127.0.0.1:1", False, 2, False),
            '{"type":"CONSECUTIVE_5XX","timestamp":"2026-11-21T14:17:46.514Z","secs_since_last_action":"1",'
            '"cluster_name":"one","upstream_url":"127.0.0.1:1","action":"UNEJECT","num_ejections":2,"enforced":false}',
        ),
        (
            EjectionEvent(
                Ejection.FAILURE_PERCENTAGE, AT, None, "three", "127.0.0.1:1", True, 0, False, {"host_success_rate": 83}
            ),
            '{"type":"FAILURE_PERCENTAGE","timestamp":"2026-11-21T14:17:46.514Z","cluster_name":"three",'
            '"upstream_url":"127.0.0.1:1","action":"EJECT","num_ejections":0,"enforced":false,'
            '"eject_failure_percentage_event":{"host_success_rate":83}}',
        ),
    ],
)
def test_a_record_is_written_as_envoy_writes_it(event: EjectionEvent, line: str) -> None:
    assert event.to_json() == line
