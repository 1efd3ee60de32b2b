"""One training: `train_and_evaluate(config, workdir)` is what `python -m cifar_jax.main` runs."""

from cifar_jax import lazy_face

__getattr__ = lazy_face(__name__)
