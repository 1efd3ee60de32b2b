"""The defaults, unchanged. Every field is documented in cifar_jax/config/schema.py, which an installed
package needs to know without this folder, and printed by `python -m cifar_jax.main --help`."""

from cifar_jax.config import default


def get_config():
    return default()
