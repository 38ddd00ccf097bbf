"""Fits of an evaluation: what they are, how they run in parallel, and how they are kept."""

from __future__ import annotations

from dallm.evaluation.running.run import run_fits

__all__ = ["run_fits"]
