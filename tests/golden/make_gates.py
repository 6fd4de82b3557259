#!/usr/bin/env python3
"""Makes gates.txt: layers of experts behind every gate, one and two levels, in PyTorch in double.

Usage: make_gates.py [FOLDER]      (default: the folder of this script)

A transcription of the equations that shares nothing with the C code but the names of parameters
and which random number belongs to what (make_golden.py). It is dense and slow: all experts see all
tokens, tokens and experts are walked one by one, zeros in the gates do the choosing, gradients come
from autograd and are compared with central differences here, before anything is written.

Equations (n) are those of Shazeer et al. 2017; appendix B for two levels, F for balanced gates.
Of the second level, the element e of group g and b experts has the random numbers of column
4 ceil(b / 4) g + e of a wide enough gate.
"""
import math
import pathlib
import sys

import torch
from torch.nn import functional

from make_golden import Draw, Golden, cv_squared, dropout, normals, uniforms

D = 4
SCALE = 2.0  # of the balance losses
IMPORTANCE_WEIGHT, LOAD_WEIGHT, THRESHOLD_WEIGHT = 0.2, 0.3, 0.4
PRIMARY, DROPOUT, SECONDARY = 40, 41, 42  # streams
LEAST_MARGIN = 2e-4  # of every choice, so that float makes the same ones


class Margin:
    """How near the numbers of a case come to the other side of a choice."""

    def __init__(self):
        self.least = math.inf

    def away_from_zero(self, values):
        values = torch.as_tensor(values).detach().abs()
        if values.numel() > 0:
            self.least = min(self.least, values.min().item())


def largest(values, count, margin):
    """The places of the largest numbers."""
    order = sorted(range(len(values)), key=lambda i: -values[i].item())
    if count < len(order):
        margin.away_from_zero(values[order[count - 1]] - values[order[count]])
    return order[:count]


# -- gates: x [N, D] to gates [N, E], choices [N, E], load [E] and the sum of eq. 20 --


def without(row, e):
    return torch.cat([row[:e], row[e + 1:]])


def softmax_gate(gate, x, drawn):
    """Eq. 2. Every expert gets every token."""
    gates = torch.softmax(x @ gate.weight, dim=1)
    return gates, torch.ones_like(gates), torch.full((gate.count,), float(len(x))), 0.0


def noisy_top_k_gate(gate, x, drawn):
    """Eqs. 3-5 and 8-10."""
    clean = x @ gate.weight
    h, is_noisy = clean, gate.is_training and gate.noise > 0
    if is_noisy:
        width = gate.noise * functional.softplus(x @ gate.noise_weight)
        h = clean + drawn(normals) * width
    chosen = torch.zeros_like(h)
    for n, row in enumerate(h):
        chosen[n, largest(row, gate.k, gate.margin)] = 1
    gates = torch.softmax(h.masked_fill(chosen == 0, -math.inf), dim=1)
    if not is_noisy or gate.k == gate.count:
        return gates, chosen, chosen.sum(dim=0), 0.0
    load = []
    for e in range(gate.count):
        shares = []
        for n in range(len(x)):
            threshold = torch.sort(without(h[n], e), descending=True).values[gate.k - 1]
            z = (clean[n, e] - threshold) / width[n, e]
            shares.append((1 + torch.erf(z / math.sqrt(2))) / 2)
        load.append(torch.stack(shares).sum())
    return gates, chosen, torch.stack(load), 0.0


