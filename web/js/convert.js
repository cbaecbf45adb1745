/**
 * In a node's menu: a chain of controls becomes a ControlNet Stack, and back. The server does it, on
 * the graph as it would be saved: controlstack/conversion.
 */

import { app } from "../../../scripts/app.js";

const NAME = "ControlStack.Convert";
const STACK = "ControlStackRows";
const LIFE_MS = 15_000;

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

/** @param {"success" | "warn" | "error"} severity @param {string[]} said */
function show(severity, said) {
  for (const detail of said)
    app.extensionManager?.toast?.add?.({ severity, summary: "ControlStack", detail, life: LIFE_MS });
}

/** The graph in the place of the one on the page, as a step that Ctrl+Z takes back. @param {any} graph */
async function load(graph) {
  const workflow = /** @type {any} */ (app.extensionManager)?.workflow?.activeWorkflow;
  const tracker = workflow?.changeTracker;
  if (!tracker?.redo) return app.loadGraphData(graph, false, false, workflow);
  (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
  tracker.beforeChange?.();
  try {
    tracker.redoQueue.splice(0, Infinity, graph);
    await tracker.redo();
    // What the page makes of it (sizes, sockets) is no further step.
    for (let last = "", calm = 0, tries = 0; calm < 3 && tries < 30; tries++) {
      await new Promise((then) => setTimeout(then, 100));
      const now = JSON.stringify(saved());
      calm = now === last ? calm + 1 : 0;
      last = now;
    }
    tracker.activeState = saved();
  } finally {
    tracker.afterChange?.();
  }
}

function saved() {
  return JSON.parse(JSON.stringify((app.rootGraph ?? app.graph).serialize()));
}

/** @param {any} node @param {string} to */
async function convert(node, to) {
  const root = app.rootGraph ?? app.graph;
  const subgraph = node.graph && node.graph !== root ? node.graph.id : null;
  const body = JSON.stringify({ graph: saved(), node: String(node.id), subgraph, to });
  try {
    const answer = await app.api.fetchApi("/controlstack/convert", { method: "POST", body });
    const told = await answer.json();
    if (!answer.ok) return show("error", [told.error]);
    if (told.done.length) await load(told.graph);
    show("success", told.done);
    show("warn", told.left);
  } catch (error) {
    show("error", [String(error)]);
  }
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
