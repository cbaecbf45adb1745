/**
 * Puts `stack` first among Add ControlNet's sockets, where the server has required ones: the wire from
 * node to node would loop. Front ends read graphs by the names of inputs, in whatever order.
 */

import { app } from "../../../scripts/app.js";

const NAME = "ControlStack.Slots";

/** @param {any} node */
function nodeCreated({ comfyClass, inputs }) {
  if (comfyClass !== "ControlStackAdd") return;
  const place = inputs.findIndex((/** @type {any} */ { name }) => name === "stack");
  if (place > 0) inputs.unshift(...inputs.splice(place, 1));
}

// ComfyUI may serve a folder under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME)) app.registerExtension({ name: NAME, nodeCreated });
