"""Where the project's own data lies: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from dallm.errors import DallmError


def data_path(*parts: str) -> Path:
    """Return the path of a file or folder of the project's data.

    Raises
    ------
    DallmError
        If the installation lacks it.

    Examples
    --------
    >>> data_path("lexicon").is_dir()
    True
    """
    package = Path(__file__).resolve().parent
    for root in (package / "_data", package.parent / "data"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise DallmError(
        f"The installation lacks its data file {'/'.join(parts)!r}; reinstall dallm "
        "(pip install --force-reinstall dallm)."
    )
