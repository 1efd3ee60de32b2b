"""Warnings ignored by several threads are heard again when the last is done."""

import threading
import warnings

import pytest

from cifar_jax.data import silence


def test_threads_that_overlap_leave_the_filters_as_they_were():
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with silence.no_warnings():
            first_is_in.set()
            second_is_in.wait(10)
            warnings.warn("the first", stacklevel=1)
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with silence.no_warnings():
            second_is_in.set()
            first_is_out.wait(10)
            warnings.warn("the second", stacklevel=1)

    with pytest.warns(UserWarning) as heard:
        filters = list(warnings.filters)
        threads = [threading.Thread(target=each) for each in (first, second)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert warnings.filters == filters
        warnings.warn("the main one", stacklevel=1)
    assert [str(each.message) for each in heard] == ["the main one"]


def test_an_error_passes_and_warnings_are_heard_after_it():
    with pytest.raises(ValueError, match="of mine"), silence.no_warnings():
        raise ValueError("of mine")
    with pytest.warns(UserWarning, match="again"):
        warnings.warn("again", stacklevel=1)
