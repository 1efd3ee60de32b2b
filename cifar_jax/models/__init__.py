"""The models: `create` builds one by name, `from_torch` and `to_torch` carry weights from and to PyTorch."""

from cifar_jax import lazy_face

__getattr__ = lazy_face(
    __name__,
    registry="REGISTRY Entry check_images count_params create last_layers lookup names register shapes takes",
    box="Pretrained pretrained",
    torch_weights="from_torch to_torch",
)
