"""`sequence`: its network against a slow twin and against torch, what no place may see, order that is learnt."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from penchant.data.interactions import Interactions
from penchant.data.split import Split, split_last, split_none, split_random
from penchant.data.vocabulary import Vocabulary
from penchant.errors import SettingError, UnsupportedError
from penchant.evaluate_lists import HeldOut, evaluate_lists
from penchant.models import build
from penchant.models.attention import EPSILON, Attention, Histories, Padded, padded, shapes
from penchant.models.fitting import Epoch, FitOptions, NothingLearnt, Silent
from penchant.rank_metrics import parse_rank_metric
from penchant.serving.recommender import Recommender

torch = pytest.importorskip("torch")

from penchant.models import sequence_training  # noqa: E402, needs torch

Floats64 = NDArray[np.float64]


def in_order(user_rows: Any, item_rows: Any, n_users: int, n_items: int) -> Interactions:
    """What nobody rated, with times in the order of the table."""
    return Interactions(
        Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
        Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
        np.array(user_rows, np.int32),
        np.array(item_rows, np.int32),
        np.ones(len(user_rows), np.float32),
        np.arange(len(user_rows), dtype=np.int64),
        is_implicit=True,
    )


def random_weights(n_items: int, factors: int, blocks: int, heads: int, max_length: int) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    made = shapes(n_items, factors, blocks, heads, max_length).items()
    return {name: 0.5 * draw.standard_normal(shape).astype(np.float32) for name, shape in made}


# --- the network --------------------------------------------------------------------------------------


def normal(weights: dict[str, Any], name: str, x: Floats64) -> Floats64:
    centred = x - x.mean()
    result: Floats64 = centred / np.sqrt((centred**2).mean() + EPSILON) * (1.0 + weights[f"{name}/gain"])
    return result + weights[f"{name}/bias"]


def slow_states(weights: dict[str, Any], blocks: int, heads: int, items: list[int]) -> Floats64:
    """The state after a start and after each item, (1 + items, factors), a number at a time in float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    d = w["start"].size
    x = [w["start"] + w["places"][0]]
    x += [w["item_factors"][item] * np.sqrt(d) + w["places"][place] for place, item in enumerate(items, start=1)]
    for number in range(blocks):
        of = f"block/{number}/"
        queries, keys, values = np.split(w[of + "attention"], 3)
        width = len(queries) // heads
        own = [normal(w, of + "before_attention", state) for state in x]
        after = []
        for place, state in enumerate(x):
            seen = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                query = queries[part] @ own[place]
                fits = [query @ (keys[part] @ own[before]) / np.sqrt(width) for before in range(place + 1)]
                chances = np.exp(fits) / np.exp(fits).sum()
                seen.append(sum(c * (values[part] @ own[before]) for before, c in enumerate(chances)))
            state = state + w[of + "heads"] @ np.concatenate(seen)
            inner = w[of + "layer/inner"] @ normal(w, of + "before_layer", state) + w[of + "layer/inner_bias"]
            after.append(state + w[of + "layer/outer"] @ np.maximum(inner, 0) + w[of + "layer/outer_bias"])
        x = after
    return np.array([normal(w, "end", state) for state in x])


HISTORIES = [[], [3], [4, 1, 0, 6, 2], [5, 5, 1]]


def side_by_side(histories: list[list[int]]) -> Padded:
    ends = np.cumsum([len(one) for one in histories])
    begins = ends - [len(one) for one in histories]
    return padded(np.array([item for one in histories for item in one], np.int32), begins, ends)


@pytest.mark.parametrize(("factors", "blocks", "heads"), [(6, 1, 1), (6, 2, 2), (5, 3, 4)])
def test_last_states_are_those_of_the_slow_twin(factors: int, blocks: int, heads: int) -> None:
    weights = random_weights(7, factors, blocks, heads, 5)
    states = Attention(weights, blocks, heads).last_states(side_by_side(HISTORIES))
    assert (states.shape, states.dtype) == ((4, factors), np.float32)
    for state, history in zip(states, HISTORIES, strict=True):
        np.testing.assert_allclose(state, slow_states(weights, blocks, heads, history)[-1], atol=1e-5)


def trainer_of(split: Split, **settings: Any) -> Any:
    model = build("sequence", **settings)
    return sequence_training.SequenceTrainer(model.settings, split, FitOptions(seed=1))


