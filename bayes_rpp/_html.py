"""What notebooks show of an object: small tables that take the colors of the page, be it light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

TABLE = "border-collapse: collapse; color: inherit; background: transparent; margin: 0.3em 0"
CELL = "border: 0; padding: 0.1em 0.8em 0.1em 0; text-align: left; vertical-align: top"


def table(rows: Iterable[Sequence[Any]], header: Sequence[str] = ()) -> str:
    """Rows of cells, whose texts are escaped. Without a header, the first cell of each row is its name."""
    lines = [_cells("th", header)] if header else []
    lines += [_cells("td", row) if header else _cells("th", row[:1]) + _cells("td", row[1:]) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="{TABLE}">\n{body}\n</table>\n'


def _cells(tag: str, texts: Sequence[Any]) -> str:
    style = f"{CELL}; white-space: nowrap" if tag == "th" else CELL
    return "".join(f'<{tag} style="{style}">{escape(str(text))}</{tag}>' for text in texts)


def paragraph(text: str, style: str = "") -> str:
    """A text with its lines as they are, escaped."""
    return f'<p style="white-space: pre-wrap; margin: 0.3em 0; {style}">{escape(text)}</p>\n'
