"""A report as one HTML page that needs nothing beside it: pictures are embedded, and the user's text is escaped.

It is light or dark as the reader's device is, is read on a phone with panels below each other, and prints.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from bayes_rpp.own_data.tables import Columns

PHONE = "(max-width: 42rem)"
UPRIGHT, REM_PER_INCH = 4.4, 6.2  # the width of a figure for phones in inches, and how large others are shown
# Pictures are drawn on white: multiplied with the page where that is light, and where it is dark turned to black, the
# hues kept, and added to it.
STYLE = """
:root { color-scheme: light dark; --page: #f3f5f8; --card: #fff; --text: #1b2330; --soft: #5a6675; --line: #dfe4ea;
  --mark: #1767a8; --doubt: #fff4e0; --edge: #d98200; }
img { display: block; width: 100%; height: auto; margin: .8rem 0; mix-blend-mode: multiply; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0e1217; --card: #161b22; --text: #e3e8ee; --soft: #a0acb9; --line: #2c343e; --mark: #6cb6f0;
    --doubt: #33270f; --edge: #d99a2b; }
  img { filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; }
  img.map { filter: none; mix-blend-mode: normal; border-radius: 8px; }
}
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; color: var(--text);
  background: var(--page); margin: 0; -webkit-text-size-adjust: 100%; }
main { max-width: 60rem; margin: 1.5rem auto; padding: 2rem 2.5rem; background: var(--card); border-radius: 10px;
  border: 1px solid var(--line); }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; padding-top: 1.1rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 48rem; overflow-wrap: anywhere; }
.lead { font-size: 1.08rem; }
.note { color: var(--soft); font-size: .92rem; }
.warning { background: var(--doubt); border-left: 4px solid var(--edge); padding: .5rem .9rem; max-width: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.3rem 0 0; }
.tiles div { border: 1px solid var(--line); border-radius: 8px; padding: .6rem .9rem; }
.tiles dt { color: var(--soft); font-size: .88rem; line-height: 1.35; overflow-wrap: anywhere; }
.tiles dd { margin: 0; font-size: 1.45rem; font-weight: 600; color: var(--mark); overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { text-align: left; padding: .3rem 1.4rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
th[scope="row"] { white-space: nowrap; vertical-align: top; }
td.n, th.n { text-align: right; }
td.n { white-space: nowrap; }
td:not(.n) { overflow-wrap: break-word; max-width: 34rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 1.2rem; }
pre { background: var(--page); border-radius: 8px; padding: .8rem 1rem; font-size: .85rem; line-height: 1.5;
  white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .88rem; }
@media (max-width: 42rem) {
  main { margin: 0; padding: 1.2rem 1.1rem 2rem; border: 0; border-radius: 0; }
  h1 { font-size: 1.4rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  th, td { padding-right: .8rem; }
  td:not(.n) { max-width: 9rem; }
  .named, .named tbody, .named tr, .named th, .named td { display: block; border: 0; padding: 0; max-width: none; }
  .named { width: 100%; }
  .named tr { padding: .35rem 0; border-bottom: 1px solid var(--line); }
  .named th { font-size: .88rem; }
  .named td { overflow-wrap: anywhere; }
}
@media print { body { background: none; } main { border: 0; margin: 0; padding: 0; max-width: none; }
  h2, img, tr, .tiles { break-inside: avoid; } h2 { break-after: avoid; } }
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


def symmetry_page(columns: Columns, file: Path, parts: Sequence[str], again: str, by: str) -> str:
    """A page about the symmetry of a table, which ends with what that is and the command `again`; `by`: what made it,
    and where the numbers are, as plain text."""
    import bayes_rpp

    targets = ", ".join(columns.outputs)
    rows = [("file", file.name), ("rows", len(columns.x)), ("inputs", ", ".join(columns.inputs)), ("targets", targets)]
    ends = [table(rows), heading("To make it again"), again]
    title = f"Which symmetry has {targets}? From {file.name}"
    return page(title, [*parts, *ends], f"Made by bayes-rpp {bayes_rpp.__version__}: {by}")


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; kind "lead", "note" or "warning"."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def command(name: str, file: Any, options: Mapping[str, Any]) -> str:
    """The line of a shell that makes the page again; options that are None are left out, lists are
    repeated, and False is "--no-..."."""
    lines = [shlex.join(["bayes-rpp", name, str(file)])]
    for option, value in options.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            words = [f"--{'no-' if each is False else ''}{option.replace('_', '-')}"]
            words += [] if isinstance(each, bool) else [str(each)]
            lines += [] if each is None else [shlex.join(words)]
    return code(" \\\n    ".join(lines))


def tiles(numbers: Iterable[tuple[str, str]]) -> str:
    """What one looks for first: (name, value) each."""
    each = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in numbers)
    return f'<dl class="tiles">{"".join(each)}</dl>'


def png(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()


def pair(pictures: Iterable[str]) -> str:
    """Side by side, as far as there is room."""
    return f'<div class="pair">{"".join(pictures)}</div>'


def picture(figure: Figure, alt: str, *, is_map: bool = False) -> str:
    """A figure, embedded: as it is, and for phones with its panels below each other, as which it is left. The colors
    of a map mean something, and stay as they are where the page is dark."""
    wide, width = png(figure), figure.get_figwidth()
    _stand(figure)
    source = f'<source media="{PHONE}" srcset="{_data(png(figure))}">'
    kind = ' class="map"' if is_map else ""
    style = f' style="max-width: {REM_PER_INCH * width:.0f}rem"'
    return f'<picture>{source}<img src="{_data(wide)}"{kind}{style} alt="{escape(alt)}"></picture>'


def _data(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"


def _stand(figure: Figure) -> None:
    panels = [ax for ax in figure.axes if ax.get_subplotspec() is not None]
    grid = figure.add_gridspec(len(panels), 1)
    for k, ax in enumerate(panels):
        ax.set_subplotspec(grid[k])
        if len(panels) > 1:
            ax.tick_params(labelleft=True)  # which panels side by side may share
    each = max(figure.get_figheight() * UPRIGHT / 4.8, 2.4) if len(panels) > 1 else 3.4
    figure.set_layout_engine("constrained", h_pad=0.1)
    figure.set_size_inches(UPRIGHT, each * len(panels))


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
    kind = "" if header else ' class="named"'
    return f'<div class="scroll"><table{kind}>{top}<tbody>{"".join(body)}</tbody></table></div>'
