"""Routes and matches that can never be used because an earlier one takes everything they would (IST0130, IST0131)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute, VirtualService
from pyproxy.istio.problems import INEFFECTIVE_MATCH, UNREACHABLE_RULE
from pyproxy.istio.rules.place import Place


def check_reachable(spec: VirtualService, place: Place) -> None:
    """Each list of routes by itself."""
    _check_repeated(spec.http, place.at("http"))
    _check_repeated(spec.tls, place.at("tls"))
    _check_repeated(spec.tcp, place.at("tcp"))
    _check_prefixes(spec.http, place.at("http"))


def _check_repeated(routes: Sequence[HTTPRoute | TLSRoute | TCPRoute], place: Place) -> None:
    """Everything after a route without a match, and matches that an earlier rule has too."""
    seen: dict[str, int] = {}
    catch_all: int | None = None
    for index, route in enumerate(routes):
        at = place.at(index)
        if catch_all is not None:
            at.warning(f"is never used: rule {catch_all} has no match, so it takes everything", UNREACHABLE_RULE)
            continue
        if not route.match:
            catch_all = index
            continue
        repeated = 0
        for match_index, match in enumerate(route.match):
            key = match.model_dump_json(exclude={"name"}, exclude_defaults=True)
            if key in seen:
                repeated += 1
                at.at("match", match_index).info(f"is never used: rule {seen[key]} has it too", INEFFECTIVE_MATCH)
            seen.setdefault(key, index)
        if repeated == len(route.match):
            at.warning("is never used: earlier rules have all its matches", UNREACHABLE_RULE)


def _check_prefixes(routes: Sequence[HTTPRoute], place: Place) -> None:
    """Prefixes after shorter or equal ones, where the earlier one asks for nothing that the later does not."""
    earlier: list[tuple[int, int, HTTPMatchRequest]] = []
    for index, match_index, match in _prefix_matches(routes):
        for other_index, other_match_index, other in earlier:
            if _covers(other, match):
                message = f"is never used: match {other_match_index} of rule {other_index} takes all its requests"
                place.at(index, "match", match_index).info(message, INEFFECTIVE_MATCH)
                break
        earlier.append((index, match_index, match))


def _prefix_matches(routes: Sequence[HTTPRoute]) -> Iterator[tuple[int, int, HTTPMatchRequest]]:
    for index, route in enumerate(routes):
        for match_index, match in enumerate(route.match):
            if match.uri is not None and match.uri.prefix:
                yield index, match_index, match


_CONDITIONS = (
    "scheme",
    "method",
    "authority",
    "headers",
    "port",
    "source_labels",
    "gateways",
    "query_params",
    "without_headers",
    "source_namespace",
)


def _covers(wide: HTTPMatchRequest, narrow: HTTPMatchRequest) -> bool:
    """Whether `wide`, which comes first, matches every request that `narrow` matches."""
    if wide.uri is None or narrow.uri is None or not wide.uri.prefix or not narrow.uri.prefix:
        return False
    if not narrow.uri.prefix.startswith(wide.uri.prefix) or (narrow.ignore_uri_case and not wide.ignore_uri_case):
        return False
    if wide.model_copy(update={"name": narrow.name}) == narrow:
        return False  # reported as repeated
    return all(_asks_less(getattr(wide, name), getattr(narrow, name)) for name in _CONDITIONS)


def _asks_less(wide: object, narrow: object) -> bool:
    if isinstance(wide, dict) and isinstance(narrow, dict):
        return wide.items() <= narrow.items()
    return wide in (None, (), 0, "") or wide == narrow
