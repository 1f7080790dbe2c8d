"""A model fitted again on its table and new feedback, and promoted where it is not worse than the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from penchant.artifact import Artifact, check_replaceable, load_artifact, save_artifact, version_of
from penchant.challenging import Comparison, compare, neither_has_seen
from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.data.write import check_folder
from penchant.errors import ArtifactError, InputError, SettingError, UnsupportedError
from penchant.folders import bring_back
from penchant.intervals import Conformal, Spreads
from penchant.job import fit_model, was_interrupted
from penchant.models.fitting import FitOptions
from penchant.models.networks import Own
from penchant.serving.merging import with_feedback
from penchant.serving.reading import Frames, Reached, earliest, read_all, read_so_far
from penchant.serving.recommender import Recommender
from penchant.serving.saving import checked_fields, to_artifact
from penchant.serving.store import FeedbackStore
from penchant.serving.telling import Services, Told
from penchant.signals import held_back

LEAST_EVENTS = 50  # new ones, for a round to be worth while
LEAST_HELD_OUT = 10  # interactions; the bootstrap over users says nothing of fewer
LEAST_USERS = 2
TRAINED_ON = 0.5  # of the new events; the later ones are held out

Outcome = Literal["nothing to do", "refused", "promoted"]


def _say_nothing(what: object) -> None:
    del what


@dataclass(frozen=True)
class Plan:
    """What is fitted again, and how.

    Attributes:
        read: reads the table that the model is fitted on beside feedback.
        feedback: URL of the store.
        folder: of the artifact.
        least: how many new events make a round worth while.
        margin: as in `Comparison.is_accepted`.
        merging: duplicates and positive_from, as for `with_feedback`.
        options: of both fits; the seed is that of the current model.
        services: are told of a new model.
        compared: hears of the comparison.
        said: hears of what is done, for people.
        noted: hears of what should be known beside.
    """

    read: Callable[[], Interactions]
    feedback: str
    folder: Path
    least: int = LEAST_EVENTS
    margin: float | None = None
    merging: dict[str, Any] = field(default_factory=dict)
    options: FitOptions = FitOptions()
    services: Services = Services()
    compared: Callable[[Comparison], None] = _say_nothing
    said: Callable[[str], None] = _say_nothing
    noted: Callable[[str], None] = _say_nothing

    def __post_init__(self) -> None:
        if self.margin is not None and not 0 <= self.margin < float("inf"):
            raise SettingError(f"margin is {self.margin}.", remedy="Give a number, 0 or more, such as 0.01.")

    @property
    def place(self) -> Path:
        """Where the artifact lies, links followed."""
        return self.folder.resolve()

    @property
    def previous(self) -> Path:
        """Where the one before is kept."""
        return self.place.with_name(f"{self.place.name}.previous")


@dataclass(frozen=True)
class Round:
    """What came of one round.

    Attributes:
        outcome: what was done.
        why: in words.
        model: the name of the model.
        n_new: events that are newer than the current model.
        comparison: of the challenger with the current model, where there was one.
        version: of the artifact in the folder now.
        previous: where the artifact before is, where a new one was promoted.
        told: what became of telling the services.
    """

    outcome: Outcome
    why: str
    model: str
    n_new: int
    version: str
    comparison: Comparison | None = None
    previous: Path | None = None
    told: tuple[Told, ...] = ()

    @property
    def untold(self) -> list[Told]:
        """Those that serve the model before still."""
        return [one for one in self.told if one.problem]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "outcome": self.outcome,
            "why": self.why,
            "model": self.model,
            "n_new": self.n_new,
            "comparison": None if self.comparison is None else self.comparison.to_json(),
            "version": self.version,
            "previous": None if self.previous is None else str(self.previous),
            "told": [vars(one) for one in self.told],
        }


@contextmanager
def alone(plan: Plan) -> Iterator[None]:
    """Inside, no other process retrains this artifact.

    Raises:
        InputError: one does.
        ArtifactError: there is no artifact, or something else is where the one before is to be kept.
    """
    from filelock import FileLock, Timeout

    place = plan.place
    if not place.exists() and not plan.previous.exists():
        raise ArtifactError(f"There is no model at {plan.folder}.", remedy="Give the folder that penchant fit wrote.")
    check_folder(place.parent, plan.folder)
    lock = FileLock(place.with_name(f"{place.name}.retrain.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"Another process retrains {plan.folder}.",
            remedy="Wait for its end, or stop it; two would undo each other.",
        ) from None
    except OSError as error:
        raise InputError(f"{lock.lock_file} cannot be written: {error.strerror}.", remedy="Mend its rights.") from error
    try:
        if bring_back(place, plan.previous):
            plan.noted(f"{plan.folder} was missing, as after a crash: the model of {plan.previous} is back there.")
        check_replaceable(place)  # now, and not when all is fitted
        check_replaceable(plan.previous)
        yield
    finally:
        lock.release()


@dataclass(frozen=True, eq=False)
class _Current:
    """The artifact in the folder, as it was when the round began."""

    recommender: Recommender
    version: str

    @classmethod
    def load(cls, folder: Path) -> _Current:
        contents = load_artifact(folder)
        recommender = Recommender(**checked_fields(contents, folder))
        if isinstance(recommender.model, Own):
            raise UnsupportedError(
                f"{folder} is a torch module of your own, which is not in it.",
                remedy="Fit it again: penchant fit RATINGS --feedback URL --model FILE.py:CLASS.",
            )
        return cls(recommender, contents.checksum)

    @property
    def seed(self) -> int:
        """What it drew its random numbers from."""
        return self.recommender.log.seed if self.recommender.log is not None else 0


def run_round(plan: Plan) -> Round:
    """Look for new feedback, fit, compare, and promote what is not worse; to be called while `alone`.

    Raises:
        StoreError: feedback cannot be read.
        ArtifactError: the artifact cannot be read, or replaced.
        InputError: the table does not go with the artifact, or cannot be learnt from.
        KeyboardInterrupt: what was fitted until then is thrown away, and the folder is as it was; or, while services
            are told, the new model is in it.
    """
    current = _Current.load(plan.folder)
    told = Round("nothing to do", "", current.recommender.model.name, 0, current.version)
    with FeedbackStore.open(plan.feedback, create=False) as store:
        since = read_so_far(current.recommender.about, store)
        n_new = store.count(since)
        if n_new < plan.least:
            few = f"{_counted(n_new, 'event')} newer than the model; it takes {plan.least:,} (--least)"
            return replace(told, why=few, n_new=n_new)
        table = plan.read()
        before, new, reached = read_all(store, since)
    told = replace(told, n_new=sum(frame.height for frame in new))
    parts = _Parts.of(plan, table, before, new, current.recommender)
    if len(parts.held_out) < LEAST_HELD_OUT or parts.n_users < LEAST_USERS:
        return replace(told, why=parts.too_few)
    challenger = _challenger(plan, current, parts)
    found = _compared(plan, current, challenger, parts)
    plan.compared(found)
    told = replace(told, comparison=found, why=found.verdict(plan.margin))
    if not found.is_accepted(plan.margin):
        return replace(told, outcome="refused")
    plan.said(f"The challenger is accepted: {told.why}. Now it is fitted on everything.")
    fitted = _refitted(plan, current, challenger, parts, reached)
    try:
        version = _promote(plan, current, fitted)
        services = tuple(plan.services.tell(version))
    except KeyboardInterrupt:
        if version_of(plan.folder) != current.version:
            plan.noted(f"The new model is in {plan.folder}; not all services were told of it: let them reload.")
        raise
    return replace(told, outcome="promoted", version=version, previous=plan.previous, told=services)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The table with feedback, in parts.

    Attributes:
        joined: with all feedback.
        train: with what was there before, and the earlier part of what is new.
        held_out: what neither model has seen of the later part.
    """

    joined: Interactions
    train: Interactions
    held_out: Interactions
    n_new: int

    @classmethod
    def of(cls, plan: Plan, table: Interactions, before: Frames, new: Frames, current: Recommender) -> _Parts:
        _check_kind(plan, table, current)
        joined = with_feedback(table, [*before, *new], **plan.merging)
        for note in joined.notes[len(table.notes) :]:
            plan.noted(note)
        train = with_feedback(table, [*before, earliest(new, TRAINED_ON)], **plan.merging)
        held_out = neither_has_seen(joined, train, current)
        return cls(joined, train, held_out, sum(frame.height for frame in new))

    @property
    def n_users(self) -> int:
        """Whose interactions are held out."""
        return int((self.held_out.user_counts > 0).sum())

    @property
    def too_few(self) -> str:
        """Why there is nothing to compare on."""
        held_out = f"{_counted(len(self.held_out), 'interaction')} of {_counted(self.n_users, 'user')}"
        return (
            f"of the later half of {_counted(self.n_new, 'new event')}, {held_out} are left to compare on, which"
            f" neither model has seen; it takes {LEAST_HELD_OUT} of {LEAST_USERS} users"
        )

    @property
    def split(self) -> Split:
        """For the challenger."""
        return Split(self.train, self.held_out, "the latest feedback, of which neither model has seen anything")


