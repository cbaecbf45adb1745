import assert from "node:assert/strict";
import { test } from "node:test";

import {
  fromExecution,
  fromValidation,
  titleOf,
  withoutFolders,
} from "../../web/js/sentences.js";

const failure = {
  node_id: "5:3",
  node_type: "KSampler",
  exception_type: "controlstack.ground.errors.UserError",
  exception_message: "control 2: the hint is empty.\n  and so on\n\n",
};
const invalid = (input, sentence) => ({
  type: "custom_validation_failed",
  details: sentence === undefined ? input : `${input} - ${sentence}`,
  extra_info: { input_name: input },
});

/** A graph of nodes by their ids. */
const graph = (nodes) => ({ getNodeById: (id) => nodes[id] });

test("an error of ours is told wherever it is raised", () => {
  const sentence = "control 2: the hint is empty.\n  and so on";
  assert.deepEqual(fromExecution(failure), { node: "5:3", type: "KSampler", sentence });
  const kin = { ...failure, exception_type: "controlstack.training.loop.DivergenceError" };
  assert.equal(fromExecution(kin)?.sentence, sentence);
});

test("errors of others are left to the front end", () => {
  for (const type of [
    "RuntimeError",
    "torch.OutOfMemoryError",
    "other.controlstack.UserError",
    "controlstacks.UserError",
    "/home/me/custom_nodes/other.errors.UserError",
    undefined,
  ]) {
    assert.equal(fromExecution({ ...failure, exception_type: type }), null, type);
  }
});

test("reports without words, or in another form, say nothing", () => {
  for (const none of [undefined, null, {}, { ...failure, exception_message: " \n" }]) {
    assert.equal(fromExecution(none), null);
  }
  for (const none of [undefined, null, {}, [], { 1: { class_type: "ControlStackAdd" } }]) {
    assert.deepEqual(fromValidation(none), []);
  }
});

test("a sentence that is repeated for each input is told once", () => {
  const errors = [invalid("model", "x - is not there."), invalid("download", "x - is not there.")];
  const said = fromValidation({ 7: { class_type: "ControlStackAnyHint", errors } });
  assert.deepEqual(said, [
    { node: "7", type: "ControlStackAnyHint", sentence: "x - is not there." },
  ]);
});

test("only the pack's own nodes, and only what they say", () => {
  const said = fromValidation({
    1: { class_type: "LoadImage", errors: [invalid("image", "Invalid image file: a.png")] },
    2: { class_type: "ControlStackAdd", errors: [invalid("image")] },
    3: {
      class_type: "ControlStackAdd",
      errors: [{ type: "required_input_missing", details: "image", extra_info: null }],
    },
    4: {
      class_type: "PreviewImage",
      errors: [
        {
          type: "exception_during_inner_validation",
          details: "Ours.",
          extra_info: { exception_type: "controlstack.ground.errors.UserError" },
        },
      ],
    },
  });
  assert.deepEqual(said, [{ node: "4", type: "PreviewImage", sentence: "Ours." }]);
});

test("a node is called as the user called it, with its subgraph", () => {
  const inner = graph({ 3: { type: "KSampler", title: "Second pass" } });
  const root = graph({ 5: { type: "a-uuid", title: "Upscale", subgraph: inner } });
  const said = /** @type {any} */ (fromExecution(failure));
  assert.equal(titleOf(root, said), "Upscale › Second pass");
  assert.equal(titleOf(inner, { ...said, node: "3" }), "Second pass");
});

test("a node that is not in sight is called as its type is", () => {
  const said = /** @type {any} */ (fromExecution(failure));
  const types = { KSampler: { title: "K-Sampler" } };
  const other = graph({ 5: { type: "LoadImage", title: "Mine" } });
  for (const here of [undefined, null, graph({}), other]) {
    assert.equal(titleOf(here, said, types), "K-Sampler");
    assert.equal(titleOf(here, said), "KSampler");
  }
});

test("folders of the machine are left out, all else stays", () => {
  const cases = {
    "/home/me/ComfyUI/models/controlnet/a b.safetensors is a LoRA, not a ControlNet.":
      "a b.safetensors is a LoRA, not a ControlNet.",
    "'/a/b/c.json' and (/d/e/f.png) differ": "'c.json' and (f.png) differ",
    "C:\\Users\\Jane Doe\\models\\x.pth is for models/controlnet": "x.pth is for models/controlnet",
    "D:/ai/models/x.pth; see https://example.org/a/b": "x.pth; see https://example.org/a/b",
    "\\\\server\\share\\x.pth is empty": "x.pth is empty",
    "put it into models/controlnet and/or sub/x.pth": "put it into models/controlnet and/or sub/x.pth",
    "1 / 2 / 3: a\nb": "1 / 2 / 3: a\nb",
  };
  for (const [whole, expected] of Object.entries(cases)) {
    assert.equal(withoutFolders(whole), expected);
  }
});
