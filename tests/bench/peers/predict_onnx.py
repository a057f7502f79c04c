"""ONNX Runtime as a contestant of ./dev bench --predict: the exported network with every graph
optimisation, one thread, input and output bound once. Another process exports, so that PyTorch does
not count as memory of this one."""
import os
import subprocess
import sys

import predict

a = predict.arguments("export")
path = os.path.join(os.environ["XDG_CACHE_HOME"], a.network + ".onnx")


def export():
    import torch
    import torch_networks
    network = torch_networks.create(a.network, a.width).eval()
    torch_networks.load(network, predict.weights(a.weights))
    x = torch.from_numpy(predict.images(a.network, a.batch))
    torch.onnx.export(network, (x,), path, dynamo=True, external_data=False, optimize=True,
                      verbose=False)


def prepare():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = a.threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    bound = session.io_binding()
    x = ort.OrtValue.ortvalue_from_numpy(predict.images(a.network, a.batch))
    bound.bind_ortvalue_input(session.get_inputs()[0].name, x)
    bound.bind_output(session.get_outputs()[0].name)
    return session, bound, x


def run(ready):
    ready[0].run_with_iobinding(ready[1])
    return ready[1]


if a.export:
    export()
else:
    subprocess.run([sys.executable, *sys.argv, "--export"], check=True, stdout=subprocess.DEVNULL)
    import onnxruntime
    predict.serve(onnxruntime.__version__, prepare, run, lambda y: y.copy_outputs_to_cpu()[0],
                  os.path.getsize(path))
