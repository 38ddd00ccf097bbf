"""Whether features tell a target that they should not know: found before any model is fitted."""

from dallm.evaluation.leakage.audit import LEAKAGE, audit
from dallm.evaluation.leakage.raising import raise_leaks

__all__ = ["LEAKAGE", "audit", "raise_leaks"]
