"""A report as one HTML page that needs nothing beside it: pictures are embedded, and the user's text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; color: #1d2430; background: #f4f5f7;
  margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 2.5rem 3rem; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .9rem; border-top: 1px solid #dfe3e8; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.lead { font-size: 1.08rem; }
.warning { background: #fff4e0; border-left: 4px solid #d98200; padding: .5rem .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { text-align: left; padding: .28rem 1.4rem .28rem 0; border-bottom: 1px solid #e8ebef; vertical-align: top; }
td { overflow-wrap: anywhere; }
th { font-weight: 600; color: #4a5568; }
th[scope="row"], td.n, th.n { white-space: nowrap; }
td.n, th.n { text-align: right; }
img { width: 100%; height: auto; margin: .4rem 0; }
pre { background: #f4f5f7; padding: .8rem 1rem; overflow-x: auto; font-size: .88rem; line-height: 1.45; }
footer { margin-top: 2.5rem; color: #6b7480; font-size: .88rem; }
"""


def page(title: str, parts: Iterable[str], footer: str) -> str:
    """The whole page.

    Args:
        title, footer: plain text.
        parts: HTML, from the functions below.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + f"\n<footer>{escape(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; kind "lead" or "warning"."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def picture(path: Path, alt: str) -> str:
    """A PNG file, embedded."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">'


def table(rows: Iterable[Sequence[object]], header: Sequence[str] = (), words: int = 1) -> str:
    """Cells of plain text. With a header, columns after the first `words` are numbers; without, the first is a name."""

    def line(cells: Sequence[object], tag: str) -> str:
        kinds = [' class="n"' if k >= words else "" for k in range(len(cells))]
        made = (f"<{tag}{kind}>{escape(str(cell))}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(made)}</tr>"

    def named(cells: Sequence[object]) -> str:
        first, *rest = (escape(str(cell)) for cell in cells)
        return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'

    body = [line(cells, "td") if header else named(cells) for cells in rows]
    top = f"<thead>{line(header, 'th')}</thead>" if header else ""
    return f'<div class="scroll"><table>{top}<tbody>{"".join(body)}</tbody></table></div>'
