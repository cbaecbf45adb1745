/**
 * ControlNet Stack on the page: its widget, its sockets, and what it learns of the graph around it.
 */

import { app } from "../../../scripts/app.js";
import * as model from "./rows_value.js";
import { draw, heightOf, STYLE } from "./rows_view.js";
import { speak } from "./rows_words.js";

const NAME = "ControlStack.Rows";
const TYPE = "ControlStackRows";
const WIDGET = "CONTROLSTACK_ROWS";
const WIDTH = 480;

const FAR = 0.6; // below this zoom rows are large and short

const SOCKET = new RegExp(`^(${Object.keys(model.SOCKETS).join("|")})_(\\d+)$`);

/** All of them in sight. @type {Set<Stack>} */
const stacks = new Set();

/** What is drawn by modules that are loaded when they are first needed. @type {Record<string, any>} */
const parts = {};

class Stack {
  /** @param {any} node @param {string[]} files */
  constructor(node, files) {
    this.node = node;
    this.files = files;
    /** @type {any} */
    this.value = model.begin(files);
    /** @type {any} */
    this.widget = null;
    /** @type {any} */
    this.sampler = null;
    /** While a saved node is read: its wires, which the page may still have at other sockets. @type {string[] | null} */
    this.saved = null;
    this.lit = 0;
    this.step = -1;
    this.grown = false;
    /** What the last run told: pictures by row, and what knows the model's noise levels. */
    this.ran = { hints: /** @type {Record<number, string>} */ ({}), model: "" };
    /** @type {{ key: string, percents: number[], exact: boolean }} */
    this.plan = { key: "", percents: [], exact: false };
    this.box = document.createElement("div");
    this.box.className = "cs-rows";
    // The page's own keys (Delete, arrows ...) would act on the node; those with Ctrl are the page's.
    this.box.addEventListener("keydown", (e) => {
      this.held = null;
      // Ctrl+Enter runs the graph, with the number that is being typed.
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) e.target?.dispatchEvent(new Event("change", { bubbles: true }));
      e.ctrlKey || e.metaKey || e.stopPropagation();
    });
    this.box.addEventListener("wheel", (e) => scrolls(this.box) || app.canvas?.processMouseWheel?.(/** @type {any} */ (e)));
    this.box.addEventListener("pointerenter", () => this.refresh());
    // What a hand is on is not drawn anew under it, but afterwards.
    /** @type {EventTarget | null} */
    this.held = null;
    this.box.addEventListener("pointerdown", (e) => (this.held = e.target), true);
    // A field that is left tells its change before the press or the Tab that leaves it is over.
    this.leaves = false;
    this.box.addEventListener("change", () => (this.leaves = true), true);
    this.box.addEventListener("change", (e) => {
      this.leaves = false;
      if (this.held === e.target) this.held = null; // a menu keeps its pointerup to itself
      setTimeout(() => this.held || this.draw());
    });
    this.box.addEventListener("focusout", () => setTimeout(() => this.refresh()));
    this.drawn = "";
  }

  get strange() {
    return model.strange(this.value);
  }

  get percents() {
    return this.plan.percents;
  }

  get exact() {
    return this.plan.exact;
  }

  /** A change by hand. @param {model.Value} value */
  set(value) {
    this.take(value);
    this.widget?.callback?.(value);
    const { changeTracker } = /** @type {any} */ (app.extensionManager)?.workflow?.activeWorkflow ?? {};
    (changeTracker?.captureCanvasState ?? changeTracker?.checkState)?.call(changeTracker);
    app.canvas?.setDirty?.(true, true);
  }

  /** A value from anywhere. @param {any} value */
  take(value) {
    this.value = value;
    if (!this.strange) this.sockets();
    this.askSteps();
    if (!this.leaves) this.draw();
    this.fit();
  }

  /** @param {number} index */
  light(index) {
    if (index === this.lit) return;
    this.lit = index;
    this.refresh();
  }

  /** As large as it has to be at this zoom. */
  look() {
    this.box.classList.toggle("far", (app.canvas?.ds?.scale ?? 1) < FAR);
  }

  get editing() {
    return !!this.box.querySelector(":is(select, input:not([type=checkbox])):focus");
  }

  /** Show what is new around the node, where no hand is on its rows. */
  refresh() {
    this.askSteps();
    if (!this.held && !this.editing && this.drawn !== this.state()) this.draw();
  }

  /** No hand is on the rows any more. */
  release() {
    if (!this.held) return;
    this.held = null;
    this.refresh();
  }

  draw() {
    this.look();
    this.drawn = this.state();
    draw(this.box, this);
  }

  /** All that the drawing depends on. */
  state() {
    const rows = this.strange ? [] : this.value.rows.map((/** @type {model.Row} */ row) =>
      [this.hint(row), ...Object.keys(model.SOCKETS).map((kind) => this.wired(row, kind))]);
    const loaded = Object.values(parts).filter(Boolean).length;
    return JSON.stringify([this.value, this.files.length, this.plan, this.step, this.lit, loaded, rows]);
  }

  /** The node as high as its rows need. */
  fit() {
    const { node } = this;
    const [, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], WIDTH), Math.max(height, this.grown ? 0 : node.size[1])]);
    this.grown = true;
    this.node.graph?.setDirtyCanvas?.(true, true);
  }

  /** Give the node the sockets of its rows, in their order; wires of those that stay are kept. */
  sockets() {
    const { node } = this;
    const wanted = model.socketsOf(this.value);
    for (const { name } of [...(node.inputs ?? [])])
      if (SOCKET.test(name) && !wanted.some((one) => one.name === name)) node.removeInput(at(node, name));
    for (const { name, type } of wanted) if (at(node, name) < 0) node.addInput(name, type);
    const order = new Map(wanted.map(({ name }, index) => [name, index]));
    const own = node.inputs.filter((/** @type {any} */ one) => order.has(one.name));
    own.sort((/** @type {any} */ a, /** @type {any} */ b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0));
    node.inputs.forEach((/** @type {any} */ one, /** @type {number} */ index) => {
      if (order.has(one.name)) node.inputs[index] = own.shift();
    });
    node.inputs.forEach((/** @type {any} */ one, /** @type {number} */ index) => {
      const link = one.link != null && linkOf(node.graph, one.link);
      if (link) link.target_slot = index;
      const socket = wanted[order.get(one.name) ?? -1];
      if (socket) one.label = `${socket.row} ${socket.kind.replace("_", " ")}`;
    });
  }

  /** @param {model.Row} row @param {string} kind */
  wired(row, kind) {
    return this.node.inputs?.[at(this.node, `${kind}_${row.id}`)]?.link != null;
  }

  /** The picture of a row's hint: that of the last run, before it one that the page shows upstream. @param {model.Row} row */
  hint(row) {
    const wired = this.wired(row, "hint");
    return wired ? this.ran.hints[row.id] || pictureOf(before(this.node, `hint_${row.id}`)) : "";
  }

  /** @param {"details" | "timeline"} name */
  part(name) {
    if (!(name in parts)) {
      parts[name] = null;
      import(`./rows_${name}.mjs`).then((loaded) => {
        parts[name] = loaded.default;
        stacks.forEach((stack) => stack.refresh());
      });
    }
    return parts[name];
  }

  /** What the last run of the node told. @param {any} told */
  executed({ controlstack_rows: rows, controlstack_model: [token] = [""] }) {
    for (const { id, hint } of rows ?? []) this.ran.hints[id] = hint;
    this.ran.model = token;
    this.refresh();
  }

  /** Ask the server for the steps of the sampler downstream, where these or the model are new. */
  async askSteps() {
    const sampler = samplerAfter(this.node);
    const asked = sampler && { ...sampler.settings, model: this.ran.model };
    const key = JSON.stringify(asked);
    this.sampler = sampler?.node;
    if (key === this.plan.key) return;
    this.plan.key = key;
    let { percents, exact } = { percents: [], exact: false };
    try {
      const answer = asked && (await app.api.fetchApi("/controlstack/steps", { method: "POST", body: key }));
      if (answer?.ok) ({ percents, exact } = await answer.json());
    } catch {
      // a server without the route: percents alone are shown
    }
    if (key !== this.plan.key) return;
    this.plan = { key, percents, exact };
    this.refresh();
    this.fit();
  }
}

