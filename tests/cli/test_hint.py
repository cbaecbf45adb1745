"""`controlstack hint NAME IN...`: settings, sizes, every kind of source, and what is written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from controlstack.preprocessors.pose.draw import draw_pose
from controlstack.preprocessors.registry import PREPROCESSORS
from tests.cli.prompts import WORKFLOWS, Run

SCENE = WORKFLOWS / "input" / "controlstack_scene.png"
STANDING = {
    "canvas_width": 64,
    "canvas_height": 48,
    "people": [{"pose_keypoints_2d": [value for i in range(18) for value in (3 * i, 2 * i, 1)]}],
}


LOW = ("--set", "low_threshold=50")


def pixels(path: Path | str) -> Any:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_a_hint_has_its_settings_and_its_name(run: Run) -> None:
    result = run("hint", "canny", SCENE, *LOW, "--set", "high_threshold=90")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "output/controlstack_scene_canny.png\n"
    with Image.open(SCENE) as scene:
        edges = cv2.Canny(np.asarray(scene.convert("RGB")), 50, 90)
    assert np.array_equal(pixels(result.stdout.strip()), np.dstack([edges] * 3))


def test_the_former_spelling_is_the_same_and_a_note_names_the_new_one(run: Run) -> None:
    wanted = pixels(run("hint", "canny", SCENE, *LOW).stdout.strip())
    former = run("hint", "canny", SCENE, "--low-threshold", 50, "--out", "former")
    assert (former.exit_code, former.stderr) == (
        0,
        "Note: --low-threshold will go after the next version: write --set low_threshold=50, as in "
        "every command.\n",
    )
    assert np.array_equal(pixels(former.stdout.strip()), wanted)
    both = run("hint", "hed", SCENE, "--safe", "--set", "low=5", "--models", "none")
    assert (both.exit_code, "write --set safe=True, as" in both.stderr) == (2, True)
    assert "hed has no setting low; it has safe" in both.stderr


def test_dashes_are_underscores(run: Run) -> None:
    assert run("hint", "color-palette", SCENE, "--out", "here").stdout == (
        "here/controlstack_scene_color_palette.png\n"
    )


def test_a_name_of_another_pack_is_taken_and_said_once(run: Run, folder: Path) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(SCENE, folder / name)
    result = run("hint", "TilePreprocessor", "a.png", "b.png")
    assert (result.exit_code, result.stderr) == (
        0,
        "Note: TilePreprocessor is tile with down_sampling_rate=8.0 here: for pyrUp_iters=3, whose "
        "doublings move the picture up and left there.\n",
    )
    assert result.stdout.split() == ["output/a_tile.png", "output/b_tile.png"]
    rate = ("--set", "down_sampling_rate")
    own = run("hint", "tile", SCENE, "--out", "own", rate[0], f"{rate[1]}=8").stdout.strip()
    assert np.array_equal(pixels("output/a_tile.png"), pixels(own))
    asked = ("hint", "Tile", SCENE, "--out", "other", rate[0], f"{rate[1]}=2")
    assert not np.array_equal(pixels(run(*asked).stdout.strip()), pixels(own))
    plain = run("hint", "tile_resample", SCENE, "--out", "plain")
    assert plain.stderr == "Note: tile_resample is tile here.\n"
    with Image.open(SCENE) as scene:
        assert np.array_equal(pixels(plain.stdout.strip()), np.asarray(scene.convert("RGB")))


def test_a_name_of_another_pack_chooses_the_model(run: Run, folder: Path) -> None:
    result = run("hint", "depth_midas", SCENE, "--models", "none")
    assert result.exit_code == 2
    assert "dpt-hybrid-midas" in result.stderr
    assert "Depth-Anything" not in result.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PyraCannyPreprocessor", "Error: PyraCannyPreprocessor has no equal here: "),
        ("depth_leres++", "its network is another; the nearest is depth.\n"),
        ("none", "Error: none has no equal here: the picture itself is the hint.\n"),
    ],
)
@pytest.mark.parametrize("more", [("x.png",), ("--help",), ()])
def test_a_name_without_an_equal_is_one_sentence(
    run: Run, name: str, said: str, more: tuple[str, ...]
) -> None:
    result = run("hint", name, *more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_help_says_whose_names_are_taken(run: Run) -> None:
    said = " ".join(run("hint", "--help").stdout.split())
    assert "comfyui_controlnet_aux and sd-webui-controlnet" in said
    own = " ".join(run("hint", "HEDPreprocessor", "--help").stdout.split())
    assert "HEDPreprocessor is hed with safe=true here: its safe steps are on" in own
    assert "Default: true." in own


def test_a_choice_is_one_of_its_words(run: Run, folder: Path) -> None:
    (folder / "pose.json").write_text(json.dumps(STANDING))
    asked = ("hint", "pose", "pose.json", "--set")
    assert run(*asked, "style=v1.0", "--set", "face=no").exit_code == 0
    assert np.array_equal(
        pixels("output/pose_pose.png"), draw_pose(STANDING, 64, 48, style="v1.0", face=False)
    )
    wrong = run(*asked, "style=v2")
    assert wrong.exit_code == 2
    assert "v1.0" in wrong.stderr


@pytest.mark.parametrize("name", PREPROCESSORS)
def test_the_help_says_what_the_entry_says(run: Run, name: str) -> None:
    entry = PREPROCESSORS[name]
    result = run("hint", name, "--help")
    said = "".join(c for c in result.stdout if c not in "│╭╮╰╯─").split()
    assert result.exit_code == 0
    assert " ".join(entry.description.split()) in " ".join(said)
    for parameter in entry.parameters:
        assert f"{parameter.name}: {' '.join(parameter.tooltip.split())}" in " ".join(said)
        assert str(parameter.default) in result.stdout or isinstance(parameter.default, bool)
    for model in entry.learning.models if entry.learning is not None else ():
        assert model.repo in result.stdout.replace("\n", "")
        assert ("not for commercial use" in " ".join(said)) or model.commercial


def test_the_list_has_a_line_of_every_preprocessor(run: Run) -> None:
    listed = run("hint", "--help").stdout
    exact, learned = listed.split("With weights")
    for name, entry in PREPROCESSORS.items():
        assert f" {name} " in (learned if entry.downloads else exact)


def test_no_setting_hides_a_common_option() -> None:
    common = {"inputs", "out", "size", "fit", "mask", "json", "deep", "model", "models", "download"}
    common |= {"resolution", "overwrite", "debug", "help", "set", "settings"}
    for entry in PREPROCESSORS.values():
        assert not common & {parameter.name for parameter in entry.parameters}, entry.name


def test_the_help_of_hint_imports_no_torch_and_no_opencv() -> None:
    script = (
        "import sys\n"
        "from controlstack.cli.main import main\n"
        "sys.argv = ['controlstack', 'hint', 'canny', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'PIL', 'cv2', 'transformers', 'controlnet_aux'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_an_exact_hint_imports_no_torch(folder: Path) -> None:
    script = (
        "import sys\n"
        "from controlstack.cli.app import app\n"
        f"app(['hint', 'canny', {str(SCENE)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
    assert (folder / "output" / "controlstack_scene_canny.png").is_file()


@pytest.mark.parametrize(
    ("fit", "left", "right"), [("fill", 100, 150), ("fit", 0, 0), ("stretch", 50, 200)]
)
def test_size_and_fit(run: Run, folder: Path, fit: str, left: int, right: int) -> None:
    """A ramp along the picture's width shows which part of it fills the hint's width."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    Image.fromarray(ramp).save(folder / "ramp.png")
    assert run("hint", "tile", "ramp.png", "--size", "64x64", "--fit", fit).exit_code == 0
    hint = pixels("output/ramp_tile.png")
    assert hint.shape == (64, 64, 3)
    row = hint[0 if fit == "fit" else 32, :, 0]
    assert abs(int(row[13]) - left) <= 12
    assert abs(int(row[50]) - right) <= 12


