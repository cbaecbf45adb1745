/**
 * What the pack says of a node, found in the server's reports of errors. Nothing here touches the
 * page, so that node's own test runner can try it: tests/front_end.
 *
 * @typedef {{ node: string, type: string, sentence: string }} Said
 * A sentence, and the node it is about: its id, inside of subgraphs a path of ids ("5:3").
 *
 * @typedef {{ type: string, details?: string | null,
 *   extra_info?: { input_name?: string, exception_type?: string } | null }} Reason
 * @typedef {Record<string, { class_type: string, errors: Reason[] }>} NodeErrors
 * What /prompt answers as `node_errors`.
 *
 * @typedef {{ node_id?: string | number | null, node_type?: string | null,
 *   exception_type?: string | null, exception_message?: string | null }} Failure
 * The event `execution_error`.
 *
 * @typedef {{ type?: string | null, title?: string | null, subgraph?: Nodes | null }} Titled
 * @typedef {{ getNodeById(id: any): Titled | null | undefined }} Nodes
 */

/** How every UserError of the pack is named: ground/errors.py. */
const OUR_ERRORS = "controlstack.";

/** How the id of every node of the pack begins. */
const OUR_NODES = "ControlStack";

/**
 * The sentence of a run that failed, or null where it is not one of ours.
 *
 * @param {Failure | null | undefined} failure
 * @returns {Said | null}
 */
export function fromExecution(failure) {
  const sentence = shown(failure?.exception_message);
  if (!isOurs(failure?.exception_type) || !sentence) return null;
  return { node: String(failure?.node_id ?? ""), type: failure?.node_type ?? "", sentence };
}

/**
 * The sentences of a prompt that was refused, one for each of our nodes that has any. ComfyUI says
 * the same again for each input that a node looks at; here it is said once.
 *
 * @param {NodeErrors | null | undefined} nodeErrors
 * @returns {Said[]}
 */
export function fromValidation(nodeErrors) {
  return Object.entries(nodeErrors ?? {}).flatMap(([node, { class_type: type, errors }]) => {
    const said = (errors ?? []).map((reason) => sentenceOf(type, reason)).filter(Boolean);
    return said.length ? [{ node, type, sentence: [...new Set(said)].join("\n") }] : [];
  });
}

/**
 * The title of a node as people see it, after those of the subgraphs that it is in. Where the graph
 * in sight is another one by now, it is what nodes of its type are called.
 *
 * @param {Nodes | null | undefined} graph
 * @param {Said} said
 * @param {Record<string, { title?: string } | undefined> | null} [types] by the nodes' ids
 * @returns {string}
 */
export function titleOf(graph, { node, type }, types) {
  const titles = [];
  let here = graph;
  /** @type {Titled | null | undefined} */
  let found;
  for (const id of node.split(":")) {
    found = here?.getNodeById(id);
    here = found?.subgraph;
    titles.push(found?.title || found?.type);
  }
  if (found?.type === type) return titles.join(" › ");
  return types?.[type]?.title || type;
}

/**
 * A sentence without the folders of absolute paths: files keep their names. The log has it whole.
 * Folders with spaces are known on Windows only, whose separator stands in no sentence.
 *
 * @param {string} sentence
 * @returns {string}
 */
export function withoutFolders(sentence) {
  return sentence
    .replace(/(^|[\s"'`(=])(?:[A-Za-z]:\\+|\\\\+)(?:[^\\/:;,"'`\n]+\\+)+/g, "$1")
    .replace(/(^|[\s"'`(=])(?:[A-Za-z]:)?\/(?:[^\s\\/"'`]+\/)+/g, "$1");
}

/** @param {string | null | undefined} errorType */
function isOurs(errorType) {
  return (errorType ?? "").startsWith(OUR_ERRORS);
}

/** @param {string} nodeType @param {Reason} reason */
function sentenceOf(nodeType, { type, details, extra_info: more }) {
  if (isOurs(more?.exception_type)) return shown(details);
  if (type !== "custom_validation_failed" || !nodeType.startsWith(OUR_NODES)) return "";
  // "<input> - <sentence>", and the input alone where a node said no without a word.
  const input = `${more?.input_name ?? ""} - `;
  return details?.startsWith(input) ? shown(details.slice(input.length)) : "";
}

/** @param {string | null | undefined} text */
function shown(text) {
  return withoutFolders((text ?? "").trim());
}
