"""A finished run's model: `open_run` a folder, `split` its data, `logits` of images; `load` one to ask it in Python."""

from cifar_jax import lazy_face

__getattr__ = lazy_face(
    __name__,
    # A user looks for it here; it explains, too, and so stands in a room above.
    **{"cifar_jax.analysis.model": "load"},
    opening="Trained check_finite eval_batch_size logits logits_step named_or_best open_model open_run split",
)
