from cifar_jax.analysis.named_layers import activations as activations
from cifar_jax.analysis.named_layers import layers as layers
