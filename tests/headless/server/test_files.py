"""Files that are looked at, brought and kept: their forms, and that none is reached outside."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
import uuid
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.comfyui.server import Answer
from tests.own_server import OwnServer

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def png(colour: tuple[int, ...] = (10, 20, 30, 255), size: tuple[int, int] = (20, 10)) -> bytes:
    """A small picture."""
    stream = io.BytesIO()
    Image.new("RGBA", size, colour).save(stream, format="PNG")
    return stream.getvalue()


def upload(
    own: OwnServer, name: str, data: bytes, to: str = "/upload/image", **fields: str
) -> Answer:
    """What the server says to a form with a file."""
    edge = uuid.uuid4().hex
    lines = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    body = b"".join([*lines, head.encode(), data, f"\r\n--{edge}--\r\n".encode()])
    kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    return asked(own, "POST", to, body, kind)[0]


def asked(
    own: OwnServer, method: str, path: str, body: bytes | None = None, headers: Any = None
) -> tuple[Answer, dict[str, str]]:
    """An answer and its headers; the path is sent as it is."""
    connection = HTTPConnection("127.0.0.1", own.port, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = {key.lower(): value for key, value in answer.getheaders()}
    data = answer.read()
    connection.close()
    return Answer(answer.status, data, found.get("content-type", "")), found


def picture(answer: Answer) -> Image.Image:
    """The picture that was answered."""
    assert answer.status == 200, answer.body
    return Image.open(io.BytesIO(answer.body))


def test_a_picture_is_brought_and_seen_in_every_form(own: OwnServer) -> None:
    name = f"{uuid.uuid4().hex}.png"
    told = upload(own, name, png((10, 20, 30, 40)), subfolder="some").json
    assert told == {"name": name, "subfolder": "some", "type": "input"}
    where = f"/view?filename={name}&subfolder=some&type=input"

    assert own.get(where).body == png((10, 20, 30, 40))
    assert own.get(f"/api/view?filename=some/{name} [input]").body == png((10, 20, 30, 40))
    small = own.get(f"{where}&preview=webp;50")
    assert small.kind == "image/webp"
    assert picture(small).size == (20, 10)
    assert own.get(f"{where}&preview=jpeg;50").kind == "image/jpeg"
    assert picture(own.get(f"{where}&channel=rgb")).getpixel((0, 0)) == (10, 20, 30)
    alpha = picture(own.get(f"{where}&channel=a"))
    assert alpha.mode == "RGBA"
    assert alpha.getpixel((0, 0))[3] == 40  # type: ignore[index]
    assert own.get(f"/view?filename={name}&type=output").status == 404


def test_the_same_file_keeps_its_name_and_another_gets_a_number(own: OwnServer) -> None:
    stem = uuid.uuid4().hex
    names = [
        upload(own, f"{stem}.png", data, **more).json["name"]
        for data, more in (
            (png(), {}),
            (png(), {}),
            (png((1, 2, 3, 255)), {}),
            (png((1, 1, 1, 255)), {"overwrite": "true"}),
        )
    ]
    assert names == [f"{stem}.png", f"{stem}.png", f"{stem} (1).png", f"{stem}.png"]
    assert own.get(f"/view?filename={stem}.png&type=input").body == png((1, 1, 1, 255))


def test_a_mask_is_put_on_its_picture(own: OwnServer) -> None:
    stem = uuid.uuid4().hex
    upload(own, f"{stem}.png", png((50, 60, 70, 255)))
    told = {"filename": f"{stem}.png", "subfolder": "", "type": "input"}
    mask = png((0, 0, 0, 99))

    stored = upload(
        own,
        f"{stem}-mask.png",
        mask,
        "/upload/mask",
        subfolder="clipspace",
        original_ref=json.dumps(told),
    ).json

    seen = picture(own.get(f"/view?filename={stored['name']}&subfolder=clipspace&type=input"))
    assert seen.getpixel((3, 3)) == (50, 60, 70, 99)


@pytest.fixture
def outside(own: OwnServer) -> Path:
    """A file beside the server's folders, and links to it in each of them."""
    secret = own.base / "secret.png"
    secret.write_bytes(png())
    for place in ("input", "output", "user/default"):
        folder = own.base / place
        folder.mkdir(parents=True, exist_ok=True)
        for name, goal in (("link.png", secret), ("door", own.base)):
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(goal)
    return secret


