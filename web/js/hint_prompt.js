/**
 * What of a prompt one hint needs; nothing here touches the page.
 *
 * @typedef {Record<string, { class_type: string, inputs: Record<string, any> }>} Prompt
 * @typedef {{ id: string | number, subgraph?: Nodes | null }} Placed
 * @typedef {{ nodes?: Placed[], _nodes?: Placed[] }} Nodes
 */

/** No page counts so far. */
const FIRST_PREVIEW = 999_000_001;

/**
 * The ids of a node in the prompt: "5:3" is node 3 in the subgraph at node 5, which may be there
 * twice.
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
 * What the nodes `ids` need, with a Preview Image behind each, as a prompt ends in an output;
 * `previews` learns whose each is. Null where all are muted or bypassed.
 *
 * @param {Prompt} prompt
 * @param {string[]} ids
 * @param {Record<string, string>} previews
 * @returns {Prompt | null}
 */
export function partFor(prompt, ids, previews) {
  /** @type {Prompt} */
  const part = {};
  /** @param {string} id */
  const take = (id) => {
    if (id in part || !(id in prompt)) return;
    part[id] = prompt[id];
    for (const value of Object.values(prompt[id].inputs)) if (Array.isArray(value)) take(`${value[0]}`);
  };
  for (const id of ids.filter((one) => one in prompt)) {
    take(id);
    const preview = FIRST_PREVIEW + Object.keys(previews).length;
    previews[preview] = id;
    part[preview] = { class_type: "PreviewImage", inputs: { images: [id, 0] } };
  }
  return Object.keys(part).length ? part : null;
}

/**
 * Why a prompt was refused; "" where toasts.js has said it.
 *
 * @param {any} error
 * @returns {string}
 */
export function reasonOf(error) {
  const nodes = Object.values(error?.response?.node_errors ?? {});
  const other = nodes.find(({ class_type: type }) => !type?.startsWith("ControlStack"));
  if (other) return `${other.class_type}: ${other.errors?.[0]?.details}`;
  return nodes.length ? "" : String(error?.message ?? error);
}
