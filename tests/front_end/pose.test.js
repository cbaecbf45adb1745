import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  BODY, BONES, FACE, FEET, LEFT, LIMBS, Pose, RIGHT, boneColour, jointColour, limbColour,
} from "../../web/js/pose.mjs";

const PYTHON = new URL("../../preprocessors/pose/", import.meta.url);

/** 18 joints in pixels: joint i at (10 i, 20 i + 5), or `count` of a list. */
const row = (count = 18) =>
  Array.from({ length: count }, (_, i) => [10 * i + 3, 20 * i + 5, 1]).flat();
const frame = (...people) => ({ people, canvas_width: 512, canvas_height: 768 });
const pose = (data, size = [512, 512]) => new Pose(JSON.stringify(data), size);
const numbersIn = (text) => [...text.matchAll(/\d+/g)].map(Number);

/** rgb of "hsl(h 100% l%)", by the definition of HSL at full saturation. */
function rgb(colour) {
  const [hue, , light] = numbersIn(colour);
  const top = (light / 50) * 255;
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return Math.max(0, Math.min(1, Math.min(k - 3, 9 - k) * -0.5 + 0.5)) * top;
  });
}
const table = (file, name) => {
  const text = readFileSync(new URL(file, PYTHON), "utf8");
  const [, body] = new RegExp(`^${name} = \\(\\n([\\s\\S]*?)^\\)`, "m").exec(text);
  return [...body.matchAll(/\(([\d, ]+)\)/g)].map(([, row]) => numbersIn(row));
};

test("what is edited is what is drawn: bones and colours", () => {
  assert.deepEqual(LIMBS.map((pair) => pair.map((i) => i + 1)), table("body.py", "LIMBS"));
  const near = (colour, expected, factor = 1) =>
    rgb(colour).forEach((n, i) => assert.ok(Math.abs(n - factor * expected[i]) <= 1.01, `${colour} ${expected}`));
  table("body.py", "COLOURS").forEach((colour, i) => {
    near(jointColour(i), colour);
    near(limbColour(i), colour, 0.6);
  });
  table("hands_and_face.py", "BONE_COLOURS").forEach((colour, i) => near(boneColour(i), colour));
  assert.equal(BONES.length, 20);
  assert.deepEqual(BONES.slice(0, 5), [[0, 1], [1, 2], [2, 3], [3, 4], [0, 5]]);
});

test("what nobody touched is written as it came", () => {
  const data = [
    { ...frame({ [BODY]: row(), [LEFT]: null, [FEET]: [], id: [-1], name: "A" }), version: 1.3, animals: [[1, 2, 1]] },
    { people: [{ [BODY]: row(25).map((n) => n / 1000) }] },
  ];
  const made = pose(data);
  assert.deepEqual(JSON.parse(made.text()), data);
  assert.deepEqual(made.fractions, [false, true]);
  const indented = JSON.stringify(data, null, 4);
  assert.equal(new Pose(indented, [1, 1]).text(), indented);
});

test("what is changed is that and nothing else", () => {
  const data = frame({ [BODY]: row(), id: 7 }, { [BODY]: row() });
  const made = pose(data);
  made.move(0, [[BODY, 4]], (x, y) => [x + 1.234, y - 2]);
  data.people[0][BODY].splice(12, 2, 44.23, 83);
  assert.deepEqual(JSON.parse(made.text()), data);
});

test("parts of a canvas stay parts of it, and in the range that tells them from pixels", () => {
  const made = pose({ people: [{ [BODY]: row().map((n) => n / 500) }] }, [200, 100]);
  assert.deepEqual(made.point(0, [BODY, 1]), [(13 / 500) * 200, (25 / 500) * 100, 1 / 500]);
  made.put(0, [BODY, 1], 50, 25);
  made.put(0, [BODY, 2], 9999, -9999);
  assert.deepEqual(JSON.parse(made.text()).people[0][BODY].slice(3, 8), [0.25, 0.25, 1 / 500, 2, -2]);
});

test("a limb takes along all below it", () => {
  const one = { [BODY]: row(), [RIGHT]: row(21), [LEFT]: row(21), [FACE]: row(68), [FEET]: row(6) };
  const made = pose(frame(one));
  const joints = (index, follow = true) => {
    const counts = {};
    for (const [list, i] of made.moving({ person: 0, list: BODY, index }, follow)) (counts[list] ??= []).push(i);
    return counts;
  };
  assert.deepEqual(joints(3, false), { [BODY]: [3] });
  const hand = [...Array(21).keys()];
  assert.deepEqual(joints(3), { [BODY]: [3, 4], [RIGHT]: hand });
  assert.deepEqual(joints(5), { [BODY]: [5, 6, 7], [LEFT]: hand });
  assert.deepEqual(joints(8), { [BODY]: [8, 9, 10], [FEET]: [3, 4, 5] });
  assert.deepEqual(joints(0)[FACE].length, 68);
  assert.deepEqual(joints(1)[BODY].length, 18);
  assert.deepEqual(made.moving({ person: 0, list: LEFT }).length, 21);
});

