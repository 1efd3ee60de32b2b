"""What a trained model does: figures, Grad-CAM, out-of-distribution, the report page.

This knows models and metrics, never the training.
"""

from cifar_jax import lazy_face

__getattr__ = lazy_face(__name__, named_layers="activations layers")
