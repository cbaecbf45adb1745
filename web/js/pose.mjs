/**
 * A pose as the editor changes it: OpenPose JSON, changed in place, so that what the editor does not
 * know stays as it is. Nothing here touches the page: tests/front_end/pose.test.js.
 *
 * @typedef {Record<string, any>} Person as in the JSON
 * @typedef {[list: string, index: number]} Ref one point: the list it stands in, and where
 * @typedef {{ person: number, list?: string, index?: number }} Part
 * A point, or with `index` left out a hand, a face or feet, or with `list` left out a whole person.
 */

export const BODY = "pose_keypoints_2d";
export const LEFT = "hand_left_keypoints_2d";
export const RIGHT = "hand_right_keypoints_2d";
export const FACE = "face_keypoints_2d";
export const FEET = "foot_keypoints_2d";
const LISTS = [BODY, LEFT, RIGHT, FACE, FEET];

/** Limbs as pairs of joints, away from the neck, in drawing order: preprocessors/pose/body.py. */
// prettier-ignore
export const LIMBS = [
  [1, 2], [1, 5], [2, 3], [3, 4], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10], [1, 11], [11, 12],
  [12, 13], [1, 0], [0, 14], [14, 16], [0, 15], [15, 17],
];

/** The colour of joint i, and the limb's: the tables of body.py are full colours of these hues. */
export const jointColour = (/** @type {number} */ i) => `hsl(${20 * i} 100% 50%)`;
export const limbColour = (/** @type {number} */ i) => `hsl(${20 * i} 100% 30%)`;

/** The lines of a hand, and their colours: hands_and_face.py. */
export const BONES = [1, 5, 9, 13, 17].flatMap((r) => [
  [0, r],
  [r, r + 1],
  [r + 1, r + 2],
  [r + 2, r + 3],
]);
export const boneColour = (/** @type {number} */ i) => `hsl(${18 * i} 100% 50%)`;

/** Left and right of the body, of BODY_25's feet and of feet; of a face as training/data/mirror.py. */
// prettier-ignore
const SIDES = [[2, 5], [3, 6], [4, 7], [8, 11], [9, 12], [10, 13], [14, 15], [16, 17]];
// prettier-ignore
const FEET_SIDES = [[0, 3], [1, 4], [2, 5]];
const down = (/** @type {number} */ a, /** @type {number} */ b) =>
  Array.from({ length: a - b + 1 }, (_, i) => a - i);
// prettier-ignore
const FACE_MIRROR = [
  ...down(16, 0), ...down(26, 17), 27, 28, 29, 30, ...down(35, 31),
  45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
  ...down(54, 48), ...down(59, 55), ...down(64, 60), 67, 66, 65, 69, 68,
];

/** A person to begin with, in parts of a square: nodes/hint_inputs.py. */
// prettier-ignore
const STANDING = [
  [0.5, 0.14], [0.5, 0.27], [0.41, 0.27], [0.35, 0.4], [0.32, 0.52], [0.59, 0.27], [0.65, 0.4],
  [0.68, 0.52], [0.45, 0.53], [0.44, 0.72], [0.43, 0.9], [0.55, 0.53], [0.56, 0.72], [0.57, 0.9],
  [0.48, 0.12], [0.52, 0.12], [0.45, 0.13], [0.55, 0.13],
];
const JOINTS = STANDING.length;

/** Points that all lie within this are parts of the canvas: people.py. */
const FRACTION_LIMIT = 2;

