"""What a trained model does: figures, Grad-CAM, out-of-distribution, the report page.

This knows models and metrics, never the training.
"""

from cifar_jax.analysis.named_layers import activations, layers

__all__ = ["activations", "layers"]
