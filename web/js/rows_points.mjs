/**
 * A row's curve by its points; loaded with what draws them. Every function gives a new value.
 *
 * @typedef {import("./rows_value.js").Point} Point
 * @typedef {import("./rows_value.js").Curve} Curve
 * @typedef {import("./rows_value.js").Row} Row
 */

import { along, clamp, MAX_STRENGTH, round } from "./rows_value.js";

/** Curves by name: model_patch/curve.py. @type {Record<string, Point[]>} */
export const PRESETS = {
  "fade in": [[0, 0], [1, 1]],
  "fade out": [[0, 1], [1, 0]],
  "hold then release": [[0, 1], [0.5, 1], [0.8, 0]],
  pulse: [[0, 0], [0.5, 1], [1, 0]],
};

/**
 * A row whose curve has a point more, where it is now: a row without a curve gets one.
 *
 * @param {Row} row @param {number} place @returns {{ curve: Curve, index: number }}
 */
export function withPoint(row, place) {
  const curve = row.curve ?? { points: /** @type {Point[]} */ ([[0, 1], [1, 1]]) };
  const at = round(place);
  const points = curve.points.filter(([one]) => one !== at);
  points.push([at, round(along(curve, at))]);
  points.sort(([a], [b]) => a - b);
  return { curve: { ...curve, points }, index: points.findIndex(([one]) => one === at) };
}

/** A curve with a point elsewhere, between its neighbours. @param {Curve} curve @param {number} index @param {number} place @param {number} strength @returns {Curve} */
export function movePoint(curve, index, place, strength) {
  const points = curve.points.map((point) => /** @type {Point} */ ([...point]));
  const low = index ? points[index - 1][0] + 0.001 : 0;
  const high = index < points.length - 1 ? points[index + 1][0] - 0.001 : 1;
  points[index] = [round(clamp(place, low, high)), round(clamp(strength, 0, MAX_STRENGTH))];
  return { ...curve, points };
}

/** A curve without a point, or null where one is all there is. @param {Curve} curve @param {number} index @returns {Curve | null} */
export function withoutPoint(curve, index) {
  const points = curve.points.filter((_, i) => i !== index);
  return points.length ? { ...curve, points } : null;
}
