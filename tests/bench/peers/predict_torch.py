"""PyTorch as a contestant of ./dev bench --predict: eager, frozen TorchScript, or torch.compile with
frozen weights and the C++ wrapper. Convolutional networks run channels-last, on one batch that lies
ready."""
import warnings

import torch
import torch._inductor.config as inductor

import predict
import torch_networks

warnings.filterwarnings("ignore")
a = predict.arguments("freeze", "compile")
torch.set_num_threads(a.threads)
network = torch_networks.create(a.network, a.width).eval()
torch_networks.load(network, predict.weights(a.weights))
x = torch.from_numpy(predict.images(a.network, a.batch))
if any(isinstance(m, torch.nn.Conv2d) for m in network.modules()):
    network = network.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)


def prepare():
    if a.freeze:
        return torch.jit.optimize_for_inference(torch.jit.trace(network, x))
    if a.compile:
        inductor.freezing = True
        return torch.compile(network, options={"cpp_wrapper": True}, dynamic=False)
    return network


with torch.inference_mode(not a.compile), torch.no_grad():  # freezing wants ordinary tensors
    predict.serve(torch.__version__.split("+")[0], prepare, lambda run: run(x),
                  lambda y: y.numpy())
