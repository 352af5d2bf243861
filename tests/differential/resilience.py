"""One scenario through a real Envoy and through pyproxy, before the same scripted hosts: what can be seen is the same.

A scenario is written as Istio documents say it. pyproxy reads the documents; Envoy gets what istiod would make of them.
Each scenario has a host name, a cluster and a script of its own. All run side by side. Those that differ run once more,
with a note, under another name, and with all their times four times as long: what differs only because a busy machine
was late by some 100 ms does not differ then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from h2.exceptions import ProtocolError

from tests.differential import istio_as_envoy
from tests.differential.envoy_process import EXTENSIONS, Envoy, http_listener
from tests.differential.http2_ends import Http2End
from tests.differential.istio_as_envoy import Block, Host
from tests.differential.scripted_hosts import ADDRESS, OK, Attempt, Run, Script, ScriptedHosts
from tests.differential.stretching import stretched_block, stretched_headers
from tests.peers import Headers, split_head, whole_lines
from tests.pyproxy_process import PyproxyProcess

AT_ONCE = 6
"""Scenarios that run side by side: few enough for two cores."""
AT_ONCE_AGAIN = 2
STRETCH = 4
SETTLE_SECONDS = 1.0
"""How long the proxies may take to have counted alike."""
SECONDS = 20.0
"""How long a client waits for an answer before it gives up."""
LOG_FIELDS = {
    "run": "%REQ(X-RUN)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "grpc": "%GRPC_STATUS(NUMBER)%",
    "protocol": "%PROTOCOL%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "host": "%UPSTREAM_HOST%",
}
COMPARED = re.compile(
    r"(retry\.)?upstream_rq_(total|retry.*|timeout|per_try_timeout|pending_total|pending_overflow|active_overflow"
    r"|pending_failure_eject|cancelled|rx_reset|tx_reset|completed|[1-5]xx|[1-5]\d\d|active|pending_active)"
    r"|retry_or_shadow_abandoned|lb_healthy_panic|membership_(total|healthy)"
    r"|upstream_cx_(total|active|destroy(_local|_remote)?(_with_active_rq)?|connect_fail|connect_timeout|overflow|none_healthy|max_requests|idle_timeout"
    r"|max_duration_reached)"
    r"|circuit_breakers\.default\.(cx|rq|rq_pending|rq_retry)_open|outlier_detection\..*"
)
"""Statistics of a scenario's cluster that both proxies must have alike."""


# What a scenario is


@dataclass(frozen=True)
class Ask:
    """A request. `body` pieces are sent `pause` seconds apart, the first at once."""

    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = ()
    chunked: bool = False
    pause: float = 0.0
    times: int = 1
    """So many, one after the other."""
    at_once: int = 1
    """So many clients do it at the same time."""
    apart: float = 0.0
    """Each so many seconds after the one before."""
    patience: float = SECONDS
    """The client leaves after so many seconds."""
    waits: bool = True
    """Off: what is asked next is asked meanwhile."""
    trailers: Mapping[str, str] = field(default_factory=dict)
    """Behind the body, in HTTP/2."""
    cancels: float = 0.0
    """The client resets its stream after so many seconds (HTTP/2)."""
    half: bool = False
    """The request is never ended (HTTP/2)."""

    def stretched(self, by: int) -> Ask:
        return replace(
            self,
            headers=stretched_headers(self.headers, by),
            pause=self.pause * by,
            apart=self.apart * by,
            patience=self.patience * by,
            cancels=self.cancels * by,
        )


@dataclass(frozen=True)
class Wait:
    """Nothing, for so many seconds."""

    seconds: float

    def stretched(self, by: int) -> Wait:
        return Wait(self.seconds * by)


@dataclass(frozen=True)
class Look:
    """Note the cluster's statistics of this moment under a name, to be compared too."""

    name: str
    only: str = r"circuit_breakers.*_open|.*ejections_active|membership_healthy|.*_active"

    def stretched(self, by: int) -> Look:
        return self


Action = Ask | Wait | Look


