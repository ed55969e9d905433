"""Run the app on uvicorn: bind, serve, drain on SIGTERM, and return an exit status."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, NoReturn

import structlog
import uvicorn

from service.api.app import create_app
from service.api.connection_limits import protocol_for
from service.errors import InvalidSetting, SetupError
from service.runtime.loading import load
from service.runtime.logs import configure_logs
from service.runtime.open_files import connections_that_fit
from service.runtime.state import Load, ServiceState
from service.settings import Settings, load_settings

log: Final = structlog.stdlib.get_logger("agelens.server")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LAST_ANSWERS_S: Final = 5
"""Seconds for responses that are already computed to be sent after draining."""


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains: after a signal it reports not ready, finishes accepted work, then closes."""

    def __init__(self, config: uvicorn.Config, state: ServiceState) -> None:
        """Serve the app that `state` belongs to."""
        super().__init__(config)
        self._state = state
        self.drained = True
        self.greeting: str | None = None
        """A line to print once the service takes pictures."""

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """Drain at the first signal, stop at the second."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._state.drain()

    async def on_tick(self, counter: int) -> bool:
        """Print the greeting once the models are loaded; stop if loading them failed."""
        if self.greeting and self._state.complaint() is None:
            sys.stdout.write(f"{self.greeting}\n")
            sys.stdout.flush()
            self.greeting = None
        return self.failure is not None or await super().on_tick(counter)

    @property
    def threads_ended(self) -> bool:
        """Whether no thread is at a picture any more."""
        return self._state.pool.stop(0)

    @property
    def failure(self) -> Exception | None:
        """The exception that loading the models raised, if any."""
        return self._state.failure

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike uvicorn's, do not raise them again, so that the exit status is 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # nohup has SIGHUP ignored, and means it.
        heard = [sig for sig in _SIGNALS if (sig, signal.getsignal(sig)) != (signal.SIGHUP, signal.SIG_IGN)]
        before = {sig: signal.signal(sig, self.handle_exit) for sig in heard}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish accepted pictures while probes are still answered, then close all connections."""
        log.info("draining", waiting=self._state.pool.waiting, running=self._state.pool.running)
        if not await self._state.finish(self._state.settings.drain_grace_s, lambda: self.force_exit):
            self.drained = False
            self.config.timeout_graceful_shutdown = 0
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()  # which uvicorn leaves out then, and logs a traceback for it
        log.info("ended", drained=self.drained)


def serve(load_models: Load = load, **overrides: Any) -> int:
    """Serve until a signal arrives; return the exit status. Raise SetupError if the service cannot start."""
    settings = load_settings(**overrides)
    configure_logs(settings.log_level)
    faulthandler.enable()
    settings = settings.model_copy(
        update={"max_connections": connections_that_fit(settings.max_connections, settings.threads)}
    )
    server = make_server(settings, load_models)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    log.info("listening", host=host, port=port)
    if sys.stdout.isatty():
        server.greeting = _greeting(host, port, settings.docs)
    server.run(sockets=[listener])
    if isinstance(server.failure, SetupError):
        raise server.failure
    status = 1 if server.failure or not server.drained else 0
    if not server.threads_ended:
        _end_at_once(status)
    return status


def _end_at_once(status: int) -> NoReturn:
    """End the process without Python's own clearing up, which aborts it while threads are in native code."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def make_server(settings: Settings, load_models: Load = load) -> DrainingServer:
    """Create app and server; call `run` with a listening socket."""
    app = create_app(settings, load_models=load_models)
    config = uvicorn.Config(
        app,
        http=protocol_for(settings, app.state.service.metrics),
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


def _greeting(host: str, port: int, docs: bool) -> str:
    """Say at which addresses a browser on this machine finds the page and the API."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # no browser opens these
    url = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
    return f"agelens is ready: {url} (page)" + (f" · {url}/docs (API)" if docs else "")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except (OSError, UnicodeError) as error:  # a name that cannot be looked up is no name for the encoder either
        reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]  # the address is named already
        raise InvalidSetting(
            f"AGELENS_HOST {settings.host} and AGELENS_PORT {settings.port} cannot be listened on ({reason}); "
            "choose another with --host or --port"
        ) from None
