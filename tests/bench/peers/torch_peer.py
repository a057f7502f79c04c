"""PyTorch as a contestant of ./dev bench, eager or through torch.compile.

Bytes lie as [row, height, width, channel] and are gathered per batch, so that images arrive
channels-last without a conversion. The fused optimizers update all parameters in one call."""
import torch
from torch import nn

import common

a = common.arguments("compile")
torch.manual_seed(1)
torch.set_num_threads(a.threads)


def conv(inputs, channels, kernel, padding=None):
    padding = kernel // 2 if padding is None else padding
    return [nn.Conv2d(inputs, channels, kernel, padding=padding), nn.ReLU()]


def mlp(width):
    return [nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 10)]


def lenet():
    return [*conv(1, 20, 5, 0), nn.MaxPool2d(2), *conv(20, 50, 5, 0), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)]


def convolutional(first, second, window):
    return [*conv(3, first, 5), nn.MaxPool2d(window, 2, ceil_mode=True),
            *conv(first, second, 5), nn.MaxPool2d(window, 2, ceil_mode=True),
            nn.Flatten(), nn.Linear(64 * second, 1024), nn.ReLU(), nn.Linear(1024, 10)]


def nin():
    return [*conv(3, 192, 5), *conv(192, 160, 1), *conv(160, 96, 1),
            nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(0.5),
            *conv(96, 192, 5), *conv(192, 192, 1), *conv(192, 192, 1),
            nn.AvgPool2d(3, 2, ceil_mode=True), nn.Dropout(0.5),
            *conv(192, 192, 3), *conv(192, 192, 1), *conv(192, 10, 1),
            nn.AvgPool2d(8, 1), nn.Flatten()]


NETWORKS = {
    "mlp30": lambda: mlp(30),
    "mlp800": lambda: mlp(a.width),
    "lenet": lenet,
    "svhn_student": lambda: convolutional(32, 64, 3),
    "cifar_student": lambda: convolutional(64, 128, 2),
    "nin": nin,
}

network = nn.Sequential(*NETWORKS[a.network]())
for p in network.parameters():
    if p.dim() > 1:
        nn.init.kaiming_uniform_(p, nonlinearity="relu")
    else:
        nn.init.zeros_(p)
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
