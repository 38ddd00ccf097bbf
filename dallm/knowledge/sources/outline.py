"""A document's title and sections, collected line by line."""

from __future__ import annotations

from typing import NamedTuple

from dallm.knowledge.passage import Section


class Parsed(NamedTuple):
    """A title (None where the text has none) and the sections under it, empty ones left out."""

    title: str | None
    sections: tuple[Section, ...]


class Outline:
    """Collects lines under a moving path of headings; the first heading is the title."""

    def __init__(self) -> None:
        self.title: str | None = None
        self._path: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self._sections: list[Section] = []

    def heading(self, level: int, text: str) -> None:
        """Begin a section; `level` is 1 for the topmost."""
        text = " ".join(text.split())
        if not text:
            return
        self._close()
        if self.title is None:  # the first heading is the title, not a section
            self.title = text
            return
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, text))

    def line(self, text: str, *, item: bool = False) -> None:
        """Add a paragraph; short list items join into one sentence after the line that leads them in."""
        text = " ".join(text.split())
        if not text:
            return
        short = item and len(text.split()) <= 12 and text[-1] not in ".!?"
        last = self._lines[-1] if self._lines else ""
        if short and last.endswith((":", ";")):
            self._lines[-1] = f"{last} {text};"
        else:
            self._lines.append(f"{text};" if short else text)

    def parsed(self) -> Parsed:
        """Return what was collected."""
        self._close()
        return Parsed(self.title, tuple(self._sections))

    def _close(self) -> None:
        # a list that became a sentence ends like one
        text = "\n".join(f"{line[:-1]}." if line.endswith(";") else line for line in self._lines).strip()
        if text:
            self._sections.append(Section(" > ".join(name for _, name in self._path), text))
        self._lines = []
