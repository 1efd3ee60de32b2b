"""The models: `create` builds one by name, `from_torch` and `to_torch` carry weights from and to PyTorch."""

from cifar_jax import lazy_face

__getattr__ = lazy_face(__name__)
