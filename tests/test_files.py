"""Files that are written whole or not at all."""

import csv

import pytest

from cifar_jax.machine import files


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1, None]})
    before = path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as partial:
        partial.write_text("{")
        raise KeyboardInterrupt
    assert path.read_text() == before == '{\n "a": [\n  1,\n  null\n ]\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_is_read_again(tmp_path):
    path = tmp_path / "a.csv"
    files.write_csv(path, ("a", "b"), [{"a": 1, "b": None, "c": 2}, {"a": 'x,"', "b": 0.5}])
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", ""], ['x,"', "0.5"]]


def test_what_keeps_the_lock_from_being_taken_is_no_lack_of_locks(tmp_path):
    """Or two trainings would be let in."""
    (tmp_path / ".lock.held").mkdir()
    with pytest.raises(OSError), files.locked(tmp_path / ".lock"):
        pytest.fail("nobody has the lock")
