"""A finished run's model: `open_run` a folder, `split` its data, `logits` of images."""

from cifar_jax import lazy_face

__getattr__ = lazy_face(
    __name__,
    opening="Trained check_finite eval_batch_size logits logits_step named_or_best open_model open_run split",
)
