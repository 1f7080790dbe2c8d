"""How publishers lay out the files of a data set in a folder, so that the folder is both tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penchant.errors import DataError

MOVIELENS_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


@dataclass(frozen=True)
class TableLayout:
    """One table of a data set.

    Attributes:
        file: its name in the folder.
        columns: names of the columns of a file without a header, () when it has one.
        flags: columns of 0 and 1 that together are one column of values joined by "|" ("genres").
        truncate: lines with too many fields are a known fault of the published file; the surplus is dropped.
        backslash: quotes inside quoted fields have a backslash before them in the published file.
        entities: text has HTML entities in the published file ("&amp;").
    """

    file: str
    columns: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    truncate: bool = False
    backslash: bool = False
    entities: bool = False


@dataclass(frozen=True)
class Layout:
    """The tables of a data set, and what is special about them.

    Attributes:
        ratings, items, users: the tables; None where the data set has none.
        item_name: the column of `items` that names an item on screen.
        zero_is_implicit: a rating of 0 means "had to do with it", not a score; such lines are left out.
    """

    name: str
    ratings: TableLayout
    items: TableLayout | None = None
    users: TableLayout | None = None
    item_name: str | None = None
    zero_is_implicit: bool = False


MOVIELENS_CSV = Layout("MovieLens CSV", TableLayout("ratings.csv"), TableLayout("movies.csv"), item_name="title")
MOVIELENS_DAT = Layout(
    "MovieLens DAT",
    TableLayout("ratings.dat", ("user_id", "movie_id", "rating", "timestamp")),
    TableLayout("movies.dat", ("movie_id", "title", "genres")),
    item_name="title",
)
MOVIELENS_1M = Layout(
    "MovieLens 1M",
    MOVIELENS_DAT.ratings,
    MOVIELENS_DAT.items,
    TableLayout("users.dat", ("user_id", "gender", "age", "occupation", "zip")),
    item_name="title",
)
MOVIELENS_100K = Layout(
    "MovieLens 100K",
    TableLayout("u.data", ("user_id", "item_id", "rating", "timestamp")),
    TableLayout(
        "u.item",
        ("item_id", "title", "release_date", "video_release_date", "imdb_url", *MOVIELENS_GENRES),
        flags=MOVIELENS_GENRES,
    ),
    TableLayout("u.user", ("user_id", "age", "gender", "occupation", "zip")),
    item_name="title",
)
BOOK_CROSSING_DUMP = Layout(
    "Book-Crossing dump",
    TableLayout("BX-Book-Ratings.csv", backslash=True),
    TableLayout("BX-Books.csv", truncate=True, backslash=True, entities=True),
    TableLayout("BX-Users.csv", backslash=True),
    item_name="Book-Title",
    zero_is_implicit=True,
)
BOOK_CROSSING_CLEAN = Layout(
    "Book-Crossing, cleaned",
    TableLayout("book_ratings.dat"),
    TableLayout("items_info.dat", truncate=True),
    TableLayout("users_info.dat", truncate=True),
    item_name="Book-Title",
)
JESTER = Layout("Jester", TableLayout("jester_1.parquet"))
DSLABS = Layout("dslabs MovieLens", TableLayout("dslabs_movielens.parquet"))
ANY_CSV = Layout("ratings.csv and items.csv", TableLayout("ratings.csv"), TableLayout("items.csv"))

# The first whose files are there is taken, so the more demanding come first.
LAYOUTS = (
    MOVIELENS_CSV, MOVIELENS_1M, MOVIELENS_DAT, MOVIELENS_100K, BOOK_CROSSING_DUMP, BOOK_CROSSING_CLEAN, JESTER, DSLABS,
    ANY_CSV,
)  # fmt: skip


def find_layout(folder: Path) -> Layout:
    """The layout that a folder has.

    Raises:
        DataError: none fits; the message says which ratings files were looked for.
    """
    try:
        present = {path.name for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise DataError(
            f"The folder cannot be read: {error.strerror or error}.",
            file=str(folder),
            remedy="Check the path and its permissions.",
        ) from error
    for layout in LAYOUTS:
        required = {table.file for table in (layout.ratings, layout.items, layout.users) if table}
        if required <= present:
            return layout
    wanted = ", ".join(dict.fromkeys(layout.ratings.file for layout in LAYOUTS))
    raise DataError(
        "This folder is not laid out like a data set that penchant knows.",
        file=str(folder),
        remedy=f"Give the ratings file itself, and --items FILE. (Looked for: {wanted} with their companions.)",
    )
