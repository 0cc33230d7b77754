"""Several processes that train one model: each has its own cases, and each step takes the mean of their gradients."""
import os
import tempfile

import torch
import torch.distributed as dist


def split(n):
    """Forks into n processes, each on a processor of its own; -> this one's number. Before any work with tensors."""
    if n == 1:
        return 0
    meet = tempfile.mktemp(prefix="ward-team-")
    rank = 0
    for k in range(1, n):
        if os.fork() == 0:
            rank = k
            break
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[rank % len(processors)]})
    dist.init_process_group("gloo", init_method="file://" + meet, rank=rank, world_size=n)
    return rank


def size():
    return dist.get_world_size() if dist.is_initialized() else 1


def agree(x):
    """The first process's number."""
    if size() == 1:
        return x
    t = torch.tensor([x], dtype=torch.float64)
    dist.broadcast(t, 0)
    return float(t)


def mean_gradients(parameters):
    """Every gradient becomes the mean over the processes that have one; a parameter that none has one for keeps none."""
    if size() == 1:
        return
    has = torch.tensor([float(p.grad is not None) for p in parameters])
    flat = torch.cat([has] + [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    dist.all_reduce(flat)
    has, flat = flat[:len(parameters)], flat[len(parameters):]
    for p, n, g in zip(parameters, has.tolist(), flat.split([p.numel() for p in parameters])):
        p.grad = (g / n).view_as(p) if n else None


def together(values):
    """{name: (sum, count)} added up over the processes; names may differ."""
    if size() == 1:
        return values
    all_of = [None] * size()
    dist.all_gather_object(all_of, values)
    out = {}
    for one in all_of:
        for k, (s, n) in one.items():
            s0, n0 = out.get(k, (0.0, 0))
            out[k] = (s0 + s, n0 + n)
    return out
