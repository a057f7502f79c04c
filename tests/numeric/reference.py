#!/usr/bin/env python3
"""Losses of ten training steps of small networks, by PyTorch: tests/numeric/losses.txt.

Nothing is drawn at random here: initial weights, images and labels follow from an integer
formula that tests/numeric/training.c repeats, and the noise from Philox 4x32-10 as
runtime/README.md defines it, written again in NumPy. Run as

    python3 reference.py > losses.txt

after installing torch and numpy. Computed in double; the same in float must agree to 2e-5.
"""
import math
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

ROWS, BATCH, STEPS, CLASSES, SEED = 64, 32, 10, 10, 1


# --- the formula: the same in training.c ---------------------------------------------------------

def word(count, salt):
    """count words of 32 bits; arithmetic modulo 2^32."""
    i = numpy.arange(count, dtype=numpy.uint64)
    mask = numpy.uint64(0xFFFFFFFF)
    h = ((i + numpy.uint64(salt * 7919)) * numpy.uint64(2654435761)) & mask
    h ^= h >> numpy.uint64(15)
    h = (h * numpy.uint64(2246822519)) & mask
    h ^= h >> numpy.uint64(13)
    return h


def unit(count, salt):
    """Floats in [-1, 1), multiples of 2^-23."""
    return ((word(count, salt) >> numpy.uint64(8)).astype(numpy.float64) * 2.0**-23 - 1.0)


def running(network):
    """Running statistics in order, with their names."""
    return [(n, b) for n, b in network.named_buffers() if b.dim() > 0]


def fill(network, first_salt):
    """Running means uniform on ±0.5 and variances on 1 ± 0.5. Weights in parameter order: uniform on ±sqrt(6 / fan in), biases on ±0.1, in float."""
    for k, p in enumerate(network.parameters()):
        fan = p[0].numel()
        scale = math.sqrt(6.0 / fan) if p.dim() > 1 else 0.1
        values = unit(p.numel(), first_salt + k).astype(numpy.float32) * numpy.float32(scale)
        with torch.no_grad():
            p.copy_(torch.from_numpy(values.astype(numpy.float64)).reshape(p.shape))
    for k, (name, b) in enumerate(running(network)):
        values = unit(b.numel(), first_salt + 40 + k).astype(numpy.float32)
        half = numpy.float32(0.5)
        values = values * half + (numpy.float32(1) if name.endswith("var") else numpy.float32(0))
        b.copy_(torch.from_numpy(values.astype(numpy.float64)))
    return network


def images():
    return (word(ROWS * 784, 100) >> numpy.uint64(24)).astype(numpy.uint8).reshape(ROWS, 1, 28, 28)


def labels():
    return (word(ROWS, 101) % numpy.uint64(CLASSES)).astype(numpy.int64)


# --- Philox and what is made of it: runtime/README.md --------------------------------------------

