#!/usr/bin/env python3
"""Makes lstm.txt: what torch.nn.LSTM gives on the CPU in double, for the stand-in of cuDNN.

Usage: make_golden.py [FOLDER]      (default: the folder of this script)

The gates stand in PyTorch's order i f g o. A pseudo-layer p is layer * directions + direction.
Each tensor takes two lines, "NAME RANK D0 D1 ..", then its numbers; NAME is CASE.WHAT or
CASE.WHAT.p. The loss is sum(y dy) + sum(hy dhy) + sum(cy dcy) over the steps that there are.
"""
import pathlib
import sys

import torch
from torch.nn.utils import rnn

torch.set_default_dtype(torch.float64)

# name: inputs, hidden, projection (0: none), layers, directions, lengths; T is the longest.
CASES = {
    "plain": (3, 4, 0, 1, 1, [4, 4]),
    "ragged": (2, 5, 3, 1, 1, [5, 3, 1]),
    "deep": (3, 4, 2, 2, 2, [4, 4, 2]),
    "wide": (5, 3, 0, 2, 2, [3, 1]),
}
PARTS = {"wih": "weight_ih", "whh": "weight_hh", "bih": "bias_ih", "bhh": "bias_hh",
         "whr": "weight_hr"}


def draw(generator, *shape):
    """Numbers in -1 .. 1 with three decimals, so that they read the same everywhere."""
    return torch.round(1000 * (2 * torch.rand(*shape, generator=generator) - 1)) / 1000


def write(file, name, tensor):
    dims = " ".join(str(size) for size in tensor.shape)
    numbers = " ".join(f"{value:.13g}" for value in tensor.detach().flatten().tolist())
    file.write(f"{name} {tensor.dim()} {dims}\n{numbers}\n")


def write_case(file, name, seed):
    inputs, hidden, proj, layers, directions, lengths = CASES[name]
    generator = torch.Generator().manual_seed(seed)
    n_steps, n_batch, outputs = max(lengths), len(lengths), proj or hidden
    network = torch.nn.LSTM(inputs, hidden, layers, proj_size=proj, bidirectional=directions == 2)
    for parameter in network.parameters():
        parameter.data = draw(generator, *parameter.shape)
    n_pseudo = layers * directions
    given = {
        "x": draw(generator, n_steps, n_batch, inputs),
        "hx": draw(generator, n_pseudo, n_batch, outputs),
        "cx": draw(generator, n_pseudo, n_batch, hidden),
        "dy": draw(generator, n_steps, n_batch, outputs * directions),
        "dhy": draw(generator, n_pseudo, n_batch, outputs),
        "dcy": draw(generator, n_pseudo, n_batch, hidden),
    }
    for what in ("x", "hx", "cx"):
        given[what].requires_grad_()
    packed = rnn.pack_padded_sequence(given["x"], lengths)
    packed_y, (hy, cy) = network(packed, (given["hx"], given["cx"]))
    y, _ = rnn.pad_packed_sequence(packed_y, total_length=n_steps)
    loss = (y * given["dy"]).sum() + (hy * given["dhy"]).sum() + (cy * given["dcy"]).sum()
    loss.backward()
    write(file, f"{name}.lengths", torch.tensor(lengths))
    write(file, f"{name}.sizes", torch.tensor([inputs, hidden, outputs, layers, directions]))
    results = {"y": y, "hy": hy, "cy": cy, "dx": given["x"].grad, "dhx": given["hx"].grad,
               "dcx": given["cx"].grad}
    for what, tensor in (given | results).items():
        write(file, f"{name}.{what}", tensor)
    for pseudo in range(n_pseudo):
        suffix = f"_l{pseudo // directions}" + "_reverse" * (pseudo % directions)
        for part, torch_name in PARTS.items():
            parameter = getattr(network, torch_name + suffix, None)
            if parameter is not None:
                write(file, f"{name}.{part}.{pseudo}", parameter)
                write(file, f"{name}.d{part}.{pseudo}", parameter.grad)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    with open(folder / "lstm.txt", "w", encoding="ascii") as file:
        for seed, name in enumerate(CASES):
            write_case(file, name, seed)


if __name__ == "__main__":
    main()
