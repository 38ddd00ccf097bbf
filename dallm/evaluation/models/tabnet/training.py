"""Training of TabNets of one shape side by side, each with its own rows, seed and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import rankdata

from dallm.evaluation.models.tabnet.batches import Cells, Layout, batch_sizes, grid, padded
from dallm.evaluation.models.tabnet.network import Stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BETAS = (0.9, 0.999)
_ADAM_EPS = 1e-8


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; the names are pytorch-tabnet's."""

    max_epochs: int
    patience: int
    batch_size: int
    virtual_batch_size: int
    learning_rate: float
    lambda_sparse: float
    clip_value: float


@dataclass
class Job:
    """One network to train, and afterwards what became of it.

    Attributes
    ----------
    x, y : arrays, shapes (rows, features) and (rows,)
        Numbers without missing values, and classes 0, 1, ...
    x_valid, y_valid : arrays or None
        Rows that only decide when to stop.
    network : TabNet
        pytorch-tabnet's, with its initial weights; holds the trained ones afterwards.
    order : numpy Generator
        Shuffles the rows of each epoch.
    best_epoch : int
        From 0; the epoch whose weights were kept.
    history : list of dict
        Per epoch `loss`, `score` (of the held-out rows) and `rows`, how many took part.
    """

    x: NDArray[np.float32]
    y: NDArray[np.intp]
    x_valid: NDArray[np.float32] | None
    y_valid: NDArray[np.intp] | None
    network: Any
    order: np.random.Generator
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


class _Adam:
    """Adam with one row of weights per network."""

    def __init__(self, weights: torch.Tensor, rate: float) -> None:
        self.rate, self.steps = rate, 0
        self.first, self.second = torch.zeros_like(weights), torch.zeros_like(weights)

    def step(self, weights: torch.Tensor, grad: torch.Tensor) -> None:
        self.steps += 1
        self.first.lerp_(grad, 1 - _BETAS[0])
        self.second.mul_(_BETAS[1]).addcmul_(grad, grad, value=1 - _BETAS[1])
        divisor = (self.second / (1 - _BETAS[1] ** self.steps)).sqrt_().add_(_ADAM_EPS)
        weights.addcdiv_(self.first / (1 - _BETAS[0] ** self.steps), divisor, value=-self.rate)

    def select(self, chosen: torch.Tensor) -> None:
        self.first, self.second = self.first[chosen], self.second[chosen]


class _Rows:
    """The rows of all jobs on the device, filled up to one length; shape (networks, features, rows)."""

    def __init__(self, arrays: Sequence[NDArray[np.float32]], device: torch.device) -> None:
        longest = padded(max(len(a) for a in arrays))
        filled = np.zeros((len(arrays), arrays[0].shape[1], longest), dtype=np.float32)
        for k, array in enumerate(arrays):
            filled[k, :, : len(array)] = array.T
        self.x = torch.from_numpy(filled).to(device)

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        if len(rows) == 1:
            return self.x[:, :, rows[0]]
        return self.x.gather(2, rows.unsqueeze(1).expand(-1, self.x.shape[1], -1))


def shape_of(job: Job, schedule: Schedule) -> tuple[Any, ...]:
    """Return what jobs must have in common to be trained side by side."""
    held = None if job.x_valid is None else padded(len(job.x_valid))
    rows = grid(len(job.x), schedule.batch_size, schedule.virtual_batch_size)
    return job.x.shape[1], job.network.output_dim, rows, held


def train(jobs: Sequence[Job], schedule: Schedule, device: torch.device) -> None:
    """Train the networks of jobs of one :func:`shape_of`.

    Each network sees the same batches and makes the same steps as it would alone. On a CPU the results are
    those that it would have alone, to the last bit.
    """
    stack = Stack([job.network for job in jobs], device)
    state = _Training(list(jobs), stack, schedule, device)
    for epoch in range(schedule.max_epochs):
        state.epoch()
        if not state.keep(epoch):
            break
    state.finish()


