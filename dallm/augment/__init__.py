"""Stage III: discovery, filling, and what comes of them; called as ``dallm.augment(...)``, all three stages.

The call and the package share their name, and Python binds a package's name in its parent as soon as one of
its modules is imported. So the package itself can be called; it passes everything on to
:func:`dallm.augment.pipeline.augment`.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Augmented:
        from dallm.augment.pipeline import augment

        return augment(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        from dallm.augment.pipeline import augment

        return inspect.signature(augment)


sys.modules[__name__].__class__ = _CallablePackage