ESCAPES = [
    "../secret.png",
    "..%2Fsecret.png",
    "%2e%2e/secret.png",
    "%2e%2e%2fsecret.png",
    "..%5Csecret.png",
    "{absolute}",
    "{quoted}",
    "link.png",
    "door/secret.png",
    "door%2Fsecret.png",
    "a/../../secret.png",
    "%00",
    "{long}",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_file_is_reached_outside(own: OwnServer, outside: Path, escape: str) -> None:
    name = escape.format(absolute=outside, quoted=quote(str(outside), safe=""), long="a" * 5000)
    if escape == "{long}":
        return  # tried below, where no file is
    for kind in ("input", "output", "temp"):
        answer, _ = asked(own, "GET", f"/view?filename={name}&type={kind}")
        assert answer.status in (400, 403, 404), (kind, answer.body)
        split, _ = asked(own, "GET", f"/view?filename=secret.png&subfolder={name}/..&type={kind}")
        assert split.status in (400, 403, 404), (kind, split.body)
    for path in (name, name.replace("/", "%2F")):
        read, _ = asked(own, "GET", f"/userdata/{path}")
        assert read.status in (400, 403, 404), read.body
        for method in ("POST", "DELETE"):
            changed, _ = asked(own, method, f"/userdata/{path}", b"changed")
            assert changed.status in (400, 403, 404, 405), changed.body
    assert outside.read_bytes() == png()


@pytest.mark.parametrize(
    "name", ["../up.png", "/tmp/up.png", "a/up.png", "..\\up.png", ".hidden", "link.png", ""]
)
def test_no_upload_leaves_its_folder(own: OwnServer, outside: Path, name: str) -> None:
    for more in ({}, {"overwrite": "true"}):
        answer = upload(own, name, b"other", **more)
        assert answer.status == 400, answer.body
        assert answer.json["error"]
    for folder in ("..", "/tmp", "door", "a/../.."):
        assert upload(own, "up.png", b"other", subfolder=folder).status == 400
    assert outside.read_bytes() == png()
    assert not (own.base / "up.png").exists()


def test_an_upload_of_another_type_is_refused(own: OwnServer) -> None:
    assert upload(own, "a.png", png(), type="models").status == 400


@pytest.mark.parametrize("path", ["/view?filename={}&type=input", "/userdata/{}"])
def test_too_long_a_name_is_a_sentence(own: OwnServer, path: str) -> None:
    answer = own.get(path.format("a" * 3000))
    assert answer.status == 400
    assert answer.json["error"]


@pytest.mark.parametrize("name", ["evil.svg", "evil.html", "evil.js", "evil.xml", "evil.xhtml"])
def test_what_could_run_in_the_browser_is_only_saved(own: OwnServer, name: str) -> None:
    name = f"{uuid.uuid4().hex}{name}"
    assert upload(own, name, SVG).status == 200
    _, headers = asked(own, "GET", f"/view?filename={name}&type=input")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    as_image = {"Sec-Fetch-Dest": "image"}
    _, headers = asked(own, "GET", f"/view?filename={name}&type=input", headers=as_image)
    assert (headers["content-type"] == "image/svg+xml") == name.endswith("svg")
    own_page, _ = asked(own, "POST", f"/userdata/{name}", SVG)
    assert own_page.status == 200
    _, headers = asked(own, "GET", f"/userdata/{name}")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment")


def test_too_large_an_upload_is_refused(own: OwnServer) -> None:
    limit = own.get("/features").json["max_upload_size"]
    edge = "edge"
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="big.png"\r\n\r\n'
    ).encode()
    connection = HTTPConnection("127.0.0.1", own.port, timeout=60)
    connection.putrequest("POST", "/upload/image")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={edge}")
    connection.putheader("Content-Length", str(limit * 2))
    connection.endheaders()
    status = 0
    try:
        connection.send(head)
        for _ in range(2 * limit // 2**20):
            connection.send(bytes(2**20))
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it was closed in our face
    else:
        status = connection.getresponse().status
    finally:
        connection.close()
    assert status == 413
    assert not (own.base / "input" / "big.png").exists()
    assert own.get("/prompt").status == 200


def test_settings_are_kept(own: OwnServer) -> None:
    assert own.post("/settings/Some.Thing", {"a": [1]}).status == 200
    assert own.post("/api/settings", {"Other": "x"}).status == 200
    assert own.get("/settings/Some.Thing").json == {"a": [1]}
    assert own.get("/settings/Never").json is None
    found = own.get("/api/settings").json
    assert (found["Some.Thing"], found["Other"]) == ({"a": [1]}, "x")
    assert found["Comfy.Notification.ShowVersionUpdates"] is False


def test_workflows_are_saved_moved_listed_and_deleted(own: OwnServer) -> None:
    folder = uuid.uuid4().hex
    one, other = (quote(f"{folder}/{name}", safe="") for name in ("a b.json", "c/d.json"))

    saved = asked(own, "POST", f"/userdata/{one}?overwrite=false&full_info=true", b"{}")[0].json
    assert saved["path"] == f"{folder}/a b.json"
    assert saved["size"] == 2
    again, _ = asked(own, "POST", f"/userdata/{one}?overwrite=false", b"[]")
    assert again.status == 409
    assert asked(own, "GET", f"/userdata/{one}")[0].body == b"{}"
    assert asked(own, "POST", f"/userdata/{one}", b"[]")[0].json == f"{folder}/a b.json"
    moved, _ = asked(own, "POST", f"/userdata/{one}/move/{other}?overwrite=false")
    assert moved.json == f"{folder}/c/d.json"
    assert asked(own, "GET", f"/userdata/{one}")[0].status == 404
    asked(own, "POST", f"/userdata/{one}", b"1")
    assert asked(own, "POST", f"/userdata/{one}/move/{other}?overwrite=false")[0].status == 409
    listed = f"/userdata?dir={folder}&recurse=true"
    assert own.get(listed).json == ["a b.json", "c/d.json"]
    assert own.get(f"{listed}&split=true").json[1] == ["c/d.json", "c", "d.json"]
    assert own.get(f"{listed}&full_info=true").json[0]["size"] == 1
    entries = own.get(f"/v2/userdata?path={folder}").json
    assert [(one["name"], one["type"]) for one in entries] == [
        ("c", "directory"),
        ("a b.json", "file"),
        ("d.json", "file"),
    ]
    assert asked(own, "DELETE", f"/userdata/{one}")[0].status == 204
    assert own.get(listed).json == ["c/d.json"]
    assert own.get("/userdata?dir=never").json == []
    assert own.get("/userdata").status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("/prompt", "/queue", "/history", "/free", "/settings")),
        *(("POST", path) for path in ("/api/jobs/cancel", "/controlstack/steps")),
        ("PATCH", "/internal/logs/subscribe"),
        *(("POST", path) for path in ("/upload/image", "/upload/mask")),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"\xff\xfe\x00", b"[" * 100_000, b"[1]", b'{"a":' * 5000, b'"x"']
)
def test_nonsense_is_refused_in_a_sentence(
    own: OwnServer, method: str, path: str, body: bytes
) -> None:
    answer, _ = asked(own, method, path, body)
    assert answer.status == 400, answer.body
    assert answer.json["error"]


