"""A jaxpr as the nodes and constants of an ONNX graph of opset 18: as much of JAX as our models need for inference.

What does not depend on the input is computed here and becomes a constant: of a batch norm two numbers a channel. Axes
are moved only where an operation needs another order, and so are not between convolutions, which ONNX has as
[B, C, H, W]; nothing is repeated that ONNX repeats itself.
"""

import dataclasses
import functools
import math
import types

import numpy as np

from cifar_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An array that a node gives; one that does not depend on the input is a NumPy array instead."""

    name: str
    order: tuple  # of its axes, as the node gives them
    shape: tuple  # of the array; where it repeats itself an axis may have size 1


class Graph:
    """Nodes and constants, none of them twice."""

    def __init__(self):
        self.nodes = {}  # (operation, names of the inputs, attributes) -> name of the result
        self.constants = {}  # (np.dtype, shape, bytes) -> name

    def add(self, program, values):
        """Add what a jaxpr does with Tensors and arrays, and return what it gives."""
        jaxpr, constants = getattr(program, "jaxpr", program), getattr(program, "consts", ())
        known = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
        known.update(zip(jaxpr.invars, values, strict=True))

        def read(atom):
            return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, "val") else known[atom]

        for equation in jaxpr.eqns:
            results = self._results(equation, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _results(self, equation, values):
        primitive, params = equation.primitive, equation.params
        name, shape = primitive.name, equation.outvars[0].aval.shape
        if None not in _sizes(shape) and not any(isinstance(each, Tensor) for each in values):
            results = primitive.bind(*values, **params)
            return list(map(np.asarray, results if primitive.multiple_results else [results]))
        if name in CALLS:
            simple = all(getattr(each, "size", None) == 1 for each in values[1:])
            known = simple and FUNCTIONS.get(params.get("name"))
            return [known(self, *values)] if known else self.add(params[CALLS[name]], values)
        if name not in RULES:
            raise _unknown(name)
        if name not in OF_NUMBERS:
            if [each.aval.shape for each in equation.invars] != [each.shape for each in values]:
                raise _unknown(f"{name} of an array that repeats itself")
            values[0] = self.tensor(values[0])
        return [RULES[name](self, types.SimpleNamespace(**params), shape, *values)]

    def node(self, operation, inputs, **attributes):
        """Add a node, and return the name of its result."""
        node = operation, tuple(inputs), tuple(attributes.items())
        return self.nodes.setdefault(node, f"{operation.lower()}_{len(self.nodes)}")

    def inputs(self, name, operation):
        """Return the names of a node's inputs if it is of that operation."""
        nodes = (node for node, result in self.nodes.items() if result == name)
        return next((inputs for own, inputs, _ in nodes if own == operation), ())

    def constant(self, array):
        """Add an array, and return its name."""
        array = np.asarray(array)
        constant = array.dtype, array.shape, array.tobytes()
        return self.constants.setdefault(constant, f"constant_{len(self.constants)}")

    def int64(self, *values):
        """Add sizes or axes, as ONNX's operations take them."""
        return self.constant(np.array(values, np.int64))

    def tensor(self, value):
        """Return an array as a Tensor."""
        if isinstance(value, Tensor):
            return value
        return Tensor(self.constant(value), tuple(range(value.ndim)), value.shape)

    def ordered(self, value, order=None):
        """Return the name of an array with its axes in an order, by itself their own; a number has none."""
        order = order if order and value.shape else tuple(range(len(value.shape)))
        if not isinstance(value, Tensor):
            return self.constant(value.transpose(order))
        pairs = zip(value.order, order, strict=True)
        if all(own == n or value.shape[own] == value.shape[n] == 1 for own, n in pairs):
            return value.name
        return self.node("Transpose", [value.name], perm=tuple(map(value.order.index, order)))

    def elementwise(self, operation, *values, **attributes):
        """Add an operation that goes number by number."""
        order = _largest(values).order
        sizes = zip(*(each.shape for each in values if each.shape), strict=True)
        shape = tuple(next((n for n in several if n != 1), 1) for several in sizes)
        names = [self.ordered(each, order) for each in values]
        return Tensor(self.node(operation, names, **attributes), order, shape)

    def widened(self, value, axes):
        """Insert axes of size 1, if any, which then are `axes`."""
        if not axes:
            return value
        order, shape = list(value.order), list(value.shape)
        for axis in axes:
            order = [n + (n >= axis) for n in order]
            order.insert(next((i for i, n in enumerate(order) if n > axis), len(order)), axis)
            shape.insert(axis, 1)
        places = self.int64(*sorted(map(order.index, axes)))
        return Tensor(self.node("Unsqueeze", [value.name, places]), tuple(order), tuple(shape))

    def without(self, operation, value, axes, **attributes):
        """Add an operation that takes axes away."""
        others = [axis for axis in range(len(value.shape)) if axis not in axes]
        order = tuple(others.index(axis) for axis in value.order if axis in others)
        places = self.int64(*sorted(map(value.order.index, axes)))
        name = self.node(operation, [value.name, places], **attributes)
        return Tensor(name, order, tuple(value.shape[axis] for axis in others))

    def part(self, value, places):
        """Take places of some axes: {axis: range}."""
        if not places:
            return value
        starts, stops, steps = zip(
            *((n.start, n.stop, n.step) for n in places.values()), strict=True
        )
        stops = (n if n >= 0 else -(2**31) for n in stops)  # to the first place; -1 is the last
        axes = map(value.order.index, places)
        inputs = map(self.int64, *zip(starts, stops, axes, steps, strict=True))
        shape = tuple(len(places.get(axis, ())) or n for axis, n in enumerate(value.shape))
        return Tensor(self.node("Slice", [value.name, *inputs]), value.order, shape)


