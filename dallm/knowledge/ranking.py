"""How the two arms of a search, words and meaning, make one order: the same in every store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEXICAL_WEIGHT = 0.3
"""How much the lexical score counts beside the cosine; benchmarks/retrieval.py measures it."""


def fuse(cosine: NDArray[np.float32], lexical: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weighted mean of the two scores per passage.

    Parameters
    ----------
    cosine : array, shape (n,)
        Cosine of question and passage.
    lexical : array, shape (n,)
        BM25 over the best score that the question could reach, from 0 to 1.
    """
    return ((cosine + LEXICAL_WEIGHT * lexical) / (1 + LEXICAL_WEIGHT)).astype(np.float32)
