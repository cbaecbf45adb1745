/**
 * The value of ControlNet Stack, and what can be done to it. Nothing here touches the page: every
 * function gives a new value and leaves the old one as it is. nodes/rows.py reads the same.
 *
 * @typedef {[number, number]} Point a place and the strength there
 * @typedef {{ points: Point[], between?: string }} Curve
 * @typedef {{ id: number, on?: boolean, file?: string | null, strength?: number, start?: number,
 *   end?: number, mode?: string, curve?: Curve | null, blocks?: string,
 *   sides?: { cond?: number, uncond?: number }, union_type?: string, frames?: string,
 *   area_hint?: string, open?: boolean, sockets?: string[] }} Row
 * @typedef {{ version: number, type?: string, rows: Row[], timeline?: boolean }} Value `type` is the
 *   input's name, by which comfy-cli finds a value that is an object
 */

export const VERSION = 1;

/** Rows of one node: conversion/known.py. */
export const MOST = 16;

/** The sockets of a row, in the order they are drawn; the hint's is always there. */
export const SOCKETS = Object.freeze({
  hint: "IMAGE",
  control_net: "CONTROL_NET,MODEL_PATCH",
  mask: "MASK",
  factor: "CONTROL_FACTOR",
  inpaint_mask: "MASK",
  inpaint_image: "IMAGE",
});

/** How far a curve is between two points: model_patch/curve.py. */
const EASINGS = /** @type {Record<string, (share: number) => number>} */ ({
  linear: (share) => share,
  smooth: (share) => share * share * (3 - 2 * share),
  cosine: (share) => (1 - Math.cos(Math.PI * share)) / 2,
  stepped: () => 0,
});
export const BETWEEN = Object.keys(EASINGS);

export const MAX_STRENGTH = 10;

/** @param {string[]} files @returns {Value} */
export function begin(files) {
  return add({ version: VERSION, type: "controls", rows: [] }, files);
}

/**
 * Why the value cannot be edited here, or "". Such a value is kept as it is.
 *
 * @param {any} value
 * @returns {"" | "newer" | "none"}
 */
export function strange(value) {
  if (!value || !Array.isArray(value.rows)) return "none";
  if ((value.version ?? VERSION) !== VERSION) return "newer";
  return value.rows.every(readable) ? "" : "none";
}

/** Whether a row can be drawn; nodes/rows.py says what is wrong with it. @param {any} row @param {number} index @param {any[]} rows */
function readable(row, index, rows) {
  const { id, file, sockets, curve } = row ?? {};
  return Number.isInteger(id) && rows.findIndex((one) => one.id === id) === index && typeof (file ?? "") === "string" &&
    Array.isArray(sockets ?? []) && (!curve || (Array.isArray(curve.points) && curve.points.length > 0 &&
      curve.points.every(Array.isArray) && (curve.between ?? "linear") in EASINGS));
}

/**
 * A value that others wrote, as nodes/rows.py reads it: a text, no ids, sockets wired but not named.
 *
 * @param {any} value @param {string[]} wired names of inputs
 */
export function adopted(value, wired) {
  try {
    const read = typeof value === "string" ? JSON.parse(value) : value;
    const rows = /** @type {any[]} */ (read.rows).map((row, index) => {
      const { id = index + 1, sockets = [] } = row;
      const more = Object.keys(SOCKETS).slice(2).filter((kind) => wired.includes(`${kind}_${id}`) && !sockets.includes(kind));
      return { id, ...row, ...(more.length && { sockets: [...sockets, ...more] }) };
    });
    return strange({ ...read, rows }) ? value : { ...read, rows };
  } catch {
    return value;
  }
}

/** @param {Row[]} rows */
function freeId(rows) {
  for (let id = 1; id <= MOST; id++) if (!rows.some((row) => row.id === id)) return id;
  return 0;
}

/** @param {Value} value @param {string[]} files @returns {Value} */
export function add(value, files) {
  const id = freeId(value.rows);
  if (!id) return value;
  const row = { id, on: true, file: files[0] ?? null, strength: 1, start: 0, end: 1 };
  return { ...value, rows: [...value.rows, row] };
}

