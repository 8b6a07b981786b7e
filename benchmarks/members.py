"""Members trained together against one after another (NumPyro), over widths and numbers of members."""

from __future__ import annotations

from benchmarks.rows import Row, Training, inertia, medians

MOST_ALONE = 8  # members that are really trained one after another; more are counted in proportion


def members(quick: bool = False) -> list[Row]:
    """Bilinear networks of 3 layers. The first rows: ten members against one, at width 64."""
    rows = [] if quick else _ten_at_64()
    for width in (16,) if quick else (16, 64, 384):
        net = inertia(channels=width, layers=1 if quick else 3)
        alone = Training(net)
        for count in (1, 2) if quick else (4, 10, 64):
            together, few = Training(net, members=count), min(count, MOST_ALONE)

            def in_a_row(alone: Training = alone, few: int = few) -> None:
                for _ in range(few):
                    alone()

            a, b = medians([together, in_a_row], 2 if quick or count * width > 4000 else 7)
            b *= count / few
            figures = {"together, ms a step": a * 200, "in a row, ms": b * 200}
            name = f"{count} members of width {width}: together / one after another"
            # Where members run in a row within one program, both are the same computation; above 1 is noise.
            rows.append(Row(name, a / b, 1.1, figures=figures))
    return rows


def _ten_at_64() -> list[Row]:
    net = inertia(channels=64)
    ten, one = medians([Training(net, members=10), Training(net)], 15)
    figures = {"ten, ms a step": ten * 200, "one, ms": one * 200}
    return [Row("ten members / one, width 64", ten / one, 3, figures=figures)]