def test_frames_of_a_pose_are_numbered(run: Run, folder: Path) -> None:
    (folder / "walk.json").write_text(json.dumps([STANDING, {**STANDING, "people": []}]))
    result = run("hint", "pose", "walk.json", "--size", "128x96")
    assert result.stdout.split() == ["output/walk_pose_0001.png", "output/walk_pose_0002.png"]
    assert np.array_equal(pixels("output/walk_pose_0001.png"), draw_pose(STANDING, 128, 96))
    assert not pixels("output/walk_pose_0002.png").any()
    assert result.stderr == "Note: nobody in walk.json; output/walk_pose_0002.png is black.\n"


def test_unsure_points_of_a_pose_are_left_out_when_asked(run: Run, folder: Path) -> None:
    unsure = json.loads(json.dumps(STANDING))
    unsure["people"][0]["pose_keypoints_2d"][2::3] = [0.2, 0.8] * 9
    (folder / "pose.json").write_text(json.dumps(unsure))
    asked = ("hint", "pose", "pose.json", "--set", "confidence_threshold=0.3")
    assert run(*asked).exit_code == 0
    wanted = draw_pose(unsure, 64, 48, confidence_threshold=0.3)
    assert np.array_equal(pixels("output/pose_pose.png"), wanted)
    assert not np.array_equal(wanted, draw_pose(STANDING, 64, 48))


