"""The PyTorch side of `cases`: the same outputs and changes, from the models in torch_models."""

import numpy as np
import torch
from cases import AUXILIARY_WEIGHT, NARROWED, OPTIMIZERS, Outputs, inputs, shapes
from torch_models import BUILD

from cifar_jax import models
from cifar_jax.models.torch_weights import carry

CLASSES = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


def build(case, variables, dtype="float64"):
    """The PyTorch model with these variables."""
    options = dict(case.options) | NARROWED.get(case.name, {})
    twin = BUILD[case.name](**options).to(getattr(torch, dtype))
    state = models.to_torch(case.name, variables)
    twin.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in state.items()})
    return twin


def _loss(case, twin):
    images, labels = inputs(case)
    parameter = next(twin.parameters())
    logits = twin(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(parameter.dtype))
    heads = logits if isinstance(logits, tuple) else (logits,)
    weights = (1.0, AUXILIARY_WEIGHT)
    labels = torch.from_numpy(labels)
    terms = zip(weights, heads, strict=False)
    return heads[0], sum(w * torch.nn.functional.cross_entropy(y, labels) for w, y in terms)


def outputs(case, variables, dtype="float64"):
    """Outputs of NumPy arrays."""
    twin = build(case, variables, dtype)
    twin.eval()
    with torch.no_grad():
        evaluation, _ = _loss(case, twin)
    twin.train()
    logits, loss = _loss(case, twin)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in twin.named_parameters()}
    tree = carry(case.name, shapes(case), gradients | dict(twin.named_buffers()))
    return Outputs(
        evaluation.numpy(),
        logits.detach().numpy(),
        loss.detach().numpy(),
        tree.get("batch_stats", {}),
        tree["params"],
    )


def changes(case, variables, optimizer):
    """How three steps of an optimizer change the parameters, float64."""
    twin = build(case, variables).train()
    rate, options = OPTIMIZERS[optimizer]
    stepper = CLASSES[optimizer](twin.parameters(), lr=rate, **options)
    for _ in range(3):
        stepper.zero_grad()
        _loss(case, twin)[1].backward()
        stepper.step()
    after = carry(case.name, shapes(case), twin.state_dict())["params"]
    return _difference(after, variables["params"])


def _difference(after, before):
    if isinstance(after, dict):
        return {key: _difference(after[key], before[key]) for key in after}
    return np.asarray(after) - before
