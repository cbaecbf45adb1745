"""Pages of HTML that are one file: pictures, style and script inside, nothing fetched."""

from __future__ import annotations

import base64
import math
from io import BytesIO
from pathlib import Path

from PIL import Image

from ..ground.ours import SOFTWARE
from ..ground.wording import one_line
from ..preprocessors.spec import Hint
from .pictures import as_bytes

PAGES = Path(__file__).parent / "pages"
THUMBNAIL = 320
"""Pixels of the longer side of a picture on a page of many."""
QUALITY = 82
"""WebP's, of 100: edges of one pixel stay clean."""


def render(page: str, **values: object) -> bytes:
    """The page `page` of the folder `pages/` with `values` in it, each escaped, in UTF-8."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Plain texts alone: what is marked as HTML is ours.
        finalize=lambda value: one_line(value) if type(value) is str else value,
    )
    environment.filters["number"] = number
    return environment.get_template(page).render(**values, software=SOFTWARE).encode()


def number(value: float) -> str:
    """A figure with as many digits as a reader needs; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def webp(hint: Hint, longest: int = THUMBNAIL, quality: int = QUALITY) -> bytes:
    """A picture (H x W x 3, bytes, or floats in 0..1) as WebP without any metadata, made smaller
    where a side is over `longest` pixels.
    """
    picture = Image.fromarray(as_bytes(hint))
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    stream = BytesIO()
    picture.save(stream, "WEBP", quality=quality)
    return stream.getvalue()


def data_uri(picture: bytes) -> str:
    """A WebP picture as an address that holds it."""
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