@pytest.mark.parametrize(("factors", "blocks", "heads"), [(6, 2, 2), (5, 1, 4)])
def test_torch_has_the_same_states_at_all_places(factors: int, blocks: int, heads: int) -> None:
    split = split_none(in_order([0] * 7, range(7), 1, 7))
    weights = random_weights(7, factors, blocks, heads, 5)
    with trainer_of(split, factors=factors, blocks=blocks, heads=heads, max_length=5) as trainer:
        trainer.load(weights)
        states = trainer.states(torch.tensor([[4, 1, 0, 6, 2]])).detach().numpy()[0]
    np.testing.assert_allclose(states, slow_states(weights, blocks, heads, [4, 1, 0, 6, 2]), atol=1e-5)


def test_no_place_sees_what_comes_after_it() -> None:
    """Of another future every state before it is the same, and its gradient is 0."""
    split = split_none(in_order([0] * 9, range(9), 1, 9))
    with trainer_of(split, factors=8, max_length=8) as trainer:
        trainer.load(random_weights(9, 8, 2, 2, 8))
        one, other = trainer.states(torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 7, 8]])).detach()
        assert torch.equal(one[:4], other[:4])
        assert not torch.allclose(one[4], other[4], atol=1e-3)
        trainer.states(torch.tensor([[1, 2, 3, 4, 5]]))[0, 3].sum().backward()
        moved = trainer.weights["item_factors"].grad.abs().sum(dim=1)
    assert (moved[[1, 2, 3]] > 0).all()
    assert (moved[[4, 5]] == 0).all()


# --- what is learnt from ------------------------------------------------------------------------------


def test_pieces_cover_every_interaction_once_and_are_cut_anew() -> None:
    starts = np.array([0, 3, 3, 40, 41])
    cuts = set()
    generator = np.random.default_rng(1)
    for _ in range(20):
        begins, ends = sequence_training._pieces(starts, 10, generator)
        assert np.concatenate([np.arange(*ends_of) for ends_of in zip(begins, ends, strict=True)]).tolist() == list(
            range(41)
        )
        assert (ends - begins).max() <= 10
        assert {0, 3, 40} <= set(begins.tolist())  # no piece is of two users
        cuts.add(tuple(begins.tolist()))
    assert len(cuts) > 3


def test_the_loss_is_gbce() -> None:
    """Petrov and Macdonald 2023, equation 6, times k + 1: -beta log s(positive) - sum of log(1 - s(negatives))."""
    split = split_none(in_order([0] * 6, range(6), 1, 6))
    for calibration, beta in ((0.0, 1.0), (1.0, 6 / 6), (0.5, 1.0)):  # all six are drawn, so that alpha is 1
        with trainer_of(split, factors=4, calibration=calibration) as trainer:
            assert trainer.counts == pytest.approx(beta)
    with trainer_of(split, factors=4, negatives=3, calibration=1.0) as trainer:
        assert trainer.counts == pytest.approx(3 / 6)
    with trainer_of(split, factors=4, calibration=1.0) as trainer:
        trainer.load(random_weights(6, 4, 2, 2, 50))
        state = torch.tensor([[0.3, -1.0, 2.0, 0.1]])
        loss = float(trainer._loss(state, torch.tensor([2])).detach())
        items = trainer.arrays()
    scores = items["item_factors"].astype(np.float64) @ state[0].numpy() + items["item_biases"]
    chances = 1 / (1 + np.exp(-scores))
    assert loss == pytest.approx(-np.log(chances[2]) - np.log(1 - np.delete(chances, 2)).sum(), rel=1e-5)


def test_histories_are_by_time_and_ties_by_the_table() -> None:
    train = replace(in_order([1, 0, 1, 1, 0], [0, 1, 2, 3, 4], 2, 5), times=np.array([9, 5, 3, 9, 5]))
    histories = Histories.of(train)
    assert histories.item_rows.tolist() == [1, 4, 2, 0, 3]
    tails = histories.tails(np.array([1, 0], np.int32), 2)
    assert tails.rows.tolist() == [[0, 3], [1, 4]]
    history = Recommender.of(build("sequence"), split_none(train)).history
    assert history.item_rows.tolist() == [1, 4, 2, 0, 3]


def test_held_out_entries_stand_between_those_of_training_by_time() -> None:
    whole = replace(in_order([0, 0, 0, 0], [0, 1, 2, 3], 1, 4), times=np.array([4, 3, 2, 1]))
    split = split_random(whole, 0.25, seed=1)
    history = Recommender.of(build("sequence"), split).history
    ids = split.train.items.take(history.item_rows)
    assert ids == sorted(ids, reverse=True)


def test_without_times_nothing_is_learnt(split: Split) -> None:
    with pytest.raises(UnsupportedError, match="no times") as caught:
        build("sequence").fit(split)
    assert "--time" in caught.value.remedy


