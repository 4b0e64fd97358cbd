#!/usr/bin/env python3
"""Writes the golden data of the ONNX importer's tests. Needs numpy, onnx and onnxruntime.

Each case is NAME.onnx and NAME.bin. The latter holds little-endian float32: the picture in NHWC order, then what ONNX
Runtime computes from it, in NHWC order where it has four dimensions. errors/ holds files that must be refused; they
are not run.
"""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
rng = np.random.default_rng(7)


def random(*shape):
    return rng.uniform(-1, 1, shape).astype(np.float32)


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output] if isinstance(output, str) else output, output, **attributes)


def ints(*values):
    return np.array(values, np.int64)


def model(nodes, weights=None, shape=(1, 3, 6, 7), opset=13, output="y", kind=TensorProto.FLOAT):
    """A model that reads x and gives y; weights are numpy arrays or ready tensors by name."""
    initializers = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
        for name, value in (weights or {}).items()
    ]
    picture = helper.make_tensor_value_info("x", kind, shape)
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "golden", [picture], outputs, initializers)
    # Readers differ in what they make of the newest IR version; 8 is what operator set 13 to 18 came with.
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def with_weights_as_inputs(made):
    """Files before IR version 4 list their weights among the inputs too."""
    for weight in made.graph.initializer:
        made.graph.input.insert(0, helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    made.ir_version = 3
    return made


def nhwc(values):
    return values.transpose(0, 2, 3, 1) if values.ndim == 4 else values


def case(name, nodes, weights=None, shape=(1, 3, 6, 7), nhwc_input=False, nhwc_output=False, old=False, **options):
    made = model(nodes, weights, shape, **options)
    if old:
        made = with_weights_as_inputs(made)
    data = made.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    fixed = [1 if isinstance(size, str) else size for size in shape]
    picture = random(*fixed)
    (result,) = session.run(None, {"x": picture})
    picture = picture if nhwc_input else nhwc(picture)
    result = result if nhwc_output else nhwc(result)
    (HERE / f"{name}.onnx").write_bytes(data)
    values = np.concatenate([picture.ravel(), result.ravel()])
    (HERE / f"{name}.bin").write_bytes(values.astype("<f4").tobytes())


def convolutions():
    w, b = random(4, 3, 3, 3), random(4)
    case("conv_plain", [node("Conv", ["x", "w", "b"], "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])],
         {"w": w, "b": b})
    case("conv_asymmetric", [node("Conv", ["x", "w"], "y", pads=[0, 1, 2, 3], strides=[2, 1])],
         {"w": random(2, 3, 2, 3)})
    for mode in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
        case(f"conv_{mode.lower()}", [node("Conv", ["x", "w", "b"], "y", auto_pad=mode, strides=[2, 2])],
             {"w": random(4, 3, 3, 2), "b": b})
    case("conv_groups", [node("Conv", ["x", "w", "b"], "y", group=2, pads=[1, 1, 1, 1])],
         {"w": random(6, 2, 3, 3), "b": random(6)}, shape=(1, 4, 5, 4))
    case("conv_depthwise", [node("Conv", ["x", "w"], "y", group=3, pads=[1, 1, 1, 1], dilations=[1, 1])],
         {"w": random(3, 1, 3, 3)})
    typed = helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 1, 1], random(12).tolist())
    case("conv_typed_data", [node("Conv", ["x", "w"], "c"), node("Relu", ["c"], "y")], {"w": typed})
    case("conv_half_weights", [node("Cast", ["h"], "w", to=TensorProto.FLOAT), node("Conv", ["x", "w"], "y")],
         {"h": random(4, 3, 1, 1).astype(np.float16)})
    case("conv_dynamic_batch", [node("Conv", ["x", "w"], "y")], {"w": random(2, 3, 3, 3)}, shape=("batch", 3, 6, 7))
    case("pad_input", [node("Pad", ["x", "p"], "q"), node("Conv", ["q", "w", "b"], "y", strides=[2, 2])],
         {"p": ints(0, 0, 0, 1, 0, 0, 1, 2), "w": w, "b": b})
    case("pad_attribute",
         [node("Pad", ["x"], "q", pads=[0, 0, 1, 1, 0, 0, 0, 0], mode="constant", value=0.0),
          node("Conv", ["q", "w", "b"], "y", pads=[0, 0, 1, 1])], {"w": w, "b": b}, opset=10)
    case("pad_average", [node("Pad", ["x", "p"], "q"), node("AveragePool", ["q"], "y", kernel_shape=[3, 3])],
         {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)})
    case("pad_max", [node("Relu", ["x"], "r"), node("Pad", ["r", "p"], "q"),
                     node("MaxPool", ["q"], "y", kernel_shape=[3, 3], strides=[2, 2])],
         {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)})


