"""The console's port: the page, its stream of changes, and a JSON API for programs; docs/console.md lists it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import yaml
from aiohttp import web

from pyproxy.console.access import Access
from pyproxy.console.console import Console
from pyproxy.console.documents import File, OutOfDate, Refused, digest, unified
from pyproxy.console.requests import find_request, recent_requests
from pyproxy.console.routes import routes_in
from pyproxy.console.yaml_edit import NotEditable, set_faults, set_weights
from pyproxy.core.errors import cannot_listen
from pyproxy.istio.problems import Problem

_log = logging.getLogger("pyproxy.console")
MAX_BODY = 16 * 1024 * 1024
HEARTBEAT_SECONDS = 10.0
COMPRESSED_APART = 64 * 1024
"""Bytes from which on an answer is compressed in another thread."""
_STATIC = files("pyproxy.console") / "static"
_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves one console at one address. Listens when entered."""

    def __init__(self, console: Console, address: str, port: int, flag: str = "--port") -> None:
        self.access = Access(address)
        self.bound = ""
        """`ip:port`."""
        self.console = console
        self._address = address
        self._port = port
        self._flag = flag
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where the page is; the part behind # is the token, which a browser does not send anywhere."""
        return f"http://{self.bound}/#token={self.access.token}"

    async def start(self) -> None:
        """Listen. Raises CommandError that names the flag."""

        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._admit(request, handler)

        app = web.Application(middlewares=[admit], client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/static/{path:.+}", self._file),
                web.get("/api/state", self._state),
                web.get("/api/stream", self._stream),
                web.get("/api/history", self._history),
                web.get("/api/documents", self._documents),
                web.get("/api/in-force", self._in_force),
                web.get("/api/requests", self._requests),
                web.get("/api/request", self._request),
                web.get("/api/explain", self._explain),
                web.get("/api/token", self._token),
                web.post("/api/check", self._check),
                web.post("/api/propose", self._propose),
                web.post("/api/apply", self._apply),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, logger=_log, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._address, self._port, reuse_address=True).start()
        except OSError as error:
            await self.stop()
            elsewhere = f"{self._flag} (0: any free one)"
            raise cannot_listen(f"{self._address}:{self._port}", self._flag, elsewhere, error) from error
        host, port = self._runner.addresses[0][:2]
        self.bound = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Close the port and what is connected to it."""
        if self._runner is not None:
            self.console.stream.close()
            await self._runner.cleanup()
            self._runner = None

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self.access.refusal(request.method, request.headers)
        if refusal:
            return _answer({"error": refusal}, 403)
        try:
            return await handler(request)
        except Refused as error:
            return _answer({"error": str(error)}, 409 if isinstance(error, OutOfDate) else 400)
        except NotEditable as error:
            return _answer({"error": str(error)}, 400)
        except web.HTTPException as error:
            return _answer({"error": error.reason}, error.status)

    # The page

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return _static("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return _static(request.match_info["path"])

    # What is to be seen

    async def _state(self, request: web.Request) -> web.StreamResponse:
        return _answer(self.console.board.state)

    async def _history(self, request: web.Request) -> web.StreamResponse:
        return _answer(self.console.board.history.as_json())

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        queue = self.console.stream.join({**self.console.everything(), **self._about()})
        if queue is None:
            return _answer({"error": "too many pages are open"}, 503)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    message = b": still here\n\n"
                if message is None:
                    return response
                await response.write(message)
        except ConnectionResetError:
            return response
        finally:
            self.console.stream.leave(queue)

    def _about(self) -> dict[str, object]:
        settings = self.console.settings
        return {
            "about": {
                "title": settings.title,
                "editable": bool(settings.config),
                "logs": bool(settings.logs),
                "interval": settings.interval,
            }
        }

    async def _in_force(self, request: web.Request) -> web.StreamResponse:
        documents = await self.console.in_force()
        return _answer({"text": yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)})

    async def _request(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("id", "").strip()
        if not 8 <= len(wanted) <= 200:
            raise Refused("give ?id= with the x-request-id of a request")
        logs = self.console.settings.logs
        hops = await asyncio.to_thread(find_request, wanted, logs)
        return _answer({"id": wanted, "hops": hops, "logs": [str(path) for path in logs]})

    async def _requests(self, request: web.Request) -> web.StreamResponse:
        found = await asyncio.to_thread(recent_requests, self.console.settings.logs)
        return _answer({"requests": found})

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        """`?proxy=&method=&url=&header=name: value`, headers repeated."""
        asked = request.query
        headers = [
            (name.strip(), value.strip()) for name, _, value in (h.partition(":") for h in asked.getall("header", []))
        ]
        url = asked.get("url", "")
        if not url:
            raise Refused("give ?url=, as in http://reviews/reviews/0")
        found = await self.console.explain(asked.get("proxy", ""), asked.get("method", "GET"), url, headers)
        return _answer(found)

    # Documents

    async def _documents(self, request: web.Request) -> web.StreamResponse:
        files = await asyncio.to_thread(self.console.documents.files)
        problems = (await asyncio.to_thread(self.console.documents.load)).problems
        return _answer({"files": [_file(file) for file in files], "problems": [_problem(each) for each in problems]})

    async def _token(self, request: web.Request) -> web.StreamResponse:
        """Whether the token that came along is ours."""
        return _answer({"valid": self.access.may_change(request.headers)})

    async def _check(self, request: web.Request) -> web.StreamResponse:
        """A text as it is typed: what is wrong with it, what it changes, what sliders may move in it."""
        body = await _body(request)
        file = await asyncio.to_thread(self.console.documents.file, _text(body, "file"))
        return await self._verdict(file, _text(body, "text"))

    async def _propose(self, request: web.Request) -> web.StreamResponse:
        """The text with a slider moved; nothing is written."""
        body = await _body(request)
        file = await asyncio.to_thread(self.console.documents.file, _text(body, "file"))
        text = _text(body, "text")
        try:
            document, route = int(body["document"]), int(body["route"])
            if "weights" in body:
                text = set_weights(text, document, route, [int(weight) for weight in body["weights"]])
            if "faults" in body:
                faults = body["faults"]
                text = set_faults(text, document, route, faults.get("abort"), faults.get("delay"))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Refused("give document, route, and weights or faults") from error
        return await self._verdict(file, text)

    async def _verdict(self, file: File, text: str) -> web.StreamResponse:
        problems = await asyncio.to_thread(self.console.documents.check, file.name, text)
        findings = await asyncio.to_thread(self.console.findings.of, file.name, text)
        return _answer(
            {
                "text": text,
                "base": file.digest,
                "problems": [_problem(each) for each in problems],
                "findings": [{**asdict(each), "file": str(each.file)} for each in findings],
                "diff": unified(file.text, text, file.name),
                "routes": list(routes_in(text)),
            }
        )

    async def _apply(self, request: web.Request) -> web.StreamResponse:
        """Write a text. The only call that changes anything."""
        if not self.access.may_change(request.headers):
            return _answer({"error": "this needs the token that the terminal shows behind the page's address"}, 401)
        body = await _body(request)
        name, text, base = (_text(body, each) for each in ("file", "text", "base"))
        before = await asyncio.to_thread(self.console.documents.write, name, text, base)
        _log.info("%s written by the console", name)
        return _answer({"file": name, "digest": digest(text), "before": before.text})


def _file(file: File) -> dict[str, object]:
    return {"name": file.name, "text": file.text, "digest": file.digest, "routes": list(routes_in(file.text))}


def _problem(problem: Problem) -> dict[str, object]:
    return {**asdict(problem), "file": problem.file.name}


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise Refused("the body is not JSON") from error
    if not isinstance(body, dict):
        raise Refused("the body is not an object")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(f"{name} is missing")
    return value


def _answer(value: object, status: int = 200) -> web.Response:
    response = web.Response(
        body=json.dumps(value, separators=(",", ":")).encode(),
        status=status,
        headers={**_HEADERS, "Content-Type": "application/json"},
        zlib_executor_size=COMPRESSED_APART,
    )
    response.enable_compression()
    return response


def _static(path: str) -> web.Response:
    """A file of the page. Raises HTTPNotFound for what is none."""
    found = _STATIC
    for part in path.split("/"):
        inside = {entry.name: entry for entry in found.iterdir()} if found.is_dir() else {}
        if part not in inside:
            raise web.HTTPNotFound()
        found = inside[part]
    if not found.is_file():
        raise web.HTTPNotFound()
    kind = _TYPES.get(path.rpartition(".")[2], "text/plain")
    response = web.Response(body=found.read_bytes(), headers={**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"})
    response.enable_compression()
    return response