# --- what is learnt -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs() -> Split:
    """Each of 60 items is always followed by one and the same other; what comes after that is anyone's guess."""
    draw = np.random.default_rng(0)
    follower = draw.permutation(60)
    items = [item for _ in range(150) for first in draw.permutation(60)[:8] for item in (first, follower[first])]
    return split_last(in_order(np.repeat(np.arange(150), 16), items, 150, 60), 1)


def ndcg(model: Any, split: Split) -> float:
    """Of all items, also those that were taken before: an item may come again."""
    assert split.valid is not None
    held_out = HeldOut.of(split.valid, (split.valid_user_rows, split.valid_item_rows))
    nothing = np.zeros(model.n_users + 1, np.int64), np.empty(0, np.int32)
    return evaluate_lists(model, held_out, nothing, [parse_rank_metric("ndcg@10")]).metrics["ndcg@10"]


LEARNT = {"factors": 32, "epochs": 40, "learning_rate": 0.01, "dropout": 0.1}


def test_what_always_follows_is_learnt_as_no_other_model_can(pairs: Split) -> None:
    found = {}
    for name in ("popularity", "item-knn", "sequence"):
        model = build(name, **(LEARNT if name == "sequence" else {}))
        model.fit(pairs, FitOptions(seed=1))
        found[name] = ndcg(model, pairs)
    assert found["sequence"] > 0.9
    assert found["item-knn"] < 0.5
    assert found["popularity"] < 0.3


def test_the_order_of_a_history_matters_and_the_last_item_the_most(pairs: Split) -> None:
    model = build("sequence", **LEARNT)
    model.fit(pairs, FitOptions(seed=1))
    history, ones = pairs.train.item_rows[:15], np.ones(15, np.float32)
    forth, back = (model.scores_of(model.fold_in(one, ones)[None])[0] for one in (history, history[::-1].copy()))
    assert np.abs(forth - back).max() > 1
    assert int(np.argmax(model.contributions(history, ones, int(np.argmax(forth))))) == 14


def test_the_best_epoch_is_kept_and_patience_stops(pairs: Split) -> None:
    model = build("sequence", factors=8, epochs=30, learning_rate=0.05, dropout=0.0)
    log = model.fit(pairs, FitOptions(seed=1, patience=2))
    losses = [epoch.valid_loss for epoch in log.epochs]
    assert log.ending == "stopped early"
    assert len(losses) == log.kept_epoch + 3 < 30
    assert pairs.valid is not None
    scores = model.scores(pairs.valid_user_rows).astype(np.float64)
    own = scores[np.arange(len(scores)), pairs.valid_item_rows]
    assert log.valid_loss == pytest.approx(float((np.log(np.exp(scores).sum(axis=1)) - own).mean()), rel=1e-4)


class Interrupting(Silent):
    """Ctrl-C after an epoch, or during the first."""

    def __init__(self, after: int) -> None:
        self.after = after

    def started(self, model: str, epochs: int) -> None:
        assert (model, epochs) == ("sequence", 5)

    def ended_epoch(self, model: str, epoch: Epoch) -> None:
        del model
        if epoch.epoch == self.after:
            raise KeyboardInterrupt

    def progressed(self, epoch: int, fraction: float) -> None:
        del epoch, fraction
        if self.after < 0:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_what_was_learnt(pairs: Split) -> None:
    model = build("sequence", factors=8, epochs=5, batch_size=1)
    log = model.fit(split_none(pairs.train), FitOptions(seed=1, listener=Interrupting(1)))
    assert (log.ending, len(log.epochs), log.kept_epoch) == ("interrupted", 2, 1)
    with pytest.raises(NothingLearnt):
        model.fit(split_none(pairs.train), FitOptions(seed=1, listener=Interrupting(-1)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(pairs: Split) -> None:
    with pytest.raises(SettingError, match="torch finds no GPU"):
        build("sequence").fit(pairs, FitOptions(device="cuda"))


def test_the_benchmark_of_devices_measures_both_models(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any
) -> None:
    device = load("device")
    sizes = ["--users", "60", "--items", "50", "--epochs", "1"]
    monkeypatch.setattr("sys.argv", ["device.py", *sizes, "--devices", "cpu,cpu", "-o", str(tmp_path / "found.json")])
    assert device.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert [(fit["model"], fit["device"]) for fit in found["fits"]] == 2 * [("sequence", "cpu"), ("own", "cpu")]
    assert found["fits"][0]["ndcg"] == found["fits"][2]["ndcg"]
