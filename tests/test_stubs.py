"""A room's stub says what it has; `mypy`, which .ci/run calls, checks the annotations themselves."""

import ast
import importlib
import inspect

import pytest
from command_line import ROOT

STUBS = sorted((ROOT / "cifar_jax").rglob("*.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.parent.name)
def test_what_a_stub_names_is_there_and_annotated(stub):
    room = importlib.import_module(f"cifar_jax.{stub.parent.name}")
    imports = ast.parse(stub.read_text()).body
    bare = []
    for name in [alias.name for node in imports for alias in node.names]:
        made = getattr(room, name)
        parts = vars(made) if inspect.isclass(made) else {name: made}
        for each, function in parts.items():
            if each[0] == "_" or not inspect.isfunction(inspect.unwrap(function)):
                continue
            signature = inspect.signature(function)
            given = [p.annotation for p in signature.parameters.values() if p.name != "self"]
            if signature.empty in (*given, signature.return_annotation):
                bare.append(f"{name}.{each}")
    assert not bare
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        room.no_such_name  # noqa: B018
