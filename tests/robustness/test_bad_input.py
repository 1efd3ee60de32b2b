"""Each kind of bad input: its exit code and its message, as docs/robustness.md lists them."""

import bad_input
import pytest
from fuzzing import check


@pytest.mark.parametrize("case", bad_input.CASES, ids=lambda case: case.id)
def test_the_page_says_what_happens(sandbox, workdir, case):
    ended = check(bad_input.run(case, sandbox, workdir))
    assert ended.code == case.code and ended.errors.count("error: ") == 1
    assert not (sandbox.here / "called").exists()
    listed = bad_input.PAGE.read_text().splitlines()
    assert bad_input.row(case, bad_input.message(ended, sandbox)) in listed


def test_the_page_lists_no_other_cases():
    text = bad_input.PAGE.read_text()
    rows = [
        line for line in text.splitlines() if line.startswith("| ") and " | exit code |" not in line
    ]
    assert bad_input.page(rows) == text
    assert [line.split(" | ")[0] for line in rows] == [
        f"| {case.wrong}" for case in bad_input.CASES
    ]
