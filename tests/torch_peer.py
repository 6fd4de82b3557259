#!/usr/bin/env python3
"""The speed of PyTorch with cuDNN on this machine's GPU, beside `mixt bench train` and `decode`.

    tests/torch_peer.py [--shape w1|w2] [--tf32] [--seconds 3]

A model of the same shape in a few lines of PyTorch: 3 layers of nn.LSTM with a projection as
encoder (the first in both directions), 2 as decoder, dot-product attention, the vocabulary's
softmax, Adam. Each mixture is one dense layer as wide as its chosen experts, so it does the same
sums for a token without any routing: a peer that is somewhat too fast. Prints source and target
tokens a second of updates, and of greedy decoding in batches of 64. Exits 77 where python has no
PyTorch that can use a GPU.
"""
import argparse
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    print("skipped: this python has no PyTorch")
    sys.exit(77)

# Embedding, cells, width of an expert, experts a token, vocabulary, sentences, tokens.
SHAPES = {"w1": (256, 512, 1024, 2, 8000, 128, 14), "w2": (512, 2048, 2048, 4, 32768, 64, 20)}
DECODED = 64


class Mixture(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, x):
        return x + self.layers(x)


class Translator(nn.Module):
    def __init__(self, width, cells, expert, n_chosen, n_words):
        super().__init__()
        self.source, self.target = (nn.Embedding(n_words, width) for _ in range(2))
        self.encoder = nn.ModuleList(nn.LSTM(width, cells, proj_size=width) for _ in range(3))
        self.back = nn.LSTM(width, cells, proj_size=width)
        self.decoder = nn.ModuleList(nn.LSTM(n * width, cells, proj_size=width) for n in (1, 2))
        self.mixtures = nn.ModuleList(Mixture(width, n_chosen * expert) for _ in range(2))
        self.output = nn.Linear(width, n_words)

    def encode(self, source):
        x = self.source(source)
        x = x + self.encoder[0](x)[0] + self.back(x.flip(0))[0].flip(0)
        x = self.mixtures[0](x + self.encoder[1](x)[0])
        return x + self.encoder[2](x)[0]

    def decode(self, memory, words, states):
        """Logits [T, B, V] and the states behind them."""
        x = self.target(words)
        y, first = self.decoder[0](x, states[0])
        y = self.mixtures[1](x + y)
        weights = torch.softmax(torch.einsum("tbd,sbd->bts", y, memory), 2)
        context = torch.einsum("bts,sbd->tbd", weights, memory)
        z, second = self.decoder[1](torch.cat([y, context], 2), states[1])
        return self.output(y + z), (first, second)


def rate(work, n_tokens, seconds):
    """Tokens a second of calls of work(), the first three left out."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    start, n_calls = time.perf_counter(), 0
    while n_calls < 3 or time.perf_counter() - start < seconds:
        work()
        torch.cuda.synchronize()
        n_calls += 1
    return n_tokens * n_calls / (time.perf_counter() - start)


def measure(shape, seconds):
    width, cells, expert, n_chosen, n_words, n_sentences, length = SHAPES[shape]
    model = Translator(width, cells, expert, n_chosen, n_words).cuda()
    adam = torch.optim.Adam(model.parameters(), fused=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    words = torch.randint(n_words, (length, n_sentences), device="cuda")

    def update():
        logits, _ = model.decode(model.encode(words), words, (None, None))
        loss_of(logits.flatten(0, 1), words.flatten()).backward()
        adam.step()
        adam.zero_grad()

    @torch.no_grad()
    def translate():
        memory, states = model.encode(words[:, :DECODED]), (None, None)
        found = words[:1, :DECODED]
        for _ in range(length):
            logits, states = model.decode(memory, found, states)
            found = logits.argmax(2)

    print(f"PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, "
          f"{torch.cuda.get_device_name()}, {shape}")
    print(f"updates: {rate(update, 2 * length * n_sentences, seconds):.0f} tokens/s")
    print(f"decoding, greedy: {rate(translate, 2 * length * DECODED, seconds):.0f} tokens/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="w1")
    parser.add_argument("--tf32", action="store_true", help="let products round to TF32")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"skipped: PyTorch {torch.__version__} can use no GPU here")
        sys.exit(77)
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    torch.backends.cudnn.allow_tf32 = options.tf32
    measure(options.shape, options.seconds)


if __name__ == "__main__":
    main()
