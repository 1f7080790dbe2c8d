"""The epoch loop, with a scripted training and with real models: what is kept, and what Ctrl-C leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_none
from penchant.errors import InputError, NotFittedError, SettingError
from penchant.models import Model, build, build_own
from penchant.models.fitting import Epoch, FitLog, FitOptions, NothingLearnt, Silent, run_epochs

torch = pytest.importorskip("torch")

NAN, INF = float("nan"), float("inf")


class Scripted:
    """A training whose losses are given; its state is the number of the epoch that it has learnt."""

    def __init__(self, valid: Sequence[float | None], *, train: Sequence[float] | None = None) -> None:
        self.valid = valid
        self.train = train or [1.0] * len(valid)
        self.epochs = len(valid)
        self.state = -1
        self.interrupt_at: tuple[int, str] | None = None

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        progressed(0.5)
        self._perhaps_interrupt(epoch, "train")
        self.state = epoch
        return self.train[epoch]

    def valid_loss(self) -> float | None:
        self._perhaps_interrupt(self.state, "valid")
        return self.valid[self.state]

    def snapshot(self) -> int:
        self._perhaps_interrupt(self.state, "snapshot")
        return self.state

    def restore(self, state: int) -> None:
        self.state = state

    def _perhaps_interrupt(self, epoch: int, where: str) -> None:
        if self.interrupt_at == (epoch, where):
            raise KeyboardInterrupt


class Watching(Silent):
    """Writes down what it hears; raises Ctrl-C when told so."""

    def __init__(self, interrupt_at: tuple[str, int] | None = None) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.interrupt_at = interrupt_at

    def started(self, model: str, epochs: int) -> None:
        self.heard.append(("started", model, epochs))

    def progressed(self, epoch: int, fraction: float) -> None:
        self.heard.append(("progressed", epoch, fraction))
        if self.interrupt_at == ("progressed", epoch):
            raise KeyboardInterrupt

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        self.heard.append(("ended", model, epoch))
        if self.interrupt_at == ("ended", epoch.epoch):
            raise KeyboardInterrupt


def run(training: Scripted, **options: Any) -> FitLog:
    return run_epochs(training, "scripted", FitOptions(**options))


def test_to_the_end_keeps_the_last_epoch() -> None:
    training = Scripted([0.5, 0.3, 0.4], train=[3, 2, 1])
    log = run(training, seed=11)
    assert (log.kept_epoch, log.ending, training.state, log.seed, log.model) == (2, "finished", 2, 11, "scripted")
    assert [(one.epoch, one.train_loss, one.valid_loss) for one in log.epochs] == [
        (0, 3, 0.5),
        (1, 2, 0.3),
        (2, 1, 0.4),
    ]
    assert log.valid_loss == 0.4
    assert log.fit_seconds >= sum(one.seconds for one in log.epochs) > 0


def test_keep_best_runs_on_and_goes_back() -> None:
    training = Scripted([0.5, 0.3, 0.4, 0.6])
    log = run(training, keep_best=True)
    assert (log.kept_epoch, log.ending, training.state, len(log.epochs)) == (1, "finished", 1, 4)
    assert log.valid_loss == 0.3


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "kept", "ending"),
    [
        ([0.5, 0.3, 0.4, 0.2], 1, 3, 1, "stopped early"),
        ([0.5, 0.3, 0.4, 0.2], 2, 4, 3, "finished"),
        ([0.5, 0.3, 0.4, 0.35, 0.2], 2, 4, 1, "stopped early"),
        ([0.5, 0.4, 0.3], 1, 3, 2, "finished"),
        ([0.3, 0.3, 0.1], 1, 2, 0, "stopped early"),  # an equal loss is no better
        ([0.3, 0.4], 5, 2, 0, "finished"),
        ([0.3], 1, 1, 0, "finished"),
    ],
)
def test_patience(losses: list[float], patience: int, epochs: int, kept: int, ending: str) -> None:
    training = Scripted(losses)
    log = run(training, patience=patience)
    assert (len(log.epochs), log.kept_epoch, log.ending, training.state) == (epochs, kept, ending, kept)


@pytest.mark.parametrize("options", [{"patience": 2}, {"keep_best": True}])
def test_choosing_needs_validation_ratings(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match="need validation ratings"):
        run(Scripted([None, None]), **options)


@pytest.mark.parametrize("loss", [NAN, INF])
def test_a_loss_that_is_no_number_ends_the_fit(loss: float) -> None:
    with pytest.raises(InputError, match=f"scripted diverged: the train loss of epoch 1 is {loss}") as caught:
        run(Scripted([0.5, 0.5, 0.5], train=[1, loss, 1]))
    assert "learning_rate" in caught.value.remedy
    with pytest.raises(InputError, match=f"the validation loss of epoch 2 is {loss}"):
        run(Scripted([0.5, 0.5, loss]), keep_best=True)


@pytest.mark.parametrize("valid", [[0.5, 0.4], [None, None]])
@pytest.mark.parametrize("where", ["train", "valid", "snapshot"])
def test_ctrl_c_before_the_first_epoch_ended_leaves_nothing(valid: list[float | None], where: str) -> None:
    training = Scripted(valid)
    training.interrupt_at = (0, where)
    with pytest.raises(NothingLearnt):
        run(training)


@pytest.mark.parametrize("where", ["train", "valid", "snapshot"])
@pytest.mark.parametrize(("options", "expected"), [({}, 1), ({"patience": 9}, 1), ({"keep_best": True}, 1)])
def test_ctrl_c_goes_back_to_the_best_epoch(where: str, options: dict[str, Any], expected: int) -> None:
    training = Scripted([0.5, 0.2, 0.3, 0.1, 0.1])
    training.interrupt_at = (3, where)
    log = run(training, **options)
    assert (log.ending, log.kept_epoch, training.state) == ("interrupted", expected, expected)
    assert len(log.epochs) == (4 if where == "snapshot" else 3)


@pytest.mark.parametrize("where", ["train", "valid", "snapshot"])
def test_without_validation_ctrl_c_goes_back_to_the_last_whole_epoch(where: str) -> None:
    training = Scripted([None] * 5, train=[5, 4, 3, 2, 1])
    training.interrupt_at = (3, where)
    log = run(training)
    assert (log.ending, log.kept_epoch, training.state) == ("interrupted", 2, 2)
    assert log.valid_loss is None


def test_ctrl_c_after_the_first_epoch_keeps_it() -> None:
    training = Scripted([0.5, 0.4])
    log = run(training, listener=Watching(("ended", 0)))
    assert (log.ending, log.kept_epoch, training.state, len(log.epochs)) == ("interrupted", 0, 0, 1)


def test_what_a_listener_hears() -> None:
    listener = Watching()
    log = run(Scripted([0.5, 0.4]), listener=listener)
    assert listener.heard == [
        ("started", "scripted", 2),
        ("progressed", 0, 0.5),
        ("ended", "scripted", log.epochs[0]),
        ("progressed", 1, 0.5),
        ("ended", "scripted", log.epochs[1]),
    ]


@pytest.mark.parametrize(
    "options",
    [
        *({"device": "gpu"}, {"device": ""}, {"patience": 0}, {"patience": -1}, {"threads": 0}),
        *({"memory": 0}, {"memory": "2GB"}),
    ],
    ids=str,
)
def test_options_that_mean_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(options))):
        FitOptions(**options)


@pytest.mark.parametrize("valid", [[0.5, 0.25], [None, None]])
def test_a_log_survives_json(valid: list[float | None]) -> None:
    log = run(Scripted(valid), seed=2**63 - 1)
    assert FitLog.from_json(json.loads(json.dumps(log.to_json(), allow_nan=False))) == log


@pytest.mark.parametrize(
    "edit",
    [
        {"kept_epoch": 2},
        {"kept_epoch": -1},
        {"kept_epoch": "0"},
        {"epochs": []},
        {"epochs": [{}]},
        {"epochs": 3},
        {"epochs": [{"epoch": 0, "train_loss": "low", "valid_loss": None, "seconds": 1}]},
        {"epochs": [{"epoch": 0, "train_loss": 1, "valid_loss": None, "seconds": []}]},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_is_no_log(edit: dict[str, Any]) -> None:
    fields = run(Scripted([0.5, 0.25])).to_json() | edit
    with pytest.raises((ValueError, TypeError, KeyError)):
        FitLog.from_json(fields)


# --- through real models ----------------------------------------------------------------------------


class TwoTables(torch.nn.Module):
    def __init__(self, n_users: int, n_items: int) -> None:
        super().__init__()
        self.users, self.items = torch.nn.Embedding(n_users, 4), torch.nn.Embedding(n_items, 4)

    def forward(self, x: Any) -> Any:
        return 3 + (self.users(x[:, 0]) * self.items(x[:, 1])).sum(dim=1)


REAL = ["mf", "mlp", "own"]


def make(name: str, epochs: int = 5) -> Model:
    if name == "own":
        return build_own(TwoTables, epochs=epochs, batch_size=16)
    return build(name, epochs=epochs, **({"batch_size": 16} if name == "mlp" else {"factors": 4}))


def everything(model: Model) -> np.ndarray:
    return model.scores(np.arange(model.n_users, dtype=np.int32))


@pytest.fixture(params=["with validation", "without"])
def parts(request: pytest.FixtureRequest, split: Split, ratings: Interactions) -> Split:
    return split if request.param == "with validation" else split_none(ratings)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("moment", ["ended", "progressed"])
def test_an_interrupted_model_is_whole(name: str, moment: str, parts: Split) -> None:
    """It is bit for bit the model of the epoch that the log says was kept, and folds in and scores."""
    model = make(name)
    log = model.fit(parts, FitOptions(seed=1, listener=Watching((moment, 2))))
    assert log.ending == "interrupted"
    assert len(log.epochs) == (3 if moment == "ended" else 2)
    losses = [one.valid_loss for one in log.epochs]
    assert log.kept_epoch == (len(losses) - 1 if parts.valid is None else int(np.argmin(losses)))
    assert np.isfinite(everything(model)).all()
    assert np.isfinite(model.fold_in(np.array([1, 2], np.int32), np.array([4, 2], np.float32))).all()
    model.check_arrays(model.n_users, model.n_items)

    same = make(name)
    same.fit(parts, FitOptions(seed=1, listener=Watching(("ended", log.kept_epoch))))
    np.testing.assert_array_equal(everything(model), everything(same))
    if parts.valid is not None:
        predictions = model.predict(parts.valid_user_rows, parts.valid_item_rows)
        assert np.mean((predictions - parts.valid.ratings) ** 2) == pytest.approx(log.valid_loss, rel=1e-5)


@pytest.mark.parametrize("name", REAL)
def test_keep_best_leaves_the_weights_that_were_measured(name: str, split: Split) -> None:
    model = make(name, epochs=8)
    log = model.fit(split, FitOptions(seed=1, keep_best=True))
    losses = [one.valid_loss for one in log.epochs]
    assert log.kept_epoch == int(np.argmin(losses))
    predictions = model.predict(split.valid_user_rows, split.valid_item_rows)
    assert np.mean((predictions - split.valid.ratings) ** 2) == pytest.approx(min(losses), rel=1e-5)


class FailsLate(Silent):
    """An error in the second epoch, when the model has already learnt, been validated and been asked."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        del model
        if epoch.epoch == 1:
            raise self.error


