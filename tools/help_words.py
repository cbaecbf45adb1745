"""The words that every help page has, in each language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words of a language that every page has."""

    inputs: str
    advanced: str
    outputs: str
    weights: str
    example: str
    mistakes: str
    to: str
    default: str
    colon: str
    space: str
    optional: str
    on: str
    off: str
    standing: str
    models: str
    of_this_machine: str
    folders: str
    places: str
    shipped: str
    own_folders: str
    either: str
    needed_besides: str
    not_commercial: str


WORDS = {
    "en": Words(
        inputs="Inputs",
        advanced="Advanced inputs",
        outputs="Outputs",
        weights="Weights",
        example="Example",
        mistakes="Common mistakes",
        to="to",
        default="default",
        colon=": ",
        space=" ",
        optional="optional",
        on="on",
        off="off",
        standing="a standing person",
        models="those of Weights below",
        of_this_machine="the first on this machine",
        folders="Each is a folder: {} and {} of its page lie beside that file.",
        places="Looked for in `models/controlstack` and its extra paths, in a folder of the "
        "model's name or its page's; in `models/depth` and comfyui_controlnet_aux's `ckpts`; then "
        "in the local Hugging Face cache. Nothing is asked of the network unless `download` is on.",
        shipped="They ship with this pack, in `preprocessors/mediapipe/weights`: nothing is "
        "downloaded.",
        own_folders="A folder of your own works there, too, as transformers saves one, if its "
        "`config.json` says {types} for `model_type`.",
        either=" or ",
        needed_besides="needed with each",
        not_commercial="**not for commercial use**",
    ),
    "zh": Words(
        inputs="输入",
        advanced="高级输入",
        outputs="输出",
        weights="权重",
        example="示例",
        mistakes="常见错误",
        to="到",
        default="默认",
        colon="：",
        space="",
        optional="可选",
        on="开",
        off="关",
        standing="一个站立的人",
        models="见下文“权重”",
        of_this_machine="本机已有的第一个",
        folders="每个模型是一个文件夹，里面还要有同一页面的 {} 和 {}。",
        places="依次查找：`models/controlstack` 及其额外路径里以模型或页面命名的文件夹，"
        "`models/depth` 和 comfyui_controlnet_aux 的 `ckpts`，最后是本机的 Hugging Face 缓存。"
        "不打开 `download`，就不会发出任何网络请求。",
        shipped="权重随本节点包附带，位于 `preprocessors/mediapipe/weights`，无需下载。",
        own_folders="也可以放入自己的模型文件夹（transformers 保存的格式），"
        "只要其 `config.json` 里的 `model_type` 是 {types}。",
        either=" 或 ",
        needed_besides="每个模型都需要",
        not_commercial="**不可商用**",
    ),
}
