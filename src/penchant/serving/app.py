"""The application: the routes behind the gate, the page, one shape for every failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penchant import __version__
from penchant.artifact import load_manifest
from penchant.errors import MissingExtraError, PenchantError, StoreError
from penchant.serving.answering import answers, is_light, most_at_once
from penchant.serving.batching import Batcher
from penchant.serving.gate import Gate
from penchant.serving.keys import Keys
from penchant.serving.limits import Room
from penchant.serving.live import Live, LoadOptions
from penchant.serving.logs import say
from penchant.serving.observed import Observed
from penchant.serving.overlay import Overlay
from penchant.serving.refusals import Refused, of_status, of_validation, refused
from penchant.serving.service_settings import ServiceSettings
from penchant.serving.store import FeedbackStore
from penchant.threads import one_blas_thread

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import FileResponse
    from pydantic import ValidationError
    from starlette.exceptions import HTTPException
    from starlette.staticfiles import StaticFiles

    from penchant.serving.direct import Direct
    from penchant.serving.routes import Service, make_router
except ImportError as error:
    raise MissingExtraError("Serving", extra="serve") from error

PAGE = Path(__file__).parent / "page"
POOL = 4  # threads that search, explain and predict
LONG_POOL = 2  # threads for lists that take long
STORE_POOL = 16  # threads that wait for the database


@dataclass(frozen=True)
class Made:
    """An application and what a server needs besides it.

    Attributes:
        gate: the application as ASGI.
        service: what its routes work with.
        routes: the application inside the gate.
    """

    gate: Gate
    service: Service
    routes: FastAPI


def create_app(folder: Path, settings: ServiceSettings, keys: Keys | None = None) -> Made:
    """An application that serves an artifact.

    Raises:
        ArtifactError: it cannot be used.
        SettingError, StoreError: nor can the store of feedback.
    """
    load_manifest(folder)  # before a store is made for a model that is not there
    store = FeedbackStore.open(settings.feedback or f"sqlite:///{folder.resolve()}.feedback.db")
    try:
        live = Live(folder, Overlay(store), _options(settings))
    except BaseException:
        store.close()
        raise
    room = Room(settings.concurrency, settings.queue)
    observed = Observed(live, room)
    service = Service(
        live,
        observed,
        pool=ThreadPoolExecutor(POOL, "answering"),
        long_pool=ThreadPoolExecutor(LONG_POOL, "long"),
        store_pool=ThreadPoolExecutor(STORE_POOL, "store"),
    )
    routes = FastAPI(
        title="penchant",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(service, settings),
        redirect_slashes=False,
    )
    _refuse_alike(routes)
    routes.include_router(make_router(service))
    _mount_page(routes)
    return Made(Gate(Direct(routes, service), settings, room, observed, keys), service, routes)


def _options(settings: ServiceSettings) -> LoadOptions:
    return LoadOptions(settings.kept_users, settings.kept_lists, settings.approximate_above)


def _lifespan(service: Service, settings: ServiceSettings) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as closing:  # all of it, whatever of it fails
            closing.callback(service.live.overlay.store.close)
            for pool in (service.store_pool, service.long_pool, service.pool):
                closing.callback(pool.shutdown)
            closing.enter_context(one_blas_thread())  # once for all: setting it costs more than a small product
            service.batcher = Batcher(answers, most_at_once, settings.threads, is_light)
            closing.callback(service.batcher.close)
            looking = asyncio.create_task(_look(service, settings.feedback_poll))
            service.is_ready = True
            yield
            looking.cancel()
            await asyncio.wait({looking})

    return lifespan


async def _look(service: Service, seconds: float) -> None:
    """Again and again look for what other processes have stored, whatever fails."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(seconds)
        try:
            await loop.run_in_executor(service.store_pool, service.live.overlay.refresh)
            service.failed_looks = 0
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except StoreError as error:
            service.failed_looks += 1
            say(logging.WARNING, "the store does not answer", why=error.problem)
        except BaseException as error:  # a panic of native code is no Exception
            service.failed_looks += 1
            say(logging.ERROR, "what other processes stored cannot be read", why=f"{type(error).__name__}: {error}")


def _refuse_alike(routes: FastAPI) -> None:
    """All failures in one shape, those of the framework too."""

    async def answer(_: Request, error: Exception) -> Response:
        if isinstance(error, RequestValidationError):
            found = of_validation(error.errors())
        elif isinstance(error, ValidationError):
            found = of_validation([{**one, "loc": ("query", *one["loc"])} for one in error.errors()])
        elif isinstance(error, HTTPException):
            found = of_status(error.status_code, error.headers)
        else:
            found = refused(error)
        return Response(found.body, found.status, dict(found.headers), media_type="application/json")

    for kind in (RequestValidationError, ValidationError, HTTPException, PenchantError, Refused, Exception):
        routes.add_exception_handler(kind, answer)


class _Asked(StaticFiles):
    """Files that a browser keeps, and asks each time whether they have changed: none is older than the others."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["cache-control"] = "no-cache"
        return response


def _mount_page(routes: FastAPI) -> None:
    if not (PAGE / "index.html").is_file():
        return

    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    routes.mount("/page", _Asked(directory=PAGE))
