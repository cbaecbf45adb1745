/**
 * How the rows of ControlNet Stack are drawn: elements of the page, and what a hand does to them.
 *
 * @typedef {import("./rows_value.js").Row} Row
 * @typedef {import("./rows_value.js").Value} Value
 * @typedef {{
 *   value: Value, strange: "" | "newer" | "none", files: string[], percents: number[],
 *   exact: boolean, step: number, lit: number,
 *   set(value: Value): void, light(index: number): void,
 *   hint(row: Row): string, wired(row: Row, kind: string): boolean,
 *   part(name: "details" | "timeline"): ((...given: any[]) => Element) | null,
 * }} Board what is drawn, and whom a change is told
 */

import * as model from "./rows_value.js";
import { say } from "./rows_words.js";

export const COLOURS = ["#60A5FA", "#F59E0B", "#34D399", "#F472B6", "#A78BFA", "#F87171", "#22D3EE", "#A3E635"];

export const STYLE = `
.cs-rows { --line: var(--border-color, #4e4e4e); --field: var(--comfy-input-bg, #222); --ink: var(--input-text, #ddd);
  display: flex; flex-direction: column; gap: 4px; font: 13px/1.2 system-ui, sans-serif;
  color: var(--ink); box-sizing: border-box; overflow: hidden auto; padding: 2px; }
.cs-rows * { box-sizing: border-box; font: inherit; color: inherit; }
.cs-rows :is(select, input, button) { background: var(--field); height: 26px; min-width: 0;
  border: 1px solid var(--line); border-radius: 4px; padding: 0 4px; margin: 0; }
.cs-rows button { cursor: pointer; padding: 0 6px; flex: none; }
.cs-rows :focus-visible { outline: 2px solid #3b82f6; outline-offset: 0; }
.cs-row { border-left: 4px solid var(--row); border-radius: 4px; background: var(--comfy-menu-bg, #353535); }
.cs-row.off > .cs-line > :not(.cs-grip, .cs-on, .cs-more) { opacity: 0.4; }
.cs-row.over { box-shadow: 0 0 0 2px #3b82f6; }
.cs-line { display: flex; align-items: center; gap: 4px; padding: 3px; }
.cs-rows .cs-grip { cursor: grab; touch-action: none; border: 0; background: none; opacity: 0.7; padding: 0 2px; }
.cs-rows .cs-on { width: 18px; height: 18px; flex: none; accent-color: #3b82f6; }
.cs-number { width: 16px; text-align: center; flex: none; }
.cs-hint { width: 28px; height: 28px; flex: none; border-radius: 3px; background: #0008 center/cover;
  border: 1px solid var(--line); }
.cs-hint.none { border: 1px dashed #ef4444; }
.cs-rows .cs-file { flex: 3 1 90px; text-overflow: ellipsis; }
.cs-rows .missing { border-color: #ef4444; color: #f87171; }
.cs-rows .cs-strength { width: 52px; flex: none; }
.cs-bar { position: relative; flex: 2 1 70px; height: 22px; border-radius: 4px; touch-action: none; cursor: ew-resize;
  background: var(--field); border: 1px solid var(--line); }
.cs-span { position: absolute; top: 0; bottom: 0; background: color-mix(in srgb, var(--row) 55%, transparent); }
.cs-tick { position: absolute; bottom: 0; height: 5px; width: 1px; background: var(--ink); opacity: 0.45; }
.cs-end { position: absolute; top: -1px; bottom: -1px; width: 8px; margin-left: -4px; border-radius: 3px; background: var(--row); }
.cs-words { font-size: 11px; opacity: 0.85; padding: 0 6px 3px 28px; }
.cs-say { color: #f87171; padding: 2px 6px; white-space: normal; }
.cs-more-box { display: grid; grid-template-columns: auto 1fr auto 1fr; gap: 4px 6px; align-items: center; padding: 2px 6px 6px; }
.cs-more-box > .wide { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: center; }
.cs-more-box label { display: flex; gap: 3px; align-items: center; font-size: 12px; }
.cs-rows input[type=checkbox] { height: 16px; }
.cs-foot { display: flex; gap: 4px; }
.cs-foot > :first-child { flex: 1; }
.cs-time { width: 100%; height: 96px; flex: none; border-radius: 4px; background: var(--field); touch-action: none; }
.cs-time text { fill: var(--ink); font-size: 10px; opacity: 0.8; }
.cs-rows.far { font-size: 22px; }
.cs-rows.far :is(.cs-grip, .cs-hint, .cs-words, .cs-more, .cs-foot) { display: none; }
.cs-rows.far :is(.cs-file, .cs-strength) { font-size: 20px; height: 30px; border: 0; appearance: none; }
.cs-rows.far .cs-strength { width: 58px; }`;

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, any>} [fields] @param {...(Node | string)} inside
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, fields = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (name in made && name !== "style") /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
}

