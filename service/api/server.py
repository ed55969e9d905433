"""Runs the app on uvicorn: binds, serves, drains on SIGTERM, and ends with an honest status."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import structlog
import uvicorn

from service.api.app import create_app
from service.api.connection_limits import protocol_for
from service.errors import InvalidSetting, SetupError
from service.runtime.loading import load
from service.runtime.logs import configure_logs
from service.runtime.state import Load, ServiceState
from service.settings import Settings, load_settings

log: Final = structlog.stdlib.get_logger("agelens.server")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LAST_ANSWERS_S: Final = 5
"""Seconds that answers already made have to reach their callers once nothing is computed any more."""


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains: on a signal it is not ready, finishes what it accepted, and then closes."""

    def __init__(self, config: uvicorn.Config, state: ServiceState) -> None:
        """Serve the app whose life `state` is."""
        super().__init__(config)
        self._state = state
        self.drained = True

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._state.drain()

    async def on_tick(self, counter: int) -> bool:
        """End as well when the models could not be loaded."""
        return self.failure is not None or await super().on_tick(counter)

    @property
    def failure(self) -> Exception | None:
        """What kept the models from being loaded."""
        return self._state.failure

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike uvicorn, do not raise them again, so that a drained exit is 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in _SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish accepted pictures while probes still get their answers, then close everything."""
        log.info("draining", waiting=self._state.pool.waiting, running=self._state.pool.running)
        if not await self._state.finish(self._state.settings.drain_grace_s, lambda: self.force_exit):
            self.drained = False
            self.config.timeout_graceful_shutdown = 0
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()  # which uvicorn leaves out then, and logs a traceback for it
        log.info("ended", drained=self.drained)


def serve(load_models: Load = load, **overrides: Any) -> int:
    """Serve until a signal comes; return the exit status. Raise SetupError for what keeps it from serving."""
    settings = load_settings(**overrides)
    configure_logs(settings.log_level)
    faulthandler.enable()
    server = make_server(settings, load_models)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    log.info("listening", host=host, port=port)
    server.run(sockets=[listener])
    if isinstance(server.failure, SetupError):
        raise server.failure
    return 1 if server.failure or not server.drained else 0


def make_server(settings: Settings, load_models: Load = load) -> DrainingServer:
    """Put app and server together; `run` with a listening socket serves."""
    app = create_app(settings, load_models=load_models)
    config = uvicorn.Config(
        app,
        http=protocol_for(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    return DrainingServer(config, app.state.service)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidSetting(
            f"AGELENS_HOST {settings.host} and AGELENS_PORT {settings.port} cannot be listened on ({reason}); "
            "choose another with --host or --port"
        ) from None
