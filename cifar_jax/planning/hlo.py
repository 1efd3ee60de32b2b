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
# Operations of a GPU's program that take no launch of their own.
NO_LAUNCH = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("iota", "after-all", "all-reduce-done", "copy-done", "async-done"),
}
# Operations by which a program and its host exchange something while it runs.
WITH_HOST = "infeed|outfeed|send|recv"
# Operations that hand on an array which is there already.
HANDED_ON = "parameter|tuple|get-tuple-element|bitcast|while|conditional|optimization-barrier|call"


class Step(NamedTuple):
    """One turn of a program's loop: a training step, or a batch of an evaluation."""

    collectives: dict  # kind -> {"count", "bytes"}: of what they give
    host: int  # operations that exchange something with the host
    launches: int  # operations that a GPU's host launches
    cycles: int | None  # of a step by the compiler's estimate; None where it gives none


def of_loop(text):
    """Read a turn of the program's own loop: Step. Of a program without a loop, the program."""
    parts = computations(text)
    entry = next(
        (each[1] for each in re.finditer(r"^ENTRY %?([\w.\-]+)", text, re.MULTILINE)), None
    )
    main = parts.get(entry, [])
    bodies = [body for line in main for body in re.findall(r"body=%?([\w.\-]+)", line)]
    body = max(bodies, key=lambda name: len(parts.get(name, ())), default=entry)
    return _sum_of(parts, body)


def _sum_of(parts, name):
    """Add up what a computation does: loops in it as often as they turn, and the dearest branch of each choice."""
    sent, host, launches, cycles = {}, 0, 0, 0
    for line in parts.get(name, ()):
        kind = kind_of(line)
        host += bool(re.fullmatch(rf"({WITH_HOST})(-start)?", kind))
        launches += bool(kind) and kind not in NO_LAUNCH
        cycles += cycles_of(line)
        _add(sent, collectives([line]))
        within = []
        if kind == "while" and (inner := re.search(r"body=%?([\w.\-]+)", line)):
            turns = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line)
            within = [_sum_of(parts, inner[1])] * (int(turns[1]) if turns else 1)
        elif kind == "conditional":
            names = re.findall(
                r"%([\w.\-]+)", line[line.find("branch_computations") :]
            ) or re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", line)
            branches = [_sum_of(parts, each) for each in names if each in parts]
            within = sorted(branches, key=lambda each: (each.cycles or 0, each.launches))[-1:]
        for each in within:
            host, launches, cycles = (
                host + each.host,
                launches + each.launches,
                cycles + (each.cycles or 0),
            )
            _add(sent, each.collectives)
    return Step(sent, host, launches, cycles or None)


def _add(total, more):
    for kind, each in more.items():
        entry = total.setdefault(kind, {"count": 0, "bytes": 0})
        for name in entry:
            entry[name] += each[name]


def computations(text):
    """Return the lines of each computation of a program's text: name -> list of str."""
    parts, current = {}, None
    for line in text.splitlines():
        if opening := re.match(r"(?:ENTRY )?%?([\w.\-]+) .*\{$", line):
            current = parts.setdefault(opening[1], [])
        elif current is not None and line.startswith("  "):
            current.append(line.strip())
    return parts


def copies(text, dtype, size):
    """Count the operations that make an array of so many elements or more, such as a copy of a data set.

    Args:
        text: of a program.
        dtype: such as "u8".
        size: elements.
    """
    count = 0
    for lines in computations(text).values():
        for line in lines:
            kind = kind_of(line)
            if not kind or re.fullmatch(HANDED_ON, kind):
                continue
            result = line.split(f" {kind}(")[0]
            shapes = re.findall(rf"\b{dtype}\[([\d,]+)\]", result)
            count += any(math.prod(map(int, shape.split(","))) >= size for shape in shapes)
    return count


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
        # One that starts names what it takes before what it gives; an all-reduce does where it has parentheses for it.
        if starts and (kind != "all-reduce" or result.startswith("((")):
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
