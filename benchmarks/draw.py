"""Draw the benchmarks' tables as SVG, bars and curves, for the README."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

_ROW, _LEFT, _WIDTH, _TOP = 22, 360, 420, 46


def draw(
    rows: Sequence[tuple[str, float, float, float, float, float]],
    *,
    title: str = "Authorizations a second (median; × pgbench; p99)",
    plain: tuple[str, str] = ("pgbench", "usual"),
) -> str:
    """Draw a bar for each row: the rate a second, with the ratio to what it is compared with and the p99 beside it.

    Values that are not numbers are left out. `plain` has the beginnings of names of comparisons, and of beginners'
    code.
    """
    low, usual = plain
    height = _TOP + _ROW * len(rows) + 16
    most = max(row[1] for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>'
    ]
    for index, (name, rate, ratio, _, p99, _) in enumerate(rows):
        y = _TOP + index * _ROW
        length = max(1.0, _WIDTH * rate / most)
        colour = "#9aa5b1" if name.startswith(low) else "#d64545" if name.startswith(usual) else "#0b7a75"
        tail = f"{rate:,.0f}/s" + _if_number(ratio, " · {:.2f}×") + _if_number(p99, " · p99 {:.1f} ms")
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y + 3}" width="{length:.0f}" height="14" fill="{colour}"/>'
            f'<text x="{_LEFT + length + 8:.0f}" y="{y + 14}">{escape(tail)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _if_number(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)


_SERIES = (
    ("authorizer", "#0b7a75"),
    ("statement", "#d64545"),
    ("balance at an instant", "#3d5a98"),
    ("followers' look", "#b7791f"),
    ("reconcile", "#6b46c1"),
    ("reconcile, new", "#a78bfa"),
    ("verify", "#2d3748"),
    ("verify, new", "#9aa5b1"),
)
_PLOT_X, _PLOT_Y, _PLOT_WIDTH, _PLOT_HEIGHT = 90, 50, 740, 420
_LEAST_MS, _MOST_MS = 1.0, 1_000_000.0


class Size(NamedTuple):
    """The measurements at a size: latencies (p50, p99) and a look in ms, checks in seconds by their names."""

    accounts: int
    postings: int
    state: str
    latencies: Sequence[tuple[float, float]]
    look: float
    checks: Mapping[str, float]


def draw_scale(rows: Sequence[Size]) -> str:
    """Draw what was measured over sizes, in ms on a log scale."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="1040" height="530" font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="#fff"/>'
        '<text x="16" y="26" font-size="16" font-weight="bold">Milliseconds by size (p50 solid, p99 dashed)</text>'
    ]
    for tick in (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000):
        y = _height_of(tick)
        parts.append(
            f'<line x1="{_PLOT_X}" x2="{_PLOT_X + _PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d8dee4"/>'
            f'<text x="{_PLOT_X - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,}</text>'
        )
    places = [_PLOT_X + _PLOT_WIDTH * (index + 0.5) / len(rows) for index in range(len(rows))]
    for place, row in zip(places, rows, strict=True):
        for line, text in enumerate((f"{row.postings:,} postings", f"{row.accounts:,} accounts")):
            y = _PLOT_Y + _PLOT_HEIGHT + 22 + line * 16
            parts.append(f'<text x="{place:.1f}" y="{y}" text-anchor="middle">{text}</text>')
    for index, (name, colour) in enumerate(_SERIES):
        for which, dash in ((0, ""), (1, ' stroke-dasharray="5 4"')):
            values = [(place, _value(row, index, which)) for place, row in zip(places, rows, strict=True)]
            points = [(place, _height_of(value)) for place, value in values if value is not None]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = _PLOT_Y + 30 + index * _ROW
        parts.append(
            f'<rect x="860" y="{y - 9}" width="18" height="4" fill="{colour}"/><text x="886" y="{y}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _value(row: Size, series: int, which: int) -> float | None:
    """Return a series' p50 or p99 at a size, in ms; None if it was not measured, or has no p99."""
    if series < len(row.latencies):
        return row.latencies[series][which]
    if which:
        return None
    name = _SERIES[series][0]
    if name == "followers' look":
        return row.look
    return row.checks[name] * 1_000 if name in row.checks else None


def _height_of(milliseconds: float) -> float:
    share = math.log(max(milliseconds, _LEAST_MS) / _LEAST_MS) / math.log(_MOST_MS / _LEAST_MS)
    return _PLOT_Y + _PLOT_HEIGHT * (1 - share)
