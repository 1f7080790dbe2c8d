"""Training with torch, and its only home. Batches are slices of arrays permuted once an epoch."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penchant.data.split import Split
from penchant.errors import InputError, MissingExtraError, SettingError
from penchant.models.fitting import FitOptions
from penchant.models.momenta import Momenta
from penchant.models.schedule import SCHEDULES, one_cycle_momentum
from penchant.models.settings import Settings
from penchant.seeds import integer_seed, numpy_generator

try:
    import torch
except ImportError as error:
    raise MissingExtraError("Training a network or using your own torch module", extra="torch") from error

Progressed = Callable[[float], None]
Arrays = dict[str, NDArray[Any]]

_LOCK = Lock()
MODULE_PREFIX = "module/"


class Trainer:
    """What training a network of any kind needs: the device, the shuffled batches, the schedule.

    A context: torch runs on one thread inside it, so that sums are added in one order whatever the machine,
    and torch's own random numbers are seeded inside and as before outside.
    """

    def __init__(self, settings: Any, split: Split, options: FitOptions) -> None:
        self.settings = settings
        self.device = find_device(options.device)
        self.seed = options.seed
        self.order = numpy_generator(options.seed, "order of ratings")
        train = split.train
        self.user_rows = torch.from_numpy(train.user_rows.astype(np.int64))
        self.item_rows = torch.from_numpy(train.item_rows.astype(np.int64))
        self.ratings = torch.from_numpy(train.ratings)
        self.steps_an_epoch = -(-len(train) // settings.batch_size)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._stack.callback(torch.set_num_threads, threads)
        self._stack.enter_context(torch.random.fork_rng())
        torch.manual_seed(integer_seed(self.seed, "torch"))
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        """Make what is trained; torch's generator is seeded by now."""
        raise NotImplementedError

    def _step(self, users: torch.Tensor, items: torch.Tensor, ratings: torch.Tensor, scale: float) -> torch.Tensor:
        """Learn from one batch; `scale` multiplies learning rates. Returns the sum of squared errors."""
        raise NotImplementedError

    def run_epoch(self, epoch: int, progressed: Progressed) -> float:
        """One pass over the shuffled ratings; the mean squared error before each step."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        schedule = SCHEDULES[self.settings.schedule]
        for step, batch in enumerate(self._batches()):
            progress = (epoch + step / self.steps_an_epoch) / self.settings.epochs
            self._set_momentum(progress)
            total += self._step(*batch, schedule(progress))
            if step % 64 == 63:
                progressed((step + 1) / self.steps_an_epoch)
        return float(total) / len(self.ratings)

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        order = torch.from_numpy(self.order.permutation(len(self.ratings)))
        users, items, ratings = (c[order].to(self.device) for c in (self.user_rows, self.item_rows, self.ratings))
        size = self.settings.batch_size
        for start in range(0, len(order), size):
            if len(order) - start == 1 and start:  # batch normalisation has no variance of one
                start -= 1
            part = slice(start, start + size)
            yield users[part], items[part], ratings[part]

    def _set_momentum(self, progress: float) -> None:
        if self.settings.schedule == "one-cycle":
            self.optimiser.momentum = one_cycle_momentum(progress)

    optimiser: Adam


class Adam(Momenta):
    """AdamW over the parameters of a module.

    torch has one, but the first use of torch.optim imports a compiler with all its tools, and was measured to
    take longer (1.1 s) than the whole training of a small network.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], weight_decay: float) -> None:
        super().__init__(weight_decay)
        self.parameters = list(parameters)
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    def step(self, rate: float) -> None:
        """Move every parameter that has a dense gradient, and forget the gradient."""
        self.advance()
        with torch.no_grad():
            for parameter, mean, square in zip(self.parameters, self.means, self.squares, strict=True):
                if parameter.grad is not None and not parameter.grad.is_sparse:
                    self._move(parameter, parameter.grad, mean, square, rate)
                    parameter.grad = None

    def _move(
        self, parameter: torch.Tensor, gradient: torch.Tensor, mean: torch.Tensor, square: torch.Tensor, rate: float
    ) -> None:
        mean.lerp_(gradient, 1 - self.momentum)
        square.mul_(self.square_momentum).addcmul_(gradient, gradient, value=1 - self.square_momentum)
        length = (square / (1 - self.square_start)).sqrt_().add_(self.epsilon)
        parameter.mul_(1 - rate * self.weight_decay)
        parameter.addcdiv_(mean, length, value=-rate / (1 - self.mean_start))


