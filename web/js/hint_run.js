/**
 * "Run this hint alone", in the menu of each hint node and above a selected one: queues what the
 * hint needs and nothing else. It is shown on its node (nodes/seen.py).
 */

import { app } from "../../../scripts/app.js";
import { idsOf, partFor, reasonOf } from "./hint_prompt.js";

const NAME = "ControlStack.HintRun";
const COMMAND = "ControlStack.RunHint";
const CATEGORY = "ControlStack/hints";
const SHOWN_MS = 15_000;

const TEXTS = {
  en: {
    label: "Run this hint alone",
    asleep: "This node is muted or bypassed: switch it on to run it.",
  },
  zh: { label: "单独运行此控制图", asleep: "此节点已被忽略或绕过：请先启用它。" },
};

/** The types of hint nodes. @type {Set<string>} */
const hints = new Set();

/** Preview Images of our prompts, and the nodes whose hints they show. @type {Record<string, string>} */
const previews = {};

function texts() {
  const locale = String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "");
  return locale.startsWith("zh") ? TEXTS.zh : TEXTS.en;
}

/** @param {any} node */
const isHint = (node) => hints.has(node?.type);

/** @param {string} detail */
function tell(detail) {
  const summary = texts().label;
  if (detail) app.extensionManager?.toast?.add({ severity: "warn", summary, detail, life: SHOWN_MS });
}

/** @param {any[]} nodes */
async function run(nodes) {
  try {
    const { output, workflow } = await app.graphToPrompt();
    const graph = /** @type {any} */ (app.rootGraph ?? app.graph);
    const part = partFor(output, nodes.flatMap((node) => idsOf(graph, node)), previews);
    if (part) await app.api.queuePrompt(-1, { output: /** @type {any} */ (part), workflow });
    else tell(texts().asleep);
  } catch (error) {
    tell(reasonOf(error));
  }
}

/** @param {any} nodeType @param {{ name: string, category?: string }} definition */
function beforeRegisterNodeDef(nodeType, { name, category }) {
  if (category !== CATEGORY || !name.startsWith("ControlStack")) return;
  hints.add(name);
  const others = nodeType.prototype.getExtraMenuOptions;
  // Both menus, the canvas's own and that of Nodes 2.0, ask this.
  nodeType.prototype.getExtraMenuOptions = function (/** @type {any[]} */ ...given) {
    const more = others?.apply(this, given);
    given[1]?.unshift({ content: texts().label, callback: () => void run([this]) });
    return more;
  };
}

/** A hint that is in the server's cache is not told again; its preview is. */
function setup() {
  app.api?.addEventListener?.("executed", ({ detail }) => {
    const node = previews[detail?.node];
    if (node) app.api.dispatchCustomEvent("executed", { ...detail, node, display_node: node });
  });
}

const extension = {
  name: NAME,
  setup,
  beforeRegisterNodeDef,
  commands: [
    {
      id: COMMAND,
      label: () => texts().label,
      icon: "pi pi-play",
      function: () => run(Object.values(app.canvas?.selected_nodes ?? {}).filter(isHint)),
    },
  ],
  /** @param {any} item */
  getSelectionToolboxCommands: (item) => (isHint(item) ? [COMMAND] : []),
};

// ComfyUI serves a folder such as controlstack-0.1.0 under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME)) app.registerExtension(extension);
