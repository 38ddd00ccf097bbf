"""Attributes that are computed when first asked for, without a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class computed_once(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """Compute an attribute at its first use and keep it in the instance.

    Up to Python 3.11 ``functools.cached_property`` holds one lock for all instances while it computes: a
    process that is forked while a thread computes inherits the lock held and waits for ever, and threads wait
    for each other's objects. Here two threads may compute the same value twice; one of the two is kept.

    Examples
    --------
    >>> class Report:
    ...     @computed_once
    ...     def words(self) -> int:
    ...         print("counting")
    ...         return 3
    >>> report = Report()
    >>> report.words + report.words
    counting
    6
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> computed_once[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> computed_once[T] | T:
        if instance is None:
            return self
        value = self._compute(instance)
        instance.__dict__[self._name] = value
        return value
