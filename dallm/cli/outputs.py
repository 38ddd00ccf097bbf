"""The folder that a run writes to: checked before long work, and never silently overwritten.

``request.json`` in the folder says what was asked for. The same request again goes on from what is there;
another one is refused unless the user says that the old result may go.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dallm.errors import OutputError, UserError
from dallm.files import replacing, write_text

REQUEST = "request.json"
CHECKPOINT = ".checkpoint"
KNOWLEDGE = "knowledge.dallm"
RESULTS = (
    "augmented.parquet",
    "augmented.csv",
    "cells.parquet",
    "evidence.parquet",
    "features.json",
    "ack.json",
    "evidence.html",
)
_ALSO_OURS = ("cohort.parquet", "cohort.json", "run.json", "reports.csv", REQUEST, CHECKPOINT, KNOWLEDGE)
_SPARE_BYTES = 50_000_000

State = Literal["new", "resume", "done"]


class OutputFolder:
    """The output folder of one run.

    Parameters
    ----------
    path : path
        Made when missing.

    Raises
    ------
    OutputError
        If it cannot be made or written to, or the disk is all but full.

    Examples
    --------
    >>> import tempfile
    >>> folder = OutputFolder(Path(tempfile.mkdtemp()) / "out")
    >>> folder.begin({"conditions": ["atelectasis"]}, overwrite=False)
    'new'
    >>> folder.begin({"conditions": ["atelectasis"]}, overwrite=False)
    'resume'
    >>> folder.begin({"conditions": ["pneumothorax"]}, overwrite=False)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dallm.errors.UserError: ... holds another run, which differs in: conditions. ...
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._check_writable()
        self.check_space(_SPARE_BYTES)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def check_space(self, needed: int) -> None:
        """Refuse when fewer than `needed` bytes are free there.

        Raises
        ------
        OutputError
            Naming the folder, what is needed and what is free.
        """
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OutputError(
                f"The disk of {str(self.path)!r} is nearly full: the run needs about {needed / 1e6:,.0f} MB, "
                f"{free / 1e6:,.0f} MB are free. Free some space or choose another folder with --out."
            )

    def refuse_other(self, request: Mapping[str, Any], *, overwrite: bool) -> None:
        """Refuse a folder that holds something else, as far as `request` can tell; writes nothing.

        Raises
        ------
        UserError
            If the folder holds another run's result, or files that a run would replace.
        """
        if overwrite:
            return
        before = self._request()
        if before is None:
            there = [name for name in RESULTS if (self.path / name).exists()]
            if there:
                raise UserError(
                    f"The folder {str(self.path)!r} already holds {there[0]!r}, which this command did not "
                    "write. Choose another folder with --out, or add --overwrite to replace it."
                )
            return
        differs = [k for k, v in _as_json(request).items() if before.get(k) != v]
        if differs:
            raise UserError(
                f"The folder {str(self.path)!r} holds another run, which differs in: {', '.join(differs)}. "
                "Choose another folder with --out, or add --overwrite to replace it."
            )

    def begin(self, request: Mapping[str, Any], *, overwrite: bool) -> State:
        """Take the folder for this request, and say what it already holds of it.

        Returns
        -------
        {"new", "resume", "done"}

        Raises
        ------
        UserError
            As :meth:`refuse_other`.
        """
        self.refuse_other(request, overwrite=overwrite)
        if overwrite:
            self.clear()
        before = self._request()
        made = before.get("files", []) if before is not None and "finished" in before else []
        if made and all((self.path / name).exists() for name in made):
            return "done"
        write_text(self.path / REQUEST, _text(_as_json(request)))
        return "resume" if before is not None else "new"

    def finish(self, files: Sequence[str]) -> None:
        """Mark the run as complete with these files, and drop what only an interrupted run needs."""
        request = self._request() or {}
        request["files"] = list(files)
        request["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        write_text(self.path / REQUEST, _text(request))
        _remove(self.path / CHECKPOINT)

    def clear(self) -> None:
        """Remove the files that a run writes, and nothing else."""
        for name in (*RESULTS, *_ALSO_OURS):
            _remove(self.path / name)

    def _check_writable(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{str(self.path)!r} is a file, not a folder; name a folder with --out.")
        try:
            with replacing(self.path / ".writable") as probe:
                probe.write_bytes(b"\0" * 4096)
            (self.path / ".writable").unlink(missing_ok=True)
        except OSError as error:
            reason = getattr(error.__cause__, "strerror", None) or error.strerror or error
            raise OutputError(
                f"Nothing can be written to the folder {str(self.path)!r}: {reason}. "
                "Choose another folder with --out."
            ) from error

    def _request(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.path / REQUEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{str(self.path / REQUEST)!r} cannot be read ({type(error).__name__}); "
                "choose another folder with --out, or remove that file."
            ) from error
        return found if isinstance(found, dict) else None


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot remove {str(path)!r}: {error.strerror or error}.") from error


def _as_json(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request as it will read from the file: tuples become lists."""
    made: dict[str, Any] = json.loads(json.dumps(dict(request)))
    return made


def _text(request: Mapping[str, Any]) -> str:
    return json.dumps(request, indent=2, ensure_ascii=False) + "\n"
