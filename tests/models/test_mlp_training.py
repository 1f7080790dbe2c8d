"""Training of mlp: the same for any number of threads, the same as torch would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penchant.data.split import Split, split_random
from penchant.data.synthetic import planted
from penchant.errors import SettingError
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.models.mlp_training import Adam, MlpTrainer, embedding_size
from penchant.threads import Workers


@pytest.mark.parametrize(("n", "size"), [(611, 58), (9720, 274), (10**9, 600), (1, 2)])
def test_embeddings_are_sized_by_the_rule(n: int, size: int) -> None:
    assert embedding_size(n) == size


@pytest.mark.parametrize("settings", [{}, {"layers": (20, 10), "dropout": 0.3}, {"batch_normalisation": True}])
def test_the_number_of_threads_does_not_matter(settings: dict[str, Any]) -> None:
    split = split_random(planted(60, 40, 2_000, seed=1), 0.2, seed=0)
    found: list[Any] = []
    for threads in (1, 2, 3, 16):
        model = build("mlp", epochs=2, batch_size=700, **settings)
        log = model.fit(split, FitOptions(seed=1, threads=threads))
        arrays = model.arrays()
        found.append(([e.train_loss for e in log.epochs], *(arrays[name].tobytes() for name in sorted(arrays))))
    assert found[1:] == found[:1] * 3


@pytest.mark.filterwarnings("ignore")  # of what torch.optim imports
def test_adam_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    ours = draw.standard_normal(15).astype(np.float32)
    theirs = torch.tensor(ours.copy(), requires_grad=True)
    adam = Adam(ours, weight_decay=0.1)
    reference = torch.optim.AdamW([theirs], weight_decay=0.1, betas=(0.9, 0.99), eps=1e-5)
    for step in range(60):
        rate = 0.01 * (1 + step % 7)
        gradient = (draw.standard_normal(15) + ours**2).astype(np.float32)
        theirs.grad = torch.tensor(gradient.copy())
        reference.param_groups[0]["lr"] = rate
        adam.step(gradient, rate)
        reference.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_step_of_a_batch_is_that_of_torch(split: Split) -> None:
    """All parts of a step at once, without dropout: layers and embeddings after one batch, by autograd."""
    torch = pytest.importorskip("torch")
    settings = build("mlp", layers=(7,), batch_size=300, embedding_dropout=0.0, initial_deviation=0.1).settings
    with Workers(1) as workers:
        trainer = MlpTrainer(settings, split, FitOptions(seed=3), workers)
        train, n = split.train, min(300, len(split.train))
        users, items, ratings = train.user_rows[:n], train.item_rows[:n], train.ratings[:n]
        tables = [torch.tensor(table.copy(), dtype=torch.float64) for table in (trainer.users, trainer.items)]
        weights = [
            torch.tensor(part.copy(), dtype=torch.float64, requires_grad=True)
            for layer in trainer.network.layers
            for part in layer[:2]
        ]
        x = torch.cat((tables[0][users], tables[1][items]), dim=1).requires_grad_()
        z = torch.relu(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]
        low, high = float(trainer.squash.low), float(trainer.squash.high)
        squared = ((low + (high - low) * torch.sigmoid(z[:, 0]) - torch.tensor(ratings)) ** 2).sum()
        squared.backward()
        total = trainer._step(users, items, ratings, 0, 1.0)
    assert total == pytest.approx(float(squared.detach()), rel=1e-4)
    gradients = [one for layer in trainer.layer_gradients[0] for one in layer[:2]]
    for found, weight in zip(gradients, weights, strict=True):
        np.testing.assert_allclose(found, weight.grad.numpy() / n, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(trainer.input_gradients[:n], x.grad.numpy(), rtol=1e-3, atol=1e-5)


def test_a_gpu_is_for_modules_of_ones_own(split: Split) -> None:
    with pytest.raises(SettingError, match="mlp is trained on the processor"):
        build("mlp").fit(split, FitOptions(device="cuda"))
