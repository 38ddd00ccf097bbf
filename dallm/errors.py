"""Every error and warning that a user of dallm can meet.

All errors derive from :class:`DallmError`. A user's mistake is a :class:`UserError`, which is also a
``ValueError``, so that scripts may catch broadly and notebooks read naturally.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DallmError(Exception):
    """Root of all errors raised by dallm on purpose."""


class UserError(DallmError, ValueError):
    """Input that cannot be used as it is; the message says what was found and what to do."""


class CohortError(UserError):
    """A table, or the role of one of its columns, cannot be used."""


class FeatureError(UserError):
    """A feature's definition cannot be used."""


class LexiconError(UserError):
    """A lexicon file cannot be used."""


class ReaderError(UserError):
    """An input file or folder cannot be read."""


class SourceError(UserError):
    """A knowledge source cannot be read."""


class StoreError(DallmError):
    """A knowledge store cannot be opened, read or written."""


class EgressError(UserError):
    """Patient text would leave for a public address without the user having said that it may."""


class EngineError(DallmError):
    """A language model cannot be asked, or gave nothing that can be used."""


class BudgetError(EngineError):
    """A run would cost more than was allowed, or its cost cannot be known."""


class BatchPendingError(EngineError):
    """Answers of a batch are not there yet; nothing is wrong, and the same call collects them later."""


class OutputError(DallmError, OSError):
    """A result cannot be written where it was asked for."""


class ExtraMissingError(DallmError, ImportError):
    """An optional package is needed and is not installed; the message holds the command that installs it."""


class DataQualityWarning(UserWarning):
    """Values were found that cannot be right, and were not used."""


class KnowledgeWarning(UserWarning):
    """Part of a knowledge source was passed over, or retrieval works with less than it could."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known name, or an empty string.

    Examples
    --------
    >>> did_you_mean("impresion", ["findings", "impression"])
    " Did you mean 'impression'?"
    >>> did_you_mean("zzz", ["findings", "impression"])
    ''
    """
    text = str(name)
    candidates = [str(k) for k in known]
    lowered = {c.lower(): c for c in reversed(candidates)}
    near = difflib.get_close_matches(text.lower(), list(lowered), n=1, cutoff=0.6)
    return f" Did you mean {lowered[near[0]]!r}?" if near else ""
