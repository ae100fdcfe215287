"""QR codes as SVG paths, with the quiet zone that scanners ask for (ISO/IEC 18004)."""

import segno

QUIET = 4  # Modules around it.


def qr_svg(text: str, *, error: str = "m") -> str:
    """Return a code as an SVG image without a size of its own; `error`: l, m, q or h, how much may be lost.

    Raises:
        ValueError: The text is too long for a code.
    """
    code = segno.make_qr(text, error=error, boost_error=False)
    parts = []
    for row, modules in enumerate(code.matrix):
        column = 0
        while column < len(modules):
            begin = column
            while column < len(modules) and modules[column]:
                column += 1
            if column > begin:
                parts.append(f"M{begin + QUIET} {row + QUIET}h{column - begin}v1H{begin + QUIET}z")
            column += 1
    size = len(code.matrix) + 2 * QUIET
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" shape-rendering="crispEdges">'
        f'<rect width="{size}" height="{size}" fill="#fff"/><path d="{"".join(parts)}"/></svg>'
    )
