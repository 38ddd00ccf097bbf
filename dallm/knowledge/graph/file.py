"""A graph in one file: readable JSON, saved batch by batch through a journal beside it.

A write appends one line to ``<file>.journal``; when that has outgrown the file, and when the store is closed,
the file is written anew and the journal goes. So saving stays linear in what is written, and a process that
is killed leaves the last batch whose line is complete.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dallm.errors import OutputError, StoreError
from dallm.files import replacing, try_lock

if TYPE_CHECKING:
    import networkx as nx

FORMAT = 1
_SMALLEST_JOURNAL = 1 << 20  # bytes; a file smaller than this is not written anew for every batch
_PATIENCE_S = 60.0
Stamp = tuple[tuple[int, int, int] | None, tuple[int, int] | None]


class GraphFile:
    """The file of a store and its journal.

    Parameters
    ----------
    path : path
        The JSON file; it need not exist yet.

    Raises
    ------
    StoreError
        If it is a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.journal = self.path.with_name(f"{self.path.name}.journal")
        self._lock = self.path.with_name(f".{self.path.name}.lock")
        self._generation = 0
        self._read_to = 0
        if self.path.is_dir():
            raise StoreError(f"{str(self.path)!r} is a folder; name a file in it, for example 'graph.json'.")

    def exists(self) -> bool:
        """Whether there is anything to read."""
        return self.path.exists() or self.journal.exists()

    def stamp(self) -> Stamp:
        """Return what differs after anyone has written; cheap."""
        try:
            a = self.path.stat()
            of_file = (a.st_ino, a.st_mtime_ns, a.st_size)
        except FileNotFoundError:
            of_file = None
        try:
            b = self.journal.stat()
            return of_file, (b.st_ino, b.st_size)
        except FileNotFoundError:
            return of_file, None

    def read(self) -> tuple[nx.MultiDiGraph, list[dict[str, Any]], Stamp]:
        """Return the graph of the file, the records of the journal that come after it, and their stamp.

        Raises
        ------
        StoreError
            If the file cannot be read or is none of a graph store.
        """
        for _ in range(100):
            before = self.stamp()
            graph = self._read_file()
            generation, records, end = self._read_journal()
            # the file may be written anew between the two, which takes the journal's lines in
            ahead = generation is not None and generation > self._generation
            if not ahead and self.stamp()[0] == before[0]:
                if generation != self._generation:  # left by a kill: the file has these batches already
                    records, end = [], 0
                self._read_to = end
                return graph, records, before
            time.sleep(0.01)
        raise StoreError(
            f"The journal {str(self.journal)!r} goes with another state of {str(self.path)!r} than the one "
            "found. Put the file of that state back, or remove the journal and ingest again: what is held "
            "already is passed over."
        )

    def append(self, record: dict[str, Any]) -> Stamp:
        """Save one batch: a line of the journal, on the disk when this returns. Call it within `writing`."""
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.journal.open("r+b" if self._read_to else "wb") as file:
                if not self._read_to:
                    file.write(json.dumps({"generation": self._generation}).encode() + b"\n")
                else:
                    file.seek(self._read_to)
                    file.truncate()  # half a line of a process that was killed
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                self._read_to = file.tell()
        except OSError as error:
            raise StoreError(f"The store {str(self.path)!r} cannot be written: {error.strerror}.") from error
        return self.stamp()

    @property
    def outgrown(self) -> bool:
        """Whether the journal has become longer than the file."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return self._read_to > max(size, _SMALLEST_JOURNAL)

    def save(self, graph: nx.MultiDiGraph) -> Stamp:
        """Write the file anew, whole or not at all, and drop the journal. Call it within `writing`."""
        generation = self._generation + 1
        try:
            with replacing(self.path) as part, part.open("wb") as file:
                for line in _lines(graph, generation):
                    file.write(line.encode("utf-8", "surrogatepass"))
                file.flush()
                os.fsync(file.fileno())
        except OutputError as error:
            raise StoreError(f"The store {str(self.path)!r} cannot be written: {error}") from error
        self._generation, self._read_to = generation, 0
        # a kill right here leaves a journal of an earlier generation, which is never read
        self.journal.unlink(missing_ok=True)
        return self.stamp()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out, in this process and in others; the lock of a killed process is gone.

        Raises
        ------
        StoreError
            If the folder cannot be written to, or another writer holds on for a minute.
        """
        end = time.monotonic() + _PATIENCE_S
        while (file := self._locked()) is None:
            if time.monotonic() > end:
                raise StoreError(
                    f"Another process has been writing the store {str(self.path)!r} for {_PATIENCE_S:.0f} s; "
                    "try again when it is done."
                )
            time.sleep(0.01)
        try:
            yield
        finally:
            if sys.platform != "win32":
                self._lock.unlink(missing_ok=True)
            file.close()

    def _locked(self) -> IO[bytes] | None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self._lock.open("ab")
        except OSError as error:
            raise StoreError(f"The store {str(self.path)!r} cannot be written: {error.strerror}.") from error
        try:
            if try_lock(file) and os.fstat(file.fileno()).st_ino == self._lock.stat().st_ino:
                return file
        except FileNotFoundError:
            pass  # its last owner removed it as we locked it: ours is a lock on nothing
        file.close()
        return None

    def _read_file(self) -> nx.MultiDiGraph:
        import networkx as nx

        try:
            raw = json.loads(self.path.read_bytes().decode("utf-8", "surrogatepass"))
        except FileNotFoundError:
            self._generation = 0
            graph = nx.MultiDiGraph()
            graph.graph.update(format=FORMAT, origins={})
            return graph
        except (OSError, ValueError) as error:
            raise StoreError(self._not_ours(f"it cannot be read: {error}")) from error
        try:
            graph = nx.node_link_graph(raw, directed=True, multigraph=True, edges="edges")
            made, self._generation = graph.graph["format"], int(graph.graph.pop("generation"))
            graph.graph["origins"].items()
        except (KeyError, TypeError, ValueError, AttributeError, nx.NetworkXError) as error:
            raise StoreError(self._not_ours(f"{type(error).__name__}: {error}")) from error
        if made != FORMAT:
            raise StoreError(
                f"The file {str(self.path)!r} has format {made}; this version of dallm reads {FORMAT}. "
                "Upgrade dallm, or ingest into a new file."
            )
        return graph

    def _read_journal(self) -> tuple[int | None, list[dict[str, Any]], int]:
        """Return the generation, the records and where the last complete line ends."""
        try:
            held = self.journal.read_bytes()
        except FileNotFoundError:
            return None, [], 0
        except OSError as error:
            raise StoreError(
                f"The journal {str(self.journal)!r} cannot be read: {error.strerror}."
            ) from error
        lines = held.split(b"\n")[:-1]  # what follows the last line end is half a line, or nothing
        try:
            records = [json.loads(line.decode("utf-8", "surrogatepass")) for line in lines]
            generation = int(records[0]["generation"]) if records else None
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"The journal {str(self.journal)!r} is broken ({error}). Remove it to keep what the file "
                "itself holds, and ingest again: what is held already is passed over."
            ) from error
        return generation, records[1:], sum(len(line) + 1 for line in lines)

    def _not_ours(self, why: str) -> str:
        return (
            f"The file {str(self.path)!r} holds no graph of dallm, or a broken one ({why}). Name another "
            "file, or remove this one and ingest again."
        )


def _lines(graph: nx.MultiDiGraph, generation: int) -> Iterator[str]:
    """The node-link form of networkx, one node and one relation a line."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    about = text({**graph.graph, "generation": generation})
    yield f'{{"directed": true, "multigraph": true,\n"graph": {about},'
    yield '\n"nodes": ['
    for n, (node, held) in enumerate(graph.nodes(data=True)):
        yield f"{',' if n else ''}\n{text({'id': node, **held})}"
    yield '\n],\n"edges": ['
    for n, (start, end, key, held) in enumerate(graph.edges(keys=True, data=True)):
        yield f"{',' if n else ''}\n{text({'source': start, 'target': end, 'key': key, **held})}"
    yield "\n]}\n"
