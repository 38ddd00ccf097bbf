"""Clients of chat models: one attempt per call, every failure a `CallError`."""
