"""TrainState: everything a training step reads and writes, as one pytree."""

from typing import Any

import flax
import jax
import jax.numpy as jnp

from cifar_jax.machine import compilation
from cifar_jax.train import keys, monitors
from cifar_jax.train.hyper import Hyperparameters

# A run's key is split by purpose, then by epoch or step: what is drawn depends on where the run
# stands, never on how it got there. So a resumed run draws what the uninterrupted one would have.
INIT, ORDER, STEP, MIX, FLIP = range(5)


@flax.struct.dataclass
class TrainState:
    step: jax.Array  # int32 [], steps done
    params: Any  # float32
    batch_stats: Any  # float32, empty without batch norm
    averaged: Any  # moving averages {"params", "batch_stats"}; {} without
    opt_state: Any  # of Optax
    hyper: Hyperparameters  # never changes
    plateau: monitors.PlateauState
    early_stopping: monitors.EarlyStoppingState
    key: jax.Array  # uint32 [2], the seed's key; never changes

    @property
    def variables(self):
        """The arrays that the model is evaluated with: the moving averages where there are any."""
        return self.averaged or {"params": self.params, "batch_stats": self.batch_stats}


def initial_state(
    model, optimizer, hyper, key, image_shape, *, plateau_mode="min", stopping_mode="min", ema=False
):
    """Make the state before the first step, as a pure function of the key and of the numbers in `hyper`.

    Args:
        model: flax module, called with images [B, H, W, C] and `train`.
        optimizer: of optimizers.make_optimizer.
        hyper: Hyperparameters.
        key: uint32 [2].
        image_shape: (H, W, C).
        plateau_mode, stopping_mode: "min" or "max".
        ema: whether moving averages are kept.
    Returns:
        TrainState.
    """
    images = jnp.zeros((1, *image_shape))
    variables = model.init(jax.random.fold_in(keys.fast(key), INIT), images, train=False)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    # Copies: the training donates its state, so nothing may be in it twice, or be the caller's.
    copies = jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats})
    return TrainState(
        step=jnp.int32(0),
        params=params,
        batch_stats=batch_stats,
        averaged=copies if ema else {},
        opt_state=optimizer(hyper).init(params),
        hyper=jax.tree.map(jnp.copy, hyper),
        plateau=monitors.plateau_init(plateau_mode),
        early_stopping=monitors.stopping_init(stopping_mode),
        key=key,
    )


def create_state(model, optimizer, hyper, seed, image_shape, **options):
    """Make the `initial_state` of an integer seed, compiled; for the arguments see there."""

    def build(hyper, key):
        return initial_state(model, optimizer, hyper, key, image_shape, **options)

    return compilation.jit_once(build)(hyper, jax.random.PRNGKey(seed))
