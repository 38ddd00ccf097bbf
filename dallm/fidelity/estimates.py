"""Whether an engine estimates at all: what Experiment I measures, said before anything is paid for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from dallm.errors import UserError
from dallm.features import Feature

if TYPE_CHECKING:
    from dallm.ack.ack import Ack
    from dallm.cohort import Cohort
    from dallm.engines.base import Case, CaseAnswer, Engine

FIRST = 20
"""After so many cases without a single value it is said."""


def may_infer(engine: Any) -> bool | None:
    """Return whether an engine may give a value that no report states; None where it does not tell.

    Examples
    --------
    >>> may_infer(None), may_infer(object())
    (False, None)
    """
    from dallm.engines.extractive.engine import ExtractiveEngine

    if engine is None or type(engine) is ExtractiveEngine:
        return False
    said = getattr(getattr(engine, "settings", None), "infer", None)
    return said if isinstance(said, bool) else None


def say_what_it_gives(engine: Any, cohort: Cohort, n_columns: int) -> None:
    """Warn before the first call where a language model is asked that may not infer.

    Raises
    ------
    UserError
        If it could give what reports state alone, and the cohort has none.
    """
    if engine is None or may_infer(engine) is not False or not hasattr(engine, "settings"):
        return
    asked = len(cohort) * n_columns
    remedy = "Make it with dallm.engine(..., infer=True) to measure what the model estimates."
    name = getattr(engine, "model", None) or engine.name
    if not cohort.report:
        raise UserError(
            f"The engine {name!r} may not infer, and the cohort has no reports to read values from: all "
            f"{asked:,} values would stay unknown. {remedy}"
        )
    warnings.warn(
        f"The engine {name!r} may not infer: of {asked:,} values it gives those that the reports state, and "
        f"leaves all others unknown. {remedy}",
        UserWarning,
        stacklevel=3,
    )


def watched(engine: Engine | None) -> Engine | None:
    """Return an engine that says so where the first cases all come back without a value.

    The extractive engine is returned as it is: it costs nothing and is known to read what is stated.
    """
    if engine is None or may_infer(engine) is False:
        return engine
    return cast("Engine", _Watched(engine, [0, 0]))


class _Watched:
    """An engine whose first answers are looked at; everything else is the engine's own."""

    def __init__(self, engine: Any, seen: list[int]) -> None:
        self._engine = engine
        self._seen = seen  # cases, and values among them; bound copies share it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying asks before there is an engine
            raise AttributeError(name)
        if name == "for_cohort":
            bind = self._engine.for_cohort  # an engine without it has none here either
            return lambda cohort: _Watched(bind(cohort), self._seen)
        return getattr(self._engine, name)

    def fill(
        self, cases: Iterable[Case], features: Sequence[Feature], knowledge: Ack | None = None
    ) -> Iterator[CaseAnswer]:
        """Yield what the engine answers."""
        for answer in self._engine.fill(cases, features, knowledge):
            if self._seen[0] < FIRST:
                self._seen[0] += 1
                self._seen[1] += sum(draft.value is not None for draft in answer.drafts.values())
                if self._seen == [FIRST, 0]:
                    warnings.warn(
                        f"The engine {self._engine.name!r} left the first {FIRST} values unknown; if it goes "
                        "on like this there is nothing to measure. It is still asking: interrupt it to "
                        "look at its answers.",
                        UserWarning,
                        stacklevel=2,
                    )
            yield answer