def _challenger(plan: Plan, current: _Current, parts: _Parts) -> Recommender:
    """The same model with the same settings, fitted without what is held out."""
    log = current.recommender.log
    if log is not None and log.kept_epoch != len(log.epochs) - 1:
        plan.noted(
            f"The current model kept the weights of epoch {log.kept_epoch}; the challenger runs all epochs and"
            " keeps the last."
        )
    plan.said(f"Split: {parts.split}.")
    return _fitted(plan, current, parts.split)


def _fitted(plan: Plan, current: _Current, split: Split) -> Recommender:
    model = current.recommender.model
    fitted = fit_model(type(model)(model.settings), split, replace(plan.options, seed=current.seed))
    if was_interrupted(fitted):  # half a fit is kept by penchant fit, but nothing to serve
        raise KeyboardInterrupt
    return fitted


def _compared(plan: Plan, current: _Current, challenger: Recommender, parts: _Parts) -> Comparison:
    threads = plan.options.threads
    return compare(current.recommender, challenger, parts.held_out, parts.train, seed=current.seed, threads=threads)


def _refitted(plan: Plan, current: _Current, challenger: Recommender, parts: _Parts, reached: Reached) -> Recommender:
    """The challenger on everything. What was measured and how wide intervals are is known of it without what was held
    out: after this fit there is nothing left to know it from.
    """
    fitted = _fitted(plan, current, split_none(parts.joined))
    conformal = challenger.conformal
    if conformal is not None:
        conformal = Conformal(Spreads.of(fitted.model, parts.joined), conformal.quantiles)
    split = {**challenger.about["split"], "then": "fitted on everything"}
    about = {**fitted.about, "split": split, "valid": challenger.about["valid"], **reached.to_about()}
    return replace(fitted, about=about, conformal=conformal)


