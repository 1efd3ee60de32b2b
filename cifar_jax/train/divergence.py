"""The message of a run whose numbers stopped being finite: what was looked at, and what to try."""

import jax
import jax.numpy as jnp
import numpy as np

from cifar_jax.machine import processes
from cifar_jax.train.setup import initial_state


def message(setup, step, subject, learning_rate, manager):
    """Say what is known of a run that diverged, in one line.

    Args:
        setup: Setup.
        step: of the first number that is not finite.
        subject: what it is of, such as "the loss".
        learning_rate: of the last update before it; None where there was none.
        manager: of checkpoints.open_manager.
    """
    event = f"{subject} became NaN or infinite at step {step:,}"
    if learning_rate is None:
        return f"{event}, before any update; {at_start(setup)}."
    good = manager.latest_step()
    checkpoint = (
        f"the last good checkpoint is {manager.folder / str(good)}"
        if good
        else "no checkpoint was written yet"
    )
    return (
        f"{event}; the learning rate was {learning_rate:.4g}; {checkpoint}. {advice(setup.config)}"
    )


def advice(config):
    """Say what may help a training that had begun with finite numbers."""
    tries = ["a smaller --config.optimizer.learning_rate"]
    if not config.schedule.warmup_epochs:
        tries.append("a warm-up (--config.schedule.warmup_epochs=1)")
    if config.dtype != "float32":
        tries.append("--config.dtype=float32")
    return f"Try {' or '.join(tries)}, in a new --workdir."


def at_start(setup):
    """Say what of the first step is NaN or infinite: statistics, images, weights, logits or the loss, in this order."""
    config, recipe, dataset = setup.config, setup.recipe, setup.dataset
    for name, values in (("mean", recipe.mean), ("standard deviation", recipe.std)):
        if not np.all(np.isfinite(values)):
            return f"the {name} of {dataset.name} is {values}: prepare the data set again"
    pixels = jnp.broadcast_to(jnp.arange(256, dtype=jnp.uint8)[:, None], (256, len(recipe.mean)))
    if not _finite(recipe.normalize(pixels)):
        return (
            f"images are, once normalised in {config.dtype} with mean {recipe.mean} and deviation "
            f"{recipe.std}; try --config.dtype=float32 or --config.dataset.normalization=half"
        )
    start = initial_state(setup)
    variables = {"params": start.params, "batch_stats": start.batch_stats}
    wrong = [
        ".".join(key.key for key in path[1:])
        for path, leaf in jax.tree.leaves_with_path(variables)
        if not _finite(leaf)
    ]
    if wrong:
        return f"the weights of {_listed(wrong)} are, {_origin(config)}"
    fine = f"images, statistics and weights are finite (weights up to {_greatest(variables):.3g})"
    if processes.several():
        return f"{fine}; try --config.dtype=float32 or other weights"
    logits, loss = _forward(setup, start, variables)
    if not _finite(logits):
        return f"{fine}, but the model's logits are not, in {config.dtype}; {_instead(config)}"
    if not _finite(loss):
        return (
            f"{fine}, and so are the logits (up to {_greatest(logits):.3g}), but not the loss "
            f"{config.loss.name} of them; try other fields of --config.loss"
        )
    return (
        f"{fine}, and so is the loss without augmentation ({float(loss):.4g}); try other fields of "
        "--config.augment"
    )


def _origin(config):
    source = config.model.weights
    return f"as {source} has them: give another file" if source else "as the model draws them"


def _instead(config):
    tries = [] if config.dtype == "float32" else ["--config.dtype=float32"]
    tries += ["smaller weights in --config.model.weights"] if config.model.weights else []
    return f"try {' or '.join(tries or ['another --config.model.name or --config.seed'])}"


def _forward(setup, start, variables):
    """Compute (logits, loss) of the first batch, not augmented; in training, as the first step has them."""
    recipe, data = setup.recipe, setup.train
    order = setup.programs.epoch_order(start.key, 0, len(data.labels))
    rows = np.asarray(order[: recipe.batch_size])

    @jax.jit
    def forward(variables, images, labels):
        logits, _ = recipe.model.apply(
            variables,
            recipe.normalize(images),
            train=True,
            rngs={"dropout": start.key},
            mutable=["batch_stats"],
        )
        return logits, recipe.loss(logits, labels, start.hyper.label_smoothing)

    return forward(variables, data.images(rows), data.labels[rows])


def _finite(values):
    return bool(jnp.all(jnp.isfinite(values)))


def _greatest(tree):
    return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(tree))


def _listed(names, most=3):
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