/** @param {any} node @param {string} name */
function at(node, name) {
  return node.inputs?.findIndex((/** @type {any} */ one) => one.name === name) ?? -1;
}

/** @param {any} graph @param {any} id */
function linkOf(graph, id) {
  return graph?.links?.get?.(id) ?? graph?.links?.[id] ?? graph?._links?.get?.(id);
}

/** The node that an input is wired to. @param {any} node @param {string} name */
function before(node, name) {
  const link = linkOf(node?.graph, node?.inputs?.[at(node, name)]?.link);
  return link && node.graph.getNodeById(link.origin_id);
}

/** The picture that the page shows of a node, or of the nearest one before it. @param {any} node @param {number} [far] @returns {string} */
function pictureOf(node, far = 0) {
  if (!node || far > 8) return "";
  const { images } = /** @type {any} */ (app).nodeOutputs?.[node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : node.id] ?? {};
  const view = (/** @type {Record<string, string>} */ of) => app.api.apiURL(`/view?${new URLSearchParams(of)}`);
  if (images?.[0]?.filename) return view(images[0]);
  if (node.imgs?.[0]?.src) return node.imgs[0].src;
  const name = node.widgets?.find((/** @type {any} */ one) => one.name === "image")?.value;
  if (typeof name === "string" && name) {
    const [, subfolder = "", filename = "", type = "input"] = /^(?:(.*)[/\\])?(.*?)(?: \[(\w+)\])?$/.exec(name) ?? [];
    return view({ filename, subfolder, type });
  }
  const picture = node.inputs?.find((/** @type {any} */ one) => one.type === "IMAGE" && one.link != null);
  return picture ? pictureOf(before(node, picture.name), far + 1) : "";
}

