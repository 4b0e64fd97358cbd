"""A peer in a process of its own: reads seconds to spend, one a line, and answers with the times of its runs in ms.

Usage: worker.py onnxruntime|openvino MODEL.onnx PICTURE.npy
"""

import json
import sys
import time

import numpy as np


def onnx_runtime(model, values):
    """One thread, all optimisations; the input is bound once, so that nothing is copied."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, values)
    binding.bind_output(session.get_outputs()[0].name)
    return lambda: session.run_with_iobinding(binding)


def openvino(model, values):
    """One stream of one thread; the input is shared, so that nothing is copied."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    tensor = openvino.Tensor(values, shared_memory=True)
    request.set_input_tensor(tensor)
    # The request does not keep alive what it needs.
    keep = (core, compiled, tensor)
    return lambda: (request.infer(), keep)


def main():
    engine, model, picture = sys.argv[1:]
    run = {"onnxruntime": onnx_runtime, "openvino": openvino}[engine](model, np.load(picture))
    for _ in range(5):
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        times, end = [], time.perf_counter() + float(line)
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