def normalisations():
    w = random(4, 3, 3, 3)
    vectors = {"s": random(4), "h": random(4), "m": random(4), "v": rng.uniform(0.5, 2, 4).astype(np.float32)}
    batch_norm = ["s", "h", "m", "v"]
    case("batchnorm_conv", [node("Conv", ["x", "w"], "c"), node("BatchNormalization", ["c", *batch_norm], "n"),
                            node("Relu", ["n"], "y")], {"w": w, **vectors})
    case("batchnorm_picture", [node("BatchNormalization", ["x", *batch_norm], "n", epsilon=0.01),
                               node("Conv", ["n", "w"], "y", pads=[1, 1, 1, 1])],
         {"w": random(2, 4, 3, 3), **vectors}, shape=(1, 4, 5, 5))
    case("batchnorm_sum",
         [node("Conv", ["x", "w"], "c"), node("Conv", ["x", "u"], "d"), node("Add", ["c", "d"], "e"),
          node("BatchNormalization", ["e", *batch_norm], "y")], {"w": w, "u": random(4, 3, 3, 3), **vectors})
    case("batchnorm_vector",
         [node("Flatten", ["x"], "f"), node("Gemm", ["f", "w"], "g", transB=1),
          node("BatchNormalization", ["g", *batch_norm], "y")],
         {"w": random(4, 12), **vectors}, shape=(1, 3, 2, 2))
    many = {key: np.concatenate([value] * 3) for key, value in vectors.items()}
    case("batchnorm_flattened",
         [node("Flatten", ["x"], "f"), node("BatchNormalization", ["f", *batch_norm], "n"),
          node("Gemm", ["n", "w"], "y", transB=1)],
         {"w": random(4, 12), **many}, shape=(1, 3, 2, 2))
    case("lrn_odd", [node("LRN", ["x"], "y", size=5, alpha=0.5, beta=0.75, bias=2.0)], shape=(1, 9, 3, 2))


def activations():
    conv = node("Conv", ["x", "w"], "c")
    weights = {"w": random(4, 3, 1, 1) * 4}
    case("clip_attributes", [conv, node("Clip", ["c"], "y", min=0.0, max=1.5)], weights, opset=10)
    case("clip_inputs", [conv, node("Clip", ["c", "l", "h"], "y")],
         {**weights, "l": np.float32(-0.5), "h": np.float32(1)})
    case("clip_max_only", [conv, node("Clip", ["c", "", "h"], "y")], {**weights, "h": np.float32(1)})
    case("clip_twice", [conv, node("Relu", ["c"], "r"), node("Clip", ["r", "", "h"], "y")],
         {**weights, "h": np.float32(1)})


