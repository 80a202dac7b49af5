"""An epoch of a linear head in PyTorch, written by hand: what `cargo bench --bench heads` is compared with.

100,000 samples of 4,096 random features in half precision, all in memory, batches of 256, Adam, cross entropy over 10
classes. Prints the seconds of an epoch, the best of three.

    python benches/heads_against_pytorch.py [THREADS]
"""

import sys
import time

import torch
from torch.nn.functional import cross_entropy

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
torch.manual_seed(0)
features = torch.rand(100_000, 4096).sub_(0.5).half()
labels = torch.arange(100_000) % 10
head = torch.nn.Linear(4096, 10)
optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)


def epoch():
    started = time.perf_counter()
    for rows in torch.randperm(len(features)).split(256):
        loss = cross_entropy(head(features[rows].float()), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started


print(f"{min(epoch() for _ in range(3)):.3f} s an epoch")
