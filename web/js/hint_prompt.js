/**
 * What of a prompt one hint needs. Nothing here touches the page: tests/front_end.
 *
 * @typedef {{ class_type: string, inputs: Record<string, any> }} PromptNode
 * @typedef {Record<string, PromptNode>} Prompt
 *
 * @typedef {{ id: string | number, subgraph?: Nodes | null }} Placed
 * @typedef {{ nodes?: Placed[], _nodes?: Placed[] }} Nodes
 */

/** Ids of what is only in the prompt: no page counts that far. */
const FIRST_PREVIEW = 999_000_001;

/**
 * The ids that a node has in the prompt: "5:3" is node 3 inside of the subgraph at node 5, and a
 * subgraph that is there twice gives its nodes two ids each.
 *
 * @param {Nodes} graph
 * @param {Placed} wanted
 * @returns {string[]}
 */
export function idsOf(graph, wanted) {
  return (graph.nodes ?? graph._nodes ?? []).flatMap((node) => {
    if (node === wanted) return [String(node.id)];
    return node.subgraph ? idsOf(node.subgraph, wanted).map((id) => `${node.id}:${id}`) : [];
  });
}

/**
 * The part of `prompt` that the nodes `ids` need, with a Preview Image behind each: a prompt has to
 * end in an output. `previews` learns whose each is. Ids that are not in the prompt (muted or
 * bypassed nodes) have no part.
 *
 * @param {Prompt} prompt
 * @param {string[]} ids
 * @param {Record<string, string>} previews
 * @returns {Prompt | null} null where nothing is left
 */
export function partFor(prompt, ids, previews) {
  /** @type {Prompt} */
  const part = {};
  /** @param {string} id */
  const take = (id) => {
    if (id in part || !(id in prompt)) return;
    part[id] = prompt[id];
    for (const value of Object.values(prompt[id].inputs)) {
      if (Array.isArray(value)) take(String(value[0]));
    }
  };
  const there = ids.filter((id) => id in prompt);
  for (const id of there) {
    take(id);
    const preview = FIRST_PREVIEW + Object.keys(previews).length;
    previews[preview] = id;
    part[preview] = { class_type: "PreviewImage", inputs: { images: [id, 0] } };
  }
  return there.length ? part : null;
}

/**
 * Why a prompt was refused; "" where toasts.js has said it, as it does of the pack's own nodes.
 *
 * @param {any} error
 * @returns {string}
 */
export function reasonOf(error) {
  const nodes = Object.values(error?.response?.node_errors ?? {});
  const others = nodes.filter(({ class_type: type }) => !type?.startsWith("ControlStack"));
  if (nodes.length && !others.length) return "";
  const told = others.flatMap(({ class_type: type, errors }) =>
    (errors ?? []).map((/** @type {any} */ one) => `${type}: ${one.message}. ${one.details ?? ""}`),
  );
  return told.join("\n") || error?.message || String(error);
}
