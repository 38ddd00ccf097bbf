"""A server's key: used in calls, shown nowhere, never written."""

from __future__ import annotations

import os
from typing import Any


class Key:
    """A key, or the variable of the environment that it stands in.

    It is left out of every repr, log and pickle: a copy in another process reads its own environment.

    Parameters
    ----------
    value : str, optional
        The key itself.
    variable : str, optional
        Where it stands if it is not given.

    Examples
    --------
    >>> key = Key("sk-1234567890")
    >>> key, key.get_secret_value()[:3]
    (Key(set), 'sk-')
    >>> import pickle
    >>> pickle.loads(pickle.dumps(key))
    Key(not set)
    """

    __slots__ = ("_value", "variable")

    def __init__(self, value: str | None = None, *, variable: str | None = None) -> None:
        self._value = value
        self.variable = variable

    def get_secret_value(self) -> str:
        """Return the key; empty where there is none."""
        if self._value is not None:
            return self._value
        return os.environ.get(self.variable, "") if self.variable else ""

    def __bool__(self) -> bool:
        return bool(self.get_secret_value())

    def __repr__(self) -> str:
        where = f"{self.variable}, " if self.variable else ""
        return f"Key({where}{'set' if self else 'not set'})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.get_secret_value() == other.get_secret_value()

    def __hash__(self) -> int:
        return hash((Key, self.variable))

    def __copy__(self) -> Key:
        return self

    def __deepcopy__(self, memo: Any) -> Key:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_environment, (self.variable,)


def without_key(text: str, key: object) -> str:
    """Return a text without a key that a server may have repeated in it.

    Examples
    --------
    >>> without_key("Incorrect API key provided: sk-1234567890", Key("sk-1234567890"))
    'Incorrect API key provided: [key]'
    """
    value = str(getattr(key, "get_secret_value", lambda: key)() or "")
    return text.replace(value, "[key]") if len(value) >= 6 else text


def _from_environment(variable: str | None) -> Key:
    return Key(variable=variable)
