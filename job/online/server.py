"""The HTTP server: routes, limits, and an end that loses no request.

aiohttp parses HTTP. What is bounded here: the size of a request, the bytes of all requests
together, the time a client may take to send one, and the images that wait.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web

from job.contract.configs import ServeConfig
from job.contract.errors import ConfigError
from job.online import protocol
from job.online.protocol import RequestError
from job.online.served_model import CurrentModel, ServedModel
from job.serving.model_files import read_facts

BODIES_BYTES = 256 << 20
"""What the bodies of all requests that are being answered may take together."""

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serve(config: ServeConfig) -> None:
    """Answer until SIGTERM or Ctrl-C, then finish what has begun.

    Raises:
        InputMissingError, DataError: The model is missing or damaged.
        ConfigError: The port is taken, or the runtime cannot run this model here.
    """
    asyncio.run(_serve(config, ServedModel.load(config, read_facts(config.model))))


async def _serve(config: ServeConfig, first: ServedModel) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with CurrentModel(config, first) as current:
        server = Server(config, current)
        runner = web.AppRunner(
            server.application(), access_log=None, shutdown_timeout=config.request_timeout_s
        )
        await runner.setup()
        following = asyncio.create_task(current.follow())
        try:
            await _listen(runner, config)
            await stop.wait()
            _log.info("asked to stop: answering for %g s more", config.drain_s)
            server.ready = False
            # Whoever sends us requests learns of it from the probe, and that takes a moment.
            await asyncio.sleep(config.drain_s)
        finally:
            following.cancel()
            await runner.cleanup()


async def _listen(runner: web.AppRunner, config: ServeConfig) -> None:
    site = web.TCPSite(runner, config.host, config.port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"port {config.port} of {config.host} cannot be opened: {error.strerror}; choose "
            "another --port"
        ) from error
    host, port = runner.addresses[0][:2]
    _log.info("serving %s on http://%s:%d", config.model, host, port)


class Server:
    """What is answered to which path.

    Attributes:
        ready: Whether new requests are wanted: false once the server is about to end.
    """

    def __init__(self, config: ServeConfig, current: CurrentModel) -> None:
        self._config = config
        self._current = current
        self._most_bytes = config.max_request_mb << 20
        self._held = 0
        self.ready = True

    def application(self) -> web.Application:
        """Make the application of aiohttp."""
        # The limit of a body is ours, so that the answer says which.
        app = web.Application(middlewares=[_errors_as_json], client_max_size=2 * self._most_bytes)
        name = self._config.name
        app.add_routes(
            [
                web.get("/v2/health/live", self._live),
                web.get("/v2/health/ready", self._ready),
                web.get(f"/v2/models/{name}/ready", self._ready),
                web.get(f"/v2/models/{name}", self._metadata),
                web.post(f"/v2/models/{name}/infer", self._infer),
                web.get(f"/v1/models/{name}", self._status),
                web.post(f"/v1/models/{name}:predict", self._predict),
            ]
        )
        return app

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": self.ready}, status=200 if self.ready else 503)

    async def _metadata(self, _: web.Request) -> web.Response:
        facts = self._current.now.facts
        described = protocol.metadata(self._config.name, facts.version, facts.classes)
        return web.json_response(described)

    async def _status(self, _: web.Request) -> web.Response:
        state = {
            "version": self._current.now.facts.version,
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return web.json_response({"model_version_status": [state]})

    async def _predict(self, request: web.Request) -> web.Response:
        with self._room_for(request):
            images = protocol.read_v1(await self._body(request), self._most_bytes)
            return web.json_response(protocol.write_v1(await self._current.now.classify(images)))

    async def _infer(self, request: web.Request) -> web.Response:
        with self._room_for(request):
            body = await self._body(request)
            images, request_id = protocol.read_v2(body, self._most_bytes)
            model = self._current.now
            answers = await model.classify(images)
            answered = protocol.write_v2(
                answers,
                model=self._config.name,
                version=model.facts.version,
                request_id=request_id,
            )
            return web.json_response(answered)

    @contextlib.contextmanager
    def _room_for(self, request: web.Request) -> Iterator[None]:
        """Hold room for a body before a byte of it is read."""
        size = request.content_length
        if size is None:
            raise RequestError(411, "the request has no Content-Length")
        if size > self._most_bytes:
            raise RequestError(
                413, f"the request has {size:,} bytes, the limit is {self._most_bytes:,}"
            )
        if self._held + size > BODIES_BYTES:
            raise RequestError(503, "too many requests are being answered; ask again in a second")
        self._held += size
        try:
            yield
        finally:
            self._held -= size

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                return await request.read()
        except TimeoutError as error:
            raise RequestError(
                408, f"the request did not arrive within {self._config.request_timeout_s:g} s"
            ) from error


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestError as error:
        response = _error(error.status, str(error))
        if error.status == 503:
            response.headers["Retry-After"] = "1"
        return response
    except web.HTTPException as error:
        return _error(error.status, f"{request.method} {request.path}: {error.reason}")


def _error(status: int, text: str) -> web.Response:
    return web.Response(
        status=status, text=json.dumps({"error": text}), content_type="application/json"
    )
