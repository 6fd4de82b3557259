#!/usr/bin/env python3
"""Makes parts.txt, translator.txt and gnmt.txt: what the equations give, by PyTorch in double.

Usage: make_golden.py [FOLDER]      (default: the folder of this script)

Nothing here follows the C code: LSTMs come from torch.nn.LSTM or from one sentence at a time
without padding, gradients from autograd, the gate's load by leaving each expert out in turn. What
the two share is the meaning of the numbers: the order of gates and names of parameters
(layer/, moe/, ... headers) and which random numbers belong to what, given below.

Random numbers: Philox 4x32-10 with counter (block, row, stream, step) and key (seed low, high).
  Gate noise of expert e: block e / 4, Box-Muller on words (0, 1) and (2, 3).
  Dropout of column d: block d / 8, word (d % 8) / 2, low half first, against 65536 * rate.
  Rows are the tokens' names.
Streams of the model:
  encoder: 0x1000 embedding; layer l from 0: 0x1010 + 16 l + 0 forward LSTM, 1 backward LSTM,
  2 gate noise, 3 MoE dropout
  decoder: 0x2000 embedding, 0x2001 readout; layer l: 0x2010 + 16 l + 0 LSTM, 1 gate noise,
  2 MoE dropout
"""
import functools
import math
import pathlib
import sys

import numpy
import torch
from torch.nn import functional
from torch.nn.utils import rnn

torch.set_default_dtype(torch.float64)
SEED, STEP = 0x123456789, 3
MASK = 0xFFFFFFFF


# -- random numbers --


@functools.cache
def philox(stream, row, block):
    counter = [block, row, stream, STEP]
    key = [SEED & MASK, SEED >> 32]
    for _ in range(10):
        a = 0xD2511F53 * counter[0]
        b = 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & MASK,
                   (a >> 32) ^ counter[3] ^ key[1], a & MASK]
        key = [(key[0] + 0x9E3779B9) & MASK, (key[1] + 0xBB67AE85) & MASK]
    return counter