export class Pose {
  /**
   * @param {string} text OpenPose JSON, one frame or a list; or `{width, height, keypoints}`
   * @param {number[]} size of the picture that is drawn, for a pose that does not say its canvas
   * @param {number} [sure] points below this confidence are hidden
   */
  constructor(text, size, sure = 0) {
    const data = JSON.parse(text);
    this.sure = sure;
    this.list = Array.isArray(data);
    /** The white space that the text begins its lines with. */
    this.indent = /\n([ \t]+)/.exec(text)?.[1] ?? "";
    /** Frames of older editors as they were. @type {any[]} */
    this.editors = [];
    const given = this.list ? data : [data];
    if (!given.length) throw new Error("[]");
    /** @type {{ people: Person[], [key: string]: any }[]} */
    this.frames = given.map((/** @type {any} */ frame, /** @type {number} */ i) => {
      if (!frame?.people && Array.isArray(frame?.keypoints)) {
        this.editors[i] = frame;
        frame = ofEditors(frame);
      }
      if (!Array.isArray(frame?.people) || !frame.people.every(isPerson))
        throw new Error('"people"?');
      return frame;
    });
    this.sizes = this.frames.map(() => [...size]);
    this.fractions = this.frames.map(({ people }) => {
      const far = Math.max(
        0,
        ...people.flatMap((one) =>
          LISTS.slice(0, 4).flatMap((list) =>
            (one[list] ?? []).map(
              (/** @type {number} */ n, /** @type {number} */ i, /** @type {number[]} */ all) =>
                i % 3 < 2 && this.isSure(all[i - (i % 3) + 2]) ? Math.abs(n) : 0,
            ),
          ),
        ),
      );
      return far > 0 && far <= FRACTION_LIMIT;
    });
    this.current = 0;
    this.state = JSON.stringify([this.frames, this.sizes]);
    this.first = this.state;
    /** @type {string[]} */
    this.past = [];
    /** @type {string[]} */
    this.future = [];
  }

  get people() {
    return this.frames[this.current].people;
  }

  /** The canvas: width and height in pixels. */
  get size() {
    const { canvas_width: width, canvas_height: height } = this.frames[this.current];
    return width >= 1 && height >= 1 ? [width, height] : this.sizes[this.current];
  }

  /** Pixels of the canvas in one unit of the numbers. */
  get unit() {
    return this.fractions[this.current] ? this.size : [1, 1];
  }

  get changed() {
    return this.state !== this.first;
  }

  /** The JSON, in the form it came in where that can say what is drawn now. */
  text() {
    const frames = this.frames.map((frame, i) => asEditors(frame, this.editors[i]) ?? frame);
    return JSON.stringify(this.list ? frames : frames[0], null, this.indent);
  }

  // Points.

  /** @param {number} confidence */
  isSure(confidence) {
    return confidence > 0 && confidence >= this.sure;
  }

  /** x and y in pixels of the canvas, and the confidence, 0 where it is below the least one.
   * @param {number} person @param {Ref} ref */
  point(person, [list, i]) {
    const [x = 0, y = 0, confidence = 0] = (this.people[person][list] ?? []).slice(
      3 * i,
      3 * i + 3,
    );
    const [across, along] = this.unit;
    return [x * across, y * along, this.isSure(confidence) ? confidence : 0];
  }

  /** Where joint i of the 18 stands: BODY_25 has a middle hip before the left one's knee.
   * @param {number} person @param {number} i @returns {Ref} */
  joint(person, i) {
    return [BODY, i > 7 && this.people[person][BODY]?.length === 75 ? i + 1 : i];
  }

  /** All points of a person or of one list: those that are drawn, and with `all` the hidden ones
   * that have a place as well. Annotators put points of hands and faces that they did not find at
   * -1, with full confidence.
   * @param {number} person @param {string} [list] @param {boolean} [all] @returns {Ref[]} */
  refs(person, list, all) {
    const lost = (/** @type {number} */ n) => Math.abs(n + 1) < 0.01;
    return (list ? [list] : LISTS)
      .flatMap((name) => {
        const count = (this.people[person][name] ?? []).length / 3;
        return Array.from({ length: count }, (_, i) => /** @type {Ref} */ ([name, i]));
      })
      .filter((ref) => {
        const [x, y, confidence] = this.point(person, ref);
        if (ref[0] !== BODY && (lost(x) || lost(y))) return false;
        return confidence > 0 || (all && (x || y));
      });
  }

