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


class Block(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.body = nn.Sequential(*normed(inputs, channels, stride), nn.ReLU(),
                                  *normed(channels, channels))
        self.stride, self.more = stride, channels - inputs

    def forward(self, x):
        short = nn.functional.avg_pool2d(x, self.stride) if self.stride > 1 else x
        if self.more:
            short = nn.functional.pad(short, (0, 0, 0, 0, 0, self.more))
        return nn.functional.relu(self.body(x) + short)


def normed(inputs, channels, stride=1):
    return [nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels)]


def resnet20():
    blocks = [Block(max(c // 2, 16) if k == 0 else c, c, 2 if c > 16 and k == 0 else 1)
              for c in (16, 32, 64) for k in range(3)]
    return [*normed(3, 16), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(64, 10)]


NETWORKS = {
    "mlp30": lambda: mlp(30),
    "mlp800": lambda: mlp(a.width),
    "lenet": lenet,
    "svhn_student": lambda: convolutional(32, 64, 3),
    "cifar_student": lambda: convolutional(64, 128, 2),
    "nin": nin,
    "resnet20": resnet20,
}

network = nn.Sequential(*NETWORKS[a.network]())
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