/**
 * The sampler that this node's model or prompts go to, with what its steps depend on.
 *
 * @param {any} node
 */
function samplerAfter(node) {
  const seen = new Set();
  const waiting = [node];
  while (waiting.length) {
    const here = waiting.shift();
    if (!here || seen.has(here.id)) continue;
    seen.add(here.id);
    const own = here !== node && settingsOf(here);
    if (own) return { node: here, settings: own };
    const scheduler = before(here, "sigmas");
    const told = scheduler && settingsOf(scheduler);
    if (told) return { node: here, settings: told };
    for (const output of here.outputs ?? [])
      for (const id of output.links ?? []) waiting.push(node.graph?.getNodeById(linkOf(node.graph, id)?.target_id));
  }
  return null;
}

/** @param {any} node */
function settingsOf(node) {
  const value = (/** @type {string} */ name) => node.widgets?.find((/** @type {any} */ one) => one.name === name)?.value;
  const [steps, scheduler] = [value("steps"), value("scheduler")];
  if (typeof steps !== "number" || typeof scheduler !== "string") return null;
  return { steps, scheduler, denoise: value("denoise") ?? 1, first: value("start_at_step") ?? 0, last: value("end_at_step") ?? steps };
}

/** The names of the inputs that have a wire, of a node or of what is saved of one. @param {any} node @returns {string[]} */
function wiredOf(node) {
  return node.inputs?.flatMap((/** @type {any} */ one) => (one.link == null ? [] : one.name)) ?? [];
}

/** @param {HTMLElement} box */
function scrolls(box) {
  return box.scrollHeight > box.clientHeight + 1;
}

/** @param {any} node @param {string} name @param {any} spec */
function widgetOf(node, name, spec) {
  const stack = new Stack(node, spec[1]?.files ?? []);
  node.controlstack = stack;
  const widget = node.addDOMWidget(name, WIDGET, stack.box, {
    getValue: () => stack.value,
    setValue: (/** @type {any} */ value) => stack.take(model.adopted(value, stack.saved ?? wiredOf(node))),
    getMinHeight: () => heightOf(stack),
    hideOnZoom: false,
    margin: 4,
  });
  stack.widget = widget;
  return { widget, minWidth: WIDTH, minHeight: heightOf(stack) };
}

