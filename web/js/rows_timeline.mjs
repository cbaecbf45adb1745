/**
 * The timeline below the rows: each row's strength over the run, with points to be dragged.
 * Percents go from left to right; the sampler's steps are the ticks. Loaded when it is first shown.
 */

import { movePoint, withoutPoint, withPoint } from "./rows_points.mjs";
import * as model from "./rows_value.js";
import { COLOURS, follow } from "./rows_view.js";
import { say } from "./rows_words.js";

const WIDTH = 400;
const SIDE = 8;
const HEIGHT = 96;
const FLOOR = 82;
const ROOF = 6;
const PLACES = 100;

/** @param {string} tag @param {Record<string, string | number>} fields */
function svg(tag, fields, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(fields)) made.setAttribute(name, `${value}`);
  made.textContent = text;
  return made;
}

/** @param {number} percent */
const x = (percent) => SIDE + percent * (WIDTH - 2 * SIDE);

/** The percent under a pointer. @param {MouseEvent} e @param {Element} whole */
function placeIn(e, whole) {
  const { left, width } = whole.getBoundingClientRect();
  return model.clamp((((e.clientX - left) / width) * WIDTH - SIDE) / (WIDTH - 2 * SIDE), 0, 1);
}

/** @param {import("./rows_view.js").Board} board @returns {SVGElement} */
export default function timeline(board) {
  const { rows } = board.value;
  const most = Math.max(1, ...rows.flatMap((row) => [0, ...(row.curve?.points ?? [[0, 1]]).map(([, by]) => by * (row.strength ?? 1))]));
  const y = (/** @type {number} */ strength) => FLOOR - ((FLOOR - ROOF) * strength) / most;
  const whole = svg("svg", { class: "cs-time", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": say("timeline") });
  whole.append(svg("path", { d: `M${SIDE} ${FLOOR}H${WIDTH - SIDE}M${SIDE} ${y(1)}H${WIDTH - SIDE}`, stroke: "currentColor", "stroke-opacity": 0.25, fill: "none" }));
  const { percents } = board;
  let free = 0;
  percents.slice(0, -1).forEach((percent, step) => {
    whole.append(svg("path", { d: `M${x(percent)} ${FLOOR}v4`, stroke: "currentColor", "stroke-opacity": 0.6 }));
    if (x(percent) < free) return;
    whole.append(svg("text", { x: x(percent) + 1, y: HEIGHT - 2 }, `${step}`));
    free = x(percent) + 18;
  });
  if (board.step >= 0 && percents.length) {
    const [from, to] = [percents[board.step] ?? 1, percents[board.step + 1] ?? 1];
    whole.append(svg("rect", { class: "cs-now", x: x(from), y: 0, width: Math.max(2, x(to) - x(from)), height: FLOOR, fill: "#22c55e", "fill-opacity": 0.35 }));
  }
  const order = rows.map((_, index) => index).sort((a, b) => Number(a === board.lit) - Number(b === board.lit));
  for (const index of order) whole.append(...lineOf(board, index, y));
  whole.addEventListener("dblclick", (e) => {
    const row = rows[board.lit];
    if (row) board.set(model.change(board.value, board.lit, { curve: withPoint(row, placeIn(/** @type {MouseEvent} */ (e), whole)).curve }));
  });
  for (const [index, row] of rows.entries()) if (index === board.lit) points(board, row, index, whole, most);
  return /** @type {SVGElement} */ (whole);
}

/** @param {import("./rows_view.js").Board} board @param {number} index @param {(s: number) => number} y */
function lineOf(board, index, y) {
  const row = board.value.rows[index];
  const { start = 0, end = 1 } = row;
  if (row.on === false || end < start) return [];
  const colour = COLOURS[index % COLOURS.length];
  const stops = new Set([start, end, ...(row.curve?.points.map(([at]) => at) ?? [])]);
  for (let i = 0; i <= PLACES; i++) stops.add(i / PLACES);
  const inside = [...stops].filter((at) => at >= start && at <= end).sort((a, b) => a - b);
  const d = `M${x(start)} ${FLOOR}` + inside.map((at) => `L${x(at).toFixed(1)} ${y(model.strengthAt(row, at)).toFixed(1)}`).join("") + `L${x(end)} ${FLOOR}`;
  const lit = index === board.lit;
  const path = svg("path", { d, fill: colour, "fill-opacity": lit ? 0.3 : 0.1, stroke: colour, "stroke-width": lit ? 2 : 1.2,
    ...(board.wired(row, "factor") ? { "stroke-dasharray": "5 3" } : {}) });
  path.addEventListener("pointerdown", () => board.light(index));
  if (!board.wired(row, "mask")) return [path];
  const id = `cs-hatch-${index}`;
  const hatch = svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  hatch.append(svg("path", { d: "M0 0V6", stroke: colour, "stroke-width": 2, "stroke-opacity": 0.7 }));
  const over = svg("path", { d, fill: `url(#${id})`, class: "cs-hatched", "pointer-events": "none" });
  return [path, hatch, over];
}

/** @param {import("./rows_view.js").Board} board @param {model.Row} row @param {number} index @param {SVGElement} whole @param {number} most */
function points(board, row, index, whole, most) {
  const scale = row.strength || 1;
  row.curve?.points.forEach(([place, by], i) => {
    const dot = svg("ellipse", { class: "cs-point", tabindex: 0, role: "slider", "data-key": `${row.id} point ${i}`,
      "aria-label": `${say("curve")} ${i + 1}`, "aria-valuetext": `${place}: ${by}`, "aria-valuenow": by, "aria-valuemin": 0, "aria-valuemax": model.MAX_STRENGTH,
      rx: 5, ry: 5, cx: x(place), cy: FLOOR - ((FLOOR - ROOF) * by * scale) / most, fill: COLOURS[index % COLOURS.length], stroke: "#fff" });
    const curve = /** @type {model.Curve} */ (row.curve);
    const put = (/** @type {model.Curve | null} */ to) => board.set(model.change(board.value, index, { curve: to }));
    dot.addEventListener("pointerdown", (e) => {
      e.stopPropagation();
      let made = curve;
      follow(/** @type {PointerEvent} */ (e), dot, (to) => {
        const { top, height } = whole.getBoundingClientRect();
        const up = (FLOOR - ((to.clientY - top) / height) * HEIGHT) / (FLOOR - ROOF);
        made = movePoint(curve, i, placeIn(to, whole), (up * most) / scale);
        const [at, strength] = made.points[i];
        dot.setAttribute("cx", `${x(at)}`);
        dot.setAttribute("cy", `${FLOOR - ((FLOOR - ROOF) * strength * scale) / most}`);
      }, (moved) => moved && put(made));
    });
    dot.addEventListener("dblclick", (e) => (e.stopPropagation(), put(withoutPoint(curve, i))));
    dot.addEventListener("keydown", (/** @type {any} */ e) => {
      const [dx, dy] = { ArrowLeft: [-0.01, 0], ArrowRight: [0.01, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] }[/** @type {string} */ (e.key)] ?? [0, 0];
      if (!dx && !dy && e.key !== "Delete") return;
      e.preventDefault();
      put(e.key === "Delete" ? withoutPoint(curve, i) : movePoint(curve, i, place + dx, by + dy));
    });
    whole.append(dot);
  });
}
