"""Fetching pages: one polite client for all sources, with a cache on disk."""

from __future__ import annotations

from dallm.knowledge.fetch.cache import HttpCache, default_folder
from dallm.knowledge.fetch.client import HttpClient
from dallm.knowledge.fetch.outcome import Fetched, FetchError, TryAgain
from dallm.knowledge.fetch.politeness import Clock

__all__ = ["Clock", "FetchError", "Fetched", "HttpCache", "HttpClient", "TryAgain", "default_folder"]