class _Training:
    def __init__(self, jobs: list[Job], stack: Stack, schedule: Schedule, device: torch.device) -> None:
        self.jobs, self.stack, self.schedule, self.device = jobs, stack, schedule, device
        self.all = stack.select(torch.arange(len(jobs), device=device))  # the best weights so far
        self.alive = list(range(len(jobs)))
        self.best = np.full(len(jobs), -np.inf)
        self.adam = _Adam(stack.weights, schedule.learning_rate)
        self.layouts: dict[tuple[int, ...], tuple[Cells, Layout]] = {}
        self._load()

    def _load(self) -> None:
        """Put the rows of the networks that go on training onto the device."""
        jobs = [self.jobs[k] for k in self.alive]
        self.rows = _Rows([job.x for job in jobs], self.device)
        self.valid = None
        held = [job.x_valid for job in jobs if job.x_valid is not None]
        if held:
            self.valid = _Rows(held, self.device)

    def epoch(self) -> None:
        jobs = [self.jobs[k] for k in self.alive]
        orders = [job.order.permutation(len(job.x)) for job in jobs]
        sizes = [batch_sizes(len(job.x), self.schedule.batch_size) for job in jobs]
        starts = np.zeros(len(jobs), dtype=np.intp)
        losses = np.zeros(len(jobs))
        for batch in zip(*sizes, strict=True):
            rows = [o[i : i + n] for o, i, n in zip(orders, starts, batch, strict=True)]
            losses += self._step(jobs, rows) * np.array(batch)
            starts += np.array(batch)
        for job, loss, seen in zip(jobs, losses, starts, strict=True):
            job.history.append({"loss": float(loss / seen), "rows": int(seen)})

    def _step(self, jobs: list[Job], rows: list[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Make one step on the given rows of each job; return the loss of each."""
        cells, layout = self._layout(tuple(len(r) for r in rows))
        places = np.zeros(cells.rows.shape, dtype=np.int64)
        labels = np.zeros(cells.rows.shape, dtype=np.int64)
        for k, (job, chosen) in enumerate(zip(jobs, rows, strict=True)):
            there = cells.rows[k] >= 0
            places[k, there] = chosen[cells.rows[k, there]]
            labels[k, there] = job.y[places[k, there]]
        x = self.rows.take(torch.from_numpy(places).to(self.device))
        y = torch.from_numpy(labels).to(self.device).unsqueeze(1)
        weights = self.stack.weights.detach().requires_grad_(True)
        logits, sparsity, _ = self.stack.forward(x, weights, layout)
        surprise = -torch.log_softmax(logits, dim=1).gather(1, y)
        loss = ((surprise - self.schedule.lambda_sparse * sparsity) * layout.share).sum((1, 2))
        (grad,) = torch.autograd.grad(loss.sum(), weights)
        if self.schedule.clip_value:
            norm = grad.norm(dim=1, keepdim=True)
            grad = grad * (self.schedule.clip_value / (norm + 1e-6)).clamp_max(1.0)
        with torch.no_grad():
            self.adam.step(self.stack.weights, grad)
        return loss.detach().double().cpu().numpy()

    def _layout(self, sizes: tuple[int, ...]) -> tuple[Cells, Layout]:
        if sizes not in self.layouts:
            cells = Cells.of(sizes, self.schedule.virtual_batch_size)
            self.layouts[sizes] = cells, Layout(cells, self.device)
        return self.layouts[sizes]

    def keep(self, epoch: int) -> bool:
        """Score the held-out rows, keep what is best so far; whether any network goes on."""
        scores = self._scores()
        go_on = []
        for place, k in enumerate(self.alive):
            job = self.jobs[k]
            score = scores[place]
            job.history[-1]["score"] = score
            if job.x_valid is None or score > self.best[k]:
                self.best[k], job.best_epoch = score, epoch
                self.all.weights[k] = self.stack.weights[place]
                self.all.running[k] = self.stack.running[place]
            elif 0 < self.schedule.patience <= epoch - job.best_epoch:
                continue
            go_on.append(place)
        if len(go_on) < len(self.alive):
            if not go_on:
                return False
            chosen = torch.tensor(go_on, device=self.device)
            self.stack = self.stack.select(chosen)
            self.adam.select(chosen)
            self.alive = [self.alive[place] for place in go_on]
            self.layouts.clear()
            self._load()
        return True

    def _scores(self) -> list[float]:
        if self.valid is None:
            return [np.nan] * len(self.alive)
        with torch.no_grad():
            logits, _, _ = self.stack.forward(self.valid.x, self.stack.weights)
        found = torch.softmax(logits, dim=1).double().cpu().numpy()
        scores = []
        for k, probabilities in zip(self.alive, found, strict=True):
            y = self.jobs[k].y_valid
            scores.append(np.nan if y is None else stopping_score(y, probabilities[:, : len(y)]))
        return scores

    def finish(self) -> None:
        for k, job in enumerate(self.jobs):
            self.all.write(k, job.network)
            job.network.eval()


def stopping_score(y: NDArray[np.intp], probabilities: NDArray[np.float64]) -> float:
    """What early stopping watches, as pytorch-tabnet: ROC AUC of two classes, accuracy of more.

    Parameters
    ----------
    y : array of int, shape (rows,)
    probabilities : array, shape (classes, rows)

    Examples
    --------
    >>> stopping_score(np.array([0, 0, 1, 1]), np.array([[.9, .4, .6, .1], [.1, .6, .4, .9]]))
    0.75
    """
    if len(probabilities) > 2:
        return float((probabilities.argmax(axis=0) == y).mean())
    ranks = rankdata(probabilities[1])
    yes = int(y.sum())
    no = len(y) - yes
    return float((ranks[y == 1].sum() - yes * (yes + 1) / 2) / (yes * no))
