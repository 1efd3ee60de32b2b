"""Read the pickles of the "python" CIFAR archives without trusting them.

A pickle is a program. The unpickler here runs none of it: every global it may name is an inert
stand-in from this file, so neither NumPy nor anything else is called with what the file says
before it has been checked.
"""

import io
import pickle

import numpy as np

from cifar_jax.errors import DataError, one_line

# The one-letter and numbered type codes of NumPy's 8- to 64-bit integers.
INTEGERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}


def loads(data: bytes, name: str) -> dict:
    """Unpickle a CIFAR batch.

    Args:
      data: the file's content, a pickle of any protocol from Python 2 or 3.
      name: the file's name, for messages.
    Returns:
      A dict with str keys; values are integer arrays, lists, tuples, bytes, str and ints.
    Raises:
      DataError: if the pickle asks for anything else, or is damaged.
    """
    try:
        content = _Unpickler(_Lines(data), encoding="bytes").load()
    except _Refused as error:
        raise DataError(
            f"{name} is not a CIFAR batch: it {str(error)[:200]}, which was refused. Get the archive from "
            "https://www.cs.toronto.edu/~kriz/cifar.html"
        ) from error
    except Exception as error:  # A damaged pickle raises any of many types.
        reason = one_line(error, 200)
        raise DataError(
            f"{name} is not a readable pickle ({reason}). Get the archive again."
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{name} is not a CIFAR batch: it holds no dictionary. Get the archive again."
        )
    names = (key.decode("latin1") if isinstance(key, bytes) else key for key in content)
    values = (each.value if isinstance(each, _Array) else each for each in content.values())
    return dict(zip(names, values, strict=True))


class _Lines(io.BytesIO):
    """A file whose lines are whole."""

    def readline(self):
        line = super().readline()
        if not line.endswith(b"\n"):
            raise EOFError("it is cut short")
        return line


class _Refused(pickle.UnpicklingError):
    pass


class _Unpickler(pickle._Unpickler):
    """In Python, as fast for these few objects: in C a wrong number of a memo entry allocates gigabytes."""

    def find_class(self, module, name):
        stand_in = _GLOBALS.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise _Refused(f"asks for {module}.{name}")
        return stand_in

    def persistent_load(self, pid):
        raise _Refused("asks for an outside object")


class _StandIn:
    """A callable without attributes, so that a pickle can change nothing about it."""

    __slots__ = ("_call",)

    def __init__(self, call):
        self._call = call

    def __call__(self, *args):
        return self._call(*args)

    def __setstate__(self, state):
        raise _Refused("changes a global")


class _DType:
    """numpy.dtype as pickled: a type code, then a state whose second entry is the byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code, *_):
        code = code.decode("latin1") if isinstance(code, bytes) else str(code)
        if code.lstrip("|<>=") not in INTEGERS:
            raise _Refused(f"holds an array of type '{code}'")
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """numpy.ndarray as pickled: empty, then a state (version, shape, dtype, fortran, bytes)."""

    __slots__ = ("value",)

    def __init__(self):
        self.value = None

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data, dtype, shape, order) -> np.ndarray:
    order = order.decode("latin1") if isinstance(order, bytes) else order
    if not isinstance(dtype, _DType) or not isinstance(data, (bytes, bytearray)):
        raise _Refused("holds an array of something other than integers")
    return np.frombuffer(data, dtype.dtype).reshape(shape, order=order)


def _reconstruct(array_type, *_) -> _Array:
    if array_type is not _NDARRAY:
        raise _Refused("makes an array of an unknown type")
    return _Array()


def _encode(text, encoding) -> bytes:
    """Encode text to bytes: so Python 3 writes bytes into a protocol 2 pickle."""
    if encoding not in ("latin1", b"latin1") or not isinstance(text, str):
        raise _Refused(f"asks for the codec {encoding!r}")
    return text.encode("latin1")


def _refuse_call(*_):
    raise _Refused("makes an array in an unknown way")


_NDARRAY = _StandIn(_refuse_call)
_GLOBALS = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_DType),
    ("numpy.core.multiarray", "_reconstruct"): _StandIn(_reconstruct),
    ("numpy.core.numeric", "_frombuffer"): _StandIn(_array),
    ("_codecs", "encode"): _StandIn(_encode),
}