def _promote(plan: Plan, current: _Current, fitted: Recommender) -> str:
    """Put the new artifact in the place of the current one, which is kept beside; the version of the new one.

    Raises:
        ArtifactError: another process has replaced the current one, or the disk refuses.
    """
    contents = _contents(fitted, current.recommender.is_stripped)
    checked_fields(contents, plan.folder)  # what a service would refuse is not promoted
    if version_of(plan.folder) != current.version:
        raise ArtifactError(
            f"{plan.folder} was replaced by another process meanwhile, and is left as it is.", remedy="Retrain again."
        )
    with held_back():  # once it is in its place, it is told of
        save_artifact(contents, plan.folder, plan.previous)
        return version_of(plan.folder)


def _contents(fitted: Recommender, is_stripped: bool) -> Artifact:
    """What is written. In the place of an artifact without users comes another without users."""
    return to_artifact(fitted.stripped() if is_stripped else fitted)


def _check_kind(plan: Plan, table: Interactions, current: Recommender) -> None:
    """Raise InputError where a table cannot have been what the current model was fitted on."""
    remedy = "Give RATINGS and the flags of reading that the model was fitted with."
    was_implicit = (current.about.get("data") or {}).get("is_implicit")
    if was_implicit is not None and was_implicit != table.is_implicit:
        words = {True: "interactions that nobody rated", False: "ratings"}
        raise InputError(
            f"{plan.folder} was fitted on {words[was_implicit]}, and {table.source or 'the table'} was read as"
            f" {words[table.is_implicit]}.",
            remedy=remedy,
        )
    if not (current.items.rows(table.items.ids, missing="minus one") >= 0).any():
        raise InputError(f"No item of {table.source or 'the table'} is in {plan.folder}.", remedy=remedy)


def _counted(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"
