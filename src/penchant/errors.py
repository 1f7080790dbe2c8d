"""What can go wrong, as one tree.

    PenchantError                    everything that penchant raises on purpose
    ├── InputError                   what was given cannot be used; the message says how to mend it
    │   ├── DataError                a table: names the file, the line and the column
    │   ├── UnknownIdError           a user or an item that the model has never seen
    │   ├── SettingError             a setting or option with a value it cannot have
    │   ├── ConflictError            feedback whose event id stands for another event already
    │   └── UnsupportedError         a question that this kind of model has no answer to
    ├── ArtifactError                a saved model that is truncated, edited, foreign or of another version
    ├── StoreError                   a store of feedback that is full, locked, unreachable or not one
    ├── ServiceError                 a running service that does not answer, or refuses
    ├── DownloadError                a data set that could not be fetched or did not verify
    ├── NotFittedError               a model was asked before it was fitted
    ├── NotEnoughMemoryError         what is about to be done would take more memory than there is, or is allowed
    └── MissingExtraError            an optional dependency is not installed

Every message has three parts where they exist: the place, what is wrong with the value found there,
and the remedy. The command line prints the message alone and exits with 2.
"""

from __future__ import annotations


class PenchantError(Exception):
    """The root of all errors raised on purpose.

    `problem` says what is wrong, `remedy` what to do about it; `str()` gives both.
    """

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(problem if not remedy else f"{problem}\n{remedy}")


class InputError(PenchantError):
    """What was given cannot be used."""


class DataError(InputError):
    """A table cannot be used.

    Args:
        problem: what is wrong, with the offending value.
        file: the file or the kind of frame.
        line: 1-based line in the file (row in a frame), where one line is to blame.
        column: the column's name in the file.
        remedy: what the caller can do.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str = "",
        line: int | None = None,
        column: str | None = None,
        remedy: str = "",
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        place = ", ".join(
            part
            for part in (
                file,
                f"line {line}" if line is not None else "",
                f"column '{column}'" if column is not None else "",
            )
            if part
        )
        super().__init__(f"{place}: {problem}" if place else problem, remedy=remedy)


class UnknownIdError(InputError):
    """A user or an item that the model has never seen."""


class SettingError(InputError):
    """A setting or an option has a value that it cannot have."""


class ConflictError(InputError):
    """Feedback whose event id stands for another event already."""


class UnsupportedError(InputError):
    """A question that this kind of model has no answer to."""


class ArtifactError(PenchantError):
    """A saved model cannot be trusted or read."""


class StoreError(PenchantError):
    """A store of feedback cannot be used now, or not at all. What was acknowledged before is still in it.

    Attributes:
        reason: "full", "locked", "unreachable" and "failed" may pass, and what was asked can be asked again;
            "unusable" does not pass by itself.
    """

    def __init__(self, problem: str, *, reason: str, remedy: str = "") -> None:
        self.reason = reason
        super().__init__(problem, remedy=remedy)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.reason != "unusable"


class ServiceError(PenchantError):
    """A running service does not answer, or refuses what it is asked."""


class DownloadError(PenchantError):
    """A data set could not be fetched, or what came is not what its publisher published."""


class NotFittedError(PenchantError):
    """A model was asked before it was fitted."""


class NotEnoughMemoryError(PenchantError):
    """What is about to be done would take more memory than there is, or than it may take."""


class MissingExtraError(PenchantError):
    """An optional dependency is needed for this and is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            f"{what} needs a part of penchant that is not installed.",
            remedy=f"Install it with: pip install 'penchant[{extra}]'",
        )
