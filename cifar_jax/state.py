"""TrainState: everything a training step reads and writes, as one pytree."""

from typing import Any

import flax
import jax
import jax.numpy as jnp

from cifar_jax import optim

# A run's key is split by purpose, then by epoch or step: what is drawn depends on where the run
# stands, never on how it got there. So a resumed run draws what the uninterrupted one would have.
INIT, ORDER, STEP = range(3)


@flax.struct.dataclass
class TrainState:
    step: jax.Array  # int32 [], steps done
    params: Any  # float32
    batch_stats: Any  # float32, empty without batch norm
    opt_state: Any  # of Optax
    plateau: optim.PlateauState
    key: jax.Array  # uint32 [2], the seed's key; never changes

    @property
    def variables(self):
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create_state(model, optimizer, seed, image_shape, plateau_mode="min"):
    """The state before the first step.

    Args:
        model: flax module, called with images [B, H, W, C] and `train`.
        optimizer: optax.GradientTransformation.
        seed: int.
        image_shape: (H, W, C).
        plateau_mode: "min" or "max".
    Returns:
        TrainState.
    """
    key = jax.random.PRNGKey(seed)

    @jax.jit
    def build(key):
        images = jnp.zeros((1, *image_shape))
        variables = model.init(jax.random.fold_in(key, INIT), images, train=False)
        return TrainState(
            step=jnp.int32(0),
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(variables["params"]),
            plateau=optim.plateau_init(plateau_mode),
            key=key,
        )

    return build(key)
