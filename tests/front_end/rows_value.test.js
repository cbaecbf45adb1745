import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { movePoint, withoutPoint, withPoint } from "../../web/js/rows_points.mjs";
import * as rows from "../../web/js/rows_value.js";

const FILES = ["depth.safetensors", "pose.safetensors"];
const three = () => rows.add(rows.add(rows.begin(FILES), FILES), FILES);
const ids = (value) => value.rows.map(({ id }) => id);

test("a stack begins with one row, of the first file there is", () => {
  assert.deepEqual(rows.begin(FILES), {
    version: 1,
    type: "controls",
    rows: [{ id: 1, on: true, file: FILES[0], strength: 1, start: 0, end: 1 }],
  });
  assert.equal(rows.begin([]).rows[0].file, null);
});

test("rows come, go and move, and what was there stays as it was", () => {
  const before = three();
  const kept = structuredClone(before);
  assert.deepEqual(ids(rows.move(before, 0, 2)), [2, 3, 1]);
  assert.deepEqual(ids(rows.move(before, 2, -5)), [3, 1, 2]);
  assert.equal(rows.move(before, 1, 1), before);
  const two = rows.remove(before, 0);
  assert.deepEqual(ids(two), [2, 3]);
  assert.deepEqual(ids(rows.add(two, FILES)), [2, 3, 1]);
  const copy = rows.duplicate(rows.change(before, 1, { sides: { cond: 2 } }), 1);
  assert.deepEqual(ids(copy), [1, 2, 4, 3]);
  copy.rows[2].sides.cond = 3;
  assert.equal(copy.rows[1].sides.cond, 2);
  assert.deepEqual(before, kept);
});

test("there are sixteen rows at most, and more are kept", () => {
  let value = rows.begin(FILES);
  for (let i = 0; i < 30; i++) value = rows.add(value, FILES);
  assert.deepEqual(ids(value), Array.from({ length: 16 }, (_, i) => i + 1));
  assert.equal(rows.duplicate(value, 0), value);
  const many = { version: 1, rows: Array.from({ length: 100 }, (_, i) => ({ id: i + 1, file: "x" })) };
  assert.equal(rows.change(many, 99, { on: false }).rows.length, 100);
  assert.equal(rows.socketsOf(many).length, 16);
});

test("keys that are not known here stay", () => {
  const own = { version: 1, note: "mine", rows: [{ id: 1, file: "x", colour: "red" }] };
  const changed = rows.change(own, 0, { strength: 0.5 });
  assert.equal(changed.note, "mine");
  assert.equal(changed.rows[0].colour, "red");
});

test("what cannot be edited is told apart", () => {
  assert.equal(rows.strange(rows.begin([])), "");
  assert.equal(rows.strange({ rows: [] }), "");
  assert.equal(rows.strange({ version: 2, rows: [] }), "newer");
  for (const none of [undefined, null, "x", {}, { rows: {} }]) assert.equal(rows.strange(none), "none");
  const row = { id: 1, file: "x", sockets: ["mask"], curve: { points: [[0, 1]] } };
  assert.equal(rows.strange({ rows: [row, { id: 2 }] }), "");
  const wrong = [null, 5, [], { id: "1" }, { id: 1, file: 5 }, { id: 1, sockets: {} }, { id: 1, curve: {} },
    { id: 1, curve: { points: [] } }, { id: 1, curve: { points: [3] } }, { id: 1, curve: { points: [[0, 1]], between: "x" } }];
  for (const one of wrong) assert.equal(rows.strange({ rows: [one] }), "none", JSON.stringify(one));
  assert.equal(rows.strange({ rows: [row, row] }), "none");
  assert.equal(rows.strange({ rows: [null, row] }), "none");
});

test("what others wrote is read as the server reads it", () => {
  const wired = ["hint_1", "mask_1", "factor_2", "control_net_1", "model"];
  assert.deepEqual(rows.adopted({ rows: [{ file: "x" }, { file: "y", sockets: ["mask"] }] }, wired), {
    rows: [{ id: 1, file: "x", sockets: ["mask"] }, { id: 2, file: "y", sockets: ["mask", "factor"] }],
  });
  assert.deepEqual(rows.adopted('{"rows": [{"id": 4}]}', wired), { rows: [{ id: 4 }] });
  for (const kept of [null, "{", 3, { rows: [null] }, { version: 2, rows: [{}] }, { version: 1, rows: [{ id: 3, open: true }] }])
    assert.deepEqual(rows.adopted(kept, wired), kept);
});

test("each row has the sockets that it asks for, by its id", () => {
  const value = { version: 1, rows: [{ id: 5, sockets: ["factor", "mask"] }, { id: 2, file: "x" }] };
  assert.deepEqual(
    rows.socketsOf(value).map(({ name, row }) => `${row} ${name}`),
    ["1 hint_5", "1 control_net_5", "1 mask_5", "1 factor_5", "2 hint_2"],
  );
});

test("points are added, moved between their neighbours, and taken away", () => {
  const { curve, index } = withPoint({ id: 1 }, 0.4);
  assert.deepEqual(curve.points, [[0, 1], [0.4, 1], [1, 1]]);
  assert.equal(index, 1);
  assert.deepEqual(movePoint(curve, 1, 2, -1).points[1], [0.999, 0]);
  assert.deepEqual(movePoint(curve, 1, -2, 99).points[1], [0.001, 10]);
  assert.deepEqual(withoutPoint(curve, 0)?.points, [[0.4, 1], [1, 1]]);
  assert.equal(withoutPoint({ points: [[0, 1]] }, 0), null);
  assert.deepEqual(curve.points[1], [0.4, 1]);
});

test("the ends of a range do not pass one another", () => {
  const row = { id: 1, start: 0.2, end: 0.6 };
  assert.deepEqual(rows.withEnd(row, "start", 0.9), { start: 0.6 });
  assert.deepEqual(rows.withEnd(row, "end", 0.1), { end: 0.2 });
  assert.deepEqual(rows.withEnd(row, "end", 7), { end: 1 });
});

test("a range snaps to the middle between two steps", () => {
  const percents = [0, 0.25, 0.5, 0.75, 1];
  assert.equal(rows.snapped(0.38, percents), 0.375);
  assert.equal(rows.snapped(0.32, percents), 0.32);
  assert.equal(rows.snapped(0.995, percents), 1);
  assert.equal(rows.snapped(0.004, percents), 0);
  assert.equal(rows.snapped(0.4, []), 0.4);
});

// Written by tests/front_end/test_front_end.py from the engine's own plan.
const told = process.env.CONTROLSTACK_TIMELINE;
test("strengths and steps are those of Control Timeline", { skip: !told }, () => {
  const { percents, lines } = JSON.parse(readFileSync(told, "utf8"));
  for (const { row, strengths } of lines) {
    percents.slice(0, -1).forEach((percent, step) => {
      const ours = rows.strengthAt(row, percent);
      assert.ok(Math.abs(ours - strengths[step]) < 1e-5, `${JSON.stringify(row)} ${step}: ${ours}, ${strengths[step]}`);
    });
    const acts = strengths.map((one) => one > 0);
    const steps = acts.includes(true) ? [acts.indexOf(true), acts.lastIndexOf(true) + 1] : null;
    assert.deepEqual(rows.stepsOf(row, percents), steps);
  }
});
