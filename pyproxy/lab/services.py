"""The bookshop's programs: they name themselves in every answer and pass the trace headers on.

`python -m pyproxy.lab.services reviews --version v2 --address 127.0.1.4`. productpage asks details and reviews; reviews
v2 and v3 ask ratings. They know nothing of the mesh: an ordinary HTTP_PROXY is their way into it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from pyproxy.lab.knobs import Misbehaviour
from pyproxy.lab.page import render_page

FORWARDED = (
    "x-request-id",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "b3",
    "traceparent",
    "tracestate",
    "end-user",
    "authorization",
)
"""What an application hands from the request it got to the requests it makes; without it a trace falls to pieces."""

Answer = dict[str, Any]

BOOK: Answer = {
    "title": "The Sidecar's Companion",
    "author": "P. Roxy",
    "year": 2026,
    "pages": 312,
    "publisher": "Loopback Press",
    "language": "English",
}
REVIEWS = (
    ("Ada", "Reads like a good network: everything arrives, and in order. I retried one chapter twice."),
    ("Linus", "Half of the readers got another edition than mine. We still argue about which was the canary."),
)
STARS = (5, 4)


class Service:
    """One instance: who it is, how many requests it served, and how it calls the others."""

    def __init__(self, name: str, version: str, host: str, session: ClientSession | None = None) -> None:
        self.name = name
        self.version = version
        self.host = host
        self.count = 0
        self.session = session
        self.misbehaviour = Misbehaviour()

    def sign(self, content: Answer) -> Answer:
        """An answer that says who gave it."""
        self.count += 1
        return {"service": self.name, "version": self.version, "host": self.host, "count": self.count, **content}

    async def details(self, request: web.Request) -> web.Response:
        return web.json_response(self.sign({"book": BOOK}))

    async def ratings(self, request: web.Request) -> web.Response:
        return web.json_response(self.sign({"stars": list(STARS)}))

    async def reviews(self, request: web.Request) -> web.Response:
        """v1 has no stars, v2 black ones, v3 red ones."""
        content: Answer = {"reviews": [{"reader": reader, "text": text} for reader, text in REVIEWS]}
        if self.version != "v1":
            content["colour"] = "red" if self.version == "v3" else "black"
            path = f"/ratings/{quote(request.match_info['book'], safe='')}"
            content["ratings"] = await self._ask("ratings", path, request.headers, seconds=10)
        return web.json_response(self.sign(content), status=self._status(content.get("ratings", {})))

    async def productpage(self, request: web.Request) -> web.StreamResponse:
        """HTML for a browser, JSON for everything else; `?user=jason` signs in, an empty one signs out."""
        if "user" in request.query:
            return self._sign_in(request.query["user"])
        user = request.headers.get("end-user") or request.cookies.get("user", "")
        headers = {**request.headers, "end-user": user} if user else request.headers
        details, reviews = await asyncio.gather(
            self._ask("details", "/details/0", headers, seconds=3),
            self._ask("reviews", "/reviews/0", headers, seconds=3, tries=2),
        )
        answer = self.sign({"user": user, "details": details, "reviews": reviews})
        if "text/html" in request.headers.get("accept", ""):
            return web.Response(text=render_page(answer), content_type="text/html")
        return web.json_response(answer, status=self._status(details, reviews))

    def _status(self, *parts: Answer) -> int:
        """A gap is no failure, unless a lesson wants it."""
        return 502 if self.misbehaviour.knobs.strict and any("error" in part for part in parts) else 200

    def _sign_in(self, user: str) -> web.Response:
        response = web.Response(status=303, headers={"location": "/productpage"})
        response.set_cookie("user", quote(user, safe=""), httponly=True, samesite="Lax")
        return response

    async def _ask(
        self, service: str, path: str, headers: Mapping[str, str], *, seconds: float, tries: int = 1
    ) -> Answer:
        """Another service's answer, or `{"error": ...}`: a page with a gap is better than none.

        Anything but 200 within `seconds` is tried again, without a pause: a retry of the program's own, which the
        mesh knows nothing of.
        """
        assert self.session is not None
        knobs = self.misbehaviour.knobs
        passed_on = {} if knobs.forget_headers else {name: headers[name] for name in FORWARDED if name in headers}
        error = ""
        for _ in range(knobs.tries or tries):
            try:
                async with self.session.get(
                    f"http://{service}:9080{path}", headers=passed_on, timeout=ClientTimeout(total=seconds)
                ) as response:
                    if response.status == 200:
                        return dict(await response.json())
                    error = f"{response.status} {(await response.text())[:200]}".rstrip()
            except TimeoutError:
                error = f"no answer from {service} within {seconds:g} seconds"
            except (ClientError, ValueError) as failure:
                error = f"{type(failure).__name__}: {failure}"
        return {"error": error}


async def healthy(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def create_app(name: str, version: str, host: str) -> web.Application:
    """The aiohttp application of one instance."""
    service = Service(name, version, host)
    app = web.Application()
    app.router.add_get("/health", healthy)
    service.misbehaviour.add_to(app)
    if name == "productpage":
        app.router.add_get("/productpage", service.productpage)
    else:
        app.router.add_get(f"/{name}/{{book}}", getattr(service, name))

    async def outgoing(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(trust_env=True) as session:  # trust_env: HTTP_PROXY is the way into the mesh
            service.session = session
            yield

    app.cleanup_ctx.append(outgoing)
    return app


def serve(name: str, version: str, address: str, port: int) -> None:
    """Serve one instance until SIGTERM."""
    logging.basicConfig(level=logging.WARNING)
    app = create_app(name, version, address)
    web.run_app(app, host=address, port=port, access_log=None, print=None, shutdown_timeout=1)


def main() -> None:
    """One instance from the command line; shop.py runs them all."""
    parser = argparse.ArgumentParser(prog="python -m pyproxy.lab.services")
    parser.add_argument("service", choices=["productpage", "details", "reviews", "ratings"])
    parser.add_argument("--version", default="v1")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    serve(options.service, options.version, options.address, options.port)


if __name__ == "__main__":
    main()
