"""A finished run's model: `open_run` a folder, `split` its data, `logits` of images; `load` one to ask it in Python."""

from cifar_jax import lazy_face

__getattr__ = lazy_face(__name__)