def _unknown(what):
    return UserError(f"can't write this as ONNX: JAX's {what} is not known here; leave --onnx away")


def _sizes(shape):
    """Return a shape with None for symbols."""
    return [int(n) if isinstance(n, int | np.integer) else None for n in shape]


def _largest(values):
    tensors = [each for each in values if isinstance(each, Tensor)]
    return max(tensors, key=lambda x: (len(x.shape), math.prod(n or 1 for n in _sizes(x.shape))))


# The rules: (graph, the operation's parameters, the shape of its result, its inputs) -> its result.


def _concatenate(graph, params, shape, *values):
    order = _largest(values).order
    names = [graph.ordered(each, order) for each in values]
    return Tensor(graph.node("Concat", names, axis=order.index(params.dimension)), order, shape)


def _convolve(graph, params, shape, x, kernel):
    axes = params.dimension_numbers
    if {*params.lhs_dilation, params.batch_group_count} != {1}:
        raise _unknown("conv_general_dilated with lhs_dilation or batch_group_count")
    options = {"strides": params.window_strides, "pads": _pads(params.padding)}
    options |= {"dilations": params.rhs_dilation, "group": params.feature_group_count}
    names = graph.ordered(x, axes.lhs_spec), graph.ordered(kernel, axes.rhs_spec)
    return Tensor(graph.node("Conv", names, **options), axes.out_spec, shape)


def _divide(graph, params, shape, x, y):
    """Divide; exp(z) by its sum along an axis is the softmax of z, and of z plus what is the same along it."""
    names = [getattr(each, "name", None) for each in (x, y)]
    power, total = graph.inputs(names[0], "Exp"), graph.inputs(names[1], "Unsqueeze")
    summed = power and total and x.order == y.order and graph.inputs(total[0], "ReduceSum")
    if not summed or summed != (x.name, total[1]):
        return graph.elementwise("Div", x, y)
    difference = graph.inputs(power[0], "Sub")
    if difference and graph.inputs(difference[1], "Unsqueeze")[1:] == total[1:]:
        power = difference[:1]
    (axis,) = (i for i, n in enumerate(x.order) if x.shape[n] != y.shape[n])
    return Tensor(graph.node("Softmax", power, axis=axis), x.order, x.shape)


def _gather(graph, params, shape, x, places):
    """Take what is at known places: so JAX writes x[:, 2], x[:, :2] and x[:, ::2] for any number of images."""
    how = params.dimension_numbers
    if isinstance(places, Tensor) or (places.ndim, *places.shape[1:]) not in ((1,), (2, 1)):
        raise _unknown("gather of other than known places of an axis")
    if places.ndim == 2:
        inputs, at = [x.name, graph.constant(places[:, 0])], x.order.index(how.start_index_map[0])
        return Tensor(graph.node("Gather", inputs, axis=at), x.order, shape)
    starts = dict(zip(how.start_index_map, places.tolist(), strict=True))
    x = graph.part(x, {axis: range(n, n + params.slice_sizes[axis]) for axis, n in starts.items()})
    return graph.without("Squeeze", x, how.collapsed_slice_dims) if how.collapsed_slice_dims else x


def _multiply(graph, params, shape, x, y):
    """Multiply matrices: as many as the first axes say, or an array of any axes by one."""
    (of_x, of_y), (along_x, along_y) = params.dimension_numbers
    free_x = [axis for axis in range(len(x.shape)) if axis not in (*of_x, *along_x)]
    free_y = [axis for axis in range(len(y.shape)) if axis not in (*of_y, *along_y)]
    if len(of_x) != 1 or len(free_y) != 1 or (along_x and len(free_x) != 1):
        raise _unknown("dot_general of other than matrices")
    left = graph.ordered(x, (*along_x, *free_x, *of_x))
    right = graph.ordered(y, (*along_y, *of_y, *free_y))
    return Tensor(graph.node("MatMul", [left, right]), tuple(range(len(shape))), shape)


def _pad(graph, params, shape, x, value):
    if any(between for _, _, between in params.padding_config):
        raise _unknown("pad between pixels")
    sides = graph.int64(*_pads([params.padding_config[axis] for axis in x.order]))
    return Tensor(graph.node("Pad", [x.name, sides, graph.ordered(value)]), x.order, shape)


def _pads(pairs):
    return tuple(int(pair[side]) for side in (0, 1) for pair in pairs)


