/**
 * Shows the pack's own sentences. The front end has fixed words for every failure ("threw an error
 * during execution", "rejected the value") and keeps what a node says in a log that few open.
 */

import { app } from "../../../scripts/app.js";
import { fromExecution, fromValidation, titleOf } from "./sentences.js";

/**
 * @typedef {import("./sentences.js").Said} Said
 * @typedef {Parameters<typeof app.extensionManager.toast.add>[0]} Toast
 */

const NAME = "ControlStack.Toasts";
const SHOWN_MS = 30_000;

/** Of a message with a line for each of several problems, every line is a line. */
const STYLE_CLASS = "controlstack-toast";
const STYLE = `.${STYLE_CLASS} .p-toast-detail { white-space: pre-line; max-height: 50vh; overflow: auto; }`;

/** The toasts since the last run was queued. @type {Toast[]} */
let toasts = [];

/** @param {(Said | null)[]} all */
function show(all) {
  const manager = app.extensionManager?.toast;
  if (!manager?.add) return;
  for (const said of all) {
    if (!said) continue;
    const types = globalThis.LiteGraph?.registered_node_types;
    const summary = titleOf(app.rootGraph ?? app.graph, said, types);
    /** @type {Toast} */
    const toast = {
      severity: "error",
      summary,
      detail: said.sentence,
      life: SHOWN_MS,
      styleClass: STYLE_CLASS,
    };
    manager.add(toast);
    toasts.push(toast);
  }
}

function clear() {
  for (const toast of toasts) app.extensionManager?.toast?.remove?.(toast);
  toasts = [];
}

/** A failure in here stays here: the front end goes on as it would without us. @param {() => void} act */
function harmless(act) {
  try {
    act();
  } catch (error) {
    console.warn("ControlStack cannot show its message:", error);
  }
}

function setup() {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);
  const { api } = app;
  api?.addEventListener?.("execution_error", ({ detail }) =>
    harmless(() => show([fromExecution(detail)])),
  );
  // What is refused before it runs has no event: the server's answer is read on its way.
  const queue = api?.queuePrompt;
  if (!queue) return;
  api.queuePrompt = async (...given) => {
    harmless(clear);
    try {
      const answer = await queue.apply(api, given);
      harmless(() => show(fromValidation(answer?.node_errors)));
      return answer;
    } catch (error) {
      const { response } = /** @type {any} */ (error ?? {});
      harmless(() => show(fromValidation(response?.node_errors)));
      throw error;
    }
  };
}

// ComfyUI serves a folder such as controlstack-0.1.0 under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME)) app.registerExtension({ name: NAME, setup });