def switch_gate(gate, x, drawn):
    """The one with the largest h + noise * u, u uniform in 0 .. 1, weighted by Softmax(h)."""
    h = x @ gate.weight
    is_noisy = gate.is_training and gate.noise > 0
    noisy = h + gate.noise * drawn(uniforms) if is_noisy else h
    chosen = torch.zeros_like(h)
    for n, row in enumerate(noisy):
        chosen[n, largest(row, 1, gate.margin)] = 1
    gates = torch.softmax(h, dim=1) * chosen
    if not is_noisy:
        return gates, chosen, chosen.sum(dim=0), 0.0
    load = []
    for e in range(gate.count):
        shares = []
        for n in range(len(x)):
            threshold = without(noisy[n], e).max()
            share = (h[n, e] + gate.noise - threshold) / gate.noise
            gate.margin.away_from_zero(share)
            gate.margin.away_from_zero(share - 1)
            shares.append(share.clamp(0, 1))
        load.append(torch.stack(shares).sum())
    return gates, chosen, torch.stack(load), 0.0


def balanced_gate(gate, x, drawn):
    """Eqs. 15, 16, 18-20."""
    g = torch.softmax(x @ gate.weight, dim=1)
    thresholds = torch.exp(gate.threshold)
    above = (g > thresholds).double()
    gate.margin.away_from_zero(g - thresholds)
    chosen, penalty = above, 0.0
    if gate.is_training:
        count = math.floor(gate.k * len(x) / gate.count + 0.5)
        count = min(max(count, 1), len(x))
        chosen = torch.zeros_like(g)
        for e in range(gate.count):
            chosen[largest(g[:, e], count, gate.margin), e] = 1
        penalty = ((above - chosen) * (g - thresholds)).sum()
    kept = g * chosen
    total = kept.sum(dim=1, keepdim=True)
    gates = kept / torch.where(total > 0, total, torch.ones_like(total))
    return gates, chosen, chosen.sum(dim=0), penalty


GATES = {"softmax": softmax_gate, "noisy_top_k": noisy_top_k_gate, "switch": switch_gate,
         "balanced": balanced_gate}


class Gate:
    """One gate of a case: the settings of its level and its own parameters."""

    def __init__(self, case, level, parameters, margin, group=None):
        self.kind, self.count, self.k = case.gates[level], case.counts[level], case.k[level]
        self.noise, self.is_training, self.margin = case.noise, case.is_training, margin
        self.stream = SECONDARY if level else PRIMARY
        self.first_block = (group or 0) * math.ceil(self.count / 4)
        prefix = "gate2." if level else "gate."
        for field, name in [("weight", "weight"), ("noise_weight", "noise"),
                            ("threshold", "threshold")]:
            value = parameters.get(prefix + name)
            setattr(self, field, value if value is None or group is None else value[group])

    def __call__(self, x, names):
        def drawn(numbers):
            return torch.stack([numbers(self.stream, name, self.count, self.first_block)
                                for name in names])
        return GATES[self.kind](self, x, drawn)


# -- the layer --


def route_two_levels(case, parameters, margin, x, names):
    """Eqs. 12-14."""
    a, b = case.counts
    gates1, chosen1, load1, penalty = Gate(case, 0, parameters, margin)(x, names)
    gates, chosen = torch.zeros(len(x), a * b), torch.zeros(len(x), a * b)
    load, penalty2 = [], 0.0
    for i in range(a):
        rows = [n for n in range(len(x)) if chosen1[n, i] > 0]
        if not rows:
            load.append(torch.zeros(b))
            continue
        secondary = Gate(case, 1, parameters, margin, i)
        gates2, chosen2, load2, terms = secondary(x[rows], [names[n] for n in rows])
        for place, n in enumerate(rows):
            gates[n, i * b:(i + 1) * b] = gates1[n, i] * gates2[place]
            chosen[n, i * b:(i + 1) * b] = chosen2[place]
        load.append(load1[i] * load2 / len(rows))
        penalty2 = penalty2 + terms
    n_rows = max(1, int(chosen1.sum()))
    return gates, chosen, torch.cat(load), penalty / len(x) + penalty2 / n_rows


def route(case, parameters, margin, x, names):
    if len(case.counts) == 2:
        return route_two_levels(case, parameters, margin, x, names)
    gates, chosen, load, penalty = Gate(case, 0, parameters, margin)(x, names)
    return gates, chosen, load, penalty / len(x)