class LazyAdam:
    """What `Adam` does to a table of embeddings, at the cost of the rows that batches name.

    Without a gradient a row's weights shrink, its mean and square fade, and the mean still moves it. All that is known
    beforehand up to the row's own numbers, and is made up for when the row is next looked up: a forward hook sees to
    that. With an epsilon of 0 the result is Adam's own, and else close, as long as the square roots are larger.

    A table whose gradient comes dense, since the module uses its weights otherwise too, is handed back to Adam.
    """

    rows_for_each = 64  # of a batch's ratings: with fewer, a pass over all of them was measured to be faster
    steps_at_most = 256  # before all rows are made up for: products of so many momenta are far from underflow

    def __init__(self, embedding: torch.nn.Embedding, adam: Adam) -> None:
        self.weight = embedding.weight
        self.adam = adam
        at = next(number for number, one in enumerate(adam.parameters) if one is self.weight)
        self.mean, self.square = adam.means[at], adam.squares[at]
        self.reached = torch.zeros(len(self.weight), dtype=torch.int64, device=self.weight.device)
        self._begin()
        self._hook = embedding.register_forward_pre_hook(lambda _, given: self.catch_up(given[0]))
        self.embedding = embedding
        embedding.sparse = True

    @staticmethod
    def suits(module: torch.nn.Module, batch_size: int) -> bool:
        """Whether a part of a module is a plain embedding of far more rows than a batch names."""
        return (
            type(module) is torch.nn.Embedding
            and module.num_embeddings > LazyAdam.rows_for_each * batch_size
            and module.max_norm is None
            and not (module.sparse or module.scale_grad_by_freq)
            and module.weight.requires_grad
        )

    def close(self) -> None:
        """Leave the module as it was found."""
        self.flush()
        self._hook.remove()
        self.embedding.sparse = False

    def _begin(self) -> None:
        # After each step since: products of momenta, of square momenta, of what decay leaves; and how far a mean of 1
        # over a square of 1 has gone.
        self.past: list[tuple[float, float, float, float]] = [(1.0, 1.0, 1.0, 0.0)]
        self.reached.zero_()

    def catch_up(self, rows: torch.Tensor) -> None:
        """Bring some rows to where Adam would have them now."""
        if len(self.past) > 1:
            with torch.no_grad():
                self._bring(torch.unique(rows))

    def flush(self) -> None:
        """Bring all rows there."""
        if len(self.past) > 1:
            with torch.no_grad():
                self._bring(torch.arange(len(self.weight), device=self.weight.device))
            self._begin()

    def _bring(self, rows: torch.Tensor) -> None:
        past = torch.tensor(self.past, dtype=torch.float64, device=self.weight.device)
        before, now = past[self.reached[rows]], past[-1]
        means, squares, kept = (now[:3] / before[:, :3]).to(self.weight.dtype).T.unsqueeze(2)
        # (rows, 1): how far a mean of 1 over a square of 1 has gone since, in today's weights
        way = (now[3] - before[:, 3]) * now[2] * before[:, 1].sqrt() / before[:, 0]
        mean, square = self.mean[rows], self.square[rows]
        drift = mean / (square.sqrt() + self._epsilon()) * way.to(self.weight.dtype)[:, None]
        self.weight[rows] = self.weight[rows] * kept - drift
        self.mean[rows], self.square[rows] = mean * means, square * squares
        self.reached[rows] = len(self.past) - 1

    @property
    def is_dense(self) -> bool:
        """Whether the gradient came dense."""
        return self.weight.grad is not None and not self.weight.grad.is_sparse

    def step(self, rate: float) -> None:
        """A step by the gradient, which is forgotten; Adam has made its own by now."""
        adam, gradient = self.adam, self.weight.grad
        means, squares, kept, way = self.past[-1]
        means, squares = means * adam.momentum, squares * adam.square_momentum
        kept *= 1 - rate * adam.weight_decay
        length = rate * (1 - adam.square_start) ** 0.5 / (1 - adam.mean_start)
        self.past.append((means, squares, kept, way + length * means / squares**0.5 / kept))
        if gradient is not None:
            self._move(gradient.coalesce(), rate, length)
            self.weight.grad = None
        if len(self.past) > self.steps_at_most:
            self.flush()

    def _epsilon(self) -> float:
        """Adam's, as it stands beside a square root that still owes to its start at 0."""
        return float(self.adam.epsilon * (1 - self.adam.square_start) ** 0.5)

    def _move(self, gradient: torch.Tensor, rate: float, length: float) -> None:
        rows, values, adam = gradient.indices()[0], gradient.values(), self.adam
        with torch.no_grad():
            mean = torch.lerp(self.mean[rows], values, 1 - adam.momentum)
            square = adam.square_momentum * self.square[rows] + (1 - adam.square_momentum) * values * values
            kept = self.weight[rows] * (1 - rate * adam.weight_decay)
            self.weight[rows] = kept - length * mean / (square.sqrt() + self._epsilon())
            self.mean[rows], self.square[rows] = mean, square
            self.reached[rows] = len(self.past) - 1