@pytest.mark.parametrize("name", REAL)
def test_a_refit_that_fails_leaves_the_earlier_model(name: str, split: Split, board: Split) -> None:
    """Of another shape than the data of the refit, so that a mixture of both would not go unseen."""
    model = make(name)
    model.fit(split, FitOptions(seed=1))
    before, vector = everything(model), model.fold_in(np.array([3], np.int32), np.array([5], np.float32))
    for other in (board, split):
        with pytest.raises(RuntimeError, match="the disk is full"):
            model.fit(other, FitOptions(seed=2, listener=FailsLate(RuntimeError("the disk is full"))))
        np.testing.assert_array_equal(everything(model), before)
        np.testing.assert_array_equal(model.fold_in(np.array([3], np.int32), np.array([5], np.float32)), vector)


@pytest.mark.parametrize("name", [*REAL, "dot"])
def test_ctrl_c_in_the_first_epoch_of_a_refit_leaves_the_earlier_model(name: str, split: Split) -> None:
    model = make(name)
    model.fit(split, FitOptions(seed=1))
    before = everything(model)
    with pytest.raises(NothingLearnt):
        model.fit(split, FitOptions(seed=2, listener=Watching(("progressed", 0))))
    np.testing.assert_array_equal(everything(model), before)


@pytest.mark.parametrize("name", REAL)
def test_a_first_fit_that_fails_leaves_an_unfitted_model(name: str, split: Split) -> None:
    model = make(name)
    with pytest.raises(NothingLearnt):
        model.fit(split, FitOptions(listener=Watching(("progressed", 0))))
    with pytest.raises(NotFittedError):
        everything(model)


def test_a_real_divergence_says_what_to_do(split: Split) -> None:
    model = build("mf", rating_range="none", learning_rate=1e30, epochs=3)
    with pytest.raises(InputError, match="mf diverged"), np.errstate(all="ignore"):
        model.fit(split)
    assert model.parameters == {}


def test_one_user_is_enough_to_fit_and_to_fold_in(ratings: Interactions) -> None:
    """A covariance over users needs two; of one there is none, and no warning either."""
    alone = split_none(ratings.take(np.flatnonzero(ratings.user_rows == 0)).compact())
    model = make("mf")
    model.fit(alone)
    assert np.isfinite(model.fold_in(np.array([0], np.int32), np.array([5], np.float32))).all()