def test_a_pose_without_a_canvas_is_512_pixels(run: Run, folder: Path) -> None:
    (folder / "pose.json").write_text(json.dumps({"people": STANDING["people"]}), "utf-8-sig")
    assert run("hint", "pose", "pose.json").exit_code == 0
    assert pixels("output/pose_pose.png").shape == (512, 512, 3)


def test_a_pose_fits_its_hint_as_a_picture_does(run: Run, folder: Path) -> None:
    (folder / "pose.json").write_text(json.dumps(STANDING))
    asked = ("hint", "pose", "pose.json", "--size", "64x96", "--fit", "fit")
    hint = pixels(run(*asked).stdout.strip())
    assert hint[24:72].any()
    assert not hint[:20].any()
    assert not hint[76:].any()


def masked_picture(folder: Path) -> Any:
    """A picture of noise whose left quarter is transparent; its colours."""
    colours = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    alpha = np.full((8, 16), 255, np.uint8)
    alpha[:, :4] = 0
    Image.fromarray(np.dstack((colours, alpha))).save(folder / "cut.png")
    Image.fromarray(colours).save(folder / "whole.png")
    Image.fromarray(255 - alpha).save(folder / "mask.png")
    return colours


@pytest.mark.parametrize("asked", [("cut.png",), ("whole.png", "--mask", "mask.png")])
def test_an_inpaint_hint_is_a_masked_picture_again(
    run: Run, folder: Path, asked: tuple[str, ...]
) -> None:
    colours = masked_picture(folder)
    first = run("hint", "inpaint", *asked).stdout.strip()
    hint = pixels(first)
    assert np.array_equal(hint[:, 4:, :3], colours[:, 4:])
    assert np.array_equal(hint[..., 3], np.where(np.arange(16) < 4, 0, 255)[None].repeat(8, 0))
    second = run("hint", "inpaint", first, "--out", "again").stdout.strip()
    assert np.array_equal(pixels(second), hint)


def test_bars_of_an_inpaint_hint_are_masked_too(run: Run, folder: Path) -> None:
    masked_picture(folder)
    asked = ("whole.png", "--mask", "mask.png", "--size", "16x16", "--fit", "fit")
    hint = pixels(run("hint", "inpaint", *asked).stdout.strip())
    assert hint[:4, :, 3].max() == hint[12:, :, 3].max() == 0
    assert hint[4:12, 4:, 3].min() == 255


def test_a_black_inpaint_hint_is_an_ordinary_picture(run: Run, folder: Path) -> None:
    colours = masked_picture(folder)
    colours[:, :4] = 0
    assert np.array_equal(pixels(run("hint", "inpaint_black", "cut.png").stdout.strip()), colours)


def test_label_maps_are_coloured_by_their_numbers(run: Run, folder: Path) -> None:
    """Wall (0) is (120, 120, 120) and building (1) (180, 120, 120) in ADE20K's palette."""
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([9, 9, 9, 200, 30, 60])
    palette.save(folder / "labels.png")
    result = run("hint", "seg_labels", "labels.png", "--size", "4x4")
    assert result.exit_code == 0, result.stderr
    wall, building = (120, 120, 120), (180, 120, 120)
    hint = pixels(result.stdout.strip())
    assert np.array_equal(hint[::2, ::2], [[wall, building], [building, wall]])
    assert {tuple(pixel) for pixel in hint.reshape(-1, 3)} == {wall, building}


def test_normals_of_a_deep_depth_have_no_steps(run: Run, folder: Path) -> None:
    """One slope: in 8 bits it is two levels with an edge between them, in 16 the same all over."""
    slope = np.arange(40_000, 40_256, 4, dtype=np.uint16)[None].repeat(64, axis=0)
    Image.fromarray(slope).save(folder / "deep.png")
    Image.fromarray((slope >> 8).astype(np.uint8)).save(folder / "flat.png")
    result = run("hint", "normal_from_depth", "deep.png", "flat.png", "--set", "a=0.1")
    assert result.exit_code == 0, result.stderr
    deep, flat = (pixels(name)[8:-8, 8:-8].astype(int) for name in result.stdout.split())
    assert np.ptp(deep, axis=(0, 1)).max() <= 2
    assert np.ptp(flat, axis=(0, 1)).max() >= 4
