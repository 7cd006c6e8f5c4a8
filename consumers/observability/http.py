"""`/metrics`, `/livez` and `/readyz` of a service, in its own event loop."""

import asyncio
from typing import Final, Self

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from consumers.errors import UsageFailure
from consumers.observability.health import LAG_MAX, STUCK_SECONDS, Health, liveness, readiness
from consumers.observability.state import ROLES, StateCollector
from consumers.observability.watch import Watch
from schemas.wire import encode_plain

LAG_DEADLINE: Final = 1.0
"""Seconds for asking after lags; it is memory, but for a consumer that has no position yet."""


class HttpServer:
    """Serves what a watch knows. An async context manager; `port` is what port 0 became."""

    def __init__(self, address: str, watch: Watch) -> None:
        host, _, port = address.rpartition(":")
        self._address, self._host, self._port = address, host.strip("[]"), int(port)
        self._watch = watch
        self._state = StateCollector(watch)
        watch.metrics.registry.register(self._state)
        app = web.Application()
        app.add_routes(
            [web.get("/metrics", self._metrics), web.get("/livez", self._livez), web.get("/readyz", self._readyz)]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageFailure(f"http: cannot listen on {self._address}: {error.strerror or error}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def address(self) -> str:
        """The host as given, and the port it listens on."""
        return f"{self._address.rpartition(':')[0]}:{self.port}"

    async def _metrics(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(LAG_DEADLINE):
                self._state.input_lag = await self._watch.input_lag()
                self._state.journal_lag = await self._watch.journal_lag()
        except TimeoutError:
            self._state.input_lag, self._state.journal_lag = {}, None
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._watch.metrics.registry), headers={"Content-Type": content_type})

    async def _livez(self, request: web.Request) -> web.Response:
        return _answer(liveness(self._watch, _count(request, "stuck", STUCK_SECONDS)))

    async def _readyz(self, request: web.Request) -> web.Response:
        role = request.query.get("role")
        if role is not None and role not in ROLES:
            raise web.HTTPBadRequest(text=f"role: expected {', '.join(ROLES)}; got {role[:64]!r}\n")
        lag_max = _count(request, "lag", LAG_MAX)
        try:
            async with asyncio.timeout(LAG_DEADLINE):
                return _answer(await readiness(self._watch, lag_max, role))
        except TimeoutError:
            return _answer(Health(ok=False, reasons=["how much is left to read is not known yet"], facts={}))


def _count(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise web.HTTPBadRequest(text=f"{name}: expected a whole number, got {text[:64]!r}\n")
    return int(text)


def _answer(health: Health) -> web.Response:
    body = encode_plain({"ok": health.ok, **health.facts, "reasons": health.reasons}) + b"\n"
    return web.Response(status=200 if health.ok else 503, body=body, content_type="application/json")
