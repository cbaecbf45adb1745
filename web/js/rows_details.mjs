/** What a row of ControlNet Stack has beside its line; loaded when one is first unfolded. */

import { PRESETS } from "./rows_points.mjs";
import * as model from "./rows_value.js";
import { button, el, number } from "./rows_view.js";
import { say } from "./rows_words.js";

/** @typedef {import("./rows_view.js").Board} Board */
/** @typedef {model.Row} Row */

/** @param {Board} board @param {Row} row @param {number} index @param {(name: string) => string} key @param {(fields: Partial<Row>) => void} put */
export default function details(board, row, index, key, put) {
  /** @param {string} field @param {Iterable<string>} choices @param {string} now @param {(chosen: string) => void} then */
  const menu = (field, choices, now, then) => {
    const select = el("select", { "data-key": key(field), ariaLabel: say(field), onchange: () => then(select.value) });
    for (const one of choices) select.append(el("option", { value: one, selected: one === now }, say(one)));
    return [el("span", {}, say(field)), select];
  };
  /** @param {string} field @param {string} now @param {string} hint @param {(text: string) => void} then */
  const text = (field, now, hint, then) => {
    const input = el("input", { value: now, "data-key": key(field), ariaLabel: say(field), placeholder: hint, title: hint, onchange: () => then(input.value.trim()) });
    return [el("span", {}, say(field)), input];
  };
  const points = JSON.stringify(row.curve?.points);
  const preset = row.curve ? Object.entries(PRESETS).find(([, own]) => JSON.stringify(own) === points)?.[0] ?? "own" : "none";
  const between = row.curve?.between ?? "linear";
  /** @param {"cond" | "uncond"} side */
  const side = (side) => [el("span", {}, say(side)), number(key(side), row.sides?.[side] ?? 1, model.MAX_STRENGTH, say(side), (to) => put({ sides: { ...row.sides, [side]: to } }))];
  const extra = Object.keys(model.SOCKETS).slice(2).map((kind) => {
    const has = !!row.sockets?.includes(kind);
    const box = el("input", { type: "checkbox", checked: has, "data-key": key(kind), onchange: () =>
      put({ sockets: has ? row.sockets?.filter((one) => one !== kind) : [...(row.sockets ?? []), kind] }) });
    return el("label", {}, box, say(kind));
  });
  return el("div", { className: "cs-more-box" },
    ...menu("mode", ["balanced", "prompt is more important", "control is more important", "CFG resolution weighting", "cfg_rw"], row.mode ?? "balanced", (mode) => put({ mode })),
    ...text("union_type", row.union_type ?? "auto", "auto, depth, openpose ...", (to) => put({ union_type: to || "auto" })),
    ...menu("curve", ["none", ...Object.keys(PRESETS), ...(preset === "own" ? ["own"] : [])], preset, (to) =>
      to === "own" || put({ curve: to === "none" ? null : { points: PRESETS[to], between } })),
    ...menu("between", model.BETWEEN, between, (to) => row.curve && put({ curve: { ...row.curve, between: to } })),
    ...side("cond"), ...side("uncond"),
    ...text("blocks", row.blocks ?? "", "soft weights; first half:0.5", (blocks) => put({ blocks })),
    ...menu("frames", ["repeat", "hold", "loop", "strict"], row.frames ?? "repeat", (frames) => put({ frames })),
    ...menu("area_hint", ["whole", "crop"], row.area_hint ?? "whole", (area_hint) => put({ area_hint })),
    el("div", { className: "wide" }, say("sockets"), ...extra),
    el("div", { className: "wide" },
      button(key("copy"), say("duplicate"), () => board.set(model.duplicate(board.value, index)), { disabled: board.value.rows.length >= model.MOST }),
      button(key("remove"), say("remove"), () => board.set(model.remove(board.value, index)))));
}
