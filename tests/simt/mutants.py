"""The places of kernel files that a mutant breaks, and the text in which a number chooses one.

A barrier is deleted, an atomic operation becomes a plain one, a comparison with a bound becomes
true (and, where it is >=, false). Where one ends a loop, another mutant goes on for a step too
many. All mutants of a file are in one text: each place asks simt_is_mutant(), so that one build
serves them all.
"""
import os
import re

KERNELS = os.path.join("backend", "cuda")
SHARED = "device.h"  # what kernel files share; its places are in each of them
INCLUDE = f'#include "backend/cuda/{SHARED}"\n'
BARRIER = re.compile(r"__sync(?:threads|warp)\(\);")
ATOMIC = re.compile(r"\batomic(Add|Max|Min|Exch|CAS)\(")
COMPARED = re.compile(r" (<|>=|<=) ")
DEVICE = re.compile(r"^ *(?:template .*)?(?:.*__(?:global|device)__)", re.M)
SWAPPED = {"<": "<=", ">=": ">", "<=": "<"}

PROLOGUE = """
/* Which mutant runs. Constant: kernels ask once. */
__attribute__((const)) bool simt_is_mutant(int number);
template <class T> __device__ static T plainAdd(T *p, T v) { T o = *p; *p = o + v; return o; }
template <class T> __device__ static T plainMax(T *p, T v)
{ T o = *p; *p = o > v ? o : v; return o; }
template <class T> __device__ static T plainMin(T *p, T v)
{ T o = *p; *p = o < v ? o : v; return o; }
template <class T> __device__ static T plainExch(T *p, T v) { T o = *p; *p = v; return o; }
template <class T> __device__ static T plainCAS(T *p, T c, T v)
{ T o = *p; *p = o == c ? v : o; return o; }
"""


class Mutant:
    """text[start:end] becomes `broken`, which deletes it, but where is_step. `number` is its own
    among those of all files."""

    def __init__(self, start, end, what, broken, is_step=False):
        self.start, self.end, self.what, self.broken = start, end, what, broken
        self.number, self.label, self.line, self.is_step = 0, "", 0, is_step


def functions_of(text):
    """(name, start, end) of the bodies of functions that run on the device."""
    found = []
    for match in DEVICE.finditer(text):
        opening = text.find("(", match.end())
        name = re.search(r"(\w+)\s*$", text[:opening]).group(1)
        start = text.find("{", walk(text, opening + 1, 1, []))
        found.append((name, start, walk(text, start + 1, 1, [])))
    return found


def walk(text, at, step, ends):
    """Where what begins at `at` ends, going by `step`: at one of `ends`, or at what encloses it."""
    depth = 0
    opening, closing = ("([{", ")]}") if step > 0 else (")]}", "([{")
    while True:
        if depth == 0 and (text[at] in closing or any(text.startswith(e, at) for e in ends)):
            return at
        depth += (text[at] in opening) - (text[at] in closing)
        at += step


def comparison(text, match):
    """(start, end, is_loop) of a comparison such as "i < n"."""
    start = walk(text, match.start() - 1, -1, ["&", "|", ";", ",", "?", ":", "=", "\n"]) + 1
    keyword = text.find("return ", start, match.start())
    start = start if keyword < 0 else keyword + len("return ")
    start += len(text[start:]) - len(text[start:].lstrip())
    end = walk(text, match.end(), 1, ["&&", "||", ";", ",", "?", ":", "="])
    end -= len(text[:end]) - len(text[:end].rstrip())
    head = text[text.rfind("for (", 0, match.start()):match.start()] if "for (" in text else ""
    return start, end, head.count(";") == 1 and "{" not in head


def places_of(text):
    """The mutants of a text, without numbers."""
    found = []
    for name, start, end in functions_of(text):
        mine = []
        for match in BARRIER.finditer(text, start, end):
            mine.append(Mutant(match.start(), match.end(), "barrier", None))
        for match in ATOMIC.finditer(text, start, end):
            last = walk(text, match.end(), 1, []) + 1
            mine.append(Mutant(match.start(), last, text[match.start():last],
                               "plain" + text[match.start() + len("atomic"):last]))
        for match in COMPARED.finditer(text, start, end):
            first, last, is_loop = comparison(text, match)
            sign, written = match.group(1), text[first:last]
            swapped = text[first:match.start()] + f" {SWAPPED[sign]} " + text[match.end():last]
            forms = ["true"] + ["false"] * (sign == ">=") * (not is_loop) + [swapped] * is_loop
            mine += [Mutant(first, last, " ".join(f"{written} -> {form}".split()), form,
                            form == swapped) for form in forms]
        mine.sort(key=lambda mutant: mutant.start)
        for at, mutant in enumerate(mine):
            same = [other for other in mine[:at] if other.what == mutant.what]
            mutant.label = f"{name}: {mutant.what}" + (f" ({len(same) + 1})" if same else "")
            mutant.line = text.count("\n", 0, mutant.start) + 1
        found += mine
    return found


def switched(text, mutants, start, end):
    """text[start:end] with all mutants within, each behind its number."""
    parts, at = [], start
    inside = sorted((m for m in mutants if start <= m.start and m.end <= end),
                    key=lambda m: (m.start, -m.end))
    while inside:
        mutant = inside[0]
        same = [m for m in inside if (m.start, m.end) == (mutant.start, mutant.end)]
        nested = [m for m in inside if m.start < mutant.end and m not in same]
        new = switched(text, nested, mutant.start, mutant.end)
        for m in same:
            asked = f"simt_is_mutant({m.number})"
            new = f"{{ if (!{asked}) {new} }}" if m.broken is None else \
                  f"({asked} ? ({m.broken}) : ({new}))"
        parts += [text[at:mutant.start], new]
        at = mutant.end
        inside = [m for m in inside if m.start >= mutant.end]
    return "".join(parts) + text[at:end]


def read_all(root):
    """{file: (text, mutants)} with numbers from 1 on; the same ones each time."""
    folder = os.path.join(root, KERNELS)
    names = [SHARED] + sorted(name for name in os.listdir(folder) if name.endswith(".cu"))
    found, number = {}, 0
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read()
        mutants = places_of(text)
        for mutant in mutants:
            number += 1
            mutant.number = number
        found[name] = (text, mutants)
    return found


def rewrite(root, name):
    """A kernel file with its own mutants and those of what it shares."""
    files = read_all(root)
    own, shared = (switched(*files[n], 0, len(files[n][0])) for n in (name, SHARED))
    include = '#include "backend/cuda/cu.h"\n'
    if INCLUDE not in own or include not in shared:
        raise ValueError(f"{name}: {INCLUDE.strip()} is not where it was")
    return own.replace(INCLUDE, shared.replace(include, include + PROLOGUE))
