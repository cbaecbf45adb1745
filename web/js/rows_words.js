/** The words of ControlNet Stack on the page, in English and in Chinese. */

/** @type {Record<string, [string, string]>} */
const WORDS = {
  "value newer": [
    "These rows were made by a newer ControlStack. Update it to edit them; nothing is lost on saving.",
    "这些行由更新版本的 ControlStack 制作，请更新后再编辑；保存不会丢失内容。",
  ],
  "value none": ["The rows cannot be read. They are kept as they are.", "无法读取这些行，内容会原样保留。"],
  "too many": [
    "{} rows, and one node holds {}: put the others on a second ControlNet Stack, wired to stack.",
    "共 {} 行，而一个节点最多 {} 行：请把其余的放到另一个 ControlNet 堆栈，接到 stack。",
  ],
  add: ["+ Add control", "+ 添加控制"],
  timeline: ["Timeline", "时间线"],
  row: ["Row {}", "第 {} 行"],
  grip: ["Drag, or arrow keys, to reorder", "拖动或用方向键排序"],
  on: ["on", "启用"],
  hint: ["The hint", "控制图"],
  "no hint": ["No hint is wired", "未连接控制图"],
  file: ["ControlNet", "ControlNet"],
  wired: ["— wired —", "— 连线输入 —"],
  missing: ["{} is not on this machine", "本机没有 {}"],
  strength: ["strength", "强度"],
  start: ["start", "开始"],
  end: ["end", "结束"],
  more: ["More", "更多"],
  steps: ["steps {} to {} of {}", "第 {} 到 {} 步，共 {} 步"],
  "no step": ["no step", "没有任何一步"],
  mode: ["mode", "模式"],
  curve: ["curve", "曲线"],
  between: ["between", "过渡"],
  cond: ["prompt ×", "正面 ×"],
  uncond: ["negative ×", "负面 ×"],
  blocks: ["blocks", "层"],
  union_type: ["union type", "union 类型"],
  frames: ["frames", "多帧"],
  area_hint: ["area hint", "区域控制图"],
  sockets: ["Sockets:", "接口："],
  control_net: ["ControlNet", "ControlNet"],
  mask: ["mask", "遮罩"],
  factor: ["factor", "系数"],
  inpaint_mask: ["inpaint mask", "重绘遮罩"],
  inpaint_image: ["inpaint image", "重绘图像"],
  duplicate: ["Duplicate", "复制"],
  remove: ["Remove", "删除"],
  none: ["none", "无"],
  own: ["own points", "自定义点"],
};

let chinese = false;

/** @param {string | undefined} locale ComfyUI's: "en", "zh", "zh-TW" ... */
export function speak(locale) {
  chinese = (locale ?? "").startsWith("zh");
}

/** The words for a key, `{}` filled in turn; what has none is its own word. @param {string} key @param {...any} values */
export function say(key, ...values) {
  const [english, other] = WORDS[key] ?? [key, key];
  return values.reduce((text, value) => text.replace("{}", `${value}`), chinese ? other : english);
}