  /** What moves with a part: a joint takes along all below it where `follow` says so.
   * @param {Part} part @param {boolean} [follow] @returns {Ref[]} */
  moving({ person, list, index }, follow) {
    if (index === undefined) return this.refs(person, list, true);
    const number = this.order(person).indexOf(index);
    if (list !== BODY || !follow || number < 0) return [[/** @type {string} */ (list), index]];
    if (number === 1) return this.refs(person, undefined, true);
    const joints = [number];
    for (const [from, to] of LIMBS) if (joints.includes(from)) joints.push(to);
    // A file may have feet in BODY_25, in a list of their own, or in both.
    const foot = (/** @type {number[]} */ points) =>
      points.flatMap((i) => /** @type {Ref[]} */ ([[FEET, i], [BODY, 19 + i]])); // prettier-ignore
    /** @type {Record<number, Ref[]>} */
    const more = {
      0: this.refs(person, FACE, true),
      4: this.refs(person, RIGHT, true),
      7: this.refs(person, LEFT, true),
      10: foot([3, 4, 5]),
      13: foot([0, 1, 2]),
    };
    const all = this.refs(person, undefined, true).map(String);
    return joints
      .flatMap((i) => [this.joint(person, i), ...(more[i] ?? [])])
      .filter((ref) => all.includes(String(ref)));
  }

  /** Where the 18 joints stand. @param {number} person */
  order(person) {
    return Array.from({ length: JOINTS }, (_, i) => this.joint(person, i)[1]);
  }

  /** Left, top, right and bottom of points. @param {number} person @param {Ref[]} refs */
  box(person, refs = this.refs(person)) {
    const points = refs.map((ref) => this.point(person, ref));
    if (!points.length) return null;
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }

