"""The networks of networks.lua in PyTorch."""
import torch
from torch import nn


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


def normed(inputs, channels, stride=1, kernel=3, groups=1):
    return [nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels)]


def resnet20():
    blocks = [Block(max(c // 2, 16) if k == 0 else c, c, 2 if c > 16 and k == 0 else 1)
              for c in (16, 32, 64) for k in range(3)]
    return [*normed(3, 16), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(64, 10)]


def separable(inputs, channels, stride):
    return [*normed(inputs, inputs, stride, 3, inputs), nn.ReLU(),
            *normed(inputs, channels, 1, 1), nn.ReLU()]


def mobilenet():
    return [*normed(3, 32), nn.ReLU(), *separable(32, 64, 1), *separable(64, 128, 2),
            *separable(128, 128, 1), *separable(128, 256, 2), *separable(256, 256, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)]


NETWORKS = {
    "student": lambda width: [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)],
    "mlp30": lambda width: mlp(30),
    "mlp800": mlp,
    "lenet": lambda width: lenet(),
    "svhn_student": lambda width: convolutional(32, 64, 3),
    "cifar_student": lambda width: convolutional(64, 128, 2),
    "nin": lambda width: nin(),
    "resnet20": lambda width: resnet20(),
    "mobilenet": lambda width: mobilenet(),
}


def create(name, width):
    return nn.Sequential(*NETWORKS[name](width))


def load(network, weights):
    """Sets parameters from arrays named by kind and counter, as kdc names them."""
    kinds, count = {nn.Conv2d: "conv", nn.Linear: "fc", nn.BatchNorm2d: "bn"}, {}
    for layer in network.modules():
        kind = kinds.get(type(layer))
        if not kind:
            continue
        count[kind] = count.get(kind, 0) + 1
        state = {name: torch.tensor(weights[f"{kind}{count[kind]}.{name}"])
                 for name in layer.state_dict() if name != "num_batches_tracked"}
        layer.load_state_dict(state, strict=kind != "bn")
