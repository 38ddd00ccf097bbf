"""MMTF: a transformer over a report's words, the other vitals and an image embedding, that fills one vital.

The paper names its supervised model so and says of it: over image and clinical features, 200 epochs of Adam
at 1e-4. This one is the project's own. One model per fold learns all vitals: in every pass one known vital of
each row is hidden and has to be told from the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dallm.errors import UserError
from dallm.fidelity.mmtf_words import Vocabulary

if TYPE_CHECKING:
    import torch

    from dallm.fidelity.baselines import FillTask

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MMTFSettings:
    """Size and training of MMTF; epochs and learning rate as published.

    Parameters
    ----------
    epochs : int, default=200
    learning_rate : float, default=1e-4
    batch_size : int, default=32
    width, layers, heads : int, default=64, 2, 4
    dropout : float, default=0.1
    words : int, default=128
        Words of a report that are read.
    vocabulary : int, default=4000
    patience : int, optional
        Stop after so many epochs without a lower error on a tenth of the training patients, and keep the best
        weights. By default every epoch is run, as published.
    threads : int, default=1
        Of torch on a processor; the arithmetic is too small to gain from more.
    """

    epochs: int = 200
    learning_rate: float = 1e-4
    batch_size: int = 32
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.1
    words: int = 128
    vocabulary: int = 4000
    patience: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        whole = ("epochs", "batch_size", "width", "layers", "heads", "words", "vocabulary", "threads")
        for name in whole:
            if getattr(self, name) < 1:
                raise UserError(f"MMTFSettings: {name} must be 1 or more, got {getattr(self, name)}.")
        if self.width % self.heads:
            raise UserError(f"MMTFSettings: width {self.width} must be a multiple of heads {self.heads}.")
        if not self.learning_rate > 0 or not 0 <= self.dropout < 1:
            raise UserError("MMTFSettings: learning_rate must be above 0, dropout from 0 to below 1.")
        if self.patience is not None and self.patience < 1:
            raise UserError(f"MMTFSettings: patience must be 1 or more, got {self.patience}.")


def fill_by_mmtf(task: FillTask) -> Floats:
    """Fill every vital of every row by a model that was trained on the patients of the other folds.

    Returns
    -------
    array of shape (rows, features)
        NaN in a column that the training rows of a fold lack altogether.

    Raises
    ------
    UserError
        If the device is not there.
    """
    import torch

    settings = task.mmtf or MMTFSettings()
    device = _device(task.device)
    values = task.truth.to_numpy(dtype=np.float64)
    made = np.full(values.shape, np.nan)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        for fold, (train, test) in enumerate(task.splits()):
            # the state of the caller's generator is kept: nothing else may depend on this training
            with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
                torch.manual_seed(task.seed * 1000 + fold)
                made[test] = _fill_fold(task, values, train, test, settings, device)
    finally:
        torch.set_num_threads(threads)
    return made


def _device(name: str) -> torch.device:
    import torch

    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"There is no device {name!r}; use 'auto', 'cpu' or 'cuda'.") from error
    if device.type == "cuda" and not cuda:
        raise UserError("device='cuda': torch finds no GPU; use 'auto' or 'cpu'.")
    return device


def _fill_fold(
    task: FillTask,
    values: Floats,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    settings: MMTFSettings,
    device: torch.device,
) -> Floats:
    from dallm.fidelity.mmtf_training import Rows, predicted, trained

    seen = values[train]
    usable = ~np.isnan(seen).all(axis=0)
    counted = np.where(usable, seen, 0.0)
    centre, spread = np.nanmean(counted, axis=0), np.nanstd(counted, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = np.where(usable, (values - centre) / spread, np.nan)
    texts = list(task.text) if task.text is not None else [""] * len(values)
    words = Vocabulary([texts[i] for i in train], size=settings.vocabulary)
    images = _scaled_images(task.images, train)

    def rows(which: NDArray[np.intp]) -> Rows:
        codes = words.encode([texts[i] for i in which], length=settings.words)
        return Rows.of(scaled[which], codes, None if images is None else images[which], device)

    fitted, checked = train, None
    if settings.patience is not None:
        fitted, held = _inner_split(task.groups[train], task.seed)
        fitted, checked = train[fitted], train[held] if len(held) else None
    model = trained(
        rows(fitted),
        None if checked is None else rows(checked),
        n_words=len(words),
        settings=settings,
        seed=task.seed,
        device=device,
    )
    made = predicted(model, rows(test)) * spread + centre
    return np.where(usable, made, np.nan)


def _scaled_images(images: Floats | None, train: NDArray[np.intp]) -> Floats | None:
    if images is None:
        return None
    spread = images[train].std(axis=0)
    scaled: Floats = (images - images[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _inner_split(groups: NDArray[Any], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Hold a tenth of the training patients back, one at least where there are three."""
    patients = np.random.default_rng(seed).permutation(np.unique(groups))
    n_held = max(1, round(len(patients) / 10)) if len(patients) > 2 else 0
    held = np.isin(groups, patients[:n_held])
    return np.flatnonzero(~held), np.flatnonzero(held)
