"""The project's own primer: short texts on chest conditions, for trying the library out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dallm.knowledge.conditions import resolve_condition
from dallm.knowledge.passage import Document, Problem
from dallm.knowledge.sources.markup import read_markdown
from dallm.resources import data_path

NOTICE = "dallm primer, unreviewed, for trying out, not for care"


class Primer:
    """One text per condition, in the project's own words: unreviewed, for trying out, not for care.

    Each says what the condition is, its symptoms, signs, causes, laboratory data, personal history and
    radiographic look. It cites nothing and nothing should cite it: for research, ingest sources of your own.

    Examples
    --------
    >>> page = next(iter(Primer().documents(["cardiomegaly"])))
    >>> page.title, page.notice
    ('Enlarged cardiac silhouette', 'dallm primer, unreviewed, for trying out, not for care')
    """

    name = NOTICE

    def __repr__(self) -> str:
        return "Primer()"

    def listing(self) -> set[str]:
        """Return the url of every text of the primer."""
        return {f"primer/{path.name}" for path in data_path("primer").glob("*.md")}

    def documents(self, conditions: Sequence[str] = ()) -> Iterator[Document | Problem]:
        """Yield the texts on `conditions`, all of them where none is given."""
        wanted = {resolve_condition(name) for name in conditions}
        for path in sorted(data_path("primer").glob("*.md")):
            text = path.read_text(encoding="utf-8").replace(f"> {NOTICE}\n", "", 1)
            title, sections = read_markdown(text)
            condition = resolve_condition(title or path.stem)
            if wanted and condition not in wanted:
                continue
            yield Document(
                title=title or path.stem,
                sections=sections,
                source=NOTICE,
                url=f"primer/{path.name}",
                licence="Apache-2.0",
                conditions=(condition,),
                notice=NOTICE,
            )

    @staticmethod
    def conditions() -> tuple[str, ...]:
        """Return the canonical names of the conditions that the primer has a text on."""
        titles = (
            read_markdown(p.read_text(encoding="utf-8")).title for p in data_path("primer").glob("*.md")
        )
        return tuple(sorted(resolve_condition(title) for title in titles if title))
