"""Writes `preprocessors/mediapipe/weights/`: MediaPipe's networks, out of the wheel that has them.

The wheel is only read, never installed. Each TFLite file becomes a safetensors file: its weights
in half precision and, in the file's metadata, the steps of its graph in NCHW, which
`preprocessors/mediapipe/network.py` runs. What no wanted output needs is left out (segmentation,
heat maps, world landmarks, handedness).

    python -m pip install ai-edge-litert        # has TFLite's schema; this script alone needs it
    python -m tools.mediapipe_weights [WHEEL]   # without WHEEL, pip fetches it

It also writes what LiteRT says of a made picture into RECORDED, which a test compares.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

FOLDER = Path(__file__).parents[1] / "preprocessors" / "mediapipe" / "weights"
PACKAGE, VERSION = "mediapipe", "0.10.21"
WHEEL = f"{PACKAGE}-{VERSION}-cp311-cp311-manylinux_2_28_x86_64.whl"
SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
LICENCE = f"{PACKAGE}-{VERSION}.dist-info/LICENSE"
RECORDED = FOLDER.parents[2] / "tests" / "preprocessors" / "mediapipe" / "litert.json"
MOST = 12_000_000
"""Bytes that all networks together may have."""

SPARSE = 0.5
"""Weights of which fewer than this are not 0 are written as those alone and where they are."""

NETWORKS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "pose_detection": (
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        {"boxes": 0, "scores": 1},
    ),
    "pose_landmark": (
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        {"points": 0, "presence": 1},
    ),
    "hand_recrop": (
        "mediapipe/modules/holistic_landmark/hand_recrop.tflite",
        {"points": 0},
    ),
    "hand_landmark": (
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
        {"points": 0, "presence": 1},
    ),
    "face_detection": (
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        {"boxes": 0, "scores": 1},
    ),
    "face_landmark": (
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        {"points": 0, "presence": 1},
    ),
}
"""Each network's file in the wheel, and which of its outputs are wanted. hand_landmark_full (5.3
MB) would bring them above MOST: weights/README.md says what the light one costs."""

Array = npt.NDArray[Any]
FLOATS = {0: np.float32, 1: np.float16}
INTEGERS = {2: np.int32, 4: np.int64}
"""TFLite's types of numbers (schema.fbs, TensorType)."""

RELU, RELU6 = 1, 3
"""schema.fbs, ActivationFunctionType."""


@dataclass
class Written:
    """A network as it is written: `steps` as `network.py` has them, `weights` in NCHW."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)


class LiteNetwork:
    """A network as LiteRT runs it on one thread, called as `network.py`'s is."""

    def __init__(self, data: bytes, wanted: Mapping[str, int]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._run = Interpreter(model_content=data, num_threads=1)
        self._run.allocate_tensors()
        (self._input,) = self._run.get_input_details()
        self._outputs = {
            name: self._run.get_output_details()[number]["index"] for name, number in wanted.items()
        }
        self.side = int(self._input["shape"][1])

    def __call__(self, pictures: Any) -> dict[str, Any]:
        """The outputs for `pictures` (a tensor, N x 3 x side x side), N x rows x numbers."""
        import torch

        found: dict[str, list[Array]] = {name: [] for name in self._outputs}
        for picture in np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy()):
            self._run.set_tensor(self._input["index"], picture[None])
            self._run.invoke()
            for name, index in self._outputs.items():
                found[name].append(self._run.get_tensor(index))
        return {
            name: torch.from_numpy(np.stack(parts).reshape(len(parts), -1, parts[0].shape[-1]))
            for name, parts in found.items()
        }


def lite_network(files: zipfile.ZipFile, name: str) -> LiteNetwork:
    """One of NETWORKS by LiteRT, out of the opened wheel."""
    inside, wanted = NETWORKS[name]
    return LiteNetwork(files.read(inside), wanted)


def made_picture(side: int) -> npt.NDArray[np.float32]:
    """1 x 3 x side x side in 0..1: waves of other lengths in each colour."""
    down, right = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(right * 9 * k + np.cos(down * 7 * k) * k) for k in (1, 2, 3)]
    return (np.stack(waves)[None] / 2 + 0.5).astype(np.float32)