def uniforms(stream, row, count, first_block=0):
    words = [word for block in range((count + 3) // 4)
             for word in philox(stream, row, first_block + block)]
    return torch.tensor([(word + 0.5) / 2**32 for word in words[:count]])


def normals(stream, row, count, first_block=0):
    numbers = []
    units = uniforms(stream, row, (count + 3) // 4 * 4, first_block).tolist()
    for block in range(0, len(units), 4):
        unit = units[block:block + 4]
        for first, second in (unit[:2], unit[2:]):
            radius = math.sqrt(-2 * math.log(first))
            numbers += [radius * math.cos(2 * math.pi * second),
                        radius * math.sin(2 * math.pi * second)]
    return torch.tensor(numbers[:count])


def dropout(x, rate, stream, names):
    kept = torch.zeros_like(x)
    for n, name in enumerate(names):
        for d in range(x.shape[1]):
            word = philox(stream, name, d // 8)[d % 8 // 2]
            kept[n, d] = (word >> 16 * (d % 2) & 0xFFFF) >= round(rate * 65536)
    return x * kept / (1 - rate)


# -- the file --


class Golden:
    def __init__(self, path, digits=13):
        self.file = open(path, "w", encoding="ascii")
        self.format = f"%.{digits}g"

    def put(self, name, values):
        tensor = torch.atleast_1d(torch.as_tensor(values).detach())
        is_whole = not tensor.is_floating_point()
        sizes = " ".join(str(size) for size in tensor.shape)
        form = "%d" if is_whole else self.format
        numbers = " ".join(form % value for value in tensor.flatten().tolist())
        self.file.write(f"{name} {tensor.dim()} {sizes}\n{numbers}\n")

    def put_gradients(self, prefix, tensors):
        for name, tensor in tensors.items():
            self.put(prefix + name, tensor.grad)
            tensor.grad = None


class Draw:
    """Numbers with three decimals, so that a short text holds them exactly."""

    def __init__(self, seed):
        self.generator = numpy.random.default_rng(seed)

    def __call__(self, *shape, scale=1.0, learn=True):
        values = numpy.round(self.generator.uniform(-scale, scale, shape), 3)
        return torch.tensor(values, requires_grad=learn)

    def ids(self, bound, *shape):
        return torch.tensor(self.generator.integers(0, bound, shape))


# -- equations --


def lstm_step(x, state, w):
    """Sak et al. 2014, one step from state r, c; gates i f g o. Without a projection r = m."""
    r, c = state
    i, f, g, o = (x @ w["input"] + r @ w["recurrent"] + w["bias"]).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    m = torch.sigmoid(o) * torch.tanh(c)
    return m @ w["projection"] if "projection" in w else m, c


def lstm_zero(w):
    return torch.zeros(w["recurrent"].shape[0]), torch.zeros(w["recurrent"].shape[1] // 4)


def lstm_one(x, w, is_reversed):
    """One sentence x [T, I]."""
    state, outputs = lstm_zero(w), [None] * len(x)
    for t in reversed(range(len(x))) if is_reversed else range(len(x)):
        state = lstm_step(x[t], state, w)
        outputs[t] = state[0]
    return torch.stack(outputs)


def cv_squared(v):
    return v.var(unbiased=False) / v.mean() ** 2


def gate(x, w_gate, w_noise, k, stream, names):
    """Shazeer et al. 2017: G [N, E] (3-5), chosen experts by falling H, load [E] (8-10)."""
    count = w_gate.shape[1]
    clean, width = x @ w_gate, functional.softplus(x @ w_noise)
    drawn = torch.stack([normals(stream, name, count) for name in names])
    h = clean + drawn * width
    order = torch.sort(h, dim=1, descending=True).indices
    ranked = torch.gather(h, 1, order)
    assert count == 1 or (ranked[:, :-1] - ranked[:, 1:]).min() > 1e-3, "a tie"
    kept = torch.full_like(h, -math.inf).scatter(1, order[:, :k], 0) + h
    gates = torch.softmax(kept, dim=1)
    if k == count:
        return gates, order, torch.full((count,), float(len(x)))
    load = []
    for e in range(count):
        others = torch.cat([h[:, :e], h[:, e + 1:]], dim=1)
        threshold = torch.sort(others, dim=1, descending=True).values[:, k - 1]
        z = (clean[:, e] - threshold) / width[:, e]
        load.append(torch.distributions.Normal(0.0, 1.0).cdf(z).sum())
    return gates, order[:, :k], torch.stack(load)


def mixture(x, gates, w):
    """Eq. 1 with every expert evaluated on every token; the gates' zeros do the choosing."""
    y = torch.zeros_like(x)
    for e in range(gates.shape[1]):
        hidden = torch.relu(x @ w["up"][e] + w["up_bias"][e])
        y = y + gates[:, e:e + 1] * (hidden @ w["down"][e] + w["down_bias"][e])
    return y


def attend(x, memory, u, w, v, is_additive=False):
    """Eq. 22, or 21, for one sentence: x [T, D], memory [S, D]; weights [T, S]."""
    keys, query = (memory @ u)[None, :, :], (x @ w)[:, None, :]
    if is_additive:
        scores = (v * torch.tanh(query + keys)).sum(dim=2)
    else:
        scores = (v * torch.tanh(query) * torch.tanh(keys)).sum(dim=2)
    weights = torch.softmax(scores, dim=1)
    return weights, (weights[:, :, None] * memory[None, :, :]).sum(dim=1)


# -- the parts --


def make_lstm(golden, draw, prefix, projected):
    """projected 0: no projection."""
    steps, sentences, width, cells = 6, 3, 4, 5
    lengths = torch.tensor([4, 6, 1])
    x = draw(steps, sentences, width)
    golden.put(f"{prefix}.x", x)
    golden.put(f"{prefix}.lengths", lengths)
    module = torch.nn.LSTM(width, cells, proj_size=projected, bidirectional=True)
    for name, parameter in module.named_parameters():
        scale = 0 if name.startswith("bias_hh") else 0.8
        parameter.data = draw(*parameter.shape, scale=scale).data
    packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    both = rnn.pad_packed_sequence(module(packed)[0], total_length=steps)[0]
    for i, (direction, suffix) in enumerate([("forward", "_l0"), ("backward", "_l0_reverse")]):
        r = both.chunk(2, dim=2)[i]
        d_r = draw(*r.shape, learn=False)
        x.grad = None
        module.zero_grad()
        (r * d_r).sum().backward(retain_graph=True)
        golden.put(f"{prefix}.{direction}.r", r)
        golden.put(f"{prefix}.{direction}.d_r", d_r)
        golden.put(f"{prefix}.{direction}.d_x", x.grad)
        for ours, theirs in [("input", "weight_ih"), ("recurrent", "weight_hh"),
                             ("projection", "weight_hr"), ("bias", "bias_ih")]:
            if ours == "projection" and not projected:
                continue
            parameter = getattr(module, theirs + suffix)
            golden.put(f"{prefix}.{direction}.{ours}",
                       parameter.t() if ours != "bias" else parameter)
            golden.put(f"{prefix}.{direction}.grad.{ours}",
                       parameter.grad.t() if ours != "bias" else parameter.grad)


def make_attention(golden, draw, prefix, is_additive):
    lengths = [5, 2, 3]
    tensors = {"x": draw(4, 3, 4), "memory": draw(5, 3, 4), "memory.weight": draw(4, 6),
               "query.weight": draw(4, 6), "v": draw(6)}
    for name, tensor in tensors.items():
        golden.put(f"{prefix}.{name}", tensor)
    golden.put(f"{prefix}.lengths", torch.tensor(lengths))
    d_context = draw(4, 3, 4, learn=False)
    golden.put(f"{prefix}.d_context", d_context)
    weights, contexts = torch.zeros(4, 3, 5), []
    for b, length in enumerate(lengths):
        part, context = attend(tensors["x"][:, b], tensors["memory"][:length, b],
                               tensors["memory.weight"], tensors["query.weight"], tensors["v"],
                               is_additive)
        weights[:, b, :length] = part.detach()
        contexts.append(context)
    context = torch.stack(contexts, dim=1)
    golden.put(f"{prefix}.weights", weights)
    golden.put(f"{prefix}.context", context)
    (context * d_context).sum().backward()
    golden.put_gradients(f"{prefix}.grad.", tensors)


def make_loss(golden, draw):
    tensors = {"x": draw(6, 4), "weight": draw(9, 4), "bias": draw(9)}
    for name, tensor in tensors.items():
        golden.put("loss." + name, tensor)
    targets = draw.ids(9, 6)
    golden.put("loss.targets", targets)
    logits = tensors["x"] @ tensors["weight"].t() + tensors["bias"]
    golden.put("loss.logits", logits)
    for name, smoothing in [("plain", 0.0), ("smooth", 0.1)]:
        losses = functional.cross_entropy(logits, targets, reduction="none",
                                          label_smoothing=smoothing)
        golden.put(f"loss.{name}.losses", losses)
        (0.7 * losses.sum()).backward(retain_graph=True)
        golden.put_gradients(f"loss.{name}.grad.", tensors)
    golden.put("loss.nll", functional.cross_entropy(logits, targets, reduction="none"))


def make_gate(golden, draw, experts, k):
    prefix = f"gate.{experts}.{k}."
    rows, dim, stream, scale = 7, 4, 77, 3.0
    tensors = {"x": draw(rows, dim), "weight": draw(dim, experts), "noise": draw(dim, experts)}
    for name, tensor in tensors.items():
        golden.put(prefix + name, tensor)
    names = [5 + 3 * n for n in range(rows)]
    golden.put(prefix + "names", torch.tensor(names))
    gates, order, load = gate(tensors["x"], tensors["weight"], tensors["noise"], k, stream, names)
    weights = torch.gather(gates, 1, order)
    d_weights = draw(rows, k, learn=False)
    importance = gates.sum(dim=0)
    losses = scale * torch.stack([0.2 * cv_squared(importance), 0.3 * cv_squared(load)])
    for name, tensor in [("experts", order), ("weights", weights), ("importance", importance),
                         ("load", load), ("losses", losses), ("d_weights", d_weights)]:
        golden.put(prefix + name, tensor)
    ((weights * d_weights).sum() + losses.sum()).backward()
    golden.put_gradients(prefix + "grad.", tensors)


# -- the whole model --


class Translator:
    """Embedding, encoder, attention, decoder, loss: one sentence at a time, the MoE over all.

    is_gnmt: input feeding, additive attention, LSTMs without projection."""

    vocabulary, dim, attention, experts, k, hidden = 11, 4, 3, 4, 2, 6
    embedding_scale, rate, smoothing, scale, balance_scale = 2.0, 0.1, 0.1, 0.5, 2.0
    importance_weight, load_weight = 0.05, 0.03

    def __init__(self, draw, is_gnmt):
        self.is_gnmt = is_gnmt
        self.cells = self.dim if is_gnmt else 5
        self.parameters = {}
        self.balance = torch.zeros(())
        self.add(draw, "embedding", self.vocabulary, self.dim)
        self.add(draw, "output.bias", self.vocabulary)
        for name, width in [("encoder.1.forward", 1), ("encoder.1.backward", 1),
                            ("encoder.2.forward", 1), ("encoder.3.forward", 1),
                            ("decoder.1.lstm", 2 if is_gnmt else 1),
                            ("decoder.2.lstm", 2)]:
            self.add(draw, name + ".input", width * self.dim, 4 * self.cells)
            self.add(draw, name + ".recurrent", self.dim, 4 * self.cells)
            if not is_gnmt:
                self.add(draw, name + ".projection", self.cells, self.dim)
            self.add(draw, name + ".bias", 4 * self.cells)
        for name in ["encoder.2.moe", "decoder.1.moe"]:
            self.add(draw, name + ".gate.weight", self.dim, self.experts)
            self.add(draw, name + ".gate.noise", self.dim, self.experts)
            self.add(draw, name + ".expert.up", self.experts, self.dim, self.hidden)
            self.add(draw, name + ".expert.up_bias", self.experts, self.hidden)
            self.add(draw, name + ".expert.down", self.experts, self.hidden, self.dim)
            self.add(draw, name + ".expert.down_bias", self.experts, self.dim)
        self.add(draw, "decoder.attention.memory.weight", self.dim, self.attention)
        self.add(draw, "decoder.attention.query.weight", self.dim, self.attention)
        self.add(draw, "decoder.attention.v", self.attention)
        self.add(draw, "decoder.readout.weight", 2 * self.dim, self.dim)
        self.add(draw, "decoder.readout.bias", self.dim)

    def add(self, draw, name, *shape):
        self.parameters[name] = draw(*shape, scale=0.8)

    def group(self, prefix):
        return {name[len(prefix) + 1:]: value for name, value in self.parameters.items()
                if name.startswith(prefix + ".")}

    def embed(self, ids, names, stream):
        rows = self.embedding_scale * self.parameters["embedding"][ids]
        return dropout(rows, self.rate, stream, names)

    def lstm(self, name, x, names, stream, is_reversed=False):
        return dropout(lstm_one(x, self.group(name), is_reversed), self.rate, stream, names)

    def moe(self, name, xs, names, stream):
        """xs, names: one of each a sentence; the balance losses count all of them."""
        w, together = self.group(name), torch.cat(xs)
        all_names = [n for part in names for n in part]
        gates, _, load = gate(together, w["gate.weight"], w["gate.noise"], self.k, stream,
                              all_names)
        self.balance = self.balance + self.balance_scale * (
            self.importance_weight * cv_squared(gates.sum(dim=0)) +
            self.load_weight * cv_squared(load))
        experts = {key[7:]: value for key, value in w.items() if key.startswith("expert.")}
        y = torch.sigmoid(mixture(together, gates, experts))
        y = together + dropout(y, self.rate, stream + 1, all_names)
        return list(y.split([len(x) for x in xs]))

    def encode(self, sentences, names):
        xs = []
        for ids, named in zip(sentences, names):
            x = self.embed(ids, named, 0x1000)
            x = (x + self.lstm("encoder.1.forward", x, named, 0x1010) +
                 self.lstm("encoder.1.backward", x, named, 0x1011, True))
            xs.append(x + self.lstm("encoder.2.forward", x, named, 0x1020))
        xs = self.moe("encoder.2.moe", xs, names, 0x1022)
        return [x + self.lstm("encoder.3.forward", x, named, 0x1030)
                for x, named in zip(xs, names)]

    def attend(self, x, memory):
        w = self.group("decoder.attention")
        return attend(x, memory, w["memory.weight"], w["query.weight"], w["v"], self.is_gnmt)

    def first_layer(self, x, memory, names):
        """Layer 1 and the attention of one sentence: x, weights and context of all steps."""
        if not self.is_gnmt:
            x = x + self.lstm("decoder.1.lstm", x, names, 0x2010)
            return x, *self.attend(x, memory)
        w, steps = self.group("decoder.1.lstm"), []
        state, context = lstm_zero(w), torch.zeros(1, self.dim)
        for t, name in enumerate(names):
            state = lstm_step(torch.cat([x[t], context[0]]), state, w)
            y = x[t:t + 1] + dropout(state[0][None, :], self.rate, 0x2010, [name])
            weights, context = self.attend(y, memory)
            steps.append((y, weights, context))
        return tuple(torch.cat(part) for part in zip(*steps))

    def decode(self, sentences, names, memories):
        """The readout of each sentence, and its attention's weights."""
        xs, contexts, weights = [], [], []
        for ids, named, memory in zip(sentences, names, memories):
            x = self.embed(ids, named, 0x2000)
            x, part, context = self.first_layer(x, memory, named)
            xs.append(x)
            contexts.append(context)
            weights.append(part)
        readouts = []
        for x, context, named in zip(self.moe("decoder.1.moe", xs, names, 0x2011), contexts, names):
            joined = torch.cat([x, context], dim=1)
            x = x + self.lstm("decoder.2.lstm", joined, named, 0x2020)
            joined = torch.cat([x, context], dim=1)
            readout = joined @ self.parameters["decoder.readout.weight"]
            readout = readout + self.parameters["decoder.readout.bias"]
            readouts.append(dropout(readout, self.rate, 0x2001, named))
        return readouts, weights

    def logits(self, readout):
        return readout @ self.parameters["embedding"].t() + self.parameters["output.bias"]


def split(padded, lengths):
    return [padded[:length, b] for b, length in enumerate(lengths)]


def by_step(parts, lengths):
    """One tensor a sentence to rows in the order of a padded [T, B] batch."""
    return torch.stack([parts[b][t] for t in range(max(lengths)) for b in range(len(lengths))
                        if t < lengths[b]])


def make_translator(golden, draw, is_gnmt):
    model = Translator(draw, is_gnmt)
    source_lengths, target_lengths = [5, 2, 3], [3, 4, 1]
    source, target = draw.ids(11, 5, 3), draw.ids(11, 4, 3)
    wanted = draw.ids(11, 4, 3)
    source_names = torch.arange(15).reshape(5, 3) * 7 + 100
    target_names = torch.arange(12).reshape(4, 3) * 5 + 900
    for name, value in [("source.ids", source), ("source.lengths", torch.tensor(source_lengths)),
                        ("source.names", source_names), ("target.ids", target),
                        ("target.lengths", torch.tensor(target_lengths)),
                        ("target.names", target_names)]:
        golden.put(name, value)
    for name, parameter in model.parameters.items():
        golden.put("param." + name, parameter)

    names = [part.tolist() for part in split(source_names, source_lengths)]
    memories = model.encode(split(source, source_lengths), names)
    names = [part.tolist() for part in split(target_names, target_lengths)]
    readouts, weights = model.decode(split(target, target_lengths), names, memories)
    logits = model.logits(by_step(readouts, target_lengths))
    targets = by_step(split(wanted, target_lengths), target_lengths)
    losses = functional.cross_entropy(logits, targets, reduction="none",
                                      label_smoothing=model.smoothing)
    total = model.scale * losses.sum() + model.balance
    total.backward()
    widest = [functional.pad(part, (0, 5 - part.shape[1])) for part in weights]
    for name, value in [("wanted", targets), ("memory", by_step(memories, source_lengths)),
                        ("attention", by_step(widest, target_lengths)), ("logits", logits),
                        ("losses", losses), ("balance", model.balance), ("total", total)]:
        golden.put(name, value)
    golden.put_gradients("grad.", model.parameters)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    parts, draw = Golden(folder / "parts.txt"), Draw(5)
    make_lstm(parts, draw, "lstm", 3)
    make_attention(parts, draw, "attention", False)
    make_loss(parts, draw)
    for experts, k in [(5, 2), (4, 1), (3, 3), (6, 4)]:
        make_gate(parts, draw, experts, k)
    make_lstm(parts, draw, "lstm_plain", 0)
    make_attention(parts, draw, "additive", True)
    make_translator(Golden(folder / "translator.txt"), Draw(6), False)
    make_translator(Golden(folder / "gnmt.txt"), Draw(7), True)


if __name__ == "__main__":
    main()
