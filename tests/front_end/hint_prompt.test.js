import assert from "node:assert/strict";
import { test } from "node:test";
import { idsOf, partFor, reasonOf } from "../../web/js/hint_prompt.js";

const node = (type, inputs = {}) => ({ class_type: type, inputs });
const PROMPT = {
  1: node("LoadImage", { image: "a.png" }),
  2: node("Canny", { image: ["1", 0], low: 5, list: { __value__: ["3", 0] } }),
  3: node("KSampler", { latent: ["4", 0] }),
  4: node("EmptyLatentImage"),
  "5:3": node("Depth", { image: ["5:1", 0], latent: ["4", 0] }),
  "5:1": node("ImageScale", { image: ["1", 0] }),
};

test("a hint's part is what it needs, and one preview", () => {
  const previews = {};
  const part = partFor(PROMPT, ["2"], previews);
  const [preview] = Object.keys(previews);
  assert.deepEqual(part, {
    1: PROMPT[1],
    2: PROMPT[2],
    [preview]: node("PreviewImage", { images: ["2", 0] }),
  });
});

test("inside of a subgraph, and several at once", () => {
  const previews = {};
  const part = partFor(PROMPT, ["5:3", "2"], previews);
  const kept = Object.keys(part).filter((id) => id in PROMPT);
  assert.deepEqual(kept.sort(), ["1", "2", "4", "5:1", "5:3"]);
  assert.equal(Object.keys(part).length, 7);
  assert.deepEqual(Object.values(previews), ["5:3", "2"]);
  partFor(PROMPT, ["2"], previews);
  assert.equal(Object.keys(previews).length, 3, "each run has previews of its own");
});

test("what is muted has no part", () => assert.equal(partFor(PROMPT, ["9"], {}), null));

test("a wire in a circle ends", () => {
  const circle = { 1: node("A", { a: ["2", 0] }), 2: node("B", { b: ["1", 0] }) };
  assert.equal(Object.keys(partFor(circle, ["1"], {})).length, 3);
});

test("a node's ids go through the subgraphs that it is in", () => {
  const inner = { id: 3 };
  const subgraph = { nodes: [{ id: 1 }, inner] };
  const graph = { _nodes: [{ id: 3 }, { id: 5, subgraph }, { id: 6, subgraph }] };
  assert.deepEqual(idsOf(graph, inner), ["5:3", "6:3"]);
  assert.deepEqual(idsOf(graph, graph._nodes[0]), ["3"]);
});

test("what others refuse is told, what the pack refuses has been", () => {
  const refused = (type) => ({
    message: "no",
    response: { node_errors: { 1: { class_type: type, errors: [{ message: "bad", details: "x" }] } } },
  });
  assert.equal(reasonOf(refused("LoadImage")), "LoadImage: x");
  assert.equal(reasonOf(refused("ControlStackCanny")), "");
  assert.equal(reasonOf(new Error("offline")), "offline");
});
