"""`controlstack hint canny|pose|depth IN OUT`: one hint picture from one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .outcome import DebugOption, reported

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

hint_app = typer.Typer(help="Make a hint picture from a file.", no_args_is_help=True)

Source: TypeAlias = Annotated[Path, typer.Argument(metavar="IN", help="The file to read.")]
Target: TypeAlias = Annotated[Path, typer.Argument(metavar="OUT", help="The PNG to write.")]
Side: TypeAlias = Annotated[int | None, typer.Option(help="Pixels. Without it, the canvas's.")]


@hint_app.command("canny")
def canny_command(
    source: Source,
    target: Target,
    low: Annotated[float, typer.Option(help="An edge goes on above this gradient.")] = 100,
    high: Annotated[float, typer.Option(help="An edge starts above this gradient.")] = 200,
    debug: DebugOption = False,
) -> None:
    """White edges on black, from a picture."""
    with reported(debug):
        from ..preprocessors.canny import canny

        _save(canny(_read(source), low, high), target)


@hint_app.command("pose")
def pose_command(
    source: Source,
    target: Target,
    width: Side = None,
    height: Side = None,
    debug: DebugOption = False,
) -> None:
    """The standard skeleton, from OpenPose JSON."""
    with reported(debug):
        from ..preprocessors.pose.draw import draw_pose
        from ..preprocessors.pose.people import parse_poses

        pose = parse_poses(_text(source))[0]
        canvas = pose.canvas or (512, 512)
        _save(draw_pose(pose, width or int(canvas[0]), height or int(canvas[1])), target)


@hint_app.command("depth")
def depth_command(
    source: Source,
    target: Target,
    model: Annotated[Path, typer.Option(help="Folder of a transformers depth model.")],
    debug: DebugOption = False,
) -> None:
    """Near is white, from a picture, by a depth model of yours."""
    with reported(debug):
        import torch

        from ..preprocessors.learned.depth import load_depth

        near = load_depth([model])(_read(source), torch.device("cpu"))  # (H, W, 3) in 0..1
        _save((near * 255).round().astype("uint8"), target)


def _text(path: Path) -> str:
    from ..errors import UserError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text, so no OpenPose JSON; give a JSON file") from None


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """The (first) picture in `path`: uint8 RGB, H x W x 3."""
    from ..headless.pictures import read_image

    image, _ = read_image(path)
    picture: npt.NDArray[np.uint8] = (image[0] * 255).round().byte().numpy()
    return picture


def _save(picture: npt.NDArray[np.uint8], target: Path) -> None:
    from io import BytesIO

    from PIL import Image

    from ..headless.folders import write_atomic

    png = BytesIO()
    Image.fromarray(picture).save(png, "PNG")
    write_atomic(target, png.getvalue())
    typer.echo(target)