def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def stream(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return h


def uniform(element, index, epoch, name):
    words = philox((element // 4, index, epoch, stream(name)), (SEED, 0))
    return (words[element % 4] >> 8) * 2.0**-24


def normal(element, index, epoch, name):
    words = philox((element // 4, index, epoch, stream(name)), (SEED, 0))
    pair = words[element % 4 & 2:][:2]
    r = math.sqrt(-2 * math.log(((pair[0] >> 8) + 1) * 2.0**-24))
    angle = 2 * math.pi * ((pair[1] >> 8) * 2.0**-24)
    return r * (math.sin(angle) if element % 2 else math.cos(angle))


def normals(index, epoch):
    return [normal(c, index, epoch, "teacher.logits.xi") for c in range(CLASSES)]


# --- networks ------------------------------------------------------------------------------------

def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
                         nn.Linear(32, CLASSES))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(6, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(432, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def wide():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 40), nn.ReLU(), nn.Linear(40, CLASSES))


def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 24), nn.Tanh(), nn.Linear(24, CLASSES))


def normed():
    return nn.Sequential(nn.Conv2d(1, 6, 5, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
                         nn.MaxPool2d(4), nn.Flatten(), nn.Linear(216, CLASSES))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12, eps=1e-3, momentum=0.3)
        self.conv3 = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.bn3 = nn.BatchNorm2d(12, affine=False)
        self.conv4 = nn.Conv2d(12, 4, 1)
        self.fc1 = nn.Linear(784, 16)
        self.bn4 = nn.BatchNorm1d(16)
        self.fc2 = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 2)
        short = functional.pad(functional.avg_pool2d(x, 2), (0, 0, 0, 0, 0, 4))
        x = functional.relu(self.bn2(self.conv2(x)) + short)
        x = functional.relu(self.bn3(self.conv3(x)))
        x = torch.cat([x, self.conv4(x)], 1)
        return self.fc2(functional.relu(self.bn4(self.fc1(x.flatten(1)))))


# --- losses: the mean over the rows of the batch -------------------------------------------------

def cross_entropy(s, z, y):
    return functional.cross_entropy(s, y)


def logits(s, z, y):
    return ((s - z) ** 2).sum() / (2 * s.shape[0])


def kl(temperature):
    def loss(s, z, y):
        q = functional.log_softmax(s / temperature, 1)
        p = functional.log_softmax(z / temperature, 1)
        return temperature**2 * functional.kl_div(q, p, reduction="batchmean", log_target=True)
    return loss


def multiplicative(z, rows, epoch, step):
    """Per sample and class, sigma 0.6; a sample is chosen with probability 0.5."""
    out = z.clone()
    for k, row in enumerate(rows):
        if uniform(0, row, epoch, "teacher.logits.select") < 0.5:
            out[k] = z[k] * (1 + 0.6 * z.new_tensor(normals(row, epoch)))
    return out


def additive(z, rows, epoch, step):
    """Per class, shared by the batch, sigma 0.5."""
    return z + 0.5 * z.new_tensor(normals(step, epoch))


def cosine(step):
    return 0.5 * (1 + math.cos(math.pi * step / STEPS))


def groups(parameters, **biases):
    parameters = list(parameters)
    return [{"params": [p for p in parameters if p.dim() > 1]},
            {"params": [p for p in parameters if p.dim() == 1], **biases}]


def clip_norm(parameters):
    nn.utils.clip_grad_norm_(parameters, 0.5)


def clip_value(parameters):
    nn.utils.clip_grad_value_(parameters, 0.01)


def limit(parameters, longest):
    for p in parameters:
        if p.dim() > 1:
            p.data = torch.renorm(p.data, 2, 0, longest)


def train(student, optimizer, loss, schedule=None, teacher=None, noise=None, clip=None,
          accumulate=1, max_norm=None, dtype=torch.float64):
    student = fill(student(), 0).to(dtype)
    teacher = fill(teacher(), 50).to(dtype).eval() if teacher else None
    optimizer = optimizer(student.parameters())
    rates = [group["lr"] for group in optimizer.param_groups]
    x = torch.from_numpy(images()).to(dtype) / 255
    y = torch.from_numpy(labels())
    losses = []
    for step in range(STEPS):
        epoch, first = divmod(step * BATCH, ROWS)
        rows = range(first, first + BATCH)
        batch, z = x[first:first + BATCH], None
        if teacher:
            with torch.no_grad():
                z = teacher(batch)
                z = noise(z, rows, epoch, step) if noise else z
        if schedule:
            for group, rate in zip(optimizer.param_groups, rates):
                group["lr"] = rate * schedule(step)
        value = loss(student(batch), z, y[first:first + BATCH])
        (value / accumulate).backward()
        if (step + 1) % accumulate == 0:
            if clip:
                clip(student.parameters())
            optimizer.step()
            optimizer.zero_grad()
            if max_norm:
                limit(student.parameters(), max_norm)
        losses.append(value.item())
    statistics = [b.tolist() for _, b in running(student)]
    return losses, statistics[0][:5] + statistics[-1][-5:] if statistics else []


RUNS = {
    "mlp": dict(student=mlp, loss=cross_entropy,
                optimizer=lambda p: torch.optim.Adam(p, lr=1e-3)),
    "lenet": dict(student=lenet, loss=cross_entropy,
                  optimizer=lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9,
                                                      weight_decay=5e-4)),
    "noisy": dict(student=small, teacher=wide, loss=logits, noise=multiplicative, schedule=cosine,
                  optimizer=lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=0.01)),
    "kl": dict(student=small, teacher=wide, loss=kl(4.0), noise=additive, schedule=cosine,
               optimizer=lambda p: torch.optim.AdamW(p, lr=2e-3, weight_decay=0.01)),
    "groups": dict(student=mlp, loss=cross_entropy, schedule=cosine, clip=clip_norm,
                   optimizer=lambda p: torch.optim.AdamW(groups(p, lr=2e-2, weight_decay=0), lr=2e-3,
                                                         weight_decay=0.1)),
    "clipped": dict(student=mlp, loss=cross_entropy, clip=clip_value, accumulate=2, max_norm=1.4,
                    optimizer=lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.9, eps=1e-6)),
    "residual": dict(student=Residual, teacher=normed, loss=logits,
                     optimizer=lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
}


def main():
    torch.set_num_threads(1)
    assert philox((0, 0, 0, 0), (0, 0))[0] == 0x6627E8D5
    print("# losses of ten steps; made by reference.py with PyTorch, in double")
    for name, run in RUNS.items():
        for what, wide, narrow in zip(("", ".running"), train(**run),
                                      train(**run, dtype=torch.float32)):
            for a, b in zip(wide, narrow):
                if abs(a - b) > 2e-5 * abs(a):
                    sys.exit(f"{name}{what}: {a} in double, {b} in float")
            if wide:
                print(name + what, " ".join(f"{x:.9g}" for x in wide))


if __name__ == "__main__":
    main()