ACTIVATIONS = {"relu": torch.relu, "linear": lambda h: h, "cubic": lambda h: h * h * h}


def mixture(case, parameters, margin, x, gates):
    """Eq. 1. An expert reads each part of x with the same filters and adds up what they say."""
    parts = x.reshape(len(x), case.patches, D // case.patches)
    y = torch.zeros_like(x)
    for e in range(gates.shape[1]):
        before = parts @ parameters["expert.up"][e] + parameters["expert.up_bias"][e]
        if case.expert == "relu":
            margin.away_from_zero(before[gates[:, e] > 0])
        hidden = ACTIVATIONS[case.expert](before).sum(dim=1)
        output = hidden @ parameters["expert.down"][e] + parameters["expert.down_bias"][e]
        y = y + gates[:, e:e + 1] * output
    return y


class Case:
    def __init__(self, gates, counts, k, expert="relu", patches=1, noise=1.0, tokens=12,
                 is_training=True, has_sigmoid=True, rate=0.0, bar=0.5):
        self.bar = bar  # how high thresholds lie: about this times K / E
        self.gates, self.counts, self.k = gates, counts, k
        self.expert, self.patches, self.noise, self.tokens = expert, patches, noise, tokens
        self.is_training, self.has_sigmoid, self.rate = is_training, has_sigmoid, rate

    def draw_parameters(self, draw):
        parameters, groups = {}, []
        for level, (kind, count) in enumerate(zip(self.gates, self.counts)):
            prefix = "gate2." if level else "gate."
            parameters[prefix + "weight"] = draw(*groups, D, count)
            if kind == "noisy_top_k" and self.noise > 0:
                parameters[prefix + "noise"] = draw(*groups, D, count)
            if kind == "balanced":
                about = math.log(self.bar * self.k[level] / count)
                threshold = (draw(*groups, count, scale=0.5, learn=False) + about).numpy().round(3)
                parameters[prefix + "threshold"] = torch.tensor(threshold, requires_grad=True)
            groups = [count]
        experts, inputs, hidden = math.prod(self.counts), D // self.patches, 2
        parameters["expert.up"] = draw(experts, inputs, hidden)
        parameters["expert.up_bias"] = draw(experts, hidden)
        parameters["expert.down"] = draw(experts, hidden, D)
        parameters["expert.down_bias"] = draw(experts, D)
        return parameters

    def layer(self, parameters, margin, x, names):
        """Everything the layer gives. Outside of training it has no losses."""
        gates, chosen, load, penalty = route(self, parameters, margin, x, names)
        y = mixture(self, parameters, margin, x, gates)
        y = torch.sigmoid(y) if self.has_sigmoid else y
        assert torch.equal(chosen, (gates > 0).double())
        y = dropout(y, self.rate, DROPOUT, names) if self.rate > 0 else y
        results = {"gates": gates, "y": x + y}
        if self.is_training:
            importance = gates.sum(dim=0)
            losses = [IMPORTANCE_WEIGHT * cv_squared(importance), LOAD_WEIGHT * cv_squared(load),
                      THRESHOLD_WEIGHT * torch.as_tensor(penalty)]
            results |= {"importance": importance, "load": load,
                        "losses": SCALE * torch.stack(losses)}
        return results


def check_gradients(total, tensors, draw, epsilon=1e-5):
    """Central differences of each tensor in three random directions."""
    for name, tensor in tensors.items():
        start = tensor.data.clone()
        for _ in range(3):
            direction, ends = draw(*tensor.shape, learn=False), []
            for step in (epsilon, -epsilon):
                tensor.data = start + step * direction
                ends.append(total().item())
            tensor.data = start
            slope = (ends[0] - ends[1]) / (2 * epsilon)
            want = (tensor.grad * direction).sum().item()
            assert abs(slope - want) < 1e-7 * (1 + abs(want)), (name, slope, want)


def make_case(golden, name, case):
    for seed in range(1000):
        draw, margin = Draw(seed), Margin()
        parameters, x = case.draw_parameters(draw), draw(case.tokens, D, scale=1.5)
        names = [5 + 3 * n for n in range(case.tokens)]
        results = case.layer(parameters, margin, x, names)
        if margin.least > LEAST_MARGIN:
            break
    assert margin.least > LEAST_MARGIN, name
    d_y = draw(case.tokens, D, learn=False)
    kinds = [list(GATES).index(kind) for kind in case.gates]
    golden.put(name + ".levels", torch.tensor([kinds, case.counts, case.k]).t())
    golden.put(name + ".settings", torch.tensor([
        list(ACTIVATIONS).index(case.expert), case.patches, case.is_training, case.has_sigmoid,
        case.noise, case.rate]))
    golden.put(name + ".names", torch.tensor(names))
    for key, value in ({"x": x, "d_y": d_y} | parameters | results).items():
        golden.put(f"{name}.{key}", value)
    if case.is_training:
        def total():
            new = case.layer(parameters, Margin(), x, names)
            return (new["y"] * d_y).sum() + new["losses"].sum()
        tensors = {"x": x} | parameters
        total().backward()
        check_gradients(total, tensors, draw)
        golden.put_gradients(name + ".grad.", tensors)
    sent = results["gates"] > 0
    print(f"{name}: {sent.sum(dim=1).min()} to {sent.sum(dim=1).max()} experts a token, "
          f"{sent.sum(dim=0).tolist()} tokens an expert", file=sys.stderr)


def cases():
    flat = {
        "softmax": Case(["softmax"], [4], [4]),
        "top1": Case(["noisy_top_k"], [5], [1], expert="linear"),
        "top2": Case(["noisy_top_k"], [6], [2], expert="cubic", noise=0.7, has_sigmoid=False),
        "top_all": Case(["noisy_top_k"], [4], [4]),
        "top2_still": Case(["noisy_top_k"], [4], [2], noise=0.0),
        "top2_inference": Case(["noisy_top_k"], [5], [2], is_training=False),
        "switch": Case(["switch"], [5], [1], expert="cubic", patches=2),
        "switch_narrow": Case(["switch"], [4], [1], expert="linear", noise=0.3, rate=0.25),
        "switch_still": Case(["switch"], [4], [1], noise=0.0),
        "switch_inference": Case(["switch"], [4], [1], is_training=False),
        "balanced": Case(["balanced"], [4], [2]),
        "balanced_half": Case(["balanced"], [4], [1], tokens=10, has_sigmoid=False),
        "balanced_inference": Case(["balanced"], [4], [2], is_training=False, bar=0.9),
    }
    experts = [("relu", 1), ("linear", 1), ("cubic", 1), ("relu", 2), ("cubic", 2), ("linear", 2)]
    two = {}
    for i, first in enumerate(GATES):
        for j, second in enumerate(GATES):
            k = [{"softmax": 3, "switch": 1}.get(first, 2),
                 {"softmax": 2, "switch": 1}.get(second, 1)]
            expert, patches = experts[(4 * i + j) % len(experts)]
            two[f"{first}+{second}"] = Case([first, second], [3, 2], k, expert, patches)
    two |= {
        "wide": Case(["noisy_top_k", "noisy_top_k"], [2, 5], [1, 2], noise=0.8, rate=0.25),
        "four": Case(["balanced", "balanced"], [3, 4], [2, 2], tokens=11),
        "crowd": Case(["switch", "balanced"], [5, 3], [1, 2], tokens=6, noise=0.1),
        "two_inference": Case(["balanced", "balanced"], [3, 4], [2, 2], is_training=False,
                              bar=0.72),
        "wide_inference": Case(["switch", "noisy_top_k"], [3, 4], [1, 2], is_training=False),
    }
    return flat | two


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    golden = Golden(folder / "gates.txt", digits=11)
    for name, case in cases().items():
        make_case(golden, name, case)


if __name__ == "__main__":
    main()
