"""Protocols: who is trained on and who is tested."""

from __future__ import annotations

from dallm.evaluation.protocols.base import Protocol
from dallm.evaluation.protocols.leak_free import LeakFree
from dallm.evaluation.protocols.marked import AsPublished, Holdout

__all__ = ["AsPublished", "Holdout", "LeakFree", "Protocol"]
