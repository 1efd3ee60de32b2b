"""The restricted unpickler reads CIFAR batches of any vintage, and runs nothing."""

import os
import pickle

import numpy as np
import pytest

from cifar_jax.data import pickles
from cifar_jax.errors import DataError

DATA = np.arange(12, dtype=np.uint8).reshape(2, 6)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_every_protocol(protocol, order):
    batch = {b"data": np.array(DATA, order=order), b"labels": [3, 4], "name": "x", "pair": (1, 2)}
    result = pickles.loads(pickle.dumps(batch, protocol), "batch")
    np.testing.assert_array_equal(result["data"], DATA)
    assert result["data"].dtype == np.uint8
    assert result["labels"] == [3, 4]


def test_reads_what_python_2_wrote():
    """The official files, written by Python 2 and an old NumPy, look like this."""
    batch = (
        b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x02K\x06\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x0c"
        + DATA.tobytes()
        + b"tbU\x06labels](K\x03K\x04eu."
    )
    result = pickles.loads(batch, "batch")
    np.testing.assert_array_equal(result["data"], DATA)
    assert result["labels"] == [3, 4]


def test_byte_order_survives():
    numbers = np.arange(5, dtype=">i8")
    np.testing.assert_array_equal(
        pickles.loads(pickle.dumps({"data": numbers}, 2), "batch")["data"], numbers
    )


class Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def test_runs_no_code(tmp_path):
    made = tmp_path / "made"
    for function, argument in [(os.system, f"touch {made}"), (eval, f"open({str(made)!r}, 'w')")]:
        with pytest.raises(DataError, match=r"batch_1.*asks for.*refused"):
            pickles.loads(pickle.dumps({"data": Call(function, argument)}), "batch_1")
    assert not made.exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([{}], object),
        np.array(["text"]),
        np.zeros(3, [("a", "u1")]),
        np.zeros(3),
        np.float64(1.0),
        np.arange,
        pickle.PickleBuffer,
        {1, 2}.union,
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses(value):
    with pytest.raises(DataError, match="batch_1"):
        pickles.loads(pickle.dumps({"data": value}), "batch_1")


@pytest.mark.parametrize(
    "program",
    [
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",  # another codec
        b"cnumpy\nndarray\n(K\x05tR.",  # an array by its constructor
        b"cnumpy\ndtype\n(Vu1\ntR(K\x01tb.",  # too short a state
        b"cnumpy.core.multiarray\n_reconstruct\n}Vx\nK\x01sb.",  # attributes of a function
        b"cnumpy.core.multiarray\n_reconstruct\n(N}V_call\nNstb.",
        b"Pother\n.",  # a persistent id
        b"(lp0\n.",  # no dictionary
        b"",
        b"not a pickle",
    ],
)
def test_refuses_program(program):
    with pytest.raises(DataError, match="batch_1"):
        pickles.loads(program, "batch_1")


def test_refuses_an_array_larger_than_its_data():
    program = pickle.dumps({"data": DATA}, 2).replace(b"K\x02K\x06\x86", b"K\x7fK\x7f\x86")
    with pytest.raises(DataError, match="batch_1"):
        pickles.loads(program, "batch_1")
