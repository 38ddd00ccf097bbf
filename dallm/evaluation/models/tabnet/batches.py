"""Batches in which every row has company: how an epoch's rows are cut, for one network or several at once.

A batch, and each virtual batch in it, is normalised by its own mean and variance, which takes two rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray


def batch_sizes(rows: int, size: int) -> list[int]:
    """Cut rows into batches of a size; a last batch of one row joins the batch before it.

    Examples
    --------
    >>> batch_sizes(10, 4), batch_sizes(9, 4), batch_sizes(3, 4)
    ([4, 4, 2], [4, 5], [3])
    """
    sizes = [size] * (rows // size) + ([rows % size] if rows % size else [])
    return _join_last(sizes)


def virtual_sizes(rows: int, size: int) -> list[int]:
    """Cut a batch into virtual batches as pytorch-tabnet does: of one size, at most that asked for.

    A last virtual batch of one row joins the one before it.

    Examples
    --------
    >>> virtual_sizes(300, 128), virtual_sizes(10, 4), virtual_sizes(13, 4)
    ([100, 100, 100], [4, 4, 2], [4, 4, 5])
    """
    each = -(-rows // -(-rows // size))
    sizes = [each] * (rows // each) + ([rows % each] if rows % each else [])
    return _join_last(sizes)


def _join_last(sizes: list[int]) -> list[int]:
    if len(sizes) > 1 and sizes[-1] == 1:
        return [*sizes[:-2], sizes[-2] + 1]
    return sizes


LANES = 32
"""Places of a virtual batch are filled up to a multiple of this, two vectors of the widest processors: then
nothing is added up in another order because another network stands beside it."""


def padded(rows: int) -> int:
    """Return the places that so many rows take.

    Examples
    --------
    >>> padded(1), padded(32), padded(103)
    (32, 32, 128)
    """
    return -(-rows // LANES) * LANES


def grid(rows: int, batch: int, virtual: int) -> tuple[tuple[int, int], ...]:
    """Return virtual batches and places of each batch of an epoch; networks with equal ones train together.

    Examples
    --------
    >>> grid(512, 1024, 128), grid(610, 512, 128)
    (((4, 128),), ((4, 128), (1, 128)))
    """
    cut = [virtual_sizes(n, virtual) for n in batch_sizes(rows, batch)]
    return tuple((len(sizes), padded(max(sizes))) for sizes in cut)


@dataclass(frozen=True)
class Cells:
    """Where the rows of a batch lie in a grid of virtual batches, for several networks side by side.

    Attributes
    ----------
    rows : array of int, shape (networks, virtual batches * places)
        Position of each cell's row in the batch; -1 for a place without a row.
    counts : array of int, shape (networks, virtual batches)
        How many rows each virtual batch has.
    """

    rows: NDArray[np.intp]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, batch: Sequence[int], virtual: int) -> Cells:
        """Lay out a batch of so many rows per network.

        Examples
        --------
        >>> laid = Cells.of([5, 4], 2)
        >>> laid.counts
        array([[2, 3],
               [2, 2]])
        >>> laid.rows.reshape(2, 2, -1)[0, :, :4]
        array([[ 0,  1, -1, -1],
               [ 2,  3,  4, -1]])
        """
        cut = [virtual_sizes(n, virtual) for n in batch]
        chunks = max(len(sizes) for sizes in cut)
        places = padded(max(size for sizes in cut for size in sizes))
        rows = np.full((len(batch), chunks, places), -1, dtype=np.intp)
        counts = np.zeros((len(batch), chunks), dtype=np.intp)
        for k, sizes in enumerate(cut):
            start = 0
            for c, size in enumerate(sizes):
                rows[k, c, :size] = np.arange(start, start + size)
                counts[k, c] = size
                start += size
        return cls(rows.reshape(len(batch), -1), counts)


class Layout:
    """What the normalisation has to know of a batch, as tensors on the device.

    Attributes
    ----------
    mask : Tensor or None, shape (networks, 1, virtual batches, places)
        1 where there is a row; None where every place has one.
    per : Tensor, shape (networks, 1, virtual batches, 1)
        One over the number of rows.
    share : Tensor, shape (networks, 1, rows)
        The weight of each row in a mean over the network's batch.
    """

    def __init__(self, cells: Cells, device: torch.device) -> None:
        import torch

        counts = cells.counts
        k, self.chunks = counts.shape
        present = cells.rows >= 0
        total = present.sum(axis=1, keepdims=True)

        def tensor(values: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

        full = bool(present.all())
        self.mask = None if full else tensor(present.reshape(k, 1, self.chunks, -1))
        self.per = tensor(1.0 / np.maximum(counts, 1)).view(k, 1, self.chunks, 1)
        self.share = tensor(present / total).view(k, 1, -1)
        self._counts = counts
        self._tensor = tensor
        self._memory: dict[float, tuple[torch.Tensor, torch.Tensor]] = {}
        self.unbiased = tensor(counts / np.maximum(counts - 1, 1)).view(k, 1, self.chunks)

    def memory(self, momentum: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights of the running mean so far, shape (networks, 1), and of each virtual batch in turn."""
        if momentum not in self._memory:
            there = self._counts > 0
            after = there.sum(axis=1, keepdims=True) - np.cumsum(there, axis=1)
            weights = momentum * (1 - momentum) ** after * there
            kept = (1 - momentum) ** there.sum(axis=1, keepdims=True)
            self._memory[momentum] = (
                self._tensor(kept),
                self._tensor(weights).view(weights.shape[0], 1, -1),
            )
        return self._memory[momentum]

    def whole(self) -> Layout:
        """The same batch, normalised as one."""
        if not hasattr(self, "_whole"):
            one = object.__new__(Layout)
            k = self.share.shape[0]
            one.chunks, one.share, one._tensor, one._memory = 1, self.share, self._tensor, {}
            one.mask = None if self.mask is None else self.mask.reshape(k, 1, 1, -1)
            one._counts = self._counts.sum(axis=1, keepdims=True)
            one.per = self._tensor(1.0 / np.maximum(one._counts, 1)).view(k, 1, 1, 1)
            one.unbiased = self._tensor(one._counts / np.maximum(one._counts - 1, 1)).view(k, 1, 1)
            self._whole = one
        return self._whole
