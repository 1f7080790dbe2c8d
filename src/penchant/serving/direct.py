"""The routes that are asked most, answered without the framework.

A list for a user takes 24 to 48 µs to score and write down, by how many are scored together; matching the route,
reading parameters and making a response in the framework take 55 more. What is asked here is declared to the framework
too, for OpenAPI and for refusals of other methods, and both call the same functions of `Service`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from penchant.serving.refusals import JSON, of_status, of_validation
from penchant.serving.routes import ITEM_LIKE, USER_LISTS, VISITOR_LISTS, Service
from penchant.serving.schemas import Visitor

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Route:
    """A route by its pattern, as counters name it.

    Attributes:
        path: with one {id} or none.
        start, end: what stands before and behind the id.
    """

    path: str
    start: str
    end: str

    @classmethod
    def of(cls, path: str) -> Route:
        """From a pattern."""
        start, _, rest = path.partition("{")
        return cls(path, start, rest.partition("}")[2])

    def id_in(self, path: str) -> str | None:
        """The id in a path; None where the path is of another route."""
        if not path.startswith(self.start) or not path.endswith(self.end):
            return None
        found = path[len(self.start) : len(path) - len(self.end)]
        return found or None


class Direct:
    """Answers those routes, and hands all else on.

    Args:
        routes: the application with all routes.
        service: what answers.
    """

    def __init__(self, routes: App, service: Service) -> None:
        self.routes = routes
        self.service = service
        self._lists, self._like, self._visitors = (Route.of(one) for one in (USER_LISTS, ITEM_LIKE, VISITOR_LISTS))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Refused: something in it cannot be; the gate says so.
        """
        answer = self._answer(scope, receive)
        if answer is None:
            await self.routes(scope, receive, send)
            return
        try:
            body = await answer
        except ValidationError as error:
            place = "query" if scope["method"] == "GET" else "body"
            raise of_validation([{**one, "loc": (place, *one["loc"])} for one in error.errors()]) from None
        except HTTPException as error:
            raise of_status(error.status_code, error.headers) from None
        headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Any, receive: Receive) -> Coroutine[Any, Any, bytes] | None:
        if scope["type"] != "http":
            return None
        path, method = scope["path"], scope["method"]
        if method == "GET":
            if (user := self._lists.id_in(path)) is not None:
                scope["route"] = self._lists
                return self.service.recommend(user, scope["query_string"])
            if (item := self._like.id_in(path)) is not None:
                scope["route"] = self._like
                return self.service.similar(item, scope["query_string"])
        elif method == "POST" and path == self._visitors.path:
            scope["route"] = self._visitors
            return self._visitor(receive)
        return None

    async def _visitor(self, receive: Receive) -> bytes:
        return await self.service.recommend_visitor(Visitor.model_validate_json((await receive()).get("body", b"")))
