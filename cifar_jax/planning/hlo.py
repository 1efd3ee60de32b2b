"""A compiled program's text, XLA's HLO: what one step of it sends, and the cycles that its compiler estimates."""

import math
import re
from typing import NamedTuple

KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
BYTES = {
    "f64": 8,
    "s64": 8,
    "u64": 8,
    "f32": 4,
    "s32": 4,
    "u32": 4,
    "bf16": 2,
    "f16": 2,
    "u8": 1,
    "s8": 1,
    "pred": 1,
}
# Operations by which a program and its host exchange something while it runs.
# Operations of a GPU's program that take no launch of their own.
NO_LAUNCH = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("iota", "after-all", "all-reduce-done", "copy-done", "async-done"),
}
WITH_HOST = "infeed|outfeed|send|recv"


class Step(NamedTuple):
    """One turn of a program's loop: a training step, or a batch of an evaluation."""

    collectives: dict  # kind -> {"count", "bytes"}: of what they give
    host: int  # operations that exchange something with the host
    launches: int  # operations that a GPU's host launches
    cycles: int | None  # of a step by the compiler's estimate; None where it gives none


def of_loop(text):
    """Read the longest loop's body of a program's text: Step. Of a program without a loop, the program."""
    parts = computations(text)
    bodies = {
        name
        for lines in parts.values()
        for line in lines
        for name in re.findall(r"body=%?([\w.\-]+)", line)
    }
    body = max(bodies or parts, key=lambda name: len(parts.get(name, ())), default=None)
    lines = parts.get(body, [])
    cycles = sum(map(cycles_of, lines))
    kinds = [kind for line in lines if (kind := kind_of(line)) and kind not in NO_LAUNCH]
    host = sum(bool(re.search(rf"= .*? ({WITH_HOST})(-start)?\(", line)) for line in lines)
    return Step(collectives(lines), host, len(kinds), cycles or None)


def computations(text):
    """Return the lines of each computation of a program's text: name -> list of str."""
    parts, current = {}, None
    for line in text.splitlines():
        if opening := re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            current = parts.setdefault(opening[1], [])
        elif current is not None and line.startswith("  "):
            current.append(line.strip())
    return parts


def collectives(lines):
    """Count the collectives of lines: kind -> {"count", "bytes"}."""
    counted = {}
    for line in lines:
        match = re.search(rf"= (.*?) ({KINDS})(-start)?\(", line)
        if not match:
            continue
        result, kind, starts = match.groups()
        sizes = [
            BYTES[each] * math.prod(map(int, filter(None, shape.split(","))))
            for each, shape in re.findall(r"(\w+)\[([\d,]*)\]", re.sub(r"\{[^}]*\}", "", result))
            if each in BYTES
        ]
        # One that starts names what it takes before what it gives, but an all-reduce.
        if starts and kind != "all-reduce":
            sizes = sizes[len(sizes) // 2 :]
        entry = counted.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += sum(sizes)
    return counted


def kind_of(line):
    """Return the operation of a line, such as "fusion"; "" where it has none."""
    # Without layouts and the numbers of a tuple's parts.
    bare = re.sub(r"\{[^{}]*\}|/\*.*?\*/", "", line)
    operation = re.search(r"= (?:\(.*?\)|\S+) ([a-z][\w\-]*)\(", bare)
    return operation[1] if operation else ""


def cycles_of(line):
    """Return the compiler's estimate for an operation; 0 where it gives none."""
    estimate = re.search(r'"estimated_cycles":"(\d+)"', line)
    return int(estimate[1]) if estimate else 0
