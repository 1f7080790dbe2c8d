"""What requests may look like; OpenAPI and the checks come from here. Answers are bytes made in `answering`."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr, TypeAdapter

from penchant.errors import InputError
from penchant.serving.events import ID_SIZE, LARGEST_RATING, LONGEST_ID, check_id
from penchant.serving.questions import Listing

MOST_ITEMS = 1_000  # of a list
MOST_HISTORY = 10_000
MOST_PAIRS = 10_000
MOST_EVENTS = 1_000
MOST_FILTERS = 20
LONGEST_TEXT = 1_000


def _checked(id_: int | str) -> int | str:
    try:
        check_id(id_, "The id")
    except InputError as error:
        raise ValueError(error.problem) from None
    return id_


TEXT_ID: dict[str, Any] = {"min_length": 1, "max_length": LONGEST_ID, "description": f"Text of {ID_SIZE}."}
ItemId = (
    Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
    | Annotated[StrictStr, Field(**TEXT_ID), AfterValidator(_checked)]
)
PathId = Annotated[str, Field(**TEXT_ID), AfterValidator(_checked)]
Rating = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST_RATING, le=LARGEST_RATING)]
Condition = Annotated[str, Field(max_length=LONGEST_TEXT)]


class Body(BaseModel):
    """JSON that is sent; a name that is not known is an error, since it would be a wish that is not heard."""

    model_config = ConfigDict(extra="forbid")


class Wishes(Body):
    """What is asked of a list."""

    k: int = Field(10, ge=1, le=MOST_ITEMS, description="How many items.")
    where: list[Condition] = Field(
        default_factory=list, max_length=MOST_FILTERS, description="Filters such as genres=Drama; all hold."
    )
    exclude: list[ItemId] = Field(
        default_factory=list, max_length=MOST_HISTORY, description="Ids of items that may not be in it."
    )
    include_seen: bool = Field(False, description="Also what was rated already.")
    diversity: float = Field(0.0, ge=0, le=1, description="From 0, the best scores, to 1, the least alike.")
    popularity_damping: float = Field(0.0, ge=0, le=100, description="How much lower items rank for being rated often.")
    intervals: bool = Field(False, description="Tell where each rating will be, with a probability of 0.9.")
    reasons: bool = Field(False, description="Tell which item of the history adds most to each score.")

    def listing(self) -> Listing:
        """As `answering` takes it."""
        return Listing(
            self.k,
            tuple(self.where),
            tuple(self.exclude),
            self.include_seen,
            self.diversity,
            self.popularity_damping,
            self.intervals,
            self.reasons,
        )


class UserWishes(Wishes):
    """The same as the query of a URL, where ids are text."""

    exclude: list[PathId] = Field(
        default_factory=list, max_length=200, description="Ids of items that may not be in it."
    )  # type: ignore[assignment]


class Near(Body):
    """What is asked of items like one, as the query of a URL."""

    k: int = Field(10, ge=1, le=MOST_ITEMS, description="How many items.")


class Typed(Body):
    """What is asked of a search, as the query of a URL."""

    search: str = Field("", max_length=200, description="What somebody has typed.")
    limit: int = Field(10, ge=1, le=100, description="How many items at most.")


class Extent(Body):
    """What is asked of the map, as the query of a URL."""

    limit: int = Field(1_000, ge=1, le=20_000, description="How many items, the most popular.")


LISTS = ("where", "exclude")


@lru_cache(maxsize=1_000)
def read_listing(query: bytes) -> Listing:
    """What the query of a URL asks of a list.

    Raises:
        ValidationError: something in it cannot be.
    """
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in LISTS:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    return UserWishes.model_validate(given).listing()


@lru_cache(maxsize=1_000)
def read_near(query: bytes) -> int:
    """How many similar items the query of a URL asks for.

    Raises:
        ValidationError: something in it cannot be.
    """
    return Near.model_validate(dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))).k


def read_id(text: str) -> str:
    """An id from a path.

    Raises:
        ValidationError: it cannot be one.
    """
    return _PATH_ID.validate_python(text)


def listing_parameters() -> list[dict[str, Any]]:
    """What `read_id` and `read_listing` read, for OpenAPI."""
    return _parameters("user", UserWishes)


def near_parameters() -> list[dict[str, Any]]:
    """What `read_id` and `read_near` read, for OpenAPI."""
    return _parameters("item", Near)


def _parameters(id_: str, query: type[Body]) -> list[dict[str, Any]]:
    in_path = {"name": id_, "in": "path", "required": True, "schema": _PATH_ID.json_schema()}
    wishes = query.model_json_schema()["properties"]
    return [in_path, *({"name": name, "in": "query", "schema": schema} for name, schema in wishes.items())]


_PATH_ID: TypeAdapter[str] = TypeAdapter(PathId)


class Rated(Body):
    """An item that somebody has rated or taken."""

    item: ItemId
    rating: Rating | None = None


class Visitor(Wishes):
    """A list for somebody with a history."""

    history: list[Rated] = Field(max_length=MOST_HISTORY)


class Why(Body):
    """A score of somebody with a history."""

    history: list[Rated] = Field(max_length=MOST_HISTORY)
    item: ItemId


class Pair(Body):
    """Whose rating of what."""

    user: ItemId
    item: ItemId


class Pairs(Body):
    """Ratings to predict."""

    pairs: list[Pair] = Field(min_length=1, max_length=MOST_PAIRS)
    interval: float | None = Field(None, gt=0, lt=1, description="With which probability the rating is inside.")


class FeedbackEvent(Body):
    """Somebody took or rated an item."""

    event_id: str = Field(
        min_length=1, max_length=LONGEST_ID, description=f"The same again is the same event. Text of {ID_SIZE}."
    )
    user: ItemId
    item: ItemId
    rating: Rating | None = None
    time: Annotated[int, Field(strict=True)] | None = Field(None, description="Seconds since 1970-01-01 UTC.")


class Feedback(Body):
    """Events to store, all or none."""

    events: list[FeedbackEvent] = Field(min_length=1, max_length=MOST_EVENTS)


class Problem(BaseModel):
    """What is wrong."""

    code: str
    message: str
    hint: str


class Refusal(BaseModel):
    """Every failure looks like this."""

    error: Problem