def _pool(operation, graph, params, shape, x):
    windows = zip(params.window_dimensions, params.window_strides, params.padding, strict=True)
    of_axis = {i: each for i, each in enumerate(windows) if each != (1, 1, (0, 0))}
    if len(of_axis) != len(shape) - 2 or {*params.base_dilation, *params.window_dilation} != {1}:
        raise _unknown("reduce_window over other axes than those of pixels")
    sizes, strides, sides = zip(*of_axis.values(), strict=True)
    order = (*(axis for axis in x.order if axis not in of_axis), *of_axis)
    options = {"kernel_shape": sizes, "strides": strides, "pads": _pads(sides)}
    if operation == "MaxPool":
        return Tensor(graph.node(operation, [graph.ordered(x, order)], **options), order, shape)
    mean = graph.node(operation, [graph.ordered(x, order)], count_include_pad=1, **options)
    return graph.elementwise("Mul", Tensor(mean, order, shape), np.float32(math.prod(sizes)))


def _scan(graph, params, shape, *values):
    """Write out the loop of lax.map, which hands nothing on."""
    inner, parts = getattr(params.jaxpr, "jaxpr", params.jaxpr), []
    if [each.aval.shape for each in inner.outvars] != [shape[1:]]:
        raise _unknown("scan that hands something on")
    for step in range(params.length):
        row = list(values)
        for i, atom in enumerate(inner.invars):
            if row[i].shape != atom.aval.shape:
                row[i] = graph.part(graph.tensor(row[i]), {0: range(step, step + 1)})
                row[i] = graph.without("Squeeze", row[i], [0])
        (result,) = graph.add(params.jaxpr, row)
        parts.append(graph.widened(result, [0]))
    return _concatenate(graph, types.SimpleNamespace(dimension=0), shape, *parts)


def _slice(graph, params, shape, x):
    steps = params.strides or [1] * len(shape)
    limits = enumerate(zip(params.start_indices, params.limit_indices, steps, strict=True))
    return graph.part(x, {i: range(*each) for i, each in limits if shape[i] != x.shape[i]})


NUMBERS = {
    **{"add": "Add", "erf": "Erf", "exp": "Exp", "ge": "GreaterOrEqual", "gt": "Greater", "logistic": "Sigmoid"},
    **{"max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh"},
}  # fmt: skip
# Those that need not see the axes along which an array repeats itself.
OF_NUMBERS = {
    **{name: lambda graph, _, __, *values, own=own: graph.elementwise(own, *values) for name, own in NUMBERS.items()},
    "broadcast_in_dim": lambda graph, params, shape, x: graph.widened(
        graph.tensor(x), sorted({*range(len(shape))} - {*params.broadcast_dimensions})),
    "convert_element_type": lambda graph, params, _, x: graph.elementwise("Cast", x, to=np.dtype(params.new_dtype)),
    **dict.fromkeys(("copy", "stop_gradient"), lambda graph, _, __, x: x),
    "div": _divide,
    "erfc": lambda graph, _, __, x: graph.elementwise("Sub", np.float32(1), graph.elementwise("Erf", x)),
    "select_n": lambda graph, _, __, which, *cases: graph.elementwise("Where", which, *cases[::-1]),
}  # fmt: skip
RULES = OF_NUMBERS | {
    **{"concatenate": _concatenate, "conv_general_dilated": _convolve, "dot_general": _multiply, "gather": _gather},
    **{"pad": _pad, "scan": _scan, "slice": _slice},
    "reduce_max": lambda graph, params, _, x: graph.without("ReduceMax", x, params.axes, keepdims=0),
    "reduce_sum": lambda graph, params, _, x: graph.without("ReduceSum", x, params.axes, keepdims=0),
    "reduce_window_max": functools.partial(_pool, "MaxPool"),
    "reduce_window_sum": functools.partial(_pool, "AveragePool"),
    "reshape": lambda graph, _, shape, x: Tensor(
        graph.node("Reshape", [graph.ordered(x), graph.int64(*(n or -1 for n in _sizes(shape)))]),
        tuple(range(len(shape))), shape),
    "rev": lambda graph, params, shape, x: graph.part(x, {i: range(shape[i])[::-1] for i in params.dimensions}),
    "squeeze": lambda graph, params, _, x: graph.without("Squeeze", x, params.dimensions),
    "transpose": lambda _, params, shape, x: Tensor(x.name, tuple(map(params.permutation.index, x.order)), shape),
}  # fmt: skip
# Operations that are an inner program -> its name among their parameters.
CALLS = dict.fromkeys(("checkpoint", "closed_call", "jit", "pjit", "remat2"), "jaxpr")
CALLS |= dict.fromkeys(("custom_jvp_call", "custom_vjp_call"), "call_jaxpr")
# Those of jax.nn, known by name, that ONNX has: readers do them along with a convolution.
FUNCTIONS = {
    "relu": lambda graph, x: graph.elementwise("Relu", x),
    "leaky_relu": lambda graph, x, slope: graph.elementwise("LeakyRelu", x, alpha=slope.item()),
}
