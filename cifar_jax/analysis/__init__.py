"""Analysis of a trained model: figures, Grad-CAM, out-of-distribution, the report page.

It knows models and metrics, never the training.
"""

from cifar_jax import lazy_face

__getattr__ = lazy_face(__name__)