def test_every_address_answers_behind_api_too(own: OwnServer) -> None:
    for path in (
        "/prompt",
        "/queue",
        "/history",
        "/object_info/KSampler",
        "/models",
        "/embeddings",
    ):
        assert own.get(path).json == own.get(f"/api{path}").json
    assert own.get("/system_stats").json["devices"][0]["type"] == "cpu"
    assert own.get("/").body == b"<title>a page</title>"
    with urllib.request.urlopen(f"{own.url}/extensions/controlstack/js/rows.js") as answer:
        assert "javascript" in answer.headers["Content-Type"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{own.url}/nothing")


def test_what_the_pack_brings_is_served_as_in_comfyui(own: OwnServer) -> None:
    scripts = own.get("/extensions").json
    assert "/extensions/controlstack/js/rows.js" in scripts
    assert all(own.get(path).status == 200 for path in scripts)
    assert own.get("/extensions/controlstack/js/pose.mjs").status == 200
    chinese = own.get("/extensions/controlstack/docs/ControlStackAdd/zh.md").body
    english = own.get("/extensions/controlstack/docs/ControlStackAdd.md").body
    assert chinese != english
    assert own.get("/extensions/controlstack/docs/ControlStackAdd/en.md").body == english
    assert "ControlStackAdd" in own.get("/i18n").json["zh"]["nodeDefs"]
    names = own.get("/workflow_templates").json["controlstack"]
    assert {"pose", "stack_pose_depth"} <= set(names)
    assert "flux_union" not in names  # it would not run here
    for name in names:
        assert own.get(f"/api/workflow_templates/controlstack/{name}.json").json["nodes"]
        assert own.get(f"/api/workflow_templates/controlstack/{name}.jpg").body[:2] == b"\xff\xd8"
    (shelf,) = own.get("/templates/index.json").json
    assert [card["name"] for card in shelf["templates"]] == names
    assert own.get(f"/templates/{names[0]}-1.jpg").body[:2] == b"\xff\xd8"
    for key, about in own.get("/global_subgraphs").json.items():
        whole = own.get(f"/global_subgraphs/{key}").json
        assert whole["name"] == about["name"]
        assert json.loads(whole["data"])["definitions"]
    steps = own.post("/controlstack/steps", {"graph": {}, "node": "1"})
    assert steps.status in (200, 400)
    assert own.get("/docs/KSampler/en.md").status == 200


def test_menus_list_what_stands_in(own: OwnServer) -> None:
    info = own.get("/object_info/CheckpointLoaderSimple").json["CheckpointLoaderSimple"]
    assert "v1-5-pruned-emaonly-fp16.safetensors" in info["input"]["required"]["ckpt_name"][0]
    assert "v1-5-pruned-emaonly-fp16.safetensors" in own.get("/models/checkpoints").json
    assert own.get("/experiment/models/checkpoints").json[0]["size"] > 0
    assert own.get("/models/nothing").status == 404
    assert own.get("/object_info/Nothing").json == {}


def test_what_a_file_of_weights_says_of_itself(own: OwnServer) -> None:
    folder = own.base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    told = {"ss_tag_frequency": "many"}
    save_file({"a": torch.zeros(1)}, folder / "told.safetensors", told)
    save_file({"a": torch.zeros(1)}, folder / "silent.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "told.safetensors").read_bytes()[:40])
    asked = {name: own.get(f"/view_metadata/loras?filename={name}.safetensors") for name in NAMES}
    assert asked["told"].json == told
    assert asked["silent"].status == 404
    assert asked["gone"].status == 404
    assert asked["cut"].status == 400
    assert "or cut off" in asked["cut"].json["error"]


NAMES = ("told", "silent", "gone", "cut")
