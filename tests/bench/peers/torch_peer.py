"""PyTorch as a contestant of ./dev bench, eager or through torch.compile.

Bytes lie as [row, height, width, channel] and are gathered per batch, so that images arrive
channels-last without a conversion. The fused optimizers update all parameters in one call."""
import torch
from torch import nn

import common
import torch_networks

a = common.arguments("compile")
torch.manual_seed(1)
torch.set_num_threads(a.threads)


network = torch_networks.create(a.network, a.width)
for p in network.parameters():
    if p.dim() > 1:
        nn.init.kaiming_uniform_(p, nonlinearity="relu")
for layer in network.modules():
    if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
network = network.to(memory_format=torch.channels_last)
if a.optimizer == "adam":
    optimizer = torch.optim.Adam(network.parameters(), lr=common.RATE["adam"], fused=True)
else:
    optimizer = torch.optim.SGD(network.parameters(), lr=common.RATE["sgd"],
                                momentum=common.MOMENTUM, fused=True)

images, logits = common.data(a.network, a.rows)
height, width, channels = images.shape[1:]
images = torch.from_numpy(images.reshape(a.rows, -1))
logits = torch.from_numpy(logits)


def objective(rows):
    x = images[rows].float() * (1 / 255)
    x = x.view(-1, height, width, channels).permute(0, 3, 1, 2)
    z = logits[rows]
    chosen = torch.rand(z.shape[0], 1) < common.ALPHA
    target = z * (1 + chosen * (torch.randn(z.shape) * common.SIGMA))
    return 0.5 * (network(x) - target).square().sum() / z.shape[0]


if a.compile:
    # The C++ wrapper was the fastest of the modes tried (default, max-autotune) on most networks.
    objective = torch.compile(objective, options={"cpp_wrapper": True}, dynamic=False)


def train(steps):
    order = torch.randperm(a.rows)
    total = torch.zeros(())
    for k in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = objective(order[k * a.batch:(k + 1) * a.batch])
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return total.item() / steps


common.serve(torch.__version__.split("+")[0], a, train)