/** Draw all of it into `box`; the focus stays where it was. @param {HTMLElement} box @param {Board} board */
export function draw(box, board) {
  const key = /** @type {HTMLElement | null} */ (box.contains(document.activeElement) ? document.activeElement : null)?.dataset.key;
  if (board.strange) {
    box.replaceChildren(el("div", { className: "cs-say", role: "alert" }, say(`value ${board.strange}`)));
    return;
  }
  const { rows } = board.value;
  const many = rows.length > model.MOST;
  box.replaceChildren(
    ...(many ? [el("div", { className: "cs-say", role: "alert" }, say("too many", rows.length, model.MOST))] : []),
    ...rows.map((row, index) => rowOf(box, board, row, index)),
    el("div", { className: "cs-foot" },
      button("add", say("add"), () => board.set(model.add(board.value, board.files)), { disabled: rows.length >= model.MOST }),
      button("time", board.value.timeline ? "▾" : "▸", () => board.set({ ...board.value, timeline: !board.value.timeline }), {
        title: say("timeline"), ariaLabel: say("timeline"), ariaExpanded: `${!!board.value.timeline}` })),
    ...(board.value.timeline ? [board.part("timeline")?.(board) ?? ""] : []),
  );
  const again = key && /** @type {HTMLInputElement | null} */ (box.querySelector(`[data-key="${CSS.escape(key)}"]`));
  again && (again.focus(), again.select?.());
}

/** How high the drawing is. @param {Board} board */
export function heightOf({ value, strange, percents }) {
  if (strange) return 60;
  const rows = value.rows.reduce((sum, row) => sum + 38 + (percents.length ? 16 : 0) + (row.open ? 196 : 0), 0);
  return rows + 40 + (value.timeline ? 100 : 0) + (value.rows.length > model.MOST ? 40 : 0);
}

/** @param {string} key @param {string} text @param {() => void} onclick @param {Record<string, any>} [more] */
export function button(key, text, onclick, more = {}) {
  return el("button", { type: "button", "data-key": key, onclick, ...more }, text);
}

/** @param {HTMLElement} box @param {Board} board @param {Row} row @param {number} index */
function rowOf(box, board, row, index) {
  /** @param {Partial<Row>} fields */
  const put = (fields) => board.set(model.change(board.value, index, fields));
  const key = (/** @type {string} */ name) => `${row.id} ${name}`;
  const on = row.on !== false;
  const picture = board.hint(row);
  const name = say("row", index + 1);
  const grip = button(key("grip"), "⠿", () => {}, {
    className: "cs-grip", title: say("grip"), ariaLabel: `${name}: ${say("grip")}`,
    onkeydown: (/** @type {KeyboardEvent} */ e) => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[e.key];
      if (!by) return;
      e.preventDefault();
      board.set(model.move(board.value, index, index + by));
    },
  });
  grip.onpointerdown = (e) => reorder(e, grip, box, index, (to) => board.set(model.move(board.value, index, to)));
  const words = el("div", { className: "cs-words" });
  const line = el("div", { className: "cs-line" },
    grip,
    el("input", { type: "checkbox", className: "cs-on", checked: on, "data-key": key("on"), ariaLabel: `${name}: ${say("on")}`,
      onchange: () => put({ on: !on }) }),
    el("span", { className: "cs-number" }, `${index + 1}`),
    el("div", { className: picture || !on || board.wired(row, "hint") ? "cs-hint" : "cs-hint none",
      title: board.wired(row, "hint") ? say("hint") : say("no hint"),
      ...(picture ? { style: `background-image: url("${picture}")` } : {}) }),
    fileOf(board, row, key("file"), put),
    number(key("strength"), row.strength ?? 1, model.MAX_STRENGTH, `${name}: ${say("strength")}`, (strength) => put({ strength }), "cs-strength"),
    bar(board, row, words, put),
    button(key("more"), row.open ? "▾" : "▸", () => put({ open: !row.open }), {
      className: "cs-more", title: say("more"), ariaLabel: `${name}: ${say("more")}`, ariaExpanded: `${!!row.open}` }));
  const made = el("div", { className: `cs-row${on ? "" : " off"}`, role: "group", ariaLabel: name,
    style: `--row: ${COLOURS[index % COLOURS.length]}`, onpointerdown: () => board.light(index) }, line);
  if (board.percents.length) made.append(words);
  if (row.open) made.append(board.part("details")?.(board, row, index, key, put) ?? "");
  return made;
}

/** @param {Board} board @param {Row} row @param {string} key @param {(fields: Partial<Row>) => void} put */
function fileOf(board, row, key, put) {
  const gone = row.file != null && !board.files.includes(row.file);
  const select = el("select", { className: `cs-file${gone ? " missing" : ""}`, "data-key": key, ariaLabel: say("file"),
    title: gone ? say("missing", row.file) : row.file ?? say("wired"),
    onchange: () => put({ file: select.value || null }) });
  select.append(el("option", { value: "", selected: row.file == null }, say("wired")));
  for (const file of gone ? [/** @type {string} */ (row.file), ...board.files] : board.files)
    select.append(el("option", { value: file, selected: file === row.file }, (gone && file === row.file ? "⚠ " : "") + file.replace(/\.\w+$/, "")));
  return select;
}