test("BODY_25 has its joints elsewhere, and its feet in the body", () => {
  const made = pose(frame({ [BODY]: row(25) }));
  assert.deepEqual(made.joint(0, 13), [BODY, 14]);
  const below = made.moving({ person: 0, list: BODY, index: 12 }, true).map(([, i]) => i);
  assert.deepEqual(below, [12, 13, 14, 19, 20, 21]);
  assert.equal(made.moving({ person: 0 }).length, 25);
});

test("feet are moved with the ankle, scaled, mirrored and written, wherever a file has them", () => {
  for (const [count, own] of [[18, row(6)], [25, undefined], [25, null], [25, []], [25, row(6)]]) {
    const data = frame({ [BODY]: row(count), ...(own === undefined ? {} : { [FEET]: own }) });
    const made = pose(data);
    const ankle = made.joint(0, 10)[1];
    made.move(0, made.moving({ person: 0, list: BODY, index: ankle }, true), (x, y) => [x + 1000, y]);
    const [now] = JSON.parse(made.text()).people;
    const toe = (list, i) => now[list].slice(3 * i, 3 * i + 3);
    if (count === 25) assert.deepEqual([toe(BODY, 22)[0], toe(BODY, 19)[0]], [1223, 193]);
    if (own?.length) assert.deepEqual([toe(FEET, 3)[0], toe(FEET, 0)[0]], [1033, 3]);
    else assert.deepEqual(now[FEET], own);
    const before = made.text();
    made.scale({ person: 0 }, 2);
    const [large] = JSON.parse(made.text()).people;
    const list = own?.length ? [FEET, 3, 0] : [BODY, 22, 19];
    const across = (one) => one[list[0]][3 * list[1]] - one[list[0]][3 * list[2]];
    assert.equal(across(large), 2 * across(now));
    made.scale({ person: 0 }, 0.5);
    assert.equal(made.text(), before);
  }
});

test("points below the least confidence are hidden and stay in the text", () => {
  const data = frame({ [BODY]: row() });
  [0.29, 0.3].forEach((n, i) => (data.people[0][BODY][3 * i + 2] = n));
  const made = new Pose(JSON.stringify(data), [512, 512], 0.3);
  assert.deepEqual([0, 1, 2].map((i) => made.point(0, [BODY, i])[2]), [0, 0.3, 1]);
  assert.equal(made.refs(0).length, 17);
  assert.equal(made.refs(0, undefined, true).length, 18);
  assert.deepEqual(JSON.parse(made.text()), data);
  made.show({ person: 0, list: BODY, index: 0 }, true);
  assert.equal(made.refs(0).length, 18);
  assert.equal(pose(data).refs(0).length, 18);
});

test("a hidden joint keeps its place, one that never had any gets one", () => {
  const data = frame({ [BODY]: row() });
  data.people[0][BODY].splice(12, 3, 0, 0, 0);
  const made = pose(data);
  const elbow = { person: 0, list: BODY, index: 3 };
  made.show(elbow, false);
  assert.deepEqual(made.point(0, [BODY, 3]), [33, 65, 0]);
  made.show(elbow, true);
  assert.deepEqual(made.point(0, [BODY, 3]), [33, 65, 1]);
  made.show({ ...elbow, index: 4 }, true);
  const [x, y, sure] = made.point(0, [BODY, 4]);
  assert.ok(x !== 0 && y > 65 && sure === 1);
  made.move(0, made.refs(0, BODY, true), (px, py) => [px + 1, py]);
  assert.equal(made.point(0, [BODY, 3])[0], 34);
});

test("a mirror swaps left and right, and twice is as before", () => {
  const one = { [BODY]: row(), [RIGHT]: row(21), [FACE]: row(70), [FEET]: row(6) };
  const before = frame(one);
  const made = pose(before);
  made.mirror(0);
  const now = made.people[0];
  const width = 10 * 69 + 3 + 3;
  assert.deepEqual(now[BODY].slice(6, 9), [width - 53, 105, 1]); // right shoulder: was the left
  assert.deepEqual(now[LEFT].slice(0, 3), [width - 3, 5, 1]);
  assert.ok(!(RIGHT in now));
  assert.deepEqual(now[FACE].slice(0, 3), [width - 163, 325, 1]); // jaw: 16 <-> 0
  assert.deepEqual(now[FEET].slice(0, 3), [width - 33, 65, 1]);
  made.mirror(0);
  assert.deepEqual(JSON.parse(made.text()), before);
});

test("people are added, copied and taken out", () => {
  const made = pose(frame({ [BODY]: row(), id: 3 }));
  assert.equal(made.copy(0), 1);
  assert.deepEqual(made.people[1].id, 3);
  assert.deepEqual(made.point(1, [BODY, 0]), [3 + 25.6, 5, 1]);
  made.add();
  assert.equal(made.refs(2).length, 18);
  assert.equal(made.outside(), 0);
  made.remove({ person: 0 });
  made.remove({ person: 0, list: BODY });
  assert.equal(made.people.length, 1);
});

