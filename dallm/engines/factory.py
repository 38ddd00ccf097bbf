"""``dallm.engine``: an engine by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dallm.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from dallm.engines.base import Engine

_KNOWN = ("extractive",)


def engine(name: str = "extractive", **options: Any) -> Engine:
    """Return an engine by name.

    Parameters
    ----------
    name : str, default="extractive"
        ``"extractive"``: no language model, deterministic, evidence only.
    **options
        For ``"extractive"``: `lexicon` (a :class:`dallm.Lexicon`) and `row_rules`.

    Raises
    ------
    UserError
        If there is no engine of this name, or it does not take an option.

    Examples
    --------
    >>> import dallm
    >>> dallm.engine("extractive").name
    'extractive'
    """
    if name != "extractive":
        raise UserError(
            f"There is no engine {name!r}; known: {', '.join(_KNOWN)}.{did_you_mean(name, _KNOWN)}"
        )
    from dallm.engines.extractive.engine import ExtractiveEngine

    unknown = sorted(set(options) - {"lexicon", "row_rules"})
    if unknown:
        hint = did_you_mean(unknown[0], ("lexicon", "row_rules"))
        raise UserError(
            f"Engine 'extractive' takes no option {unknown[0]!r}; it takes lexicon, row_rules.{hint}"
        )
    return ExtractiveEngine(**options)