  /** The part at a place, drawn or hidden: a point within `radius`, those of hands and faces where
   * `fine`; else a hand or a face; else a person by a limb.
   * @param {number} x @param {number} y @param {number} radius @param {boolean} [fine]
   * @returns {Part | null} */
  hit(x, y, radius, fine) {
    /** @type {Part | null} */
    let found = null;
    let least = radius;
    const each = this.people.map((_, i) => i).reverse();
    for (const person of each) {
      const joints = this.order(person);
      for (const [list, index] of this.refs(person, undefined, true)) {
        if (!(list === BODY ? joints.includes(index) : fine)) continue;
        const [px, py] = this.point(person, [list, index]);
        const away = Math.hypot(px - x, py - y) + (list === BODY ? 0 : 1e-6);
        if (away < least) [least, found] = [away, { person, list, index }];
      }
    }
    if (found) return found;
    for (const person of each) {
      for (const list of [LEFT, RIGHT, FACE]) {
        const box = this.box(person, this.refs(person, list, true));
        if (
          box &&
          x > box[0] - radius &&
          y > box[1] - radius &&
          x < box[2] + radius &&
          y < box[3] + radius
        )
          return { person, list };
      }
    }
    for (const person of each) {
      for (const limb of LIMBS) {
        const [a, b] = limb.map((i) => this.point(person, this.joint(person, i)));
        if (!(a[2] > 0 && b[2] > 0)) continue;
        const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
        const t = Math.min(
          1,
          Math.max(0, ((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy || 1)),
        );
        if (Math.hypot(a[0] + t * dx - x, a[1] + t * dy - y) < radius) return { person };
      }
    }
    return null;
  }

  // Changes. `commit` makes what was done since the last one a step of undo.

  /** @param {number} person @param {Ref} ref @param {number} x @param {number} y in pixels */
  put(person, [list, i], x, y) {
    const [across, along] = this.unit;
    const parts = this.fractions[this.current];
    // As people.py tells parts of the canvas from pixels, no part may leave its range.
    const kept = (/** @type {number} */ n) =>
      parts
        ? Math.min(FRACTION_LIMIT, Math.max(-FRACTION_LIMIT, Math.round(n * 1e6) / 1e6))
        : Math.round(n * 100) / 100;
    const numbers = this.people[person][list];
    numbers[3 * i] = kept(x / across);
    numbers[3 * i + 1] = kept(y / along);
  }

  /** Move points from where they were, `from`, or are. @param {number} person @param {Ref[]} refs
   * @param {(x: number, y: number) => number[]} to @param {number[][]} [from] */
  move(person, refs, to, from = refs.map((ref) => this.point(person, ref))) {
    refs.forEach((ref, i) => {
      const [x, y] = to(from[i][0], from[i][1]);
      this.put(person, ref, x, y);
    });
  }

  /** Larger or smaller about its middle. @param {Part} part @param {number} factor */
  scale(part, factor) {
    const refs = this.moving(part, true);
    const box = this.box(part.person, refs);
    if (!box) return;
    const [mx, my] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    this.move(part.person, refs, (x, y) => [mx + factor * (x - mx), my + factor * (y - my)]);
  }

  /** Hide points, which keep their places, or bring them back. A joint that never had a place gets
   * the one it has on a standing person of this size. @param {Part} part @param {boolean} on */
  show({ person, list, index }, on) {
    const all =
      index === undefined ? this.refs(person, list, true) : [/** @type {Ref} */ ([list, index])];
    for (const ref of all) {
      const [x, y] = this.point(person, ref);
      if (on && !x && !y && ref[0] === BODY) this.place(person, this.order(person).indexOf(ref[1]));
      this.people[person][ref[0]][3 * ref[1] + 2] = on ? 1 : 0;
    }
  }

  /** @param {number} person @param {number} number of the 18 joints */
  place(person, number) {
    if (number < 0) return;
    const seen = STANDING.map((_, i) => i).filter(
      (i) => this.point(person, this.joint(person, i))[2] > 0,
    );
    const box = this.box(
      person,
      seen.map((i) => this.joint(person, i)),
    );
    const heights = seen.map((i) => STANDING[i][1]);
    const tall = Math.max(...heights) - Math.min(...heights);
    const side = box && tall > 0 ? (box[3] - box[1]) / tall : Math.min(...this.size) / 2;
    const next =
      LIMBS.flatMap(([a, b]) => (a === number ? [b] : b === number ? [a] : [])).find((i) =>
        seen.includes(i),
      ) ?? seen[0];
    const [x, y] =
      next === undefined
        ? this.size.map((n) => n / 2)
        : this.point(person, this.joint(person, next));
    const from = next === undefined ? [0.5, 0.5] : STANDING[next];
    this.put(
      person,
      this.joint(person, number),
      x + side * (STANDING[number][0] - from[0]),
      y + side * (STANDING[number][1] - from[1]),
    );
  }

  /** A standing person more. @returns {number} which one it is */
  add() {
    const [width, height] = this.size;
    const [side, aside] = [Math.min(width, height), 0.04 * width * (this.people.length % 5)];
    const person = this.people.push({ [BODY]: new Array(3 * JOINTS).fill(1) }) - 1;
    STANDING.forEach(([x, y], i) =>
      this.put(
        person,
        [BODY, i],
        width / 2 + aside + side * (x - 0.5),
        height / 2 + side * (y - 0.5),
      ),
    );
    return person;
  }

  /** A copy of a person, a little aside. @param {number} person @returns {number} which one it is */
  copy(person) {
    const made = this.people.push(structuredClone(this.people[person])) - 1;
    const aside = 0.05 * this.size[0];
    this.move(made, this.refs(made, undefined, true), (x, y) => [x + aside, y]);
    return made;
  }

  /** A person's mirror image, whose right arm is what was the left. @param {number} person */
  mirror(person) {
    const box = this.box(person);
    if (!box) return;
    this.move(person, this.refs(person, undefined, true), (x, y) => [box[0] + box[2] - x, y]);
    const one = this.people[person];
    for (const [a, b] of SIDES) swap(one[BODY], this.joint(person, a)[1], this.joint(person, b)[1]);
    for (const [a, b] of FEET_SIDES) {
      swap(one[FEET], a, b);
      if (one[BODY]?.length === 75) swap(one[BODY], 19 + a, 19 + b);
    }
    const face = one[FACE] ?? [];
    const points = face.length / 3;
    if (points === 68 || points === 70) {
      one[FACE] = FACE_MIRROR.slice(0, points).flatMap((i) => face.slice(3 * i, 3 * i + 3));
    }
    const hands = [one[RIGHT], one[LEFT]];
    if (hands.some((hand) => hand?.length))
      [LEFT, RIGHT].forEach((list, i) => {
        if (hands[i] === undefined) delete one[list];
        else one[list] = hands[i];
      });
  }

  /** Take out a person, or a hand, a face or feet. @param {Part} part */
  remove({ person, list }) {
    if (list && list !== BODY) this.people[person][list] = [];
    else this.people.splice(person, 1);
  }

  /** How many drawn points lie off the canvas. */
  outside() {
    const [width, height] = this.size;
    return this.people
      .flatMap((_, person) => this.refs(person).map((ref) => this.point(person, ref)))
      .filter(([x, y]) => x < 0 || y < 0 || x > width || y > height).length;
  }

  /** Move everyone who is off the canvas into it, and make smaller who is larger than it. */
  pullIn() {
    const size = this.size;
    this.people.forEach((_, person) => {
      const box = this.box(person);
      if (!box) return;
      const factor = Math.min(1, ...size.map((side, i) => side / (box[i + 2] - box[i] || 1)));
      const starts = size.map((side, i) =>
        Math.min(Math.max(box[i], 0), side - factor * (box[i + 2] - box[i])),
      );
      if (factor === 1 && starts.every((start, i) => start === box[i])) return;
      this.move(person, this.refs(person, undefined, true), (x, y) => [
        starts[0] + factor * (x - box[0]),
        starts[1] + factor * (y - box[1]),
      ]);
    });
  }

  /** Another canvas; people keep their shape and are fitted in. @param {number} width @param {number} height */
  resize(width, height) {
    const [before, beside] = this.size;
    const factor = Math.min(width / before, height / beside);
    const starts = [(width - factor * before) / 2, (height - factor * beside) / 2];
    const all = this.people.map((_, person) => this.refs(person, undefined, true));
    const from = all.map((refs, person) => refs.map((ref) => this.point(person, ref)));
    const frame = this.frames[this.current];
    this.sizes[this.current] = [width, height];
    if (frame.canvas_width) [frame.canvas_width, frame.canvas_height] = [width, height];
    all.forEach((refs, person) =>
      this.move(
        person,
        refs,
        (x, y) => [starts[0] + factor * x, starts[1] + factor * y],
        from[person],
      ),
    );
  }

  // Undo.

  commit() {
    const now = JSON.stringify([this.frames, this.sizes]);
    if (now === this.state) return;
    this.past.push(this.state);
    this.state = now;
    this.future = [];
  }

  /** @param {boolean} [again] redo instead */
  undo(again) {
    const [from, to] = again ? [this.future, this.past] : [this.past, this.future];
    const state = from.pop();
    if (state === undefined) return;
    to.push(this.state);
    this.state = state;
    [this.frames, this.sizes] = JSON.parse(state);
  }
}

/** @param {any} one */
function isPerson(one) {
  return (
    one &&
    typeof one === "object" &&
    LISTS.every(
      (list) =>
        !one[list] ||
        (Array.isArray(one[list]) &&
          one[list].length % 3 === 0 &&
          one[list].every((/** @type {any} */ n) => Number.isFinite(n))),
    )
  );
}

/** @param {number[] | null | undefined} list @param {number} a @param {number} b */
function swap(list, a, b) {
  if (!list?.length) return;
  for (const i of [0, 1, 2])
    [list[3 * a + i], list[3 * b + i]] = [list[3 * b + i], list[3 * a + i]];
}

/** `{width, height, keypoints}`, one list of [x, y] or one for each person: people.py has the
 * sources. @param {any} frame */
function ofEditors({ width, height, keypoints, ...more }) {
  const points = typeof keypoints[0]?.[0] === "number" ? keypoints : keypoints.flat();
  if (points.length % JOINTS) throw new Error('"keypoints"?');
  const people = Array.from({ length: points.length / JOINTS }, (_, i) => ({
    [BODY]: points
      .slice(i * JOINTS, (i + 1) * JOINTS)
      .flatMap((/** @type {number[]} */ [x, y]) => [x, y, 1]),
  }));
  return { ...more, people, canvas_width: width, canvas_height: height };
}

/** A frame as the older editor would write it, or null where that cannot hold it.
 * @param {any} frame @param {any} before */
function asEditors({ people, canvas_width: width, canvas_height: height }, before) {
  const whole = (/** @type {Person} */ one) =>
    Object.keys(one).every((key) => key === BODY) &&
    one[BODY].every((/** @type {number} */ n, /** @type {number} */ i) => i % 3 < 2 || n > 0);
  if (!before || !people.every(whole)) return null;
  const groups = people.map((/** @type {Person} */ one) =>
    Array.from({ length: JOINTS }, (_, i) => one[BODY].slice(3 * i, 3 * i + 2)),
  );
  const flat = typeof before.keypoints[0]?.[0] === "number";
  return { ...before, width, height, keypoints: flat ? groups.flat() : groups };
}
