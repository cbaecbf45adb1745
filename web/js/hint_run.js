/** "Run this hint alone", in the menu of each hint node and above a selected one. */

import { app } from "../../../scripts/app.js";
import { idsOf, partFor, reasonOf } from "./hint_prompt.js";

const NAME = "ControlStack.HintRun";
const COMMAND = "ControlStack.RunHint";
const EN = ["Run this hint alone", "This node is muted or bypassed: switch it on to run it."];
const ZH = ["单独运行此控制图", "此节点已被忽略或绕过：请先启用它。"];

/** The types of hint nodes. @type {Set<string>} */
const hints = new Set();

/** Preview Images of our prompts, and whose hints they show. @type {Record<string, string>} */
const previews = {};

const words = () =>
  String(app.extensionManager?.setting?.get?.("Comfy.Locale")).startsWith("zh") ? ZH : EN;

/** @param {any} node */
const isHint = (node) => hints.has(node?.type);

/** @param {string} detail */
function tell(detail) {
  const [summary] = words();
  if (detail) app.extensionManager?.toast?.add({ severity: "warn", summary, detail, life: 15_000 });
}

/** @param {any[]} nodes */
async function run(nodes) {
  try {
    const { output, workflow } = await app.graphToPrompt();
    const graph = /** @type {any} */ (app.rootGraph ?? app.graph);
    const ids = nodes.flatMap((node) => idsOf(graph, node));
    const part = /** @type {any} */ (partFor(output, ids, previews));
    if (part) await app.api.queuePrompt(-1, { output: part, workflow });
    else tell(words()[1]);
  } catch (error) {
    tell(reasonOf(error));
  }
}

/** @param {any} nodeType @param {{ name: string, category?: string }} definition */
function beforeRegisterNodeDef(nodeType, { name, category }) {
  if (category !== "ControlStack/hints") return;
  hints.add(name);
  const { getExtraMenuOptions: others } = nodeType.prototype;
  // The canvas's menu and that of Nodes 2.0 ask this.
  nodeType.prototype.getExtraMenuOptions = function (/** @type {any[]} */ ...given) {
    const more = others?.apply(this, given);
    given[1]?.unshift({ content: words()[0], callback: () => void run([this]) });
    return more;
  };
}

/** A hint in the server's cache is not told again; its preview is. */
function setup() {
  app.api?.addEventListener?.("executed", ({ detail }) => {
    const node = previews[detail?.node];
    if (node) app.api.dispatchCustomEvent("executed", { ...detail, node, display_node: node });
  });
}

const command = {
  id: COMMAND,
  label: () => words()[0],
  icon: "pi pi-play",
  function: () => run(Object.values(app.canvas?.selected_nodes ?? {}).filter(isHint)),
};

/** @param {any} item */
const getSelectionToolboxCommands = (item) => (isHint(item) ? [COMMAND] : []);

// ComfyUI may serve a folder under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME))
  app.registerExtension({
    ...{ name: NAME, setup, beforeRegisterNodeDef },
    ...{ commands: [command], getSelectionToolboxCommands },
  });
