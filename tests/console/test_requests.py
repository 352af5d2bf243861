from __future__ import annotations

import json
from pathlib import Path

from pyproxy.console.requests import find_request, lines_with, recent_requests

ID = "7d0a5c1e-9b1f-4c39-8f6e-0d8a8e8a2f10"
OUTBOUND = (
    '[2026-11-21T18:00:00.000Z] "GET /reviews/0 HTTP/1.1" 503 UH no_healthy_upstream - "-" 0 19 1 - "-" '
    f'"curl/7.88" "{ID}" "reviews:9080" "-" outbound|9080|v2|reviews.default.svc.cluster.local - '
    "127.0.1.1:15007 127.0.1.1:40000 - everybody"
)


def test_a_requests_hops_are_found_in_every_log_in_order(tmp_path: Path) -> None:
    gateway = {
        "start_time": "2026-11-21T17:59:59.999Z",
        "method": "GET",
        "path": "/productpage",
        "response_code": 200,
        "response_flags": "-",
        "request_id": ID,
        "upstream_cluster": "outbound|9080||productpage.default.svc.cluster.local",
        "upstream_host": "127.0.1.1:9080",
    }
    (tmp_path / "productpage-v1.log").write_text(f"other\n{OUTBOUND}\n")
    (tmp_path / "gateway.log").write_text(json.dumps(gateway))  # and no end of line yet
    first, second = find_request(ID, [tmp_path])
    assert (first["proxy"], first["target"], first["response_code"], first["meaning"]) == (
        "gateway",
        "productpage",
        200,
        [],
    )
    assert (second["proxy"], second["target"], second["direction"]) == ("productpage-v1", "reviews v2", "outbound")
    assert (second["route_name"], second["response_code_details"]) == ("everybody", "no_healthy_upstream")
    assert second["meaning"] == ["UH: no healthy host: all are ejected, or there is none"]


def test_a_log_in_another_format_gives_its_line(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text(f"{ID} 200\n" + json.dumps({"id": ID, "request_id": "another", "response_code": 1}) + "\n")
    assert find_request(ID, [log]) == [{"proxy": "web", "line": f"{ID} 200"}]


def test_a_log_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert find_request(ID, [tmp_path / "nothing.log", tmp_path]) == []
    assert list(lines_with(tmp_path / "nothing.log", ID)) == []


def test_the_last_requests_are_listed_and_those_that_failed_somewhere_come_first(tmp_path: Path) -> None:
    fine = {"start_time": "2026-11-21T19:00:00.000Z", "response_code": 200, "response_flags": "-", "request_id": "fine"}
    front = fine | {"start_time": "2026-11-21T17:00:00.000Z", "request_id": ID, "path": "/productpage"}
    (tmp_path / "gateway.log").write_text(
        "".join(json.dumps(each) + "\n" for each in (front, fine)) + "{not json\nwords\n"
    )
    (tmp_path / "productpage-v1.log").write_text(OUTBOUND + "\n")
    first, second = recent_requests([tmp_path])
    assert (first["id"], first["path"], first["hops"], first["failed"]) == (ID, "/productpage", 2, ["503 UH"])
    assert (second["id"], second["failed"]) == ("fine", [])
