"""Every preprocessor by its name: what nodes, the generic node and the command line offer."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    binary,
    blur,
    canny,
    inpaint,
    invert,
    labels,
    lineart_standard,
    normal,
    palette,
    recolor,
    scribble,
    shuffle,
    tile,
)
from .learned import (
    anyline,
    depth,
    hed,
    lineart,
    lineart_anime,
    mlsd,
    normal_bae,
    openpose,
    pidinet,
    segment,
    teed,
    vitpose,
)
from .mediapipe import face_mesh, pose_body
from .pose import draw
from .spec import Preprocessor

EXACT = (
    canny.CANNY,
    scribble.SCRIBBLE,
    scribble.XDOG_SCRIBBLE,
    lineart_standard.LINEART_STANDARD,
    binary.BINARY,
    invert.INVERT,
    recolor.RECOLOR_LUMINANCE,
    recolor.RECOLOR_INTENSITY,
    tile.TILE,
    blur.BLUR,
    shuffle.SHUFFLE,
    palette.COLOR_PALETTE,
    inpaint.INPAINT,
    inpaint.INPAINT_BLACK,
    labels.SEGMENTATION_LABELS,
    normal.NORMAL_FROM_DEPTH,
    draw.POSE,
)
"""Those that need no weights."""

SHIPPED = (pose_body.POSE_BODY, face_mesh.MEDIAPIPE_FACE)
"""Networks whose weights ship with the pack."""

LEARNED = (
    depth.DEPTH,
    segment.SEGMENT,
    vitpose.VITPOSE,
    openpose.OPENPOSE,
    normal_bae.NORMAL_BAE,
    hed.HED,
    hed.HED_SCRIBBLE,
    pidinet.PIDINET,
    pidinet.PIDINET_SCRIBBLE,
    mlsd.MLSD,
    lineart.LINEART,
    lineart_anime.LINEART_ANIME,
    teed.TEED,
    anyline.ANYLINE,
)
"""Networks, with weights to be fetched."""

PREPROCESSORS: Mapping[str, Preprocessor] = {
    entry.name: entry for entry in (*EXACT, *SHIPPED, *LEARNED)
}
