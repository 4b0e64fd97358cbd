"""Several processes that train one network together, each on batches of its own (local SGD, Stich 2019).

On a CPU one process for each core goes through more pictures than one process with a thread for each: they meet only now
and then, when the weights and the optimisers' momenta become the means of all.
"""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing


class Alone:
    """The only process: nobody to meet.

    Attributes:
        rank: which process this is; 0 is the first.
        size: how many there are.
        steps: optimiser steps from one meeting to the next.
    """

    rank, size, steps = 0, 1, 1

    def average(self, tensors: list[Tensor]) -> None:
        """Replaces float32 tensors with their means over the processes."""

    def agree(self, value: float) -> float:
        """The first process's value."""
        return value


class Group(Alone):
    """One of `size` processes that meet on this machine's `port`."""

    steps = 16

    def __init__(self, rank: int, size: int, port: int) -> None:
        self.rank, self.size = rank, size
        address = f"tcp://127.0.0.1:{port}"
        distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=size)

    def average(self, tensors: list[Tensor]) -> None:
        together = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(together)
        together /= self.size
        means = together.split([tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means):
            tensor.copy_(mean.view(tensor.shape))

    def agree(self, value: float) -> float:
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return shared.item()


def _enter(rank: int, size: int, port: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
    work(Group(rank, size, port), *arguments)
    distributed.destroy_process_group()


def run(size: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Runs `work(group, *arguments)` in `size` processes and waits for all; one that fails ends the others.

    Raises:
        ValueError: one failed, and the message is its error's; or one was killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        multiprocessing.spawn(_enter, (size, port, work, arguments), size)
    except multiprocessing.ProcessRaisedException as error:
        raise ValueError(str(error).strip().splitlines()[-1]) from error
    except multiprocessing.ProcessExitedException as error:
        raise ValueError(f"{error}; memory may have run out") from error