def pools():
    case("maxpool_ceil", [node("MaxPool", ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)])
    case("maxpool_ceil_padded",
         [node("MaxPool", ["x"], "y", kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)])
    case("maxpool_pads", [node("MaxPool", ["x"], "y", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 2, 1])])
    case("maxpool_same", [node("MaxPool", ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")])
    for counted in [0, 1]:
        case(f"average_pads_{counted}",
             [node("AveragePool", ["x"], "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=counted)])
        case(f"average_ceil_{counted}",
             [node("AveragePool", ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1,
                   count_include_pad=counted)], opset=19)
    case("average_same", [node("AveragePool", ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")])
    case("global_average", [node("GlobalAveragePool", ["x"], "y")])
    case("global_max", [node("GlobalMaxPool", ["x"], "y")])
    case("reduce_keep", [node("ReduceMean", ["x"], "y", axes=[2, 3])])
    case("reduce_drop", [node("ReduceMean", ["x"], "y", axes=[-1, -2], keepdims=0)])
    case("reduce_input", [node("ReduceMean", ["x", "a"], "y", keepdims=0)], {"a": ints(2, 3)}, opset=18)


def arithmetic():
    case("concat", [node("Conv", ["x", "w"], "c"), node("MaxPool", ["x"], "p", kernel_shape=[1, 1]),
                    node("Concat", ["c", "p", "x"], "y", axis=1)], {"w": random(2, 3, 1, 1)})
    case("concat_vectors", [node("GlobalMaxPool", ["x"], "m"), node("GlobalAveragePool", ["x"], "a"),
                            node("Flatten", ["m"], "f"), node("Flatten", ["a"], "g"),
                            node("Concat", ["f", "g"], "y", axis=-1)])
    convs = [node("Conv", ["x", "w"], "c"), node("Conv", ["x", "u"], "d")]
    weights = {"w": random(4, 3, 1, 1), "u": random(4, 3, 1, 1)}
    case("add_relu", [*convs, node("Add", ["c", "d"], "a"), node("Relu", ["a"], "y")], weights)
    case("sum", [*convs, node("Sum", ["c", "d", "c"], "y")], weights)
    case("channel_constants",
         [convs[0], node("Mul", ["c", "m"], "e"), node("Add", ["a", "e"], "f"), node("Div", ["f", "d"], "g"),
          node("Sub", ["g", "s"], "h"), node("Sub", ["r", "h"], "y")],
         {"w": weights["w"], "m": random(4, 1, 1), "a": random(1, 4, 1, 1), "d": np.float32(0.3),
          "s": random(4, 1, 1), "r": random(1)})
    case("picture_scaled",
         [node("Sub", ["x", "m"], "a"), node("Div", ["a", "s"], "b"), node("Mul", ["b", "f"], "c"),
          node("Conv", ["c", "w"], "y", pads=[1, 1, 1, 1])],
         {"m": random(1, 3, 1, 1), "s": np.array([[[0.2]], [[0.3]], [[0.4]]], np.float32), "f": np.float32(2),
          "w": random(2, 3, 3, 3)})
    parts, scaled = [], []
    constants = {"one": ints(1)}
    for channel in range(3):
        constants |= {f"i{channel}": np.array(channel, np.int64), f"s{channel}": np.float32(channel + 0.5),
                      f"t{channel}": np.float32(channel - 0.25)}
        parts += [node("Gather", ["x", f"i{channel}"], f"g{channel}", axis=1),
                  node("Unsqueeze", [f"g{channel}", "one"], f"u{channel}"),
                  node("Mul", [f"u{channel}", f"s{channel}"], f"m{channel}"),
                  node("Add", [f"m{channel}", f"t{channel}"], f"a{channel}")]
        scaled.append(f"a{channel}")
    tail = [node("Concat", scaled, "c", axis=1), node("Conv", ["c", "w"], "y", pads=[1, 1, 1, 1])]
    case("picture_channels_gather", parts + tail, {**constants, "w": random(2, 3, 3, 3)})
    slices = {f"b{channel}": ints(channel) for channel in range(4)}
    parts = [node("Slice", ["x", f"b{channel}", f"b{channel + 1}", "axis"], f"l{channel}") for channel in range(3)]
    parts += [node("Mul", [f"l{channel}", "f"], f"a{channel}") for channel in range(3)]
    case("picture_channels_slice", parts + tail,
         {**slices, "axis": ints(1), "f": np.float32(0.5), "w": random(2, 3, 3, 3)})


def dense():
    flat = node("Flatten", ["x"], "f")
    small = (1, 3, 2, 4)
    case("gemm_transposed", [flat, node("Gemm", ["f", "w", "b"], "y", transB=1, alpha=0.5, beta=2.0)],
         {"w": random(5, 24), "b": random(5)}, shape=small)
    case("gemm_plain", [flat, node("Gemm", ["f", "w", "b"], "y")], {"w": random(24, 5), "b": random(1, 5)}, shape=small)
    case("gemm_column", [flat, node("Transpose", ["f"], "t"), node("Gemm", ["t", "w", "b"], "y", transA=1)],
         {"w": random(24, 5), "b": random(1)}, shape=small)
    case("gemm_no_bias", [node("GlobalMaxPool", ["x"], "m"), node("Flatten", ["m"], "f"),
                          node("Gemm", ["f", "w"], "g"), node("Relu", ["g"], "r"), node("Gemm", ["r", "u"], "y")],
         {"w": random(3, 6), "u": random(6, 2)}, shape=small)
    case("gemm_folded_weights", [flat, node("Transpose", ["v"], "w", perm=[1, 0]), node("Mul", ["u", "f2"], "b"),
                                 node("Gemm", ["f", "w", "b"], "y")],
         {"v": random(5, 24), "u": random(5), "f2": np.float32(3)}, shape=small)
    case("matmul_bias", [flat, node("MatMul", ["f", "w"], "m"), node("Add", ["m", "b"], "y")],
         {"w": random(24, 5), "b": random(5)}, shape=small)
    case("relu_flat", [flat, node("Relu", ["f"], "r"), node("Gemm", ["r", "w"], "y")], {"w": random(24, 5)},
         shape=small)
    case("softmax_12", [flat, node("Gemm", ["f", "w"], "g"), node("Softmax", ["g"], "y")], {"w": random(24, 5)},
         shape=small, opset=12)
    case("softmax_13", [flat, node("Gemm", ["f", "w"], "g"), node("Softmax", ["g"], "y")], {"w": random(24, 5)},
         shape=small)
    case("softmax_picture", [node("GlobalAveragePool", ["x"], "p"), node("Softmax", ["p"], "y", axis=1)])
    case("conv_classifier", [node("GlobalAveragePool", ["x"], "p"), node("Conv", ["p", "w", "b"], "c"),
                             node("Reshape", ["c", "s"], "r"), node("Softmax", ["r"], "y", axis=-1)],
         {"w": random(5, 3, 1, 1), "b": random(5), "s": ints(1, 5)})


def shapes():
    case("weights_as_inputs", [node("GlobalMaxPool", ["x"], "p"), node("Flatten", ["p"], "f"),
                               node("Gemm", ["f", "w", "b"], "y")], {"w": random(3, 5), "b": random(5)}, opset=8, old=True)
    small = (1, 3, 2, 4)
    weights = {"w": random(24, 5)}
    gemm = node("Gemm", ["f", "w"], "y")
    case("reshape_rest", [node("Reshape", ["x", "s"], "f"), gemm], {**weights, "s": ints(1, -1)}, shape=small)
    case("reshape_zero", [node("Reshape", ["x", "s"], "f"), gemm], {**weights, "s": ints(0, 24)}, shape=small)
    # What PyTorch writes for x.view(x.size(0), -1) with a dynamic batch.
    case("reshape_dynamic",
         [node("Shape", ["x"], "s"), node("Constant", [], "zero", value=numpy_helper.from_array(np.array(0))),
          node("Gather", ["s", "zero"], "g", axis=0), node("Unsqueeze", ["g", "axes"], "u"),
          node("Concat", ["u", "rest"], "t", axis=0), node("Reshape", ["x", "t"], "f"), gemm],
         {**weights, "rest": ints(-1), "axes": ints(0)}, shape=("batch", 3, 2, 4))
    pool = node("GlobalAveragePool", ["x"], "p")
    case("squeeze_attribute", [pool, node("Squeeze", ["p"], "f", axes=[2, 3]), node("Gemm", ["f", "w"], "y")],
         {"w": random(3, 5)}, opset=11)
    case("squeeze_input", [pool, node("Squeeze", ["p", "a"], "f"), node("Gemm", ["f", "w"], "y")],
         {"w": random(3, 5), "a": ints(-2, 3)})
    case("unsqueeze", [pool, node("Flatten", ["p"], "f"), node("Unsqueeze", ["f", "a"], "u"),
                       node("Conv", ["u", "w"], "y")], {"w": random(5, 3, 1, 1), "a": ints(2, 3)})
    case("constants", [node("ConstantOfShape", ["s"], "b", value=numpy_helper.from_array(np.array([0.5], np.float32))),
                       node("Constant", [], "w", value=numpy_helper.from_array(random(4, 3, 1, 1))),
                       node("Conv", ["x", "w", "b"], "c"),
                       node("Constant", [], "k", value_floats=[2.0]), node("Mul", ["c", "k"], "y")], {"s": ints(4)})
    case("unchanged", [node("Cast", ["x"], "a", to=TensorProto.FLOAT), node("Conv", ["a", "w"], "b"),
                       node("Identity", ["b"], "c"), node("Dropout", ["c"], "y")], {"w": random(4, 3, 1, 1)})
    case("dead_branch", [node("Sin", ["x"], "s"), node("Conv", ["x", "w"], "y")], {"w": random(4, 3, 1, 1)})
    # What tf2onnx writes: the picture comes in NHWC and is scaled before the transpose.
    to_nchw, to_nhwc = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
    case("transpose_picture",
         [node("Mul", ["x", "k"], "a"), node("Sub", ["a", "m"], "b"), node("Transpose", ["b"], "t", **to_nchw),
          node("Conv", ["t", "w"], "c", pads=[1, 1, 1, 1]), node("Transpose", ["c"], "d", **to_nhwc),
          node("ReduceMean", ["d"], "e", axes=[1, 2], keepdims=0), node("MatMul", ["e", "v"], "y")],
         {"k": np.float32(2), "m": random(3), "w": random(4, 3, 3, 3), "v": random(4, 5)}, shape=(1, 6, 5, 3),
         nhwc_input=True)
    case("transpose_flatten",
         [node("Transpose", ["x"], "t", **to_nhwc), node("Reshape", ["t", "s"], "f"), gemm],
         {**weights, "s": ints(1, 24)}, shape=small)
    case("transpose_output", [node("Conv", ["x", "w"], "c"), node("Transpose", ["c"], "t", **to_nhwc),
                              node("Relu", ["t"], "y")], {"w": random(4, 3, 1, 1)}, nhwc_output=True)


def endings():
    pool, flat = node("GlobalAveragePool", ["x"], "p"), node("Flatten", ["p"], "f")
    front = [pool, flat, node("Gemm", ["f", "w", "b"], "g")]
    several, one = {"w": 4 * random(3, 5), "b": random(5)}, {"w": 4 * random(3, 1), "b": random(1)}
    case("end_logsoftmax_12", [*front, node("LogSoftmax", ["g"], "y")], several, opset=12)
    case("end_logsoftmax_13", [*front, node("LogSoftmax", ["g"], "y")], several)
    case("end_logsoftmax_picture", [pool, node("LogSoftmax", ["p"], "l", axis=1), node("Flatten", ["l"], "y")])
    case("end_sigmoid", [*front, node("Sigmoid", ["g"], "y")], several)
    case("end_sigmoid_cast", [*front, node("Sigmoid", ["g"], "s"), node("Cast", ["s"], "c", to=TensorProto.FLOAT),
                              node("Identity", ["c"], "y")], several)
    case("end_sigmoid_squeeze", [pool, node("Sigmoid", ["p"], "s"), node("Squeeze", ["s"], "y")])
    heads = [node("Gemm", ["f", "v"], "h"), node("Sigmoid", ["g"], "s"), node("Sigmoid", ["h"], "t")]
    case("end_sigmoid_heads", [*front, *heads, node("Concat", ["s", "t"], "y", axis=1)], {**several, "v": random(3, 1)})
    case("end_scores_heads", [*front, heads[0], node("Concat", ["g", "h"], "y", axis=1)], {**several, "v": random(3, 1)})
    case("end_one", [*front[:2], node("Gemm", ["f", "w", "b"], "y")], one)
    case("end_one_sigmoid", [*front, node("Sigmoid", ["g"], "y")], one)
    case("end_one_reshape", [*front, node("Sigmoid", ["g"], "s"), node("Reshape", ["s", "r"], "y")], {**one, "r": ints(-1)})
    case("end_one_squeeze", [*front, node("Squeeze", ["g"], "y")], one)
    case("end_one_matmul", [pool, flat, node("MatMul", ["f", "w"], "m"), node("Add", ["m", "b"], "a"),
                            node("Sigmoid", ["a"], "y")], one)
    case("end_one_scaled", [*front, node("Mul", ["g", "k"], "m"), node("Sub", ["m", "k"], "n"), node("Sigmoid", ["n"], "y")],
         {**one, "k": np.float32(-2.5)})
    case("end_one_pool", [node("Conv", ["x", "w"], "c"), node("Relu", ["c"], "r"), node("GlobalAveragePool", ["r"], "q"),
                          node("Flatten", ["q"], "y")], {"w": random(1, 3, 3, 3)})
    case("end_one_clip", [*front, node("Clip", ["g", "l", "h"], "y")], {**one, "l": np.float32(-3), "h": np.float32(3)})
    case("end_one_gather", [*front, node("Gather", ["g", "i"], "y", axis=1)], {**one, "i": np.array(0)})
    argmax = [*front, helper.make_node("ArgMax", ["g"], ["y"], "pick", axis=1)]
    refuse("argmax", model(argmax, several))
    refuse("hard_sigmoid", model([*front, helper.make_node("HardSigmoid", ["g"], ["y"], "hard")], several))


def refuse(name, made):
    (HERE / "errors" / f"{name}.onnx").write_bytes(made.SerializeToString())


def errors():
    conv = helper.make_node("Conv", ["x", "w"], ["y"], "first")
    w = {"w": random(2, 3, 1, 1)}
    refuse("unknown_operator", model([helper.make_node("Einsum", ["x"], ["y"], "odd", equation="abcd->abcd")]))
    refuse("unknown_domain", model([helper.make_node("Conv", ["x", "w"], ["y"], "odd", domain="com.example")], w))
    refuse("missing_weight", model([conv]))
    refuse("dynamic_height", model([conv], w, shape=(1, 3, "height", 7)))
    refuse("unnamed_width", model([conv], w, shape=(1, 3, 6, None)))
    refuse("no_shape", model([conv], w, shape=None))
    quantise = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantise")
    dequantise = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "dequantise")
    refuse("quantised", model([quantise, dequantise], {"s": np.float32(1), "z": np.uint8(0)}))
    refuse("dilation", model([helper.make_node("Conv", ["x", "w"], ["y"], "wide", dilations=[2, 2])], w))
    refuse("stride", model([helper.make_node("Conv", ["x", "w"], ["y"], "still", strides=[0, 1])], w))
    refuse("infinite_weight", model([conv], {"w": np.full((2, 3, 1, 1), np.inf, np.float32)}))
    refuse("filled", model([helper.make_node("ConstantOfShape", ["s"], ["w"], "fill"), conv], {"s": ints(1 << 14, 1 << 13)}))
    refuse("batch", model([conv], w, shape=(4, 3, 6, 7)))
    refuse("rank", model([conv], w, shape=(3, 6, 7)))
    refuse("bytes_input", model([conv], w, kind=TensorProto.UINT8))
    refuse("weight_shape", model([conv], {"w": random(2, 5, 1, 1)}))
    short = numpy_helper.from_array(w["w"], "w")
    short.raw_data = short.raw_data[:-4]
    refuse("short_weight", model([conv], {"w": short}))
    huge = helper.make_tensor("w", TensorProto.FLOAT, [0], [])
    del huge.dims[:]
    huge.dims.extend([1 << 40, 1 << 40])
    refuse("huge_weight", model([conv], {"w": huge}))
    external = helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [0.0] * 6)
    external.data_location = TensorProto.EXTERNAL
    refuse("external", model([conv], {"w": external}))
    refuse("large_kernel", model([conv], {"w": random(2, 3, 7, 8)}))
    two = model([conv, helper.make_node("Relu", ["y"], ["z"], "second")], w)
    two.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    refuse("two_outputs", two)
    two = model([conv], w)
    two.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))
    refuse("two_inputs", two)
    mask = helper.make_node("Dropout", ["x"], ["d", "mask"], "drop")
    refuse("second_output", model([mask, helper.make_node("Relu", ["mask"], ["y"], "reader")]))
    refuse("no_maker", model([conv], w, output="elsewhere"))
    refuse("made_twice", model([conv, helper.make_node("Relu", ["x"], ["y"], "again")], w))
    refuse("reflect", model([helper.make_node("Pad", ["x", "p"], ["y"], "mirror", mode="reflect")],
                            {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}))
    refuse("reshape", model([helper.make_node("Reshape", ["x", "s"], ["y"], "shuffle")], {"s": ints(1, 7, 6, 3)}))
    refuse("softmax_pixels", model([helper.make_node("Softmax", ["x"], ["y"], "last", axis=1)]))
    refuse("product", model([helper.make_node("Relu", ["x"], ["r"], "gate"),
                             helper.make_node("Mul", ["x", "r"], ["y"], "gated")]))
    refuse("reordered", model([helper.make_node("Gather", ["x", "i"], ["g"], "swap", axis=1),
                               helper.make_node("Conv", ["g", "w"], ["y"], "first")], {**w, "i": ints(2, 1, 0)}))
    refuse("attribute_type", model([helper.make_node("Conv", ["x", "w"], ["y"], "first", group=1.5)], w))


if __name__ == "__main__":
    for old in [*HERE.glob("*.onnx"), *HERE.glob("*.bin")]:
        old.unlink()
    shutil.rmtree(HERE / "errors", ignore_errors=True)
    (HERE / "errors").mkdir()
    convolutions()
    normalisations()
    activations()
    pools()
    arithmetic()
    dense()
    shapes()
    errors()
    endings()