class OwnTrainer(Trainer):
    """Trains a module of the user's own with AdamW on the mean squared error."""

    def __init__(self, module: torch.nn.Module, settings: Settings, split: Split, options: FitOptions) -> None:
        super().__init__(settings, split, options)
        self.module = module

    def _start(self) -> None:
        self.module.to(self.device)
        self.optimiser = Adam(self.module.parameters(), self.settings.weight_decay)
        found = [part for part in self.module.modules() if LazyAdam.suits(part, self.settings.batch_size)]
        shared = Counter(id(part.weight) for part in found)
        self.tables = [LazyAdam(part, self.optimiser) for part in found if shared[id(part.weight)] == 1]
        self._stack.callback(self._close_tables)

    def _close_tables(self) -> None:
        for table in self.tables:
            table.close()

    def run_epoch(self, epoch: int, progressed: Progressed) -> float:
        loss = super().run_epoch(epoch, progressed)
        for table in self.tables:
            table.flush()
        return loss

    def _move(self, rate: float) -> None:
        """A step of everything: of the tables by the rows that have gradients, of the rest as it is."""
        for table in [table for table in self.tables if table.is_dense]:
            table.close()
            self.tables.remove(table)
        self.optimiser.step(rate)
        for table in self.tables:
            table.step(rate)

    def _step(self, users: torch.Tensor, items: torch.Tensor, ratings: torch.Tensor, scale: float) -> torch.Tensor:
        self.module.train()
        errors = call_module(self.module, users, items) - ratings
        squared = (errors * errors).sum()
        (squared / len(ratings)).backward()
        self._move(self.settings.learning_rate * scale)
        return squared.detach()

    def arrays(self) -> Arrays:
        """The module's state by its own names."""
        return {MODULE_PREFIX + k: v.detach().cpu().numpy().copy() for k, v in self.module.state_dict().items()}

    def state(self) -> Any:
        """A copy of what is trained."""
        return copy.deepcopy(self.module.state_dict())

    def load(self, state: Any) -> None:
        """Take back a copy."""
        self.module.load_state_dict(state)


