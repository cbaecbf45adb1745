/**
 * In a node's menu: a chain of controls becomes a ControlNet Stack, and back.
 */

import { app } from "../../../scripts/app.js";

const NAME = "ControlStack.Convert";
const STACK = "ControlStackRows";

/** What can be part of a chain: controlstack/conversion/known.py. */
const CHAINED = new Set([
  ...["ControlNetApply", "ControlNetApplyAdvanced", "ControlNetApplySD3"],
  ...["", "_v2", "Single", "Single_v2"].map((end) => `ACN_AdvancedControlNetApply${end}`),
  ...["Control Net Stacker", "Apply ControlNet Stack", "easy controlnetStack"],
  ...["CR Multi-ControlNet Stack", "CR Apply Multi-ControlNet"],
  ...["ControlStackAdd", "ControlStackApply", "ControlStackApplyConditioning"],
]);

/** By what a node becomes. @type {Record<string, [string, string]>} */
const WORDS = {
  stack: ["Convert to ControlNet Stack", "转换为 ControlNet 堆栈"],
  nodes: ["Convert to Add ControlNet nodes", "转换为“添加 ControlNet”节点"],
  core: ["Convert to Apply ControlNet nodes", "转换为 ComfyUI 自带的 ControlNet 节点"],
};

/** @param {any} node @param {string} to */
async function convert(node, to) {
  const { default: converted } = await import("./convert_graph.mjs");
  await converted(node, to);
}

/** The entries of a node's menu. @param {any} node */
export function entries(node) {
  const type = node?.comfyClass ?? node?.type;
  const ways = type === STACK ? ["nodes", "core"] : CHAINED.has(type) ? ["stack"] : [];
  const locale = /** @type {any} */ (app.extensionManager)?.setting?.get?.("Comfy.Locale");
  const language = String(locale ?? "").startsWith("zh") ? 1 : 0;
  return ways.map((to) => ({ content: WORDS[to][language], callback: () => void convert(node, to) }));
}

/** Older pages ask a node's class alone. @param {any} nodeType */
function beforeRegisterNodeDef({ prototype }) {
  const own = prototype.getExtraMenuOptions;
  prototype.getExtraMenuOptions = function (/** @type {any} */ canvas, /** @type {any[]} */ options) {
    const answer = own?.call(this, canvas, options);
    options.unshift(...entries(this));
    return answer;
  };
}

const hook = /** @type {any} */ (app).collectNodeMenuItems ? { getNodeMenuItems: entries } : { beforeRegisterNodeDef };

// ComfyUI serves a folder such as controlstack-0.1.0 under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME)) app.registerExtension({ name: NAME, ...hook });
