"""Random combinations of command, path, environment and data: see combinations.py, which runs two hundred of them."""

import combinations
import nobody
import pytest
from combinations import CHEAP, DATA, Stock, draw

SEED = 102  # whose first four cheap cases have little in common


@pytest.fixture(scope="module")
def stock(tmp_path_factory, workdir):
    """With the session's run of the digits."""
    return Stock(tmp_path_factory.mktemp("stock"), digits=workdir)


def ends_well(case, stock, folder):
    if case.environment == "nobody" and not nobody.possible():
        pytest.skip("user namespaces are not to be had here")
    ended = combinations.run(case, stock, folder / "case")
    assert not ended.faults, f"{ended}\n{ended.errors}"


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(4))
def test_cheap_combinations(stock, tmp_path, number):
    """Of commands that neither train nor draw, on what there is."""
    ends_well(draw(number, SEED, CHEAP, ["digits"]), stock, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(12))
def test_combinations(stock, tmp_path, number):
    ends_well(draw(number, SEED), stock, tmp_path)


def test_everything_is_drawn():
    """And a case is the same whatever was drawn before it."""
    cases = [draw(number, 0) for number in range(400)]
    assert {case.command for case in cases} == set(combinations.COMMANDS)
    assert {case.path for case in cases} == set(combinations.PATHS)
    assert {case.environment for case in cases} == set(combinations.ENVIRONMENTS)
    assert {case.data for case in cases} == set(DATA)
    assert draw(7, 0) == cases[7] and draw(7, 1) != cases[7]


def test_the_check_sees_what_is_wrong(stock, tmp_path, monkeypatch):
    """A command that leaves a file, says two lines and has no answer."""
    code = (
        "import sys; open('left', 'w'); print('Traceback', file=sys.stderr); sys.exit('error: x')"
    )
    (tmp_path / "bad.py").write_text(code)
    case = draw(0, SEED, ["summary"], ["digits"])
    monkeypatch.setitem(stock.usual, "PYTHONPATH", str(tmp_path))
    (tmp_path / "cifar_jax").mkdir()
    (tmp_path / "bad.py").rename(tmp_path / "cifar_jax" / "summary.py")
    faults = " ".join(combinations.run(case, stock, tmp_path / "case").faults)
    for fault in ("exit code 1", "changed: 'here/left'", "says 'Traceback'"):
        assert fault in faults, faults
