"""PyTorch's side of ./dev bench: reads lines "NETWORK THREADS SECONDS", trains for about that long,
and answers with milliseconds per step. Eager mode with its fused Adam; images lie in memory as
scaled floats already, which spares it the conversion that kdc does."""
import sys
import time

import torch
from torch import nn

BATCH, ROWS = 128, 5120


def mlp(width):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width),
                         nn.ReLU(), nn.Linear(width, 10))


NETWORKS = {
    "mlp_800": lambda: mlp(800),
    "mlp_30": lambda: mlp(30),
    "lenet": lambda: nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
}


def main():
    torch.manual_seed(1)
    images, labels = torch.rand(ROWS, 1, 28, 28), torch.randint(0, 10, (ROWS,))
    loss = nn.CrossEntropyLoss()
    ready = {}
    for name, make in NETWORKS.items():
        network = make()
        try:
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
        except (RuntimeError, TypeError):
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        ready[name] = network, optimizer
    print(torch.__version__.split("+")[0], flush=True)
    for line in sys.stdin:
        name, threads, seconds = line.split()
        torch.set_num_threads(int(threads))
        network, optimizer = ready[name]
        steps, start = 0, time.perf_counter()
        while time.perf_counter() - start < float(seconds):
            order = torch.randperm(ROWS)
            for first in range(0, ROWS, BATCH):
                rows = order[first:first + BATCH]
                optimizer.zero_grad(set_to_none=True)
                value = loss(network(images[rows]), labels[rows])
                value.backward()
                optimizer.step()
                steps += 1
        print(1e3 * (time.perf_counter() - start) / steps, flush=True)


main()