@dataclass(frozen=True)
class Scenario:
    """`route` is what an HTTPRoute says beside where to; `policy` a trafficPolicy."""

    asks: Sequence[Action] = (Ask(),)
    script: Script = (OK,)
    hosts: Sequence[Host] = (Host(),)
    route: Block = field(default_factory=dict)
    policy: Block = field(default_factory=dict)
    shadow: Host | None = None
    """Every request is mirrored to this host."""
    shadow_policy: Block = field(default_factory=dict)
    inbound: bool = False
    check: Callable[[Seen], object] | None = None
    """Asserts what both proxies must do, each by itself."""
    compared: bool = True
    """Off where chance decides: then only `check` counts."""
    placed: bool = False
    """Which host got which attempt is compared, and not only how many each got."""
    stats: str = ""
    """More statistics to leave out, as a regular expression."""
    log: str = ""
    """Likewise fields of the access log."""
    took: tuple[float, float] | None = None
    """Seconds between which each answer must have come, from both."""
    client: int = 1
    """The HTTP that clients speak."""
    upstream: int = 1
    """And the one of the hosts."""
    grpc_web: bool = False
    """The port says so; all of a comparison must be alike in this."""
    stretches: bool = True
    """Off where a time matters that no document says."""
    pace: int = 1
    """Every second of it takes so many."""

    def stretched(self, by: int) -> Scenario:
        """With longer times. What is seen of it says the same times still."""
        if not self.stretches:
            return self
        return replace(
            self,
            asks=[action.stretched(by) for action in self.asks],
            route=stretched_block(self.route, by),
            policy=stretched_block(self.policy, by),
            shadow_policy=stretched_block(self.shadow_policy, by),
            pace=by,
        )


