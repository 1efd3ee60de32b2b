"""A run's configuration: `default`, `load` of a file, `check`; `variant_of` a file's table of variants.

Every field, its choices and its words are in schema.py; rules.py says which values contradict one another.
"""

from cifar_jax import lazy_face

__getattr__ = lazy_face(__name__)