/** @param {string} key @param {number} value @param {number} max @param {string} ariaLabel @param {(value: number) => void} then @param {string} [className] */
export function number(key, value, max, ariaLabel, then, className = "") {
  const field = el("input", { type: "number", min: "0", max: `${max}`, step: max > 1 ? "0.05" : "0.01", value: `${value}`, ariaLabel,
    title: ariaLabel, className, "data-key": key,
    onchange: () => {
      const given = field.valueAsNumber;
      if (Number.isFinite(given)) then(model.clamp(given, 0, max));
      else field.value = `${value}`;
    } });
  return field;
}

/** @param {Board} board @param {Row} row @param {HTMLElement} words @param {(fields: Partial<Row>) => void} put */
function bar(board, row, words, put) {
  let now = row;
  const span = el("div", { className: "cs-span" });
  const whole = el("div", { className: "cs-bar" }, span);
  for (const percent of board.percents.slice(1, -1)) whole.append(el("div", { className: "cs-tick", style: `left: ${percent * 100}%` }));
  /** @type {("start" | "end")[]} */
  const sides = ["start", "end"];
  const ends = sides.map((side) =>
    el("div", { className: "cs-end", role: "slider", tabIndex: 0, "data-key": `${row.id} ${side}`, ariaLabel: say(side),
      ariaValueMin: "0", ariaValueMax: "1",
      onkeydown: (/** @type {KeyboardEvent} */ e) => {
        const by = { ArrowLeft: -0.01, ArrowRight: 0.01, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[e.key];
        if (!by) return;
        e.preventDefault();
        put(model.withEnd(now, side, (now[side] ?? (side === "end" ? 1 : 0)) + by * (e.shiftKey ? 10 : 1)));
      } }));
  whole.append(...ends);
  const paint = () => {
    const { start = 0, end = 1 } = now;
    span.style.left = `${start * 100}%`;
    span.style.right = `${(1 - end) * 100}%`;
    const steps = model.stepsOf(now, board.percents);
    const percent = `${Math.round(start * 1000) / 10} – ${Math.round(end * 1000) / 10} %`;
    const inSteps = !board.percents.length ? "" : steps
      ? say("steps", steps[0], steps[1], board.percents.length - 1) : say("no step");
    whole.title = words.textContent = [percent, inSteps && (board.exact ? inSteps : `≈ ${inSteps}`)].filter(Boolean).join(" · ");
    [start, end].forEach((at, i) => {
      ends[i].style.left = `${at * 100}%`;
      ends[i].ariaValueNow = `${at}`;
      ends[i].ariaValueText = words.textContent;
    });
  };
  whole.onpointerdown = (e) => {
    const place = placeIn(e, whole);
    const side = Math.abs(place - (now.start ?? 0)) < Math.abs(place - (now.end ?? 1)) || (now.start === now.end && place < (now.end ?? 1)) ? "start" : "end";
    follow(e, whole, (to) => {
      const at = placeIn(to, whole);
      now = { ...now, ...model.withEnd(now, side, to.altKey ? at : model.snapped(at, board.percents)) };
      paint();
    }, () => put({ start: now.start, end: now.end }));
  };
  paint();
  return whole;
}

/** Where a pointer is along an element, 0..1, at any zoom. @param {PointerEvent} e @param {Element} element */
function placeIn(e, element) {
  const { left, width } = element.getBoundingClientRect();
  return model.clamp((e.clientX - left) / width, 0, 1);
}

/**
 * A drag from here on: `move` for each place, `done` at its end.
 *
 * @param {PointerEvent} e @param {Element} element @param {(e: PointerEvent) => void} move @param {(moved: boolean) => void} done
 */
export function follow(e, element, move, done) {
  if (e.button) return;
  const target = /** @type {HTMLElement} */ (element);
  target.setPointerCapture(e.pointerId);
  let moved = false;
  const stop = new AbortController();
  const { signal } = stop;
  move(e);
  target.addEventListener("pointermove", (to) => ((moved = true), move(/** @type {PointerEvent} */ (to))), { signal });
  for (const end of ["pointerup", "pointercancel"]) target.addEventListener(end, () => (stop.abort(), done(moved)), { signal });
}

/** @param {PointerEvent} e @param {HTMLElement} grip @param {HTMLElement} box @param {number} from @param {(to: number) => void} then */
function reorder(e, grip, box, from, then) {
  let to = from;
  follow(e, grip, (at) => {
    const rows = [...box.querySelectorAll(".cs-row")];
    const under = rows.findIndex((row) => at.clientY < row.getBoundingClientRect().bottom);
    to = under < 0 ? rows.length - 1 : under;
    rows.forEach((row, i) => row.classList.toggle("over", i === to && to !== from));
  }, () => then(to));
}