/** After a node's own handler, ours. @param {any} node @param {string} name @param {(...given: any[]) => void} then */
function after(node, name, then) {
  const own = node[name];
  node[name] = function (/** @type {any[]} */ ...given) {
    const answer = own?.apply(this, given);
    then(...given);
    return answer;
  };
}

/** @type {Parameters<typeof app.registerExtension>[0]} */
const extension = {
  name: NAME,
  // The server knows the sockets of all rows there can be; a node begins with those of one.
  addCustomNodeDefs(defs) {
    const inputs = defs[TYPE]?.input;
    const later = (/** @type {string} */ name) => SOCKET.test(name) && name !== "hint_1";
    if (inputs?.optional) inputs.optional = Object.fromEntries(Object.entries(inputs.optional).filter(([name]) => !later(name)));
  },
  getCustomWidgets: () => /** @type {any} */ ({ [WIDGET]: widgetOf }),
  nodeCreated(node) {
    if (/** @type {any} */ (node).comfyClass !== TYPE) return;
    const stack = /** @type {Stack} */ (/** @type {any} */ (node).controlstack);
    if (!stack) return;
    const { configure } = node;
    node.configure = function (info) {
      stack.saved = wiredOf(info);
      try {
        configure.call(this, info);
      } finally {
        stack.saved = null;
      }
    };
    const soon = () => requestAnimationFrame(() => stack.refresh());
    after(node, "onConnectionsChange", () => ((stack.ran.hints = {}), soon()));
    after(node, "onAdded", () => (stacks.add(stack), soon()));
    after(node, "onRemoved", () => stacks.delete(stack));
    after(node, "onExecuted", (told) => stack.executed(told));
    stack.take(stack.value);
  },
  refreshComboInNodes(/** @type {any} */ defs) {
    const files = defs[TYPE]?.input?.required?.controls?.[1]?.files;
    for (const stack of stacks) {
      if (files) stack.files = files;
      stack.refresh();
    }
  },
  setup() {
    speak(/** @type {any} */ (app.extensionManager)?.setting?.get?.("Comfy.Locale"));
    const style = document.createElement("style");
    style.textContent = STYLE;
    document.head.append(style);
    for (const end of ["pointerup", "pointercancel"])
      window.addEventListener(end, () => setTimeout(() => stacks.forEach((stack) => stack.release())), true);
    // A prompt without our rows' sockets would lose their wires.
    const load = app.loadApiJson;
    if (load)
      app.loadApiJson = function (prompt, ...more) {
        for (const node of Object.values(prompt ?? {}))
          if (node?.class_type === TYPE && node.inputs)
            node.inputs.controls = model.adopted(node.inputs.controls, Object.keys(node.inputs));
        return load.call(this, prompt, ...more);
      };
    app.api?.addEventListener?.("progress", ({ detail }) => mark(detail));
    for (const end of /** @type {const} */ (["execution_success", "execution_error", "execution_interrupted"]))
      app.api?.addEventListener?.(end, () => mark(null));
    app.api?.addEventListener?.("executed", () => stacks.forEach((stack) => stack.refresh()));
    setInterval(() => stacks.forEach((stack) => stack.look()), 250);
  },
};

/** Show the step that is sampled in the stacks before that sampler. @param {any} progress */
function mark(progress) {
  for (const stack of stacks) {
    const ours = progress && String(progress.node).split(":").pop() === String(stack.sampler?.id);
    const step = ours && progress.max === stack.percents.length - 1 ? progress.value : -1;
    if (step === stack.step) continue;
    stack.step = step;
    if (stack.value?.timeline) stack.refresh();
  }
}

// ComfyUI serves a folder such as controlstack-0.1.0 under two names (nodes/help_pages.py).
if (!app.extensions?.some(({ name }) => name === NAME)) app.registerExtension(extension);
