"""QR codes, drawn on the server as pictures in the page."""

import segno
from markupsafe import Markup, escape


def qr_code(content: str, label: str) -> Markup:
    """Return a QR code as SVG; `label` is its accessible name."""
    code = segno.make_qr(content, error="m")
    rows = [list(row) for row in code.matrix_iter(border=2)]
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark)
    size = len(rows)
    return Markup(
        '<svg viewBox="0 0 {0} {0}" role="img" aria-label="{1}" shape-rendering="crispEdges">'
        '<path fill="currentColor" d="{2}"/></svg>'
    ).format(size, escape(label), path)