def sample(values: Array) -> list[float]:
    """At most 64 of them, evenly, as JSON keeps them."""
    flat = values.reshape(-1)
    return [float(f"{value:.7g}") for value in flat[:: -(-len(flat) // 64)]]


class Reader:
    """One TFLite file: its tensors, and its operators in the order in which they run."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._names = {
            number: name
            for name, number in vars(schema.BuiltinOperator).items()
            if isinstance(number, int)
        }
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        (self.graph,) = model.subgraphs
        self._codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
        self._buffers = model.buffers
        self._maker = {out: one for one in self.graph.operators for out in one.outputs}

    def kind(self, operator: Any) -> str:
        """The operator's name in TFLite's schema: CONV_2D, ADD ..."""
        return self._names[self._codes[operator.opcodeIndex]]

    def shape(self, tensor: int) -> list[int]:
        """A tensor's shape, NHWC where it is of pictures."""
        found = self.graph.tensors[tensor].shape
        return [int(side) for side in found] if found is not None else []

    def constant(self, tensor: int) -> Array | None:
        """The numbers of a tensor that the file holds, dense; None for one that is computed."""
        maker = self._maker.get(tensor)
        if maker is not None:
            folded = self.kind(maker) in ("DEQUANTIZE", "DENSIFY")
            return self.constant(maker.inputs[0]) if folded else None
        found = self.graph.tensors[tensor]
        data = self._buffers[found.buffer].data
        if data is None or not len(data):
            return None
        values = np.frombuffer(bytes(data), (FLOATS | INTEGERS)[found.type])
        if found.sparsity is not None:
            return dense(values, found.sparsity, self.shape(tensor))
        return values.reshape(self.shape(tensor))

    def needed(self, outputs: Sequence[int]) -> Iterator[Any]:
        """The operators that compute `outputs`, those of weights left out."""
        wanted, seen = list(outputs), set()
        while wanted:
            tensor = wanted.pop()
            if tensor not in seen and tensor in self._maker:
                wanted.extend(map(int, self._maker[tensor].inputs))
            seen.add(tensor)
        for operator in self.graph.operators:
            if operator.outputs[0] in seen and self.constant(operator.outputs[0]) is None:
                yield operator


def dense(values: Array, sparsity: Any, shape: Sequence[int]) -> Array:
    """What DENSIFY makes of `values`: the dimensions of `sparsity`, one after the other, each all
    there or listed (schema.fbs, SparsityParameters)."""
    found = np.zeros((1, 0), np.int64)
    for one in sparsity.dimMetadata:
        if one.arrayIndices is None:
            here = np.tile(np.arange(one.denseSize), len(found))
            found = np.repeat(found, one.denseSize, axis=0)
        else:
            here = np.asarray(one.arrayIndices.values, np.int64)
            counts = np.diff(np.asarray(one.arraySegments.values, np.int64))
            found = np.repeat(found, counts, axis=0)
        found = np.column_stack([found, here])
    at = {int(dimension): level for level, dimension in enumerate(sparsity.traversalOrder)}
    places = [found[:, at[dimension]] for dimension in range(len(shape))]
    for block, dimension in enumerate(() if sparsity.blockMap is None else sparsity.blockMap):
        level = at[len(shape) + block]
        size = sparsity.dimMetadata[level].denseSize
        places[dimension] = places[dimension] * size + found[:, level]
    whole = np.zeros(shape, values.dtype)
    whole[tuple(places)] = values
    return whole


def converted(data: bytes, wanted: Mapping[str, int]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The weights in `data`, and what `network.py` reads of its graph: `wanted` names outputs by
    their number in the file."""
    reader, written = Reader(data), Written()
    outputs = {name: int(reader.graph.outputs[number]) for name, number in wanted.items()}
    operators = list(reader.needed(list(outputs.values())))
    uses = [int(tensor) for operator in operators for tensor in operator.inputs]
    padded: dict[int, tuple[int, list[int]]] = {}
    for operator in operators:
        pad = reader.constant(operator.inputs[1]) if reader.kind(operator) == "PAD" else None
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        if pad is not None and not pad[[0, 3]].any() and uses.count(target) == 1:
            padded[target] = source, [int(n) for n in (*pad[2], *pad[1])]  # the next step pads
        else:
            _step(reader, operator, padded, written)
    (first,) = reader.graph.inputs
    about = {
        "input": int(first),
        "side": reader.shape(first)[1],
        "outputs": outputs,
        "steps": written.steps,
    }
    return written.weights, about


def _step(
    reader: Reader,
    operator: Any,
    padded: Mapping[int, tuple[int, list[int]]],
    written: Written,
) -> None:
    """Write one operator; what a pad in front of it added is in `padded`."""
    kind, options = reader.kind(operator), operator.builtinOptions
    sources = [int(t) for t in operator.inputs if t >= 0 and reader.constant(t) is None]
    constants = [reader.constant(t) for t in operator.inputs if t >= 0]
    target = int(operator.outputs[0])
    shape = reader.shape(int(operator.inputs[0]))
    step: dict[str, Any] = {"does": kind.lower(), "of": sources, "to": target}
    if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        weight, stride = constants[1], [options.strideH, options.strideW]
        assert weight is not None
        assert options.dilationHFactor == options.dilationWFactor == 1
        pad = _same(shape[1:3], weight.shape[1:3], stride) if options.padding == 0 else [0] * 4
        if sources[0] in padded:
            step["of"], before = [padded[sources[0]][0]], padded[sources[0]][1]
            pad = [one + other for one, other in zip(pad, before, strict=True)]
        deep = kind == "DEPTHWISE_CONV_2D"
        step |= {"does": "conv", "stride": stride, "pad": pad, "groups": shape[3] if deep else 1}
        written.weights[f"{target}.weight"] = weight.transpose(
            (3, 0, 1, 2) if deep else (0, 3, 1, 2)
        )
        written.weights[f"{target}.bias"] = constants[2]
    elif kind == "FULLY_CONNECTED":
        written.weights[f"{target}.weight"], written.weights[f"{target}.bias"] = constants[1:]
        step["does"] = "linear"
    elif kind == "PRELU":
        written.weights[f"{target}.slope"] = constants[1].reshape(-1)
    elif kind == "MAX_POOL_2D":
        size = [options.filterHeight, options.filterWidth]
        stride = [options.strideH, options.strideW]
        assert not any(_same(shape[1:3], size, stride)), "a pool that pads"
        step |= {"does": "pool", "size": size, "stride": stride}
    elif kind == "PAD":
        rows = constants[1][[2, 1, 3]]  # torch names the last side first
        assert not constants[1][0].any(), "a pad of the batch"
        step["pad"] = [int(n) for n in rows.reshape(-1)]
    elif kind == "RESIZE_BILINEAR":
        assert (options.halfPixelCenters, options.alignCorners) == (True, False)
        step |= {"does": "resize", "size": [int(n) for n in constants[1]]}
    elif kind == "DEPTH_TO_SPACE":
        step["block"] = options.blockSize
    elif kind == "MEAN":
        assert (sorted(constants[1].tolist()), options.keepDims) == ([1, 2], False)
    elif kind == "RESHAPE":
        step |= {"does": "rows", "width": reader.shape(target)[-1]}
    elif kind == "STRIDED_SLICE":
        begin, _, strides = constants[1:]
        before, after = shape, reader.shape(target)
        assert not begin.any()
        assert (strides == 1).all()
        assert before[:3] == after[:3]
        step |= {"does": "slice", "channels": after[3]}
    elif kind == "CONCATENATION":
        assert options.axis == 1
    else:
        assert kind in ("ADD", "LOGISTIC", "RELU"), f"{kind} is not known here"
    act = getattr(options, "fusedActivationFunction", 0)
    assert act in (0, RELU, RELU6), f"activation {act} is not known here"
    if act:
        step["act"] = "relu" if act == RELU else "relu6"
    written.steps.append(step)


def _same(sides: Sequence[int], size: Sequence[int], stride: Sequence[int]) -> list[int]:
    """TFLite's SAME padding as left, right, top, bottom: the odd pixel is to the right and below
    (ComputePaddingHeightWidth in tensorflow/lite/kernels/padding.h)."""
    rows, columns = (
        max((-(-side // step) - 1) * step + kernel - side, 0)
        for side, kernel, step in zip(sides, size, stride, strict=True)
    )
    return [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]


def packed(weights: Mapping[str, Array]) -> dict[str, Array]:
    """`weights` in half precision; of sparse ones what is not 0 and, in bits, where it is."""
    found: dict[str, Array] = {}
    for name, value in weights.items():
        half = np.ascontiguousarray(value, np.float16)
        assert np.isfinite(half).all(), name
        if np.count_nonzero(half) < SPARSE * half.size:
            found[f"{name}.values"] = half[half != 0]
            found[f"{name}.where"] = np.packbits(half != 0)
            found[f"{name}.shape"] = np.array(half.shape, np.int32)
        else:
            found[name] = half
    return found


def wheel(given: Path | None, folder: Path) -> Path:
    """The wheel, fetched into `folder` where it is not `given`. SystemExit for another file."""
    if given is None:
        asked = [f"{PACKAGE}=={VERSION}", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
        asked += ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
        subprocess.run([sys.executable, "-m", "pip", "download", *asked], check=True)
        given = folder / WHEEL
    found = hashlib.sha256(given.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{given} has the sha256 {found}; {WHEEL} has {SHA256}.")
    return given


def main() -> None:
    """Write the folder."""
    import torch

    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(wheel(given, Path(folder))) as files,
    ):
        (FOLDER / "LICENSE").write_bytes(files.read(LICENCE))
        recorded = {}
        for name, (inside, wanted) in NETWORKS.items():
            weights, about = converted(files.read(inside), wanted)
            about |= {"origin": f"{WHEEL}: {inside}", "licence": "Apache-2.0"}
            # One entry: safetensors writes several in any order, and other bytes each time.
            metadata = {"network": json.dumps(about, separators=(",", ":"))}
            path = FOLDER / f"{name}.safetensors"
            path.write_bytes(save(packed(weights), metadata))
            print(f"{path.stat().st_size:>9,} {path.name}: {len(about['steps'])} steps")
            network = lite_network(files, name)
            said = network(torch.from_numpy(made_picture(network.side)))
            recorded[name] = {output: sample(values.numpy()) for output, values in said.items()}
        RECORDED.write_text(json.dumps(recorded) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors"))
    print(f"{total:>9,} bytes together")
    assert total <= MOST


if __name__ == "__main__":
    main()
