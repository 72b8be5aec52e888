"""COMMAND of packages.rs: what nodes do with PyTorch on a CPU."""

import os

import torch
import torch.multiprocessing as multiprocessing
from torch.utils.data import DataLoader, TensorDataset

CACHE = os.environ["TORCHINDUCTOR_CACHE_DIR"]


def network():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(256, 2)
    )


def learn():
    """Forward and backward on all threads."""
    torch.manual_seed(0)
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    pictures = torch.rand(32, 3, 32, 32)
    labels = torch.arange(32) % 2
    pictures[labels == 1, 0] += 1
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(pictures), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2, losses
    return net, pictures


def threads():
    torch.set_num_threads(4)
    before = len(os.listdir("/proc/self/task"))
    # What is added makes the matrix far from singular: an inverse of random numbers alone is at times off by more than a hundredth.
    square = torch.rand(1000, 1000) + 1000 * torch.eye(1000)
    assert torch.allclose(square @ torch.linalg.inv(square), torch.eye(1000), atol=1e-4)
    (square.exp() + square.exp()).sum()
    after = len(os.listdir("/proc/self/task"))
    assert after >= before + 3, (before, after)


def load():
    """Worker processes hand tensors over in /dev/shm: by descriptor, and by name (which starts a program of PyTorch's own)."""
    numbers = TensorDataset(torch.arange(4000.0).reshape(1000, 4))
    for strategy in sorted(multiprocessing.get_all_sharing_strategies()):
        multiprocessing.set_sharing_strategy(strategy)
        total = sum(part.sum().item() for part, in DataLoader(numbers, batch_size=50, num_workers=2))
        assert total == 3999 * 4000 / 2, (strategy, total)


def add_one(tensor, queue, seen):
    tensor += 1
    queue.put(torch.full((1000,), 7.0))
    # The memory is this process's until the other has it.
    seen.wait(120)


def processes():
    context = multiprocessing.get_context("spawn")
    shared, queue, seen = torch.zeros(1000).share_memory_(), context.Queue(), context.Event()
    child = context.Process(target=add_one, args=(shared, queue, seen))
    child.start()
    assert queue.get(timeout=120).sum().item() == 7000
    seen.set()
    child.join()
    assert child.exitcode == 0 and shared.sum().item() == 1000, (child.exitcode, shared.sum())


def keep(net, pictures):
    torch.save(net.state_dict(), "/data/net.pt")
    again = network()
    again.load_state_dict(torch.load("/data/net.pt", mmap=True, weights_only=True))
    with torch.no_grad():
        assert torch.equal(again(pictures), net(pictures))


def compiled():
    """Inductor writes C++, lets g++ build it and loads it from its cache."""
    def work(x):
        return (x.sin() ** 2 + x.cos() ** 2).sum(1) * 2

    x = torch.rand(64, 64)
    assert torch.allclose(torch.compile(work)(x), work(x), atol=1e-4)
    libraries = [name for _, _, names in os.walk(CACHE) for name in names if name.endswith(".so")]
    assert libraries, CACHE
    with open("/proc/self/maps", encoding="utf-8") as file:
        assert CACHE in file.read()


def filters():
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(line for line in file if line.startswith("Seccomp_filters"))


if __name__ == "__main__":
    threads()
    net, pictures = learn()
    load()
    processes()
    keep(net, pictures)
    compiled()
    print(filters(), "done", sep="")
