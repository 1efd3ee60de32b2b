"""What takes turns in CI: each of it in one of three commits, all else in each."""

import collections
import pathlib
from types import SimpleNamespace

import turns

HERE = pathlib.Path(__file__).parent
MODELS = HERE / "models" / "test_golden.py"


def item(path, **params):
    return SimpleNamespace(path=path, callspec=SimpleNamespace(params=params))


def test_three_commits_run_all_of_it_and_each_runs_what_takes_no_turns():
    walks = [HERE / "test_how_to.py", HERE / "cluster/test_runs.py", HERE / "test_own_folder.py"]
    models = [item(MODELS, name=name) for name in ("vgg16", "googlenet", "densenet121")]
    in_turns = [*map(item, walks), *models]
    always = [item(HERE / "test_resume.py"), item(MODELS, name="basic_net")]
    ran = collections.Counter()
    for number in range(7, 10):
        kept, left = turns.of_this_turn([*in_turns, *always], f"{number}/3")
        assert all(each in kept for each in always) and len(kept) + len(left) == 8
        ran.update(map(id, kept))
    assert all(ran[id(each)] == 1 for each in in_turns)


def test_what_takes_turns_is_there():
    there = {each.name for each in HERE.rglob("*")}
    assert {name for group in turns.WALKS for name in group} <= there
