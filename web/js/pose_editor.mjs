/**
 * Draw Pose Hint's pose on the node, and the window in which it is edited. What changes the pose is
 * in pose.mjs; pose_node.js loads this.
 */

import { app } from "../../../scripts/app.js";
import { BODY, BONES, FACE, FEET, LEFT, LIMBS, Pose, RIGHT, boneColour, jointColour, limbColour } from "./pose.mjs";

/** @typedef {import("./pose.mjs").Part} Part */

const NOBODY = '{"people": []}';

/** Of the shorter side, as preprocessors/pose/draw.py: a joint's radius, a hand's line, a face's dot. */
const [JOINT, BONE, DOT] = [4 / 512, 2 / 512, 3 / 512];
const NAMES = (
  "nose,neck,right shoulder,right elbow,right wrist,left shoulder,left elbow,left wrist,right hip," +
  "right knee,right ankle,left hip,left knee,left ankle,right eye,left eye,right ear,left ear"
).split(",");
/** The points of parts but the body's: feet are not drawn in the hint. @type {Record<string, [number, string]>} */
const LOOKS = {
  [LEFT]: [JOINT, "#00f"],
  [RIGHT]: [JOINT, "#00f"],
  [FACE]: [DOT, "#fff"],
  [FEET]: [BONE, "#888"],
};
/** @type {Record<string, string>} */
const PARTS = {
  [LEFT]: "left hand", [RIGHT]: "right hand", [FACE]: "face", [FEET]: "feet", [BODY]: "body",
};

/** @type {Record<string, string>} */
// prettier-ignore
const CHINESE = {
  "Edit pose": "编辑姿势", "Add person": "添加人物", Copy: "复制", Mirror: "镜像", Delete: "删除",
  Hide: "隐藏", Show: "显示", Larger: "放大", Smaller: "缩小", Undo: "撤销", Redo: "重做",
  "Limb follows": "肢体跟随", Picture: "背景图", Opacity: "不透明度", "Snap to picture": "画布设为图片大小",
  Cancel: "取消", OK: "确定", "Pull in": "移入画布", "Whole view": "全图", person: "人物", hidden: "已隐藏", Frame: "帧",
  "points lie off the canvas": "个点在画布之外",
  "The text is no pose, and OK replaces it:": "文本不是姿势，确定后将被替换：",
  "A wire brings the pose, here as of the last run. OK takes it over as text and cuts the wire.": "姿势来自连线，此处为上次运行的结果。确定后写入文本并断开连线。",
  "A wire brings the pose: run once to see it here. OK takes over what is here and cuts the wire.": "姿势来自连线：运行一次后可在此查看。确定后采用此处的姿势并断开连线。",
  "Drag joints; Shift: with all below. Wheel: zoom. Space: pan. Tab, arrows, Delete: by keyboard.": "拖动关节；按住 Shift 带动下级。滚轮缩放，空格平移。键盘：Tab、方向键、Delete。",
  nose: "鼻", neck: "颈", shoulder: "肩", elbow: "肘", wrist: "腕", hip: "髋", knee: "膝", ankle: "踝", eye: "眼", ear: "耳",
  hand: "手", face: "脸", feet: "脚", left: "左", right: "右", body: "身体",
};
const isChinese = () =>
  /^zh/.test(String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? ""));
/** @param {string} text */
const said = (text) =>
  !isChinese() ? text : (CHINESE[text] ?? text.split(" ").map((word) => CHINESE[word] ?? word).join(""));

const STYLE = `
.controlstack-pose { width: 96vw; height: 94vh; max-width: none; max-height: none; padding: 8px; box-sizing: border-box;
  background: var(--comfy-menu-bg); color: var(--input-text); border: 1px solid var(--border-color); border-radius: 8px; }
.controlstack-pose[open] { display: flex; flex-direction: column; gap: 6px; }
.controlstack-pose div { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
.controlstack-pose canvas { flex: 1; min-height: 0; width: 100%; touch-action: none; cursor: crosshair; }
:is(.controlstack-pose, .controlstack-pose-view) :is(button, select) { padding: 4px 10px; cursor: pointer;
  background: var(--comfy-input-bg); color: var(--input-text); border: 1px solid var(--border-color); border-radius: 4px; }
.controlstack-pose button:disabled { opacity: 0.4; }
.controlstack-pose .space { flex: 1; }
.controlstack-pose [role="status"] { min-height: 1.4em; }
.controlstack-pose-view { display: flex; position: relative; height: 100%; }
.controlstack-pose-view button { position: absolute; right: 4px; bottom: 4px; opacity: 0.85; }
.controlstack-pose-view canvas { flex: 1 1 60px; height: 100%; min-height: 0; min-width: 0; width: 100%; }`;

