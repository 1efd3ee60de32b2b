#!/usr/bin/env bash
# A model that jax 0.12.0.1 exports with a symbolic batch is saved for TensorFlow 2.21 without a word, but can't be called there.
#
# A good guess: jax2tf writes what the TensorFlow beside it reads, or says that it can't; jax.export promises four weeks
# of forward compatibility, and TensorFlow 2.21 is the newest there is. Seen on 2026-11-29 (Python 3.13, jax 0.12.0.1,
# tensorflow-cpu 2.21.0, on a CPU): jax serializes StableHLO at version 1.18.0; the SavedModel is written and loads, and
# its first call raises an error of deserialization. The same program with a fixed batch is called. So is the symbolic
# one, once its module is written anew at an older version of StableHLO (1.9.0) by jax.extend.mlir, with the same numbers.
#
#     PYTHON=python3.13 bash findings/stablehlo_version_of_a_symbolic_batch.sh      # any Python from 3.12 on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.13}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.12.0.1 jaxlib==0.12.0.1 tensorflow-cpu==2.21.0
cd "$folder"
TF_CPP_MIN_LOG_LEVEL=3 JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PROGRAM'
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
from jax import export
from jax.experimental import jax2tf
from jax.extend.mlir.dialects import stablehlo
from tensorflow.compiler.tf2xla.python import xla

WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
IMAGES = np.arange(6, dtype=np.float32).reshape(2, 3)


def classify(images):
    return jax.nn.softmax(images @ WEIGHTS)


def saved_and_called(function, batch):
    """What TensorFlow answers once it has saved and loaded a function, or the error's first words."""
    module = tf.Module()
    module.call = tf.function(function, input_signature=[tf.TensorSpec([batch, 3])], autograph=False)
    tf.saved_model.save(module, "saved")
    try:
        return tf.saved_model.load("saved").call(IMAGES).numpy()
    except tf.errors.OpError as error:
        return " ".join(str(error).split())[:200]


def through_jax2tf(shape):
    return jax2tf.convert(classify, polymorphic_shapes=[shape], with_gradient=False)


def at_version(version):
    exported = export.export(jax.jit(classify))(jax.ShapeDtypeStruct(export.symbolic_shape("b, 3"), jnp.float32))
    module = stablehlo.deserialize_portable_artifact_str(exported.mlir_module_serialized)
    module = stablehlo.serialize_portable_artifact_str(module, version)
    exported = dataclasses.replace(exported, mlir_module_serialized=module)
    return lambda images: xla.call_module(
        [images], version=exported.calling_convention_version, module=exported.mlir_module_serialized,
        Sout=[[None, 4]], Tout=[tf.float32], platforms=["CPU"],
    )[0]


written = stablehlo.get_version_from_compatibility_requirement(stablehlo.StablehloCompatibilityRequirement.WEEK_4)
fixed, symbolic = saved_and_called(through_jax2tf("2, 3"), 2), saved_and_called(through_jax2tf("b, 3"), None)
older = saved_and_called(at_version("1.9.0"), None)
print(f"jax {jax.__version__} writes StableHLO {written}; TensorFlow {tf.__version__}")
print("symbolic batch:", symbolic if isinstance(symbolic, str) else "called")
wanted = np.asarray(classify(IMAGES))
assert isinstance(symbolic, str), "a symbolic batch can be called now"
np.testing.assert_allclose(fixed, wanted, atol=1e-6)
np.testing.assert_allclose(older, wanted, atol=1e-6)
print("fixed batch, and symbolic at StableHLO 1.9.0: called, the same numbers")
PROGRAM
