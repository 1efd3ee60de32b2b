"""Each room of the house imports only what docs/architecture.md lets it: the rooms below it."""

import ast

from command_line import ROOT

PACKAGE = ROOT / "cifar_jax"
GROUND = {"errors", "metrics", "plugins"}
# Room -> what it may import beside itself.
MAY = {
    "errors": set(),
    "metrics": set(),
    "config": {"errors"},
    "console": {"config", "errors"},
    "data": {"console", "config", "errors"},
    "machine": {"console", "config", "errors"},
    "models": {"machine", "errors"},
    "runs": {"machine", "config", "errors"},
    "train": {"models", "data", "runs", "machine", "config", "console", "metrics", "errors"},
    "trained": {"models", "data", "runs", "machine", "config", "errors"},
    "analysis": {"trained", "models", "data", "runs", "machine", "console", "config", "metrics", "errors"},
}  # fmt: skip
for rooms in MAY.values():
    rooms.add("plugins")
MAY["plugins"] = {"errors"}
MAY["sweep"] = MAY["analysis"] | {"analysis", "train"} - {"trained"}
MAY["planning"] = MAY["sweep"] | {"sweep"}
# Arrows that are still there: (file, room), fewer with each step.
STILL = set()


def imports():
    """(file below cifar_jax, room or command that it imports from)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("cifar_jax"):
                continue
            parts = node.module.split(".")[1:]
            for name in [parts[0]] if parts else [alias.name for alias in node.names]:
                if name not in ("__version__", "lazy_face"):
                    yield path.relative_to(PACKAGE), name


def test_a_room_imports_only_rooms_below_it():
    crossing = set()
    for path, other in imports():
        room = path.parts[0].removesuffix(".py")
        allowed = MAY.get(room, MAY.keys())  # a command may import every room, and no command
        if other != room and other not in allowed:
            crossing.add((path.as_posix(), other))
    assert crossing == STILL


def test_a_file_at_the_top_is_a_command_or_ground():
    for path in PACKAGE.glob("*.py"):
        text = path.read_text()
        if path.stem not in GROUND | {"__init__"}:
            assert '__name__ == "__main__"' in text, path.name
            assert text.count("\n") <= 130, f"{path.name} does more than parse, call and print"