/** What the last run drew, for a pose that comes through a wire. @type {WeakMap<object, string>} */
const ran = new WeakMap();

/** @param {string} tag @param {Record<string, any>} [properties] @param {...any} children @returns {any} */
function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** @param {any} node @param {string} name */
const widgetOf = (node, name) => node.widgets?.find((/** @type {any} */ one) => one.name === name);

/** @param {any} node */
const sizeOf = (node) =>
  ["width", "height"].map((name) => Number(widgetOf(node, name)?.value) || 512);

/** Which points count as found: of a wire, the run has said it. @param {any} node */
const sureOf = (node) =>
  wiresOf(node).length ? 0 : Number(widgetOf(node, "confidence_threshold")?.value) || 0;

/** The places of the wires that bring a pose. @param {any} node @returns {number[]} */
const wiresOf = (node) =>
  (node.inputs ?? []).flatMap((/** @type {any} */ { name, link }, /** @type {number} */ slot) =>
    link != null && ["pose_keypoint", "pose_json"].includes(name) ? [slot] : []);

/** @param {any} node @returns {string} */
const textOf = (node) =>
  wiresOf(node).length
    ? (ran.get(node) ?? NOBODY)
    : String(widgetOf(node, "pose_json")?.value ?? "");

/** @param {CanvasRenderingContext2D} pen @param {Pose} pose in pixels of its canvas */
function drawPose(pen, pose) {
  const side = Math.min(...pose.size);
  const radius = Math.max(1, JOINT * side);
  const disc = (
    /** @type {number[]} */ [x, y],
    /** @type {number} */ r,
    /** @type {string} */ colour,
    hollow = false,
  ) => {
    pen.beginPath();
    pen.arc(x, y, r, 0, 7);
    [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [colour, colour, r / 3];
    if (hollow) pen.stroke();
    else pen.fill();
  };
  pose.people.forEach((_, person) => {
    const at = (/** @type {number} */ i) => pose.point(person, pose.joint(person, i));
    LIMBS.forEach(([from, to], i) => {
      const [a, b] = [at(from), at(to)];
      if (!(a[2] > 0 && b[2] > 0)) return;
      pen.beginPath();
      pen.ellipse(
        (a[0] + b[0]) / 2,
        (a[1] + b[1]) / 2,
        Math.hypot(a[0] - b[0], a[1] - b[1]) / 2,
        radius,
        Math.atan2(a[1] - b[1], a[0] - b[0]),
        0,
        7,
      );
      pen.fillStyle = limbColour(i);
      pen.fill();
    });
    for (const list of [LEFT, RIGHT]) {
      const points = (/** @type {number} */ i) => pose.point(person, [list, i]);
      BONES.forEach(([from, to], i) => {
        const [a, b] = [points(from), points(to)];
        if (!(a[2] > 0 && b[2] > 0)) return;
        pen.beginPath();
        pen.moveTo(a[0], a[1]);
        pen.lineTo(b[0], b[1]);
        [pen.strokeStyle, pen.lineWidth] = [boneColour(i), BONE * side];
        pen.stroke();
      });
    }
    for (const [list, i] of pose.refs(person, undefined, true)) {
      const joint = list === BODY ? pose.order(person).indexOf(i) : 0;
      if (joint < 0) continue;
      const [r, colour] = LOOKS[list] ?? [JOINT, jointColour(joint)];
      const [x, y, confidence] = pose.point(person, [list, i]);
      disc([x, y], Math.max(1, r * side), colour, !(confidence > 0));
    }
  });
}

/** The address of the picture that is linked nearest above. @param {any} node @returns {string | undefined} */
function pictureAbove(node) {
  const waiting = [node];
  const seen = new Set();
  for (const one of waiting) {
    if (seen.has(one)) continue;
    seen.add(one);
    const name = /^LoadImage/.test(one.comfyClass ?? "") && widgetOf(one, "image")?.value;
    if (one !== node && one.imgs?.[0]?.src) return one.imgs[0].src;
    if (typeof name === "string") {
      const [, path, type = "input"] = /** @type {string[]} */ (
        /^(.*?)(?: \[(\w+)\])?$/.exec(name)
      );
      const [, subfolder = "", filename] = /** @type {string[]} */ (/^(?:(.*)\/)?(.*)$/.exec(path));
      return app.api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
    }
    (one.inputs ?? []).forEach((/** @type {any} */ _, /** @type {number} */ i) => {
      const origin = one.getInputNode?.(i);
      if (origin) waiting.push(origin);
    });
  }
  return undefined;
}

/** Open the window for a node's pose. @param {any} node @param {() => void} changed */
function edit(node, changed) {
  const wires = wiresOf(node);
  let note = "";
  /** @type {Pose} */
  let pose;
  try {
    pose = new Pose(textOf(node), sizeOf(node), sureOf(node));
  } catch (error) {
    note = `${said("The text is no pose, and OK replaces it:")} ${/** @type {Error} */ (error).message}`;
    pose = new Pose(NOBODY, sizeOf(node));
  }
  if (wires.length)
    note = said(ran.has(node)
        ? "A wire brings the pose, here as of the last run. OK takes it over as text and cuts the wire."
        : "A wire brings the pose: run once to see it here. OK takes over what is here and cuts the wire.");
  const size = String(pose.size);
  /** @type {Part | null} */
  let chosen = null;
  let [scale, left, top, whole] = [1, 0, 0, 1];
  let space = false;
  /** @type {{ pan?: boolean, grow?: number[], refs?: any[], from?: number[][], x: number, y: number } | null} */
  let drag = null;
  /** @type {Map<number, number[]>} */
  const fingers = new Map();
  const picture = new Image();

  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute(
    "aria-label",
    said(
      "Drag joints; Shift: with all below. Wheel: zoom. Space: pan. Tab, arrows, Delete: by keyboard.",
    ),
  );
  const pen = canvas.getContext("2d");
  const status = element("span", { role: "status" });
  const button = (/** @type {string} */ name, /** @type {() => void} */ act) =>
    element("button", {
      type: "button",
      textContent: said(name),
      onclick: () => {
        act();
        pose.commit();
        paint();
      },
    });
  const one = (/** @type {(part: Part) => void} */ act) => () => {
    if (chosen) act(chosen);
  };
  const hides = button(
    "Hide",
    one((part) => pose.show(part, isHidden(part))),
  );
  const ofOne = [
    button(
      "Copy",
      one(({ person }) => {
        chosen = { person: pose.copy(person) };
      }),
    ),
    button(
      "Mirror",
      one(({ person }) => pose.mirror(person)),
    ),
    hides,
    button(
      "Larger",
      one((part) => pose.scale(part, 1.1)),
    ),
    button(
      "Smaller",
      one((part) => pose.scale(part, 1 / 1.1)),
    ),
    button(
      "Delete",
      one((part) => {
        pose.remove(part);
        chosen = null;
      }),
    ),
  ];
  const undo = button("Undo", () => pose.undo());
  const redo = button("Redo", () => pose.undo(true));
  const pullIn = button("Pull in", () => pose.pullIn());
  const snap = button("Snap to picture", () => {
    pose.resize(picture.naturalWidth, picture.naturalHeight);
    fit();
  });
  const follows = element("input", { type: "checkbox" });
  const opacity = element("input", {
    type: "range",
    max: "1",
    step: "0.05",
    value: "0.6",
    oninput: () => paint(),
  });
  const file = element("input", {
    type: "file",
    accept: "image/*",
    hidden: true,
    onchange: () => show(file.files[0]),
  });
  const frames = element(
    "select",
    {
      ariaLabel: said("Frame"),
      hidden: pose.frames.length < 2,
      onchange: () => {
        pose.current = frames.selectedIndex;
        chosen = null;
        fit();
        paint();
      },
    },
    ...pose.frames.map((_, i) => element("option", { textContent: `${said("Frame")} ${i + 1}` })),
  );
  const dialog = element(
    "dialog",
    { className: "controlstack-pose", ariaLabel: said("Edit pose"), onclose: closed },
    element(
      "div",
      {},
      button("Add person", () => {
        chosen = { person: pose.add() };
      }),
      ...ofOne,
      element("label", {}, follows, said("Limb follows")),
      undo,
      redo,
      frames,
    ),
    element(
      "div",
      {},
      button("Picture", () => file.click()),
      file,
      element("label", {}, `${said("Opacity")} `, opacity),
      snap,
      button("Whole view", () => fit()),
      pullIn,
      element("span", { className: "space" }),
      button("Cancel", () => dialog.close()),
      button("OK", () => dialog.close("take")),
    ),
    canvas,
    status,
  );

  /** @param {Part} part */
  function isHidden({ person, list, index }) {
    return index === undefined
      ? !pose.refs(person, list).length
      : !(pose.point(person, [list ?? BODY, index])[2] > 0);
  }

  /** @param {Blob | undefined} blob */
  function show(blob) {
    if (!blob?.type.startsWith("image/")) return;
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(blob);
  }

  function fit() {
    const [width, height] = pose.size;
    [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight];
    scale = whole = Math.min(canvas.width / width, canvas.height / height) * 0.9;
    [left, top] = [(canvas.width - scale * width) / 2, (canvas.height - scale * height) / 2];
  }

  /** @param {number} x @param {number} y @param {number} factor */
  function zoom(x, y, factor) {
    const next = Math.min(40 * whole, Math.max(whole / 10, scale * factor));
    [left, top] = [x - ((x - left) * next) / scale, y - ((y - top) * next) / scale];
    scale = next;
  }

  function paint() {
    if (chosen && !pose.people[chosen.person]) chosen = null;
    const [width, height] = pose.size;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(scale, 0, 0, scale, left, top);
    pen.fillRect(0, 0, width, height);
    if (picture.naturalWidth) {
      const factor = Math.min(width / picture.naturalWidth, height / picture.naturalHeight);
      const [w, h] = [factor * picture.naturalWidth, factor * picture.naturalHeight];
      pen.globalAlpha = Number(opacity.value);
      pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
      pen.globalAlpha = 1;
    }
    drawPose(pen, pose);
    [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = ["#000", "#fff", 1.5 / scale];
    pen.strokeRect(0, 0, width, height);
    if (chosen?.index !== undefined) {
      const [x, y] = pose.point(chosen.person, [chosen.list ?? BODY, chosen.index]);
      pen.beginPath();
      pen.arc(x, y, 9 / scale, 0, 7);
      pen.stroke();
    } else if (chosen) {
      const box = boxOf(chosen);
      if (box) {
        pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
        pen.strokeRect(box[2], box[3], 10 / scale, 10 / scale);
      }
    }
    const off = pose.outside();
    const hidden = chosen && isHidden(chosen);
    status.textContent =
      [
        note,
        off ? `${off} ${said("points lie off the canvas")}` : "",
        chosen ? nameOf(chosen) + (hidden ? ` (${said("hidden")})` : "") : "",
      ]
        .filter(Boolean)
        .join(" · ") || canvas.ariaLabel;
    hides.textContent = said(hidden ? "Show" : "Hide");
    for (const each of ofOne) each.disabled = !chosen;
    [undo.disabled, redo.disabled, pullIn.hidden, snap.disabled] = [
      !pose.past.length,
      !pose.future.length,
      !off,
      !picture.naturalWidth,
    ];
  }

  /** @param {Part} part */
  function nameOf({ person, list, index }) {
    const joint = list === BODY && index !== undefined ? pose.order(person).indexOf(index) : -1;
    const part =
      joint >= 0
        ? said(NAMES[joint])
        : list
          ? said(PARTS[list]) + (index === undefined ? "" : ` ${index}`)
          : "";
    return `${said("person")} ${person + 1} ${part}`.trim();
  }

  /** @param {Part} part */
  const boxOf = (part) => pose.box(part.person, pose.refs(part.person, part.list, true));
  /** @param {any} event */
  const placeOf = (event) => [(event.offsetX - left) / scale, (event.offsetY - top) / scale];

  canvas.onpointerdown = (/** @type {PointerEvent} */ event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    event.preventDefault();
    fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (fingers.size > 1) {
      drag = null;
      return;
    }
    const [x, y] = placeOf(event);
    const radius = (event.pointerType === "touch" ? 18 : 9) / scale;
    const box = chosen && chosen.index === undefined ? boxOf(chosen) : null;
    if (event.button === 1 || space) drag = { pan: true, x, y };
    else if (
      box &&
      Math.abs(x - box[2] - 5 / scale) < radius &&
      Math.abs(y - box[3] - 5 / scale) < radius
    ) {
      drag = { grow: box, x, y };
    } else {
      const inside = box && x > box[0] && y > box[1] && x < box[2] && y < box[3];
      chosen = pose.hit(x, y, radius, scale > 1.9 * whole) ?? (inside ? chosen : null);
      drag = chosen ? { x, y } : { pan: true, x, y };
    }
    if (chosen && !drag.pan) {
      drag.refs = pose.moving(chosen, follows.checked || event.shiftKey || !!drag.grow);
      drag.from = drag.refs.map((ref) => pose.point(/** @type {Part} */ (chosen).person, ref));
    }
    paint();
  };
  canvas.onpointermove = (/** @type {PointerEvent} */ event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [x, y] = placeOf(event);
    const now = [event.offsetX, event.offsetY];
    if (fingers.size > 1) {
      const [other] = [...fingers]
        .filter(([id]) => id !== event.pointerId)
        .map(([, place]) => place);
      const far = ([a, b] = before) => Math.hypot(a - other[0], b - other[1]) || 1;
      [left, top] = [left + (now[0] - before[0]) / 2, top + (now[1] - before[1]) / 2];
      zoom((now[0] + other[0]) / 2, (now[1] + other[1]) / 2, far(now) / far());
    } else if (drag?.pan) [left, top] = [left + now[0] - before[0], top + now[1] - before[1]];
    else if (drag?.refs && chosen) {
      const { grow, x: x0, y: y0 } = drag;
      const factor = grow
        ? Math.max(0.05, (x - grow[0] + y - grow[1]) / (x0 - grow[0] + y0 - grow[1]))
        : 1;
      pose.move(
        chosen.person,
        drag.refs,
        (px, py) =>
          grow
            ? [grow[0] + factor * (px - grow[0]), grow[1] + factor * (py - grow[1])]
            : [px + x - x0, py + y - y0],
        drag.from,
      );
    }
    fingers.set(event.pointerId, now);
    paint();
  };
  canvas.onpointerup = canvas.onpointercancel = (/** @type {PointerEvent} */ event) => {
    fingers.delete(event.pointerId);
    drag = null;
    pose.commit();
    paint();
  };
  canvas.onwheel = (/** @type {WheelEvent} */ event) => {
    event.preventDefault();
    zoom(event.offsetX, event.offsetY, 1.0015 ** -event.deltaY);
    paint();
  };

  /** Whether the key did something here. @param {KeyboardEvent} event */
  function press(event) {
    const { key, shiftKey, target } = event;
    const command = event.ctrlKey || event.metaKey;
    if (command && /^[zy]$/i.test(key)) pose.undo(shiftKey || key === "y");
    else if (key === "Enter" && (command || target === canvas)) dialog.close("take");
    else if (target !== canvas) return false;
    else if (key === " ") space = true;
    else if (key === "Tab") {
      const all = pose.people.flatMap((_, person) =>
        pose.order(person).map((index) => ({ person, list: BODY, index })),
      );
      const here = all.findIndex(
        (one) =>
          one.person === chosen?.person && one.index === chosen.index && chosen.list === BODY,
      );
      const next = all[here < 0 && shiftKey ? all.length - 1 : here + (shiftKey ? -1 : 1)];
      if (!next) return false; // on to the buttons
      chosen = next;
    } else if (key === "Delete" && chosen) pose.show(chosen, false);
    else if (key.startsWith("Arrow") && chosen) {
      const step = shiftKey ? 10 : 1;
      const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step] }[
        key
      ] ?? [0, step];
      pose.move(chosen.person, pose.moving(chosen, follows.checked), (x, y) => [x + dx, y + dy]);
    } else return false;
    return true;
  }
  dialog.onkeydown = (/** @type {KeyboardEvent} */ event) => {
    if (press(event)) event.preventDefault();
    // ComfyUI looks at the key a frame later, from the window, for its own undo.
    Object.defineProperty(event, "key", { value: "" });
    pose.commit();
    paint();
  };
  dialog.onkeyup = (/** @type {KeyboardEvent} */ { key }) => {
    if (key === " ") space = false;
  };
  dialog.ondragover = (/** @type {DragEvent} */ event) => event.preventDefault();
  dialog.ondrop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    show(event.dataTransfer?.files[0]);
  };
  // What happens in here is none of the graph's business.
  for (const type of [
    "keydown",
    "keyup",
    "keypress",
    "wheel",
    "dragover",
    "drop",
    "copy",
    "cut",
    "paste",
    "contextmenu",
    "pointerdown",
    "pointerup",
    "mousedown",
    "dblclick",
  ]) {
    dialog.addEventListener(type, (/** @type {Event} */ event) => event.stopPropagation());
  }

  function closed() {
    URL.revokeObjectURL(picture.src);
    observer.disconnect();
    dialog.remove();
    if (dialog.returnValue !== "take" || !(pose.changed || wires.length)) return;
    const put = (/** @type {string} */ name, /** @type {any} */ value) => {
      const widget = widgetOf(node, name);
      if (!widget) return;
      widget.value = value;
      widget.callback?.(value);
    };
    put("pose_json", pose.text());
    if (String(pose.size) !== size)
      ["width", "height"].forEach((name, i) => put(name, Math.round(pose.size[i])));
    for (const slot of wires) node.disconnectInput(slot);
    changed();
    app.graph?.setDirtyCanvas(true, true);
    const tracker = /** @type {any} */ (app.extensionManager)?.workflow?.activeWorkflow
      ?.changeTracker;
    (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
  }

  picture.onload = () => paint();
  const observer = new ResizeObserver(() => {
    fit();
    paint();
  });
  document.body.append(dialog);
  dialog.showModal();
  observer.observe(canvas);
  const above = pictureAbove(node);
  if (above) picture.src = above;
  canvas.focus();
}

