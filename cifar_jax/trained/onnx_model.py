"""A trained model as an ONNX file, for whatever reads those; onnx and onnxruntime are imported only when asked for."""

import dataclasses
import numbers

import numpy as np

from cifar_jax import __version__
from cifar_jax.errors import UserError

# Of early 2023, and the first onnxruntime that reads them: an older reader refuses what is newer than itself.
OPSET, IR_VERSION, READER = 18, 8, "1.14"
FEATURE_MAP = 0, 3, 1, 2  # where ONNX's convolution has the axes of [B, H, W, C]
INPUT, OUTPUT = "images", "probabilities"


def packages():
    """Return the modules that write and run a file: (onnx, onnxruntime).

    Raises:
        UserError: one is not installed.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "--onnx needs the packages onnx and onnxruntime, the extra `onnx`; install them (pip install onnx "
            f"onnxruntime), or leave --onnx away ({error})"
        ) from error
    return onnx, onnxruntime


def of_run(run, batch=None):
    """Write the model of a run: uint8 `images` [b, H, W, C] -> float32 `probabilities` [b, num_classes].

    It computes in float32, also where the run does in bfloat16, which few readers convolve in.

    Args:
        run: trained.Trained.
        batch: b; None for any number from 1 on.
    Returns:
        onnx.ModelProto.
    Raises:
        UserError: of of_function.
    """
    import jax
    import jax.numpy as jnp
    from jax import export as jax_export

    from cifar_jax.models.ops import choice
    from cifar_jax.trained import export

    model = run.inference.model
    if hasattr(model, "dtype"):  # a user's own need not have one
        model = model.clone(dtype=jnp.float32)
    inference = dataclasses.replace(run.inference, model=model, dtype=jnp.dtype("float32"))

    def classify(images):
        return export.probabilities(inference, run.variables, images)

    shape = jax_export.symbolic_shape(", ".join(map(str, (batch or "b", *run.image_shape))))
    with choice.plain_formulations():
        return of_function(classify, jax.ShapeDtypeStruct(shape, "uint8"))


def of_function(function, given):
    """Write a function of images.

    Args:
        function: of one array [b, H, W, C], to one array.
        given: jax.ShapeDtypeStruct of the first, with a symbol of jax.export for any number.
    Returns:
        onnx.ModelProto.
    Raises:
        UserError: it has an operation that nothing here stands for.
    """
    import jax
    from onnx import helper

    from cifar_jax.trained import jaxpr_to_onnx

    def kind(dtype):
        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    program, graph = jax.make_jaxpr(function)(given), jaxpr_to_onnx.Graph()
    # Image pixels are moved as long as they are bytes.
    images = graph.node("Transpose", [INPUT], perm=FEATURE_MAP)
    (answer,) = graph.add(program, [jaxpr_to_onnx.Tensor(images, FEATURE_MAP, given.shape)])
    result, (answered,) = graph.ordered(answer), program.out_avals
    needed, nodes, ends = {result}, [], []
    for (operation, inputs, attributes), name in reversed(graph.nodes.items()):
        if name in needed:
            needed.update(inputs)
            outputs = [OUTPUT if name == result else name]
            words = {key: kind(each) if key == "to" else each for key, each in attributes}
            nodes.append(helper.make_node(operation, inputs, outputs, name, **words))
    for name, end in ((INPUT, given), (OUTPUT, answered)):
        shape = [n if isinstance(n, numbers.Integral) else str(n) for n in end.shape]
        ends.append([helper.make_tensor_value_info(name, kind(end.dtype), shape)])
    weights = [
        helper.make_tensor(name, kind(dtype), shape, content, raw=True)
        for (dtype, shape, content), name in graph.constants.items()
        if name in needed
    ]
    return helper.make_model(
        helper.make_graph(nodes[::-1], "cifar_jax", *ends, weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="cifar_jax",
        producer_version=__version__,
    )


def how_to_load(path, images):
    """Return the lines of Python that load a file, with the expression `images` for the images there."""
    return (
        "import numpy as np, onnxruntime\n"
        f"model = onnxruntime.InferenceSession({str(path)!r}, providers=['CPUExecutionProvider'])\n"
        f"images = {images}\n"
        f"(probabilities,) = model.run(None, {{{INPUT!r}: images}})"
    )
