"""Several TabNets fitted in one training loop, on the device that each of them names."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError
from dallm.evaluation.models.device import DeviceError, is_full, resolve_device

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from dallm.evaluation.models.tabnet.classifier import TabNetClassifier
    from dallm.evaluation.models.tabnet.training import Job, Schedule


def fit_together(
    models: Sequence[TabNetClassifier],
    data: Sequence[tuple[ArrayLike | pd.DataFrame, ArrayLike, ArrayLike | None]],
) -> None:
    """Fit several TabNets of equal settings, each to its own (X, y, groups), in one training loop.

    Those whose tables give the same number of encoded columns and of batches are computed side by side: on a
    CPU with the very results of one after the other (no sum is computed in another order), in less time. On a
    GPU, which chooses its way of multiplying by the size of all together, they differ by rounding.

    Raises
    ------
    UserError
        If the settings differ in more than `random_state`.
    """
    from dallm.evaluation.models.tabnet.training import shape_of

    settings = [{k: v for k, v in m.get_params().items() if k != "random_state"} for m in models]
    if any(s != settings[0] for s in settings) or len(models) != len(data):
        raise UserError("TabNets that are fitted together need equal settings and one (X, y, groups) each.")
    jobs = [model._prepare(*given) for model, given in zip(models, data, strict=True)]
    schedule = _schedule(models[0])
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, job in enumerate(jobs):
        # torch multiplies a stack of matrices of one row or column in another order than a single one
        alone = (i,) if job.x.shape[1] == 1 else ()
        alike.setdefault((*shape_of(job, schedule), *alone), []).append(i)
    for chosen in alike.values():
        place, note = _train(models[0], [jobs[i] for i in chosen], schedule)
        for i in chosen:
            models[i]._take(jobs[i], place, note)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: its tensors are too small here for two to gain anything."""
    import torch

    before: int = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _schedule(model: TabNetClassifier) -> Schedule:
    from dallm.evaluation.models.tabnet.training import Schedule

    return Schedule(
        model.max_epochs,
        model.patience,
        model.batch_size,
        model.virtual_batch_size,
        model.learning_rate,
        model.lambda_sparse,
        model.clip_value,
    )


def _train(model: TabNetClassifier, jobs: list[Job], schedule: Schedule) -> tuple[str, str]:
    place, note = resolve_device(model.device, "tabnet")
    if place != "cpu":
        orders = copy.deepcopy([job.order for job in jobs])
        try:
            _train_on(place, jobs, schedule)
            return place, note
        except Exception as error:
            if not is_full(error):
                raise
            if model.device != "auto":
                raise DeviceError(
                    f"TabNet: the GPU {place} has no memory left ({type(error).__name__}). Free it, give a "
                    "smaller batch_size, or device='auto' to go on on the CPU."
                ) from error
        note = f"TabNet on the CPU: the GPU {place} was full."
        for job, order in zip(jobs, orders, strict=True):
            job.order, job.history, job.best_epoch = order, [], -1
    with one_thread():
        _train_on("cpu", jobs, schedule)
    return "cpu", note


def _train_on(place: str, jobs: list[Job], schedule: Schedule) -> None:
    import torch

    from dallm.evaluation.models.tabnet.training import train

    train(jobs, schedule, torch.device(place))