test("undo and redo go step by step", () => {
  const made = pose(frame({ [BODY]: row() }));
  const texts = [made.text()];
  for (const y of [1, 2]) {
    made.put(0, [BODY, 0], 9, y);
    made.commit();
    made.commit(); // nothing new is no step
    texts.push(made.text());
  }
  made.undo();
  assert.equal(made.text(), texts[1]);
  made.undo();
  made.undo();
  assert.equal(made.text(), texts[0]);
  assert.ok(!made.changed);
  made.undo(true);
  assert.equal(made.text(), texts[1]);
  assert.ok(made.changed);
  made.add();
  made.commit();
  assert.deepEqual(made.future, []);
});

test("what lies under the pointer", () => {
  const made = pose(frame({ [BODY]: row(), [LEFT]: row(21).map((n, i) => (i % 3 < 2 ? n / 10 + 400 : n)) }));
  assert.deepEqual(made.hit(14, 26, 5), { person: 0, list: BODY, index: 1 });
  assert.deepEqual(made.hit(401, 401, 5, true), { person: 0, list: LEFT, index: 0 });
  assert.deepEqual(made.hit(401, 401, 5), { person: 0, list: LEFT });
  assert.deepEqual(made.hit(28, 55, 3), { person: 0 });
  assert.equal(made.hit(500, 100, 5), null);
});

test("a hidden hand can be found again; points that were not found are no part of it", () => {
  const hand = row(21).map((n, i) => (i % 3 < 2 ? n / 10 + 400 : n));
  hand.splice(3, 2, -1, 410);
  hand.splice(6, 3, 0, 0, 0);
  const made = pose(frame({ [BODY]: row(), [LEFT]: hand }));
  const part = { person: 0, list: LEFT };
  assert.equal(made.refs(0, LEFT).length, 19);
  assert.equal(made.outside(), 0);
  made.show(part, false);
  assert.deepEqual(made.refs(0, LEFT), []);
  assert.deepEqual(made.hit(410, 420, 5), part);
  made.show(part, true);
  assert.equal(made.refs(0, LEFT).length, 19);
  made.remove(part);
  assert.equal(made.hit(410, 420, 5), null);
});

test("a pose off its canvas is pulled in, and others stay", () => {
  const away = row().map((n, i) => (i % 3 === 0 ? n + 600 : n));
  const made = pose(frame({ [BODY]: row() }, { [BODY]: away }, { [BODY]: row().map((n, i) => (i % 3 < 2 ? 9 * n : n)) }));
  const first = structuredClone(made.people[0]);
  assert.equal(made.outside(), 18 + 13);
  made.pullIn();
  assert.equal(made.outside(), 0);
  assert.deepEqual(made.people[0], first);
});

test("a canvas of another size keeps shapes", () => {
  const made = pose(frame({ [BODY]: row() }));
  made.resize(1024, 1024);
  const [a, b] = [0, 3].map((i) => made.point(0, [BODY, i]));
  const factor = 1024 / 768;
  assert.ok(Math.abs((b[0] - a[0]) / 30 - factor) < 0.01);
  assert.ok(Math.abs((b[1] - a[1]) / 60 - factor) < 0.01);
  assert.deepEqual([made.frames[0].canvas_width, made.size], [1024, [1024, 1024]]);
  const parts = pose({ people: [{ [BODY]: row().map((n) => n / 500) }] });
  parts.resize(100, 200);
  parts.undo();
  assert.deepEqual(parts.size, [100, 200]); // not committed, so there is nothing to undo
  parts.commit();
  parts.undo();
  assert.deepEqual(parts.size, [512, 512]);
});

for (const grouped of [false, true]) {
  test(`the older editors' form comes back, ${grouped ? "a list a person" : "one list"}`, () => {
    const points = Array.from({ length: 18 }, (_, i) => [10 * i + 3, 20 * i + 5]);
    const data = { width: 300, height: 400, keypoints: grouped ? [points] : points };
    const made = pose(data);
    assert.deepEqual(made.size, [300, 400]);
    assert.deepEqual(JSON.parse(made.text()), data);
    made.put(0, [BODY, 0], 1, 2);
    points[0] = [1, 2];
    assert.deepEqual(JSON.parse(made.text()), data);
    made.show({ person: 0, list: BODY, index: 0 }, false); // which it cannot say
    assert.deepEqual(JSON.parse(made.text()).people[0][BODY].slice(0, 3), [1, 2, 0]);
  });
}

test("what is no pose is not edited", () => {
  for (const text of ["", "{", "3", "[]", "{}", '{"people": 1}', '{"people": [3]}', '{"keypoints": [[1, 2]]}',
    '{"people": [{"pose_keypoints_2d": [1, 2]}]}', '{"people": [{"pose_keypoints_2d": [1, "2", 3]}]}']) {
    assert.throws(() => new Pose(text, [1, 1]), Error, text);
  }
});
