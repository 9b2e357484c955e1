"""Draws the benchmark's table as SVG bars, for the README."""

from collections.abc import Sequence
from html import escape

_ROW, _LEFT, _WIDTH, _TOP = 22, 360, 420, 46


def draw(rows: Sequence[tuple[str, float, float, float, float, float]]) -> str:
    """Draw a bar per row: authorizations a second, with the ratio to pgbench and the p99 beside it."""
    height = _TOP + _ROW * len(rows) + 16
    most = max(row[1] for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        '<text x="16" y="26" font-size="16" font-weight="bold">Authorizations a second (median; × pgbench; p99)</text>'
    ]
    for index, (name, rate, ratio, _, p99, _) in enumerate(rows):
        y = _TOP + index * _ROW
        length = max(1.0, _WIDTH * rate / most)
        colour = "#9aa5b1" if name.startswith("pgbench") else "#d64545" if name.startswith("usual") else "#0b7a75"
        tail = f"{rate:,.0f}/s · {ratio:.2f}×" + ("" if p99 != p99 else f" · p99 {p99:.1f} ms")  # noqa: PLR0124 - NaN
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y + 3}" width="{length:.0f}" height="14" fill="{colour}"/>'
            f'<text x="{_LEFT + length + 8:.0f}" y="{y + 14}">{escape(tail)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])
