"""What our pages of pictures have in common: paper, ink, and the fonts that Pillow brings."""

from __future__ import annotations

from PIL import ImageFont

PAPER, INK, FAINT = (250, 249, 246), (32, 34, 38), (120, 122, 128)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, `size` pixels high."""
    return ImageFont.load_default(size)


def wrapped(text: str, width: int, size: int, lines: int) -> list[str]:
    """`text` in at most so many `lines` of `width` pixels; what is left out becomes "…"."""
    rows: list[str] = []
    words = text.split()
    while words and len(rows) < lines:
        row = words.pop(0)
        while words and _fits(f"{row} {words[0]}", width, size):
            row += f" {words.pop(0)}"
        rows.append(row)
    if words:
        rows[-1] += " …"
    return [_cut(row, width, size) for row in rows]


def _cut(row: str, width: int, size: int) -> str:
    bare = row.removesuffix(" …")
    while bare and not _fits(row, width, size):
        bare = bare[:-1]
        row = f"{bare.rstrip(' ,;:(')} …"
    return row


def _fits(text: str, width: int, size: int) -> bool:
    return font(size).getlength(text) <= width
