"""Pieces of SVG: elements with escaped attributes and text, and numbers no longer than a picture needs."""

from html import escape

FONTS = (
    "'Noto Sans CJK SC','Source Han Sans SC','WenQuanYi Micro Hei','PingFang SC','Microsoft YaHei',sans-serif"
)
INK, FAINT, LINE = "#1d2733", "#66717f", "#c9d0d8"
BREACH, WARN, GAP, CURVE = "#b3261e", "#f0b429", "#8b95a1", "#14507a"
# Of holders, in their order: told apart without colour vision too, by lightness.
HOLDERS = ("#2f6f9f", "#8fc1e3", "#41506a", "#a9b7c9", "#1f8a70", "#9fd8c6")


def number(value: float) -> str:
    """Return a coordinate with a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """Return an element; `_` in a name stands for `-`, content is SVG already."""
    pairs = (
        f' {key.replace("_", "-")}="{escape(number(value) if isinstance(value, float) else str(value))}"'
        for key, value in attributes.items()
    )
    head = f"<{name}{''.join(pairs)}"
    return f"{head}>{content}</{name}>" if content else f"{head}/>"


def words(text: str, x: float, y: float, /, **attributes: object) -> str:
    """Return a line of text."""
    return element("text", escape(text), x=x, y=y, **{"fill": INK, **attributes})


def picture(width: float, height: float, content: str, title: str) -> str:
    """Return a whole image, named for those who do not see it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'role="img" font-family="{FONTS}" font-size="11"><title>{escape(title)}</title>{content}</svg>'
    )
