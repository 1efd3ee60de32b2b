"""cifar_jax: train and understand small image classifiers in JAX."""

__version__ = "0.1.0"
