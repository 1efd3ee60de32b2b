"""How the fuzzing tests draw their examples, and what holds of every command line, whatever it is given.

pytest tests/robustness                        a few examples, the same each time
pytest -m thorough tests/robustness            ten times as many, the same each time
CIFAR_JAX_FUZZ=50 pytest tests/robustness      fifty times those, others each time
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = float(os.environ.get("CIFAR_JAX_FUZZ", 1))
CODES = (0, 1, 2)

# What a user may type where a word, a number or a path is asked for.
NASTY = (
    *(
        "",
        " ",
        "-",
        "--",
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "None",
        "True",
        "()",
        "(1,",
        "[]",
        "{}",
        "%s",
        "{0}",
    ),
    *(
        "..",
        ".",
        "/",
        "~",
        "~nobody",
        "/dev/null",
        "/proc/self/mem",
        "a/../b",
        "x" * 300,
        "x/" * 3000,
        "*",
        "$HOME",
    ),
    *(
        "9" * 20,
        "9" * 5000,
        "\u0661",
        "\u202e",
        "\x1b[2J",
        "a\nb",
        "a,b",
        ",",
        ":",
        "=",
        "'",
        '"',
        "`id`",
    ),
    *("\udcff", "gs://bucket", "file:///etc", "picture.png", "runs", "runs/first"),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JUNK = st.one_of(
    st.sampled_from(NASTY),
    st.sampled_from(NASTY),
    TEXT,
    st.integers().map(str),
    st.floats().map(str),
)


positions = st.floats(0, 1, exclude_max=True)
edits = st.one_of(
    st.tuples(st.just("cut"), positions, st.just(b"")),
    st.tuples(st.just("overwrite"), positions, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), positions, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("append"), positions, st.binary(min_size=1, max_size=600)),
)


def edited(content, edit):
    """Bytes with one edit of `edits`."""
    kind, position, new = edit
    at = int(position * len(content))
    return {
        "cut": content[:at],
        "overwrite": content[:at] + new + content[at + len(new) :],
        "insert": content[:at] + new + content[at:],
        "append": content + new,
    }[kind]


def fuzz(examples):
    """Settings for a test of so many examples."""
    return settings(
        max_examples=max(2, round(examples * TIMES)),
        derandomize=TIMES <= 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def check(ended):
    """Asserts what is promised of every command line.

    It ends with an exit code that means something; what it says is for people, and none of it moves a
    terminal's cursor; what is wrong is one message; nothing is written but where it may be.
    """
    assert ended.code in CODES, ended
    assert not ended.touched, ended
    assert "Traceback" not in ended.errors + ended.printed, ended
    for text in (ended.errors, ended.printed):
        assert text.replace("\n", "").replace("\t", "").isprintable(), ended
    said = [line for line in ended.errors.splitlines() if "error: " in line]
    if ended.code == 2:
        assert len(said) == 1 and len(said[0]) > len("error: "), ended
    return ended
