/**
 * Colours for the wires and sockets of the pack's own types, which the front end draws grey. A
 * palette of the user that has one for them is followed.
 */

import { app } from "../../../scripts/app.js";

const NAME = "ControlStack.Colours";

/** By type; the first two are kin of the green that ComfyUI has for CONTROL_NET. */
const COLOURS = {
  CONTROL_STACK: "#14B8A6",
  CONTROL_FACTOR: "#C0CA33",
  CONTROLSTACK_TRAINABLE: "#F06292",
  CONTROLSTACK_DATA: "#BCAAA4",
};

/**
 * Make `colour` what `table` has for `type` as long as it is given no other: each palette that is
 * loaded gives "" to every type that it does not know.
 *
 * @param {Record<string, any> | undefined} table
 * @param {string} type
 * @param {string} colour
 */
function beginWith(table, type, colour) {
  if (!table) return;
  let given = table[type];
  Object.defineProperty(table, type, {
    configurable: true,
    enumerable: true,
    get: () => given || colour,
    set: (other) => (given = other),
  });
}

function setup() {
  const rules = Object.entries(COLOURS).map(([type, colour]) => {
    beginWith(globalThis.LGraphCanvas?.link_type_colors, type, colour);
    beginWith(app.canvas?.default_connection_color_byType, type, colour);
    return `--color-datatype-${type}: ${colour};`;
  });
  // Nodes 2.0 reads these; palettes write theirs on the element itself, which goes before.
  const style = document.createElement("style");
  style.textContent = `:root { ${rules.join(" ")} }`;
  document.head.append(style);
}

// ComfyUI serves a folder such as controlstack-0.1.0 under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME)) app.registerExtension({ name: NAME, setup });
