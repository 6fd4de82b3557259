#!/usr/bin/env python3
"""A model learns eight sentence pairs by heart, to BLEU 100, within seconds.

Usage: test_overfit.py MIXT [--only NAME] [--seed N]
"""
from harness import expect, main

PAIRS = [
    ("the old clock on the wall has stopped", "die alte Uhr an der Wand ist stehen geblieben"),
    ("nobody knows who left this letter here", "niemand weiß, wer diesen Brief hier gelassen hat"),
    ("we should leave before it starts to rain", "wir sollten gehen, bevor es zu regnen beginnt"),
    ("my brother repairs bicycles in a small shop", "mein Bruder repariert Räder in einem Laden"),
    ("seven geese flew over the frozen lake", "sieben Gänse flogen über den gefrorenen See"),
    ("please close the window when you go out", "bitte schließ das Fenster, wenn du gehst"),
    ("the train from the north is late again", "der Zug aus dem Norden ist wieder verspätet"),
    ("she reads the same book every winter", "sie liest jeden Winter dasselbe Buch"),
]


def learn(bench, *settings):
    for name in ("train", "valid"):
        bench.write(name + ".src", "".join(source + "\n" for source, _ in PAIRS))
        bench.write(name + ".trg", "".join(target + "\n" for _, target in PAIRS))
    bench.write_config(size=120, dim=64, dropout=0.0, label_smoothing=0.0, steps=120, every=120,
                       batch_tokens=1000, lr=4e-3)
    bench.train("run", *settings)
    translated = bench.run("translate", "-m", "run", stdin=bench.read("train.src"))
    expect(translated.code == 0, f"translation failed: {translated}")
    score = bench.run("bleu", "train.trg", "-b", "-w", "2", stdin=translated.out)
    expect(score.out == b"100.00\n", f"BLEU 100 wanted: {score}; {translated.out.decode()}")


def test_overfit(bench):
    learn(bench)


def test_many_experts(bench):
    """Whose gradients are not stored."""
    learn(bench, "model.moe.experts=140")


if __name__ == "__main__":
    main([test_overfit, test_many_experts])