@dataclass
class Answer:
    """What a client got; status 0 is nothing."""

    ask: int
    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    took: float = 0.0
    trailers: Headers | None = None
    reset: int | None = None
    """The code of the RST_STREAM that ended it."""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Seen:
    """What one proxy did in one scenario."""

    answers: list[Answer] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    looks: dict[str, dict[str, int]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    """The outlier event log's records of its cluster."""

    @property
    def statuses(self) -> list[int]:
        """In the order of asking."""
        return [answer.status for answer in sorted(self.answers, key=lambda answer: answer.ask)]

    @property
    def by_host(self) -> Counter[int]:
        """Attempts that each host saw."""
        return Counter(attempt.host for attempt in self.attempts)

    def counted(self, scenario: Scenario) -> dict[str, int]:
        """The statistics that must be equal."""
        hidden = re.compile(scenario.stats or r"\Z")
        return {name: value for name, value in self.stats.items() if not hidden.fullmatch(name)}

    def comparable(self, scenario: Scenario) -> dict[str, Any]:
        """What must be equal."""
        single = len(scenario.hosts) == 1
        shadow = None if scenario.shadow is None else scenario.shadow.kind
        own = [attempt for attempt in self.attempts if attempt.host != shadow]
        counts = Counter(attempt.host for attempt in own)
        hosts = [attempt.host for attempt in own] if scenario.placed else sorted(counts.values())
        logs = [
            {**line, "host": line["host"] if single or scenario.placed else line["host"] != "-"}
            for line in sorted(self.log, key=lambda line: line["run"])
        ]
        unseen = re.compile(scenario.log or r"\Z")
        logs = [{key: value for key, value in line.items() if not unseen.fullmatch(key)} for line in logs]
        answers = [
            (each.status, _masked(each.headers), each.body, each.whole, each.trailers, each.reset)
            for each in self.answers
        ]
        attempts: list[tuple[object, ...]] = [_attempt(attempt) for attempt in own]
        if shadow is not None:  # whose connection was there first is chance
            attempts = [attempt[1:] for attempt in attempts]
        if any(isinstance(ask, Ask) and ask.at_once > 1 for ask in scenario.asks):  # who was first is chance
            answers.sort(key=repr)
            attempts = sorted((attempt[1:] for attempt in attempts), key=repr)
            logs = sorted(({**line, "run": ""} for line in logs), key=repr)
        return {
            "answers": answers,
            "attempts": attempts,
            "shadows": sorted(repr(_attempt(each)[1:]) for each in self.attempts if each.host == shadow),
            "hosts": hosts,
            "log": logs,
            "stats": self.counted(scenario),
            "looks": self.looks,
            "events": [_event(event, named=single or scenario.placed) for event in self.events],
        }


_TOLD_APART = {b"x-envoy-attempt-count", b"x-envoy-expected-rq-timeout-ms", b"x-envoy-decorator-operation"}
_MASKED = {b"date", b"x-envoy-upstream-service-time", b"x-request-id"}
_DECORATOR = b"x-envoy-decorator-operation"  # only where tracing is on


def _masked(headers: Headers) -> Headers:
    return sorted((name, b"*" if name in _MASKED else value) for name, value in headers if name != _DECORATOR)


def _event(event: dict[str, Any], *, named: bool) -> dict[str, Any]:
    """Without its times; which of several hosts it was is chance."""
    hidden = {"timestamp", "cluster_name", "secs_since_last_action"} | (set() if named else {"upstream_url"})
    return {key: value for key, value in event.items() if key not in hidden}


def _attempt(attempt: Attempt) -> tuple[object, ...]:
    """Its connection first. Later attempts are told of a time that differs by what the earlier ones took."""
    number = attempt.get(b"x-envoy-attempt-count")
    first = number == b"1"
    expected = attempt.get(b"x-envoy-expected-rq-timeout-ms")
    deadline = attempt.get(b"grpc-timeout")
    told = [value if first or value is None else b"*" for value in (expected, deadline)]
    others: list[tuple[bytes, object]] = sorted(
        line for line in attempt.headers if line[0].startswith(b"x-envoy-") and line[0] not in _TOLD_APART
    )
    # Which of this machine's addresses is its own a proxy of a test cannot know.
    others += [(name, value.count(b",")) for name, value in attempt.headers if name == b"x-forwarded-for"]
    end = (len(attempt.body), attempt.whole, attempt.trailers, attempt.reset)
    return (attempt.connection, number, attempt.method, *told, *end, others)


# The two proxies


class Side:
    """One proxy: where it listens, what it counts, what it logs."""

    def __init__(
        self, name: str, hosts: ScriptedHosts, ports: Mapping[str, int], admin: int, log: Path, events: Path
    ) -> None:
        self.name = name
        self.admin = admin
        self._hosts = hosts
        self._ports = ports
        self._log = log
        self._events = events
        self._runs: dict[str, tuple[Run, Seen]] = {}

    async def run(self, scenario: Scenario, authority: str) -> Seen:
        """All that a scenario asks, one thing after the other."""
        name = f"{authority}/{self.name}"
        run = self._hosts.runs[name] = Run(scenario.script, scenario.pace)
        seen = Seen(attempts=run.attempts)
        self._runs[name] = run, seen
        number = 0
        begun: list[asyncio.Future[list[None]]] = []
        for action in scenario.asks:
            if isinstance(action, Wait):
                await asyncio.sleep(action.seconds)
            elif isinstance(action, Look):
                seen.looks[action.name] = await self.stats(authority, action.only)
            else:
                called = f"{authority}:{self._hosts.ports[scenario.hosts[0].kind]}" if scenario.inbound else authority
                starts = range(number, number + action.at_once * action.times, action.times)
                ask = self._ask if scenario.client == 1 else self._ask_in_http2
                clients = [
                    self._client(
                        seen,
                        action,
                        ask,
                        called,
                        name,
                        range(start, start + action.times),
                        index * action.apart,
                        scenario.pace,
                    )
                    for index, start in enumerate(starts)
                ]
                number += action.at_once * action.times
                begun.append(asyncio.gather(*clients))
                if action.waits:
                    await begun[-1]
        await asyncio.gather(*begun)
        await asyncio.sleep(0.02)  # what the last answer left to do
        if scenario.shadow is not None:
            await asyncio.sleep(0.1)  # nobody waits for its answer
        await self.count(scenario, authority)
        return seen

    async def count(self, scenario: Scenario, authority: str) -> None:
        """Note what the scenario's cluster has counted by now."""
        seen = self._runs_seen(authority)
        if not scenario.inbound and "weights" not in scenario.route:
            seen.stats = await self.stats(authority)
        if scenario.shadow is not None:
            shadowed = await self.stats(f"shadow-{authority}")
            seen.stats |= {f"shadow.{key}": value for key, value in shadowed.items()}

    async def stats(self, authority: str, only: str = "") -> dict[str, int]:
        """The cluster's statistics that are compared and not 0."""
        prefix = f"cluster.outbound|80||{authority}."
        text = await self.page(f"/stats?usedonly&filter=^cluster.outbound%5C%7C80%5C%7C%5C%7C{authority}")
        found = {}
        for line in text.splitlines():
            key, _, value = line.removeprefix(prefix).partition(": ")
            if value != "0" and COMPARED.fullmatch(key) and re.fullmatch(only or ".*", key):
                found[key] = int(value)
        return found

    async def page(self, path: str) -> str:
        """A page of the admin port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.admin)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        text = await reader.read()
        writer.close()
        head, _, body = text.partition(b"\r\n\r\n")
        return (_dechunk(body) if b"transfer-encoding: chunked" in head.lower() else body).decode()

    async def _client(
        self,
        seen: Seen,
        ask: Ask,
        way: Callable[[Ask, str, str, Answer], Awaitable[None]],
        authority: str,
        name: str,
        numbers: range,
        wait: float,
        pace: int,
    ) -> None:
        """One client: a connection for each request, so that none depends on the one before."""
        await asyncio.sleep(wait)
        for number in numbers:
            answer = Answer(number)
            seen.answers.append(answer)
            begun = time.monotonic()
            try:
                async with asyncio.timeout(ask.patience):
                    await way(ask, authority, f"{name}/{number:04}", answer)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                pass
            answer.took = (time.monotonic() - begun) / pace

    async def _ask(self, ask: Ask, authority: str, run: str, answer: Answer) -> None:
        port = self._ports["inbound" if authority.startswith("in-") else "outbound"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * 1024 * 1024)
        headers = {"host": authority, "x-run": run, **ask.headers}
        if ask.chunked:
            headers["transfer-encoding"] = "chunked"
        elif ask.body:
            headers["content-length"] = str(sum(map(len, ask.body)))
        lines = [f"{ask.method} {ask.path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        sending = asyncio.ensure_future(_send(writer, "\r\n".join([*lines, "\r\n"]).encode(), ask))
        try:
            await _read_answer(reader, ask.method, answer)
        finally:
            sending.cancel()
            writer.close()

    async def _ask_in_http2(self, ask: Ask, authority: str, run: str, answer: Answer) -> None:
        port = self._ports["inbound" if authority.startswith("in-") else "outbound"]
        end = Http2End(*await asyncio.open_connection("127.0.0.1", port))
        asked = {":method": ask.method, ":scheme": "http", ":authority": authority, ":path": ask.path}
        lines = [(key.encode(), value.encode()) for key, value in {**asked, "x-run": run, **ask.headers}.items()]
        bare = not ask.body and not ask.trailers and not ask.half
        number = end.open(lines, end=bare)
        # Before `run`, which flushes: the head goes in one write with the first piece, as in `_send`.
        sending = asyncio.ensure_future(_send_in_http2(end, number, ask)) if not bare else None
        reading = asyncio.ensure_future(end.run())
        stream = end.streams[number]
        if ask.cancels:
            asyncio.get_running_loop().call_later(ask.cancels, end.reset_stream, number, 8)
        try:
            async with asyncio.timeout(ask.cancels + 0.2 if ask.cancels else None):
                await stream.over.wait()
        except TimeoutError:
            pass
        finally:
            answer.status, answer.headers = stream.status, stream.headers[1:]
            answer.body, answer.trailers, answer.reset = stream.body, stream.trailers, stream.reset
            answer.whole = stream.ended
            for task in (sending, reading):
                if task is not None:
                    task.cancel()
            end.writer.close()

    def read_log(self, names: Sequence[str], seconds: float) -> None:
        """Give each run its lines; wait so long for those that are missing."""
        wanted = {f"{name}/{self.name}/{ask.ask:04}" for name in names for ask in self._runs_seen(name).answers}
        deadline = time.monotonic() + seconds
        while not wanted <= {line["run"] for line in self._logged()} and time.monotonic() < deadline:
            time.sleep(0.05)
        found: dict[str, list[dict[str, Any]]] = {}
        for line in self._logged():
            name, _, number = (line["run"] or "").rpartition("/")
            line = {**line, "run": number, "host": self._hosts.host_of(line["host"])}
            line["details"] = re.sub(r"127\.0\.0\.\d:\d+", "ADDRESS", line["details"] or "")
            found.setdefault(name, []).append(line)
        events = [json.loads(line[line.index("{") :]) for line in whole_lines(self._events) if '"upstream_url"' in line]
        for name in names:
            seen = self._runs_seen(name)
            seen.log = found.get(f"{name}/{self.name}", [])
            seen.events = [event for event in events if event["cluster_name"] == f"outbound|80||{name}"]

    def _runs_seen(self, name: str) -> Seen:
        return self._runs[f"{name}/{self.name}"][1]

    def _logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in whole_lines(self._log)]


async def _send(writer: asyncio.StreamWriter, head: bytes, ask: Ask) -> None:
    """The head together with the first piece: else chance would say whether a proxy had begun an attempt in between."""
    first, *others = _pieces(ask)
    writer.write(head + first)
    for piece in others:
        await writer.drain()
        await asyncio.sleep(ask.pause)
        writer.write(piece)


def _pieces(ask: Ask) -> list[bytes]:
    """The body as it is framed; at least one piece."""
    if not ask.chunked:
        return [*ask.body] or [b""]
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in ask.body] or [b""]
    return [*pieces[:-1], pieces[-1] + b"0\r\n\r\n"]


async def _send_in_http2(end: Http2End, number: int, ask: Ask) -> None:
    with contextlib.suppress(ProtocolError):  # the stream was reset meanwhile
        for index, piece in enumerate(ask.body):
            if index:
                await asyncio.sleep(ask.pause)
            last = index == len(ask.body) - 1 and not ask.trailers and not ask.half
            await end.send_data(number, piece, end=last)
        if ask.trailers:
            lines = [(key.encode(), value.encode()) for key, value in ask.trailers.items()]
            end.send_headers(number, lines, end=True)


async def _read_answer(reader: asyncio.StreamReader, method: str, answer: Answer) -> None:
    line, headers = split_head(await reader.readuntil(b"\r\n\r\n"))
    while line.split(b" ")[1].startswith(b"1"):
        line, headers = split_head(await reader.readuntil(b"\r\n\r\n"))
    answer.status, answer.headers = int(line.split(b" ")[1]), headers
    length = answer.get(b"content-length")
    try:
        if method == "HEAD" or answer.status in (204, 304):
            pass
        elif answer.get(b"transfer-encoding") is not None:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                answer.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif length is not None:
            answer.body = await reader.readexactly(int(length))
        answer.whole = True
    except asyncio.IncompleteReadError as error:
        answer.body += error.partial


def _dechunk(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        body, data = body + data[:count], data[count + 2 :]
    return body


# Both at once


class Comparison:
    """Two proxies that know every selected scenario, each under two names."""

    def __init__(
        self,
        scenarios: Mapping[str, Scenario],
        named: Mapping[str, Scenario],
        hosts: ScriptedHosts,
        sides: tuple[Side, Side],
    ) -> None:
        self.sides = sides
        self._scenarios = scenarios
        self._named = named
        self._hosts = hosts
        self.seen: dict[str, tuple[Seen, Seen]] = {}
        """Envoy's, pyproxy's."""

    def run(self) -> None:
        """All of them, and those that differ once more."""
        self._pass(list(self._scenarios), again=False)
        differ = [name for name in self._scenarios if self.trouble(name)]
        if differ:
            note = f"\nNOTE: {len(differ)} scenario(s) differed and ran once more: {', '.join(differ)}"
            print(note, file=sys.__stderr__)  # pytest keeps the other one to itself
            self._pass(differ, again=True)

    def authority(self, name: str) -> str:
        """What a scenario's service is called."""
        return authority(list(self._scenarios).index(name), self._scenarios[name], again=False)

    def trouble(self, name: str) -> str:
        """How the two differ, or what one did that none may; empty when all is well."""
        scenario = self._scenarios[name]
        found = []
        for side, seen in zip(self.sides, self.seen[name], strict=True):
            try:
                if scenario.check is not None:
                    scenario.check(seen)
                if scenario.took is not None:
                    least, most = scenario.took
                    times = [each.took for each in seen.answers]
                    assert all(least - 0.02 <= took <= most for took in times), times
            except AssertionError as error:
                found.append(f"{side.name}: {error}")
        if scenario.compared:
            theirs, ours = (seen.comparable(scenario) for seen in self.seen[name])
            found += [_difference(key, theirs[key], ours[key]) for key in theirs if theirs[key] != ours[key]]
        return "\n".join(found)

    def _pass(self, names: Sequence[str], *, again: bool) -> None:
        asyncio.run(self._all(names, again=again))
        authorities = [authority(list(self._scenarios).index(name), self._scenarios[name], again) for name in names]
        for side in self.sides:
            side.read_log(authorities, 5)

    async def _all(self, names: Sequence[str], *, again: bool) -> None:
        turns = asyncio.Semaphore(AT_ONCE_AGAIN if again else AT_ONCE)

        async def both(name: str) -> None:
            async with turns:
                called = authority(list(self._scenarios).index(name), self._scenarios[name], again)
                scenario = self._named[called]
                theirs, ours = await asyncio.gather(*(side.run(scenario, called) for side in self.sides))
                self.seen[name] = theirs, ours
                if scenario.compared:
                    await self._settle(scenario, called, theirs, ours)

        await asyncio.gather(*(both(name) for name in names))

    async def _settle(self, scenario: Scenario, called: str, theirs: Seen, ours: Seen) -> None:
        """Wait until both have counted the same, or for too long: some is counted a little after the last answer."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while theirs.counted(scenario) != ours.counted(scenario) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            await asyncio.gather(*(side.count(scenario, called) for side in self.sides))


def _difference(what: str, theirs: Any, ours: Any) -> str:
    if isinstance(theirs, dict):
        names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        theirs, ours = ({name: each.get(name) for name in names} for each in (theirs, ours))
    elif isinstance(theirs, list) and len(theirs) == len(ours):
        pairs = [pair for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]]
        theirs, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return f"{what}:\n  Envoy   {theirs}\n  pyproxy {ours}"


def authority(index: int, scenario: Scenario, again: bool) -> str:
    """The host name of a scenario."""
    return f"{'in' if scenario.inbound else 'out'}-{index}{'b' if again else 'a'}.test"


@contextmanager
def compared(
    scenarios: Mapping[str, Scenario],
    start_envoy: Callable[..., Envoy],
    folder: Path,
    *flags: str,
    internal: Sequence[str] = (),
    connections: Block | None = None,
) -> Iterator[Comparison]:
    """Start both with everything that the scenarios need.

    `internal`: networks whose requests are; `connections`: the mesh's connectionSettings.
    """
    hosts = ScriptedHosts()
    named = {}
    for index, scenario in enumerate(scenarios.values()):
        named[authority(index, scenario, False)] = scenario
        # The mesh's own times are not the scenario's to stretch.
        named[authority(index, scenario, True)] = scenario if connections else scenario.stretched(STRETCH)
    try:
        envoy_log, our_log = folder / "envoy-access.log", folder / "pyproxy-access.log"
        managers = istio_as_envoy.connection_settings(connections or {})
        listeners = envoy_listeners(named, envoy_log, hosts, internal, managers)
        clusters = envoy_clusters(named, hosts)
        envoy_events = folder / "envoy-events.log"
        envoy = start_envoy(
            istio_as_envoy.in_seconds(listeners),
            istio_as_envoy.in_seconds(clusters),
            cluster_manager={"outlier_detection": {"event_log_path": str(envoy_events)}},
        )
        text = documents(named, our_log, hosts, internal, connections)
        process = PyproxyProcess(folder, text, "--app-address", ADDRESS, *flags)
        try:
            ports = {"outbound": process.outbound, "inbound": process.ports["virtualInbound"]}
            ours = Side("pyproxy", hosts, ports, process.ports["admin"], our_log, process.log)
            theirs = Side("envoy", hosts, envoy.ports, envoy.admin_port, envoy_log, envoy_events)
            yield Comparison(scenarios, named, hosts, (theirs, ours))
        finally:
            process.close()
    finally:
        hosts.close()


def selected(scenarios: Mapping[str, Scenario], request: pytest.FixtureRequest) -> dict[str, Scenario]:
    """Those whose tests run."""
    wanted = {
        item.callspec.params.get("name")
        for item in request.session.items
        if hasattr(item, "callspec") and getattr(item, "module", None) is request.module
    }
    return {name: scenario for name, scenario in scenarios.items() if name in wanted}


# Their configuration


def envoy_listeners(
    named: Mapping[str, Scenario],
    log: Path,
    hosts: ScriptedHosts,
    internal: Sequence[str] = (),
    managers: Block | None = None,
) -> list[dict[str, Any]]:
    """A sidecar's outbound and inbound listener; `managers` are settings of their connection managers."""
    networks = [
        {"address_prefix": address, "prefix_len": int(length)}
        for address, _, length in (network.partition("/") for network in internal)
    ]
    translator = {"name": "web", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.grpc_web.v3.GrpcWeb"}}
    web = [translator] if any(scenario.grpc_web for scenario in named.values()) else []
    found = []
    for direction, server in (("outbound", "envoy"), ("inbound", "istio-envoy")):
        inbound = direction == "inbound"
        virtual_hosts = [
            _virtual_host(name, scenario, hosts) for name, scenario in named.items() if scenario.inbound == inbound
        ]
        listener = http_listener(
            direction,
            [],
            [*web, {"name": "fault", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.fault.v3.HTTPFault"}}],
            server_name=server,
            delayed_close_timeout="0.2s",
            proxy_100_continue=True,
            **({"internal_address_config": {"cidr_ranges": networks}} if networks else {}),
            **{"stream_idle_timeout": "0s", **(managers or {})},
            access_log=[_access_log(log)],
            route_config={"name": direction, "ignore_port_in_host_matching": True, "virtual_hosts": virtual_hosts},
        )
        found.append({**listener, "traffic_direction": direction.upper()})
    return found


def _virtual_host(name: str, scenario: Scenario, hosts: ScriptedHosts) -> dict[str, Any]:
    hashed = istio_as_envoy.hash_policies(scenario.policy)
    if scenario.inbound:
        retry = {"retry_on": "reset-before-request", "num_retries": 2}
        cluster = _inbound_name(scenario, hosts)
        route: dict[str, Any] = {"route": {"cluster": cluster, "timeout": "0s", "retry_policy": retry}}
    else:
        route = {"route": istio_as_envoy.route_action(scenario.route, f"outbound|80||{name}", hashed=hashed)}
    if scenario.shadow is not None:
        route["route"]["request_mirror_policies"] = [{"cluster": f"outbound|80||shadow-{name}"}]
    if "headers" in scenario.route:
        route["request_headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in scenario.route["headers"]["request"]["set"].items()
        ]
    if "fault" in scenario.route:
        route["typed_per_filter_config"] = {"fault": istio_as_envoy.fault_filter(scenario.route["fault"])}
    return {
        "name": name,
        "domains": [name],
        "routes": [{"match": {"prefix": "/"}, **route}],
        "include_request_attempt_count": True,
    }


def envoy_clusters(named: Mapping[str, Scenario], hosts: ScriptedHosts) -> list[dict[str, Any]]:
    """One for each scenario, more where it splits by weight."""
    found: dict[str, dict[str, Any]] = {}
    for name, scenario in named.items():
        cluster = _inbound_name(scenario, hosts) if scenario.inbound else f"outbound|80||{name}"
        weights = scenario.route.get("weights")
        if weights:
            for index, subset in enumerate(weights):
                called = f"{cluster}-{subset}"
                found[called] = istio_as_envoy.cluster(
                    called, scenario.hosts[index : index + 1], hosts.ports, scenario.policy, http=scenario.upstream
                )
        else:
            found[cluster] = istio_as_envoy.cluster(
                cluster, scenario.hosts, hosts.ports, scenario.policy, http=scenario.upstream
            )
        if scenario.shadow is not None:
            called = f"outbound|80||shadow-{name}"
            found[called] = istio_as_envoy.cluster(called, [scenario.shadow], hosts.ports, scenario.shadow_policy)
    return list(found.values())


def _inbound_name(scenario: Scenario, hosts: ScriptedHosts) -> str:
    return f"inbound|{hosts.ports[scenario.hosts[0].kind]}||"


def _access_log(path: Path) -> dict[str, Any]:
    kind = f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog"
    return {
        "name": "file",
        "typed_config": {"@type": kind, "path": str(path), "log_format": {"json_format": LOG_FIELDS}},
    }


# Our documents


def _protocol(scenario: Scenario) -> str:
    return "GRPC-WEB" if scenario.grpc_web else {1: "HTTP", 2: "HTTP2"}[scenario.upstream]


def documents(
    named: Mapping[str, Scenario],
    log: Path,
    hosts: ScriptedHosts,
    internal: Sequence[str] = (),
    connections: Block | None = None,
) -> str:
    """The same for pyproxy, as an operator would write it."""
    mesh = {
        "accessLogFile": str(log),
        "accessLogEncoding": "JSON",
        "accessLogFormat": json.dumps(LOG_FIELDS),
        "defaultConfig": {"tracing": {"sampling": 0}, "connectionSettings": connections or {}},
    }
    spec: dict[str, Any] = {"meshConfig": mesh}
    if internal:
        endpoints = [{"fromCidr": network} for network in internal]
        spec["values"] = {
            "pilot": {"env": {"ENABLE_HCM_INTERNAL_NETWORKS": "true"}},
            "global": {"meshNetworks": {"ours": {"endpoints": endpoints}}},
        }
    found = [_document("IstioOperator", "mesh", spec, "install.istio.io/v1alpha1")]
    place = {"address": "127.0.0.1", "labels": {"app": "client"}, "locality": "here/a/1", "serviceAccount": "default"}
    found.append(_document("WorkloadEntry", "client", place))
    for name, scenario in named.items():
        found += _inbound_documents(name, scenario, hosts) if scenario.inbound else _outbound(name, scenario, hosts)
    return "\n---\n".join(json.dumps(document) for document in found)


def _outbound(name: str, scenario: Scenario, hosts: ScriptedHosts) -> list[dict[str, Any]]:
    weights = scenario.route.get("weights")
    rule = {key: value for key, value in scenario.route.items() if key != "weights"}
    if weights:
        rule["route"] = [
            {"destination": {"host": name, "subset": subset}, "weight": weight} for subset, weight in weights.items()
        ]
    else:
        rule["route"] = [{"destination": {"host": name}}]
    if scenario.shadow is not None:
        rule["mirrors"] = [{"destination": {"host": f"shadow-{name}"}}]
    subsets = [{"name": subset, "labels": {"subset": subset}} for subset in weights or ()]
    labels = list(weights or [""] * len(scenario.hosts))
    endpoints = [
        {
            "address": ADDRESS,
            "ports": {"http": hosts.ports[host.kind]},
            "weight": host.weight,
            **({"locality": host.locality} if host.locality else {}),
            **({"labels": {"subset": label}} if label else {}),
        }
        for host, label in zip(scenario.hosts, labels, strict=True)
    ]
    found = [
        _service(name, endpoints, _protocol(scenario)),
        _document("VirtualService", name, {"hosts": [name], "http": [rule]}),
    ]
    if scenario.shadow is not None:
        where = {"address": ADDRESS, "ports": {"http": hosts.ports[scenario.shadow.kind]}}
        found.append(_service(f"shadow-{name}", [where]))
        if scenario.shadow_policy:
            spec = {"host": f"shadow-{name}", "trafficPolicy": scenario.shadow_policy}
            found.append(_document("DestinationRule", f"shadow-{name}", spec))
    if scenario.policy or subsets:
        spec = {"host": name, "trafficPolicy": scenario.policy, "subsets": subsets}
        found.append(_document("DestinationRule", name, {key: value for key, value in spec.items() if value}))
    return found


def _inbound_documents(name: str, scenario: Scenario, hosts: ScriptedHosts) -> list[dict[str, Any]]:
    port = hosts.ports[scenario.hosts[0].kind]
    spec = {
        "hosts": [name],
        "resolution": "STATIC",
        "ports": [{"number": port, "name": "http", "protocol": _protocol(scenario)}],
        "workloadSelector": {"labels": {"app": "client"}},
    }
    return [_document("ServiceEntry", name, spec)]


def _service(name: str, endpoints: Sequence[Block], protocol: str = "HTTP") -> dict[str, Any]:
    spec = {
        "hosts": [name],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": protocol}],
        "endpoints": endpoints,
    }
    return _document("ServiceEntry", name, spec)


def _document(kind: str, name: str, spec: Block, version: str = "networking.istio.io/v1") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
