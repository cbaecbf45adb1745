/**
 * The graph on the page, with a chain of controls in another form: the server makes it, from the
 * graph as it would be saved (controlstack/conversion).
 */

import { app } from "../../../scripts/app.js";

const LIFE_MS = 15_000;

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
export default async function convert(node, to) {
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