/** @param {Value} value @param {number} index @returns {Value} */
export function duplicate(value, index) {
  const id = freeId(value.rows);
  if (!id) return value;
  const rows = [...value.rows];
  rows.splice(index + 1, 0, { ...structuredClone(rows[index]), id });
  return { ...value, rows };
}

/** @param {Value} value @param {number} index @returns {Value} */
export function remove(value, index) {
  return { ...value, rows: value.rows.filter((_, i) => i !== index) };
}

/** @param {Value} value @param {number} from @param {number} to @returns {Value} */
export function move(value, from, to) {
  const last = value.rows.length - 1;
  const at = Math.max(0, Math.min(last, to));
  if (at === from) return value;
  const rows = [...value.rows];
  rows.splice(at, 0, ...rows.splice(from, 1));
  return { ...value, rows };
}

/** A row with other fields. @param {Value} value @param {number} index @param {Partial<Row>} fields @returns {Value} */
export function change(value, index, fields) {
  return { ...value, rows: value.rows.map((row, i) => (i === index ? { ...row, ...fields } : row)) };
}

/**
 * The names of the sockets that the rows have, in their order: `hint_3`, `mask_3` ... A net's is
 * there where no file is chosen.
 *
 * @param {Value} value
 * @returns {{ name: string, type: string, kind: string, row: number }[]} row from 1
 */
export function socketsOf({ rows }) {
  return rows.slice(0, MOST).flatMap((row, index) =>
    Object.entries(SOCKETS)
      .filter(([kind]) =>
        kind === "hint" || (kind === "control_net" ? row.file == null : row.sockets?.includes(kind)),
      )
      .map(([kind, type]) => ({ name: `${kind}_${row.id}`, type, kind, row: index + 1 })),
  );
}

/** The strength of a row at a percent, 0..1; what its socket `factor` brings is not in it. @param {Row} row @param {number} percent */
export function strengthAt(row, percent) {
  if (row.on === false || percent < (row.start ?? 0) || percent > (row.end ?? 1)) return 0;
  return (row.strength ?? 1) * (row.curve ? along(row.curve, percent) : 1);
}

/** @param {Curve} curve @param {number} place */
export function along({ points, between }, place) {
  const after = points.findIndex(([at]) => at > place);
  if (after === 0) return points[0][1];
  if (after < 0) return points[points.length - 1][1];
  const [left, low] = points[after - 1];
  const [right, high] = points[after];
  return low + (high - low) * EASINGS[between ?? "linear"]((place - left) / (right - left));
}

/**
 * A range with one end elsewhere, the other end kept.
 *
 * @param {Row} row @param {"start" | "end"} side @param {number} to @returns {Partial<Row>}
 */
export function withEnd(row, side, to) {
  const { start = 0, end = 1 } = row;
  const at = round(clamp(to, side === "start" ? 0 : start, side === "start" ? end : 1));
  return { [side]: at };
}

/**
 * Which of the sampler's steps a row acts in: from the first up to, without, the last; null for none.
 *
 * @param {Row} row @param {number[]} percents where each step begins, and the end
 * @returns {[number, number] | null}
 */
export function stepsOf(row, percents) {
  const acts = percents.slice(0, -1).map((percent) => strengthAt(row, percent) > 0);
  const first = acts.indexOf(true);
  return first < 0 ? null : [first, acts.lastIndexOf(true) + 1];
}

/**
 * A percent drawn to the middle between two steps, if one is near: there no step is lost to rounding.
 *
 * @param {number} place @param {number[]} percents @param {number} near
 */
export function snapped(place, percents, near = 0.012) {
  let best = place;
  let least = near;
  percents.forEach((percent, index) => {
    const at = index ? (percents[index - 1] + percent) / 2 : 0;
    const far = Math.abs(at - place);
    if (far < least) [best, least] = [at, far];
  });
  return place > 1 - near ? 1 : best;
}

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** To a thousandth. @param {number} value */
export function round(value) {
  return Math.round(value * 1000) / 1000;
}
