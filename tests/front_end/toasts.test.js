import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const SCRIPTS = new URL("../../web/js/", import.meta.url);
let count = 0;

globalThis.document = { createElement: () => ({}), head: { append() {} } };

/** The extension as a page with this `app` gets it, set up. */
async function extension(app) {
  globalThis.appOfTest = app;
  const text = readFileSync(new URL("toasts.js", SCRIPTS), "utf8")
    .replace(/import \{ app \} from "[^"]+";/, "const app = globalThis.appOfTest;")
    .replace('"./sentences.js"', JSON.stringify(new URL("sentences.js", SCRIPTS).href));
  const registered = [];
  app.registerExtension = (one) => registered.push(one);
  await import(`data:text/javascript,${encodeURIComponent(text)}//${count++}`);
  for (const one of registered) one.setup();
  return registered;
}

const refusal = Object.assign(new Error("refused"), {
  response: {
    node_errors: {
      7: {
        class_type: "ControlStackAdd",
        errors: [
          {
            type: "custom_validation_failed",
            details: "strength - It is 11 and may be 10.",
            extra_info: { input_name: "strength" },
          },
        ],
      },
    },
  },
});

/** A page that shows toasts, whose server answers by `queuePrompt`. */
function page(queuePrompt) {
  const toasts = [];
  const toast = {
    add: (one) => toasts.push(one),
    remove: (one) => toasts.splice(toasts.indexOf(one), 1),
  };
  const api = Object.assign(new EventTarget(), { queuePrompt });
  return { app: { api, extensionManager: { toast } }, toasts };
}

test("what the server refuses is shown, and goes with the next run", async () => {
  const answers = [() => Promise.reject(refusal), (...given) => given];
  const { app, toasts } = page((...given) => answers.shift()(...given));
  await extension(app);
  await assert.rejects(app.api.queuePrompt(0, {}), (error) => error === refusal);
  assert.deepEqual(
    toasts.map(({ severity, summary, detail }) => [severity, summary, detail]),
    [["error", "ControlStackAdd", "It is 11 and may be 10."]],
  );
  assert.deepEqual(await app.api.queuePrompt(-1, { output: {} }, {}), [-1, { output: {} }, {}]);
  assert.deepEqual(toasts, []);
});

test("what fails is shown", async () => {
  const { app, toasts } = page();
  await extension(app);
  const detail = {
    node_id: "1",
    node_type: "KSampler",
    exception_type: "controlstack.ground.errors.UserError",
    exception_message: "control 1 is empty.",
  };
  app.api.dispatchEvent(new CustomEvent("execution_error", { detail }));
  app.api.dispatchEvent(new CustomEvent("execution_error", { detail: null }));
  assert.deepEqual(toasts.map(({ summary }) => summary), ["KSampler"]);
});

test("a page without these hooks is as it would be without us", async (context) => {
  const warned = context.mock.method(console, "warn", () => {});
  await extension({});
  await extension({ api: {} });
  for (const extensionManager of [undefined, {}, { toast: {} }, { toast: { add: null } }]) {
    const { app } = page(() => Promise.reject(refusal));
    await extension({ ...app, extensionManager });
    await assert.rejects(app.api.queuePrompt(0, {}), (error) => error === refusal);
  }
  assert.equal(warned.mock.callCount(), 0);
  const { app } = page(() => Promise.reject(refusal));
  app.extensionManager.toast.add = () => assert.fail("no room");
  await extension(app);
  await assert.rejects(app.api.queuePrompt(0, {}), (error) => error === refusal);
  assert.equal(warned.mock.callCount(), 1);
});

test("a page that loads the script under two names has it once", async () => {
  const { app } = page(() => {});
  const extensions = await extension(app);
  assert.equal(extensions.length, 1);
  assert.deepEqual(await extension({ ...app, extensions }), []);
});
