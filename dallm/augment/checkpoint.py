"""Answers kept on disk while a run goes on, so that a run cut short goes on where it stopped."""

from __future__ import annotations

import gzip
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dallm.engines.base import CaseAnswer
from dallm.engines.llm.wire import CallError
from dallm.engines.plain import draft_to_plain, plain_to_draft
from dallm.files import replacing

_PART = 1_000  # cases a file
_NOT_YET = ("budget", *CallError.PASSING)  # reasons of cells that were not asked for, or got no answer


class Checkpoint:
    """A folder of answers that belong to one request.

    Parameters
    ----------
    folder : path
        Made when missing. Answers to another request that lie in it are removed.
    key : str
        Digest of all that the answers depend on.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        self.folder = Path(folder)
        self.key = key
        if self.folder.exists():
            for path in self.folder.glob("*.answers.gz"):
                if not path.name.startswith(key[:16]):
                    path.unlink()

    def resumed(self) -> list[CaseAnswer]:
        """Return the answers kept so far, in the order of the cases.

        What is damaged ends them, and so does a case with cells that a budget or a server's failure left
        open: from there the engine is asked again, whose cache holds what was answered.
        """
        answers: list[CaseAnswer] = []
        for path in sorted(self.folder.glob(f"{self.key[:16]}-*.answers.gz")):
            part = _read(path)
            if part is None or part[0] != len(answers):
                path.unlink()
                continue
            settled = list(itertools.takewhile(_is_settled, part[1]))
            answers.extend(settled)
            if len(settled) < len(part[1]):
                if settled:
                    self._write(settled, part[0])
                else:
                    path.unlink()
        return answers

    def keeping(self, answers: Iterable[CaseAnswer], done: int) -> Iterator[CaseAnswer]:
        """Pass answers on and keep them; also those of an unfinished part, whatever ends the run."""
        waiting: list[CaseAnswer] = []
        try:
            for answer in answers:
                waiting.append(answer)
                if len(waiting) >= _PART:
                    full, waiting = waiting, []
                    self._write(full, done)
                    done += len(full)
                yield answer
        finally:
            if waiting:
                self._write(waiting, done)

    def clear(self) -> None:
        """Remove the answers; to be called when the result is safe."""
        for path in self.folder.glob("*.answers.gz"):
            path.unlink()
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _write(self, answers: list[CaseAnswer], start: int) -> None:
        lines = [json.dumps({"start": start})]
        lines += [
            json.dumps([a.case_id, {n: draft_to_plain(d) for n, d in a.drafts.items()}]) for a in answers
        ]
        path = self.folder / f"{self.key[:16]}-{start:010d}.answers.gz"
        with replacing(path) as part:
            part.write_bytes(gzip.compress("\n".join(lines).encode("utf-8"), compresslevel=1))


def _is_settled(answer: CaseAnswer) -> bool:
    return not any(
        draft.status == "failed" and draft.reason.startswith(_NOT_YET) for draft in answer.drafts.values()
    )


def _read(path: Path) -> tuple[int, list[CaseAnswer]] | None:
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
        start = json.loads(lines[0])["start"]
        answers = []
        for line in lines[1:]:
            case_id, drafts = json.loads(line)
            answers.append(CaseAnswer(case_id, {n: plain_to_draft(d) for n, d in drafts.items()}))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        return None  # cut off in the middle of a write: the cases are simply asked again
    return start, answers
