/**
 * Draw Pose Hint's pose on the node. The window that edits it, pose_editor.mjs, is loaded with the
 * first such node: ComfyUI loads every .js here with each page, and no .mjs.
 */

import { app } from "../../../scripts/app.js";

const NAME = "ControlStack.Pose";
const NODE = "ControlStackDrawPose";
/** At least: the shipped workflows leave room for no more. */
const HEIGHT = 72;

/** @param {any} node */
function nodeCreated(node) {
  if (node.comfyClass !== NODE || !node.addDOMWidget) return;
  const view = document.createElement("div");
  const options = {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => HEIGHT,
    getValue: () => "",
  };
  const widget = node.addDOMWidget("pose_view", "controlstack_pose", view, options);
  widget.serialize = false; // after all others, and not among the saved values
  import("./pose_editor.mjs").then(
    ({ show }) => show(node, view),
    (error) => console.warn("ControlStack cannot show its poses:", error),
  );
}

// ComfyUI serves a folder such as controlstack-0.1.0 under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME))
  app.registerExtension({ name: NAME, nodeCreated });