def build_module(source: Any, n_users: int, n_items: int, settings: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """A fresh module: a class is called with (n_users, n_items, **settings), an instance is copied.

    Raises:
        SettingError: the constructor does not take a setting, or fails with them.
        InputError: it is not a torch module.
    """
    if isinstance(source, torch.nn.Module):
        return copy.deepcopy(source)
    if not (inspect.isclass(source) and issubclass(source, torch.nn.Module)):
        raise InputError(f"{source!r} is not a torch.nn.Module.", remedy="Give a class or an instance of one.")
    try:
        inspect.signature(source).bind(n_users, n_items, **settings)
    except TypeError as error:
        raise SettingError(
            f"{source.__name__} cannot be made with (n_users, n_items, {', '.join(settings)}): {error}.",
            remedy="Its constructor must take n_users, n_items and the settings that are given.",
        ) from error
    with torch.random.fork_rng():
        torch.manual_seed(integer_seed(seed, "initial module"))
        module: torch.nn.Module = source(n_users, n_items, **settings)  # type: ignore[call-arg]
    return module


def load_weights(module: torch.nn.Module, arrays: Mapping[str, NDArray[Any]]) -> torch.nn.Module:
    """Put saved weights into a module of the same class, and switch it to evaluation.

    Raises:
        InputError: the weights do not fit the class.
    """
    state = {
        name.removeprefix(MODULE_PREFIX): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith(MODULE_PREFIX)
    }
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"The saved weights do not fit {type(module).__name__}: {str(error).splitlines()[-1].strip()}",
            remedy="Use the class, and the settings, that the model was fitted with.",
        ) from error
    return module.eval()


def call_module(module: torch.nn.Module, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Predictions of shape (batch,) from a module that returns (batch,) or (batch, 1).

    Raises:
        InputError: it fails on its input, or returns another shape.
    """
    pairs = torch.stack((users, items), dim=1)  # (batch, 2)
    try:
        output = module(pairs)
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise InputError(
            f"{type(module).__name__} failed on a (batch, 2) tensor of user and item rows: {error}",
            remedy="Its forward must take such a tensor; x[:, 0] are user rows, x[:, 1] item rows.",
        ) from error
    if not isinstance(output, torch.Tensor) or output.shape not in ((len(users),), (len(users), 1)):
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(
            f"{type(module).__name__} returned {shape} for a batch of {len(users)}.",
            remedy="Return one prediction a pair: shape (batch,) or (batch, 1).",
        )
    return output.reshape(-1)


def module_scores(
    module: torch.nn.Module, user_rows: NDArray[np.int32], item_rows: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Scores of pairs by a module in evaluation mode, float32 (n,); one call at a time, on one thread."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    users, items = (torch.from_numpy(rows.astype(np.int64)).to(device) for rows in (user_rows, item_rows))
    module.eval()
    with _one_thread(), torch.inference_mode():
        scores: NDArray[np.float32] = call_module(module, users, items).float().cpu().numpy()
    return scores


def weigh_module(source: Any, n_users: int, n_items: int, settings: Mapping[str, Any]) -> int:
    """Bytes of a module's weights, found without making them; 0 where its constructor insists on real ones.

    What else may be wrong with a constructor, the fit itself tells.
    """
    module = source
    if not isinstance(module, torch.nn.Module):
        try:
            with torch.device("meta"):  # tensors of a shape and no content
                module = build_module(source, n_users, n_items, settings, 0)
        except Exception:
            return 0
    return sum(one.numel() * one.element_size() for one in (*module.parameters(), *module.buffers()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One at a time: with another number torch adds in another order, and the number is the whole process's."""
    with _LOCK:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def find_device(wanted: str) -> torch.device:
    """The device that a word means: "auto", "cpu" or "cuda"; SettingError when there is no such GPU."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingError("device is 'cuda', and torch finds no GPU.", remedy="Use --device auto or cpu.")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
