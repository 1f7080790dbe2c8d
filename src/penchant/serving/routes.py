"""The routes: each takes what a request says, asks `answering`, and sends bytes."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from penchant.data.vocabulary import Id
from penchant.errors import ArtifactError, ConflictError, PenchantError
from penchant.serving import answering, predicting
from penchant.serving.batching import Batcher
from penchant.serving.catalogue import dumps
from penchant.serving.events import Event
from penchant.serving.live import Known, Live, Loaded
from penchant.serving.logs import say
from penchant.serving.model_card import model_card
from penchant.serving.observed import CONTENT_TYPE, Observed
from penchant.serving.questions import Asked, Nearest
from penchant.serving.refusals import Refused
from penchant.serving.schemas import (
    Extent,
    Feedback,
    Pairs,
    PathId,
    Rated,
    Refusal,
    Typed,
    Visitor,
    Why,
    listing_parameters,
    near_parameters,
    read_id,
    read_listing,
    read_near,
)

RETRIED = {"description": "Too much at once; Retry-After says when to ask again.", "model": Refusal}
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No key, or one that is not known.", "model": Refusal},
    403: {"description": "The key is of another scope.", "model": Refusal},
    422: {"description": "Something in the request cannot be.", "model": Refusal},
    429: RETRIED,
    503: RETRIED,
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "The item is not known.", "model": Refusal}}
BODIES: dict[int | str, dict[str, Any]] = {
    413: {"description": "The body is too large.", "model": Refusal},
    415: {"description": "The body is not JSON.", "model": Refusal},
}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"description": "It contradicts what is there.", "model": Refusal}}

FAILED_LOOKS = 3  # in a row: once may be by chance

# Ids may have slashes: a path is read from both of its ends.
USER_LISTS = "/v1/users/{user:path}/recommendations"
VISITOR_LISTS = "/v1/recommendations"
ITEM_LIKE = "/v1/items/{item:path}/similar"


@dataclass
class Service:
    """What routes work with.

    Attributes:
        live: the model.
        observed: counters.
        store_pool: threads that wait for the database.
        pool: threads for all other work that is not scoring lists.
        long_pool: threads for lists that take long, so that others do not wait for them.
        batcher: of lists and similar items, made when the event loop runs.
        failed_looks: how many looks for what other processes stored have failed since one did not.
    """

    live: Live
    observed: Observed
    pool: ThreadPoolExecutor
    long_pool: ThreadPoolExecutor
    store_pool: ThreadPoolExecutor
    batcher: Batcher | None = None
    is_ready: bool = False
    failed_looks: int = 0

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do some work on a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)

    async def recommend(self, user: str, query: bytes) -> bytes:
        """A list for a user, as the path and the query of a URL ask for it.

        Raises:
            ValidationError: something in them cannot be.
            UnknownIdError, SettingError, UnsupportedError: as for `answering.lists`.
        """
        loaded = self.live.loaded
        who, overlay = loaded.as_stored(read_id(user)), self.live.overlay
        listing = read_listing(query)
        known = None if loaded.is_at_hand(who, overlay) else (await self.stored(loaded, [who]))[who]
        return await self._scored(loaded, Asked(listing, overlay, b'{"user":' + dumps(who), who, known=known))

    async def stored(self, loaded: Loaded, users: Sequence[Id]) -> dict[Id, Known]:
        """Those of some users who are not at hand.

        They are read on the threads that may wait for the database, so that no other thread does.

        Raises:
            StoreError: the store does not answer.
        """
        overlay = self.live.overlay
        asked = [user for user in users if not loaded.is_at_hand(loaded.as_stored(user), overlay)]
        if not asked:
            return {}
        found: dict[Id, Known] = await _given_up_with_its_request(
            self.store_pool, predicting.people_of, loaded, overlay, asked
        )
        return found

    async def predict(self, asked: Pairs) -> bytes:
        """Predicted ratings of pairs.

        Raises:
            UnsupportedError, SettingError, StoreError: as for `predicting.predict`.
        """
        loaded, pairs = self.live.loaded, [(pair.user, pair.item) for pair in asked.pairs]
        people = await self.stored(loaded, [user for user, _ in pairs])
        found: bytes = await _given_up_with_its_request(
            self.pool, predicting.predict, loaded, self.live.overlay, pairs, asked.interval, people
        )
        return found

    async def recommend_visitor(self, asked: Visitor) -> bytes:
        """A list for somebody with a history.

        Raises:
            UnknownIdError, InputError, SettingError, UnsupportedError: as for `answering.lists`.
        """
        history = _history(asked.history)
        return await self._scored(self.live.loaded, Asked(asked.listing(), self.live.overlay, history=history))

    async def similar(self, item: str, query: bytes) -> bytes:
        """The items most like one.

        Raises:
            ValidationError: something in the query cannot be.
            UnknownIdError, UnsupportedError: as for `answering.nearest`.
        """
        loaded = self.live.loaded
        question = Nearest(loaded.recommender.items.row(read_id(item)), read_near(query))
        kept: bytes | None = loaded.lists.get(question)
        return await self._scored(loaded, question) if kept is None else kept

    async def _scored(self, loaded: Loaded, question: Asked | Nearest) -> bytes:
        """The answer to what is scored together with others."""
        if self.batcher is None:
            raise Refused(503, "starting", "The service is starting.", headers={"Retry-After": "1"})
        answer: bytes
        if isinstance(question, Asked) and answering.takes_long(question):
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self.long_pool, answering.alone, loaded, question)
        else:
            answer = await self.batcher.ask(loaded, question)
        return answer

    def reload(self) -> bytes:
        """Load the model again, and say what is served now.

        Raises:
            ArtifactError: it cannot be used; the one before goes on.
        """
        try:
            before, new = self.live.reload()
        except PenchantError as error:
            self.observed.reloads.labels("refused").inc()
            say(logging.ERROR, "the new model is refused", why=str(error), served=self.live.loaded.version)
            raise ArtifactError(error.problem, remedy=error.remedy) from error
        self.observed.reloads.labels("loaded").inc()
        say(logging.INFO, "a model is loaded", version=new.version, previous=before.version)
        return dumps({"version": new.version, "previous": before.version})


async def _given_up_with_its_request(pool: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Any:
    """Do some work that asks, as its last argument, whether anybody waits for it."""
    over = threading.Event()
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, lambda: work(*arguments, over.is_set))
    finally:
        over.set()


def sent(body: bytes) -> Response:
    """JSON that is ready."""
    return Response(body, media_type="application/json")


def _history(rated: list[Rated]) -> tuple[tuple[int | str, float | None], ...]:
    return tuple((one.item, one.rating) for one in rated)


def make_router(service: Service) -> APIRouter:
    """All routes but the page."""
    router = APIRouter(responses=REFUSALS)
    _lists(router, service)
    _items(router, service)
    _reasons(router, service)
    _feedback(router, service)
    _operation(router, service)
    return router


def _lists(router: APIRouter, service: Service) -> None:
    # The framework's own reading of a query costs as much as all the rest of these routes, so the service reads it, and
    # once for each query that is asked again and again. `Direct` answers them before they come here.
    @router.get(
        USER_LISTS,
        responses=UNKNOWN,
        summary="The best items for a user",
        openapi_extra={"parameters": listing_parameters()},
    )
    async def recommend(request: Request) -> Response:
        return sent(await service.recommend(request.path_params["user"], request.scope["query_string"]))

    @router.post(VISITOR_LISTS, responses=UNKNOWN | BODIES, summary="The best items for somebody with a history")
    async def recommend_visitor(asked: Visitor) -> Response:
        return sent(await service.recommend_visitor(asked))

    @router.post("/v1/predict", responses=BODIES, summary="Predicted ratings of pairs")
    async def predict(asked: Pairs) -> Response:
        return sent(await service.predict(asked))


def _items(router: APIRouter, service: Service) -> None:
    @router.get("/v1/items", summary="Items by what somebody types; the most popular where nothing is typed")
    async def search(typed: Annotated[Typed, Query()]) -> Response:
        return sent(await service.run(answering.search, service.live.loaded, typed.search, typed.limit))

    @router.get(
        ITEM_LIKE,
        responses=UNKNOWN,
        summary="The items most like one",
        openapi_extra={"parameters": near_parameters()},
    )
    async def similar(request: Request) -> Response:
        return sent(await service.similar(request.path_params["item"], request.scope["query_string"]))

    @router.get("/v1/items/{item:path}", responses=UNKNOWN, summary="One item")
    async def item(item: PathId) -> Response:
        loaded = service.live.loaded
        return sent(loaded.catalogue.described(loaded.recommender.items.row(item)))

    @router.get("/v1/map", summary="Items on the first two principal components of their factors")
    async def map_of_items(extent: Annotated[Extent, Query()]) -> Response:
        return sent(await service.run(service.live.loaded.catalogue.map, extent.limit))


def _reasons(router: APIRouter, service: Service) -> None:
    def explained(loaded: Loaded, known: Callable[[], Known], item: int | str, start: bytes) -> bytes:
        return answering.explain(loaded, known(), item, start)

    @router.get("/v1/explain", responses=UNKNOWN, summary="What each item of a user's history adds to a score")
    async def explain(user: PathId, item: PathId) -> Response:
        loaded, overlay = service.live.loaded, service.live.overlay
        who = loaded.as_stored(user)
        start = b'{"user":' + dumps(who) + b","
        stored = await service.stored(loaded, [who])

        def known() -> Known:
            return stored[who] if stored else loaded.known(who, overlay)

        return sent(await service.run(explained, loaded, known, item, start))

    @router.post("/v1/explain", responses=UNKNOWN | BODIES, summary="The same for somebody with a history")
    async def explain_visitor(asked: Why) -> Response:
        loaded, history = service.live.loaded, _history(asked.history)

        def known() -> Known:
            return loaded.newcomer(answering.taken_of(loaded, history))

        return sent(await service.run(explained, loaded, known, asked.item, b"{"))


def _feedback(router: APIRouter, service: Service) -> None:
    def append(events: list[Event]) -> bytes:
        try:
            done = service.live.overlay.append(events)
        except ConflictError:
            service.observed.events.labels("conflicting").inc(len(events))
            raise
        service.observed.events.labels("accepted").inc(done.accepted)
        service.observed.events.labels("duplicate").inc(done.duplicates)
        return dumps({"accepted": done.accepted, "duplicates": done.duplicates})

    @router.post("/v1/feedback", responses=BODIES | CONFLICT, summary="Store what people took or rated")
    async def feedback(given: Feedback) -> Response:
        loaded = service.live.loaded
        events = [
            Event(one.event_id, loaded.as_stored(one.user), loaded.as_stored_item(one.item), one.rating, one.time)
            for one in given.events
        ]
        loaded.check_ratings(events)
        # A write that has begun is not given up with its request: it is answered or it is not, never in between.
        storing = asyncio.get_running_loop().run_in_executor(service.store_pool, append, events)
        return sent(await asyncio.shield(storing))


def _operation(router: APIRouter, service: Service) -> None:
    @router.get("/v1/model", summary="What is served: data, split, metrics, log")
    async def model() -> Response:
        return sent(await service.run(model_card, service.live.loaded))

    @router.post("/v1/admin/reload", responses=CONFLICT, summary="Load the model again; a bad one is refused")
    async def reload() -> Response:
        return sent(
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(service.store_pool, service.reload))
        )

    # Balancers that look with HEAD need no place in OpenAPI.
    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Response:
        return sent(b'{"status":"ok"}')

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", summary="Whether requests should be sent here")
    async def readyz() -> Response:
        if not service.is_ready:
            raise Refused(503, "stopping", "The service starts or stops.", headers={"Retry-After": "1"})
        loop, store = asyncio.get_running_loop(), service.live.overlay.store
        if not await loop.run_in_executor(service.store_pool, store.healthy):
            raise Refused(503, "store_unavailable", "The store does not answer.", headers={"Retry-After": "5"})
        if service.failed_looks >= FAILED_LOOKS:
            message = "What other processes store is not seen here; the log of the service says why."
            raise Refused(503, "feedback_unseen", message, headers={"Retry-After": "5"})
        return sent(b'{"status":"ready"}')

    @router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics(request: Request) -> Response:
        del request
        return Response(service.observed.text(), media_type=CONTENT_TYPE)
