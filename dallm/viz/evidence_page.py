"""The evidence page: one HTML file to check every value of an augmented table against its report by eye."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import warnings
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dallm.errors import UserError
from dallm.files import replacing

if TYPE_CHECKING:
    from dallm.augment.augmented import Augmented

_SCRIPTS = ("evidence_data.js", "evidence_report.js", "evidence_list.js", "evidence_page.js")
_LARGE = 250 * 2**20  # bytes; browsers hold no string much longer than 500 million characters


def write_evidence_page(
    augmented: Augmented,
    path: str | os.PathLike[str],
    *,
    title: str = "Evidence behind the augmented table",
    max_cases: int | None = 20_000,
) -> Path:
    """Write one HTML file that shows each case's report with the evidence for its cells highlighted.

    The file needs no server, makes no request, and holds the reports themselves: keep it where the reports
    may be kept. It is written whole or not at all.

    Parameters
    ----------
    augmented : Augmented
        What :func:`dallm.augment` or :func:`dallm.fill_values` gave.
    path : str or path-like
        The file to write; a file of that name is replaced, missing folders are made.
    title : str
        Heading of the page.
    max_cases : int or None, default=20_000
        Show at most the first so many cases, and say on the page how many were left out; None shows all.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UserError
        If `max_cases` is not positive, or a cell names a case or feature that the table does not have.
    OutputError
        If the file cannot be written.

    Warns
    -----
    UserWarning
        If cases were left out, a quote does not stand at its offsets, or the file is too large for browsers.

    Examples
    --------
    >>> import tempfile, pandas as pd, dallm
    >>> frame = pd.DataFrame({"case": ["a"], "findings": ["Small left pleural effusion. No pneumothorax."]})
    >>> cohort = dallm.Cohort(frame, id="case", report="findings", data_use="open")
    >>> feats = [dallm.Feature("pleural effusion", "boolean"), dallm.Feature("pneumothorax", "boolean")]
    >>> augmented = dallm.fill_values(cohort, feats)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_evidence_page(augmented, f"{folder}/evidence.html")
    ...     "Small left pleural effusion" in page.read_text(encoding="utf-8")
    True
    """
    target = Path(path)
    if max_cases is not None and max_cases < 1:
        raise UserError(f"max_cases must be at least 1, or None for all; got {max_cases!r}.")
    with replacing(target) as part:  # opened first: an unwritable path is refused before the work
        html = render_evidence_page(augmented, title=title, max_cases=max_cases)
        size = part.write_bytes(html.encode("utf-8", "replace"))
    if size > _LARGE:
        warnings.warn(
            f"The page {str(target)!r} has {size / 2**20:,.0f} MB, more than a browser may open; "
            "pass a smaller max_cases=.",
            UserWarning,
            stacklevel=2,
        )
    return target


def render_evidence_page(augmented: Augmented, *, title: str, max_cases: int | None) -> str:
    """Return the page of :func:`write_evidence_page` as text."""
    from jinja2 import Environment, StrictUndefined

    from dallm.viz.evidence_payload import page_payload

    payload = page_payload(augmented, title, max_cases)
    _warn_about(payload)
    script = "'use strict';\n(() => {\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "})();\n"
    style = _asset("evidence.css")
    # Only these two texts may run or style: their digests stand in the page's content security policy.
    env = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = env.from_string(_asset("evidence.html.j2"))
    page: str = template.render(
        title=title,
        script=script,
        script_digest=_csp_digest(script),
        style=style,
        style_digest=_csp_digest(style),
        payload=json_for_html(payload),
    )
    return page


def json_for_html(value: Any) -> str:
    r"""Return JSON that may stand inside a ``<script>`` element and survives there unchanged.

    Everything but ASCII is escaped, lone surrogates included, and so are the characters that could end the
    element or begin a comment in it.

    Examples
    --------
    >>> json_for_html("</script> \u2028")
    '"\\u003c/script\\u003e \\u2028"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _warn_about(payload: dict[str, Any]) -> None:
    shown, total, stray = len(payload["ids"]), payload["total"], len(payload["stray"])
    if shown < total:
        warnings.warn(
            f"The evidence page shows the first {shown:,} of {total:,} cases; pass max_cases= for more.",
            UserWarning,
            stacklevel=4,
        )
    if stray:
        warnings.warn(
            f"{stray:,} quotes do not stand in their report field at their offsets and are listed apart. "
            "Were the reports or the evidence changed after filling?",
            UserWarning,
            stacklevel=4,
        )


def _asset(name: str) -> str:
    text = files("dallm.viz").joinpath("templates", name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")  # the digest is taken of what the browser sees


def _csp_digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
