"""Answers that arrived, kept on disk."""
