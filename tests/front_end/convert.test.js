import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

let count = 0;

/** A script as the page has it, with the `app` of this test, as an address to import. */
function address(name) {
  const text = readFileSync(new URL(`../../web/js/${name}`, import.meta.url), "utf8")
    .replace(/import \{ app \} from "[^"]+";/, "const app = globalThis.appOfTest;")
    .replace(/import\("\.\/(\w+\.mjs)"\)/, (_, later) => `import("${address(later)}")`);
  return `data:text/javascript,${encodeURIComponent(text).replaceAll("'", "%27")}//${count++}`;
}

/** The extensions that a page with this `app` gets. */
async function extensions(app) {
  globalThis.appOfTest = app;
  const registered = [];
  app.registerExtension = (one) => registered.push(one);
  await import(address("convert.js"));
  return registered;
}

/** A page with a graph of one node, whose server answers `told`. */
function page(told, ok = true) {
  const asked = [];
  const toasts = [];
  const undo = [];
  const app = {
    collectNodeMenuItems() {},
    rootGraph: { id: "root", now: "before", serialize: () => ({ now: app.rootGraph.now }) },
    api: {
      fetchApi: async (path, { body }) => {
        asked.push([path, JSON.parse(body)]);
        return { ok, json: async () => told };
      },
    },
    extensionManager: {
      toast: { add: ({ severity, detail }) => toasts.push([severity, detail]) },
      setting: { get: () => app.locale },
      workflow: {
        activeWorkflow: {
          changeTracker: {
            redoQueue: ["old"],
            changeCount: 0,
            beforeChange() {
              this.changeCount++;
            },
            afterChange() {
              this.changeCount--;
            },
            checkState: () => undo.push(app.rootGraph.now),
            async redo() {
              app.rootGraph.now = this.redoQueue.pop().now;
              assert.deepEqual(this.redoQueue, []);
            },
          },
        },
      },
    },
  };
  return { app, asked, toasts, undo };
}

const settled = () => new Promise((then) => setTimeout(then, 700));

test("a chain's node and a stack have their entries, others none", async () => {
  const { app } = page({});
  const [{ getNodeMenuItems, beforeRegisterNodeDef }] = await extensions(app);
  assert.equal(beforeRegisterNodeDef, undefined);
  const words = (type) => getNodeMenuItems({ type }).map(({ content }) => content);
  assert.deepEqual(words("ControlNetApply"), ["Convert to ControlNet Stack"]);
  assert.deepEqual(words("ControlStackRows"), [
    "Convert to Add ControlNet nodes",
    "Convert to Apply ControlNet nodes",
  ]);
  assert.deepEqual(words("KSampler"), []);
  app.locale = "zh-TW";
  assert.deepEqual(words("ControlStackAdd"), ["转换为 ControlNet 堆栈"]);
});

test("the graph that the server gives is a step that can be taken back", async () => {
  const answer = { graph: { now: "after" }, done: ["done so"], left: ["left so"] };
  const { app, asked, toasts, undo } = page(answer);
  const [{ getNodeMenuItems }] = await extensions(app);
  getNodeMenuItems({ type: "ControlNetApply", id: 3, graph: { id: "inner" } })[0].callback();
  await settled();
  assert.deepEqual(asked, [
    ["/controlstack/convert", { graph: { now: "before" }, node: "3", subgraph: "inner", to: "stack" }],
  ]);
  assert.deepEqual(undo, ["before"]);
  assert.equal(app.rootGraph.now, "after");
  const { activeState, changeCount } = app.extensionManager.workflow.activeWorkflow.changeTracker;
  assert.deepEqual([activeState, changeCount], [{ now: "after" }, 0]);
  assert.deepEqual(toasts, [["success", "done so"], ["warn", "left so"]]);
});

test("what is refused is shown, and the graph stays", async () => {
  for (const [told, ok, shown] of [
    [{ error: "no chain" }, false, [["error", "no chain"]]],
    [{ graph: { now: "after" }, done: [], left: ["why"] }, true, [["warn", "why"]]],
  ]) {
    const { app, toasts } = page(told, ok);
    const [{ getNodeMenuItems }] = await extensions(app);
    getNodeMenuItems({ type: "ControlNetApply", id: 3, graph: app.rootGraph })[0].callback();
    await settled();
    assert.deepEqual(toasts, shown);
    assert.equal(app.rootGraph.now, "before");
  }
});

test("an older page has the entries in its nodes' own menu", async () => {
  const { app } = page({});
  delete app.collectNodeMenuItems;
  const [extension] = await extensions(app);
  assert.equal(extension.getNodeMenuItems, undefined);
  class Node {
    type = "ControlNetApply";
    getExtraMenuOptions(canvas, options) {
      options.push("own");
      return ["answer"];
    }
  }
  extension.beforeRegisterNodeDef(Node);
  const options = [];
  assert.deepEqual(new Node().getExtraMenuOptions(null, options), ["answer"]);
  assert.deepEqual(options.map((one) => one.content ?? one), ["Convert to ControlNet Stack", "own"]);
});

test("a page that loads the script under two names has it once", async () => {
  const { app } = page({});
  const found = await extensions(app);
  assert.equal(found.length, 1);
  assert.deepEqual(await extensions({ ...app, extensions: found }), []);
});
