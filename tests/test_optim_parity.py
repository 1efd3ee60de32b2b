"""Optimizers and the plateau against PyTorch itself, over 50 steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cifar_jax import optim  # noqa: E402

pytestmark = pytest.mark.parity

SGD, ADAM = torch.optim.SGD, torch.optim.Adam
RATE = 0.03


@pytest.mark.parametrize(
    ("name", "theirs", "options", "torch_options"),
    [
        ("sgd", SGD, {}, {}),
        ("sgd", SGD, {"momentum": 0.9}, {"momentum": 0.9}),
        ("sgd", SGD, {"momentum": 0.9, "weight_decay": 0.05}, {"momentum": 0.9, "weight_decay": 0.05}),
        ("adam", ADAM, {}, {}),
        ("adam", ADAM, {"weight_decay": 0.05}, {"weight_decay": 0.05}),
    ],
)  # fmt: skip
def test_fifty_steps_stay_together(name, theirs, options, torch_options):
    """On a loss with curvature, so that the gradients depend on where the steps led."""
    random = np.random.default_rng(1)
    start, target = random.normal(size=(2, 40))

    theirs_params = torch.tensor(start, requires_grad=True)
    torch_optimizer = theirs([theirs_params], lr=RATE, **torch_options)
    for _ in range(50):
        torch_optimizer.zero_grad()
        torch.log(torch.cosh(theirs_params - torch.tensor(target))).sum().backward()
        torch_optimizer.step()

    with jax.enable_x64(True):
        optimizer = optim.make_optimizer(name, **options)
        gradient = jax.grad(lambda p: jnp.log(jnp.cosh(p - target)).sum())
        params = jnp.asarray(start)
        state = optimizer.init(params)
        for _ in range(50):
            direction, state = optimizer.update(gradient(params), state, params)
            params = params - RATE * direction
        np.testing.assert_allclose(params, theirs_params.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (2, 0), (1, 2)])
def test_plateau_is_reduce_lr_on_plateau(mode, threshold_mode, patience, cooldown):
    options = {
        "mode": mode,
        "factor": 0.5,
        "patience": patience,
        "threshold": 0.01,
        "threshold_mode": threshold_mode,
        "cooldown": cooldown,
    }
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=0.001, **options)
    ours = optim.plateau_init(mode)
    random = np.random.default_rng(2)
    for epoch in range(60):
        metric = float(np.float32(2 / (1 + epoch / 5) + random.normal() * 0.2))
        theirs.step(metric)
        ours = optim.plateau_update(
            ours, metric, **options, min_scale=0.001 / RATE, eps_scale=1e-8 / RATE
        )
        assert RATE * float(ours.scale) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-5)