/** Draw the node's pose in `view`, now and whenever it changes, with a button to edit it.
 * @param {any} made @param {HTMLElement} view */
export function show(made, view) {
  // Nodes 2.0 keeps the elements of a node that undo or a file replaces by another of its id.
  const live = () => {
    const found = (made.graph ?? app.canvas?.graph)?.getNodeById?.(made.id);
    return found?.comfyClass === made.comfyClass ? found : made;
  };
  const canvas = element("canvas");
  const open = element("button", {
    type: "button",
    textContent: said("Edit pose"),
    onclick: () => edit(live(), draw),
  });
  open.ondblclick = (/** @type {Event} */ event) => event.stopPropagation();
  view.className = "controlstack-pose-view";
  view.ondblclick = () => edit(live(), draw);
  view.append(canvas, open);
  let drawn = "";
  function draw() {
    const node = live();
    const { clientWidth, clientHeight } = canvas;
    const state = [textOf(node), sizeOf(node), sureOf(node), clientWidth, clientHeight].join();
    if (state === drawn || !canvas.clientWidth) return;
    drawn = state;
    app.canvas?.setDirty(true, true); // the node may have grown for the view
    [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight];
    const pen = canvas.getContext("2d");
    try {
      const pose = new Pose(textOf(node), sizeOf(node), sureOf(node));
      const [width, height] = pose.size;
      const scale = Math.min(canvas.width / width, canvas.height / height);
      pen.setTransform(
        scale,
        0,
        0,
        scale,
        (canvas.width - scale * width) / 2,
        (canvas.height - scale * height) / 2,
      );
      pen.fillRect(0, 0, width, height);
      drawPose(pen, pose);
    } catch {
      // No pose: its sentence comes with the run, and in the window.
    }
  }
  // A text is typed, linked, loaded and undone in many ways; none of them tells in every front end.
  let mounted = false;
  const clock = setInterval(() => {
    if (view.isConnected) mounted = true;
    else if (mounted && (!made.graph || live() !== made)) clearInterval(clock);
    draw();
  }, 300);
  const { onExecuted, getExtraMenuOptions } = made;
  // The first Nodes 2.0 draw no elements of others on a node.
  made.getExtraMenuOptions = function (/** @type {any} */ at, /** @type {any[]} */ options) {
    const more = getExtraMenuOptions?.call(this, at, options);
    options.push({ content: said("Edit pose"), callback: () => edit(live(), draw) });
    return more;
  };
  made.onExecuted = function (/** @type {any} */ output, /** @type {any[]} */ ...more) {
    if (output?.pose_json?.[0]) ran.set(made, output.pose_json[0]);
    return onExecuted?.call(this, output, ...more);
  };
}

document.head.append(element("style", { textContent: STYLE }));
