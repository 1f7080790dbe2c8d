"""Jester's spreadsheets, one row a user and one column a joke, as one long table of ratings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.layouts import JESTER
from penchant.errors import DownloadError, MissingExtraError

JOKES = 100
NOT_RATED = 99.0  # stands in the place of a rating, which goes from -10 to 10


def import_calamine() -> Any:
    """The module that reads old Excel files.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import python_calamine
    except ImportError as error:
        raise MissingExtraError("Reading Jester's spreadsheets", extra="excel") from error
    return python_calamine


def convert_jester(folder: Path) -> None:
    """Replace the .xls files in a folder by one Parquet file of user_id, item_id (1 to 100) and rating.

    The spreadsheets name no users: they are numbered from 1 on through the files in order of their names.

    Raises:
        MissingExtraError: the reader of old Excel files is not installed.
        DownloadError: there is no spreadsheet, or one is damaged or has a value that Jester cannot have.
    """
    calamine = import_calamine()
    files = sorted(folder.rglob("*.xls"), key=lambda file: file.name)
    if not files:
        raise DownloadError("Jester's archives hold no spreadsheet (.xls).")
    tables: list[pl.DataFrame] = []
    first_user = 1
    for file in files:
        ratings = _read_matrix(file, calamine)
        tables.append(_long_table(ratings, first_user))
        first_user += len(ratings)
    pl.concat(tables).write_parquet(folder / JESTER.ratings.file)
    for file in files:
        file.unlink()


def _read_matrix(file: Path, calamine: Any) -> NDArray[np.float64]:
    """The ratings of one spreadsheet, users x JOKES, NOT_RATED where there is none."""
    try:
        with calamine.CalamineWorkbook.from_path(str(file)) as workbook:
            rows = workbook.get_sheet_by_index(0).to_python(skip_empty_area=False)
        cells = [[NOT_RATED if cell == "" else cell for cell in row] for row in rows]
        matrix = np.array(cells, dtype=np.float64)
    except (calamine.CalamineError, ValueError, TypeError) as error:
        raise DownloadError(f"{file.name} cannot be read as a sheet of numbers ({error}).") from error
    if matrix.ndim != 2 or matrix.shape[1] != JOKES + 1:
        raise DownloadError(
            f"{file.name} is a sheet of {' x '.join(map(str, matrix.shape))} cells, not of {JOKES + 1} columns."
        )
    return _checked(matrix[:, 1:], file)  # the first column counts the user's ratings


def _checked(ratings: NDArray[np.float64], file: Path) -> NDArray[np.float64]:
    wrong = ~((np.abs(ratings) <= 10) | (ratings == NOT_RATED))
    if wrong.any():
        row, joke = np.argwhere(wrong)[0]
        raise DownloadError(
            f"{file.name}, row {row + 1}: joke {joke + 1} is rated {ratings[row, joke]}, "
            "which is neither from -10 to 10 nor 99 (not rated)."
        )
    return ratings


def _long_table(ratings: NDArray[np.float64], first_user: int) -> pl.DataFrame:
    user_rows, jokes = np.nonzero(ratings != NOT_RATED)
    return pl.DataFrame(
        {
            "user_id": user_rows + first_user,
            "item_id": jokes + 1,
            "rating": ratings[user_rows, jokes],
        }
    )
