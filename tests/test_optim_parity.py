"""Optimizers, schedules and the plateau against PyTorch itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cifar_jax.train import monitors, optimizers, schedules  # noqa: E402
from cifar_jax.train.hyper import Hyperparameters  # noqa: E402
from cifar_jax.train.schedules import Plan  # noqa: E402

pytestmark = pytest.mark.parity

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
RMSPROP, ADAGRAD = torch.optim.RMSprop, torch.optim.Adagrad
RATE = 0.03


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("sgd", SGD, {}),
        ("sgd", SGD, {"momentum": 0.9}),
        ("sgd", SGD, {"momentum": 0.9, "nesterov": True}),
        ("sgd", SGD, {"momentum": 0.9, "weight_decay": 0.05}),
        ("sgd", SGD, {"momentum": 0.9, "weight_decay": 0.05, "nesterov": True}),
        ("adam", ADAM, {}),
        ("adam", ADAM, {"weight_decay": 0.05}),
        ("adamw", ADAMW, {"weight_decay": 0.0}),
        ("adamw", ADAMW, {"weight_decay": 0.05}),
        ("rmsprop", RMSPROP, {}),
        ("rmsprop", RMSPROP, {"momentum": 0.9, "weight_decay": 0.05}),
        ("adagrad", ADAGRAD, {}),
        ("adagrad", ADAGRAD, {"weight_decay": 0.05}),
    ],
)
def test_fifty_steps_stay_together(name, theirs, options):
    """On a loss with curvature, so that the gradients depend on where the steps led."""
    random = np.random.default_rng(1)
    start, target = random.normal(size=(2, 40))

    theirs_params = torch.tensor(start, requires_grad=True)
    torch_optimizer = theirs([theirs_params], lr=RATE, **options)
    for _ in range(50):
        torch_optimizer.zero_grad()
        torch.log(torch.cosh(theirs_params - torch.tensor(target))).sum().backward()
        torch_optimizer.step()

    momentum, decay = options.get("momentum", 0.0), options.get("weight_decay", 0.0)
    with jax.enable_x64(True):
        optimizer = optimizers.make_optimizer(
            name,
            momentum=momentum > 0,
            nesterov=options.get("nesterov", False),
            weight_decay=decay > 0,
        )(Hyperparameters(RATE, jnp.float64(momentum), jnp.float64(decay), 0.0, 0.0))
        gradient = jax.grad(lambda p: jnp.log(jnp.cosh(p - target)).sum())
        params = jnp.asarray(start)
        state = optimizer.init(params)
        for _ in range(50):
            direction, state = optimizer.update(gradient(params), state, params)
            params = params - RATE * direction
        np.testing.assert_allclose(params, theirs_params.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_muon_begins_as_torchs_in_float64(shape, monkeypatch):
    """Its first step, where PyTorch iterates in bfloat16 only because it is told to.

    Later steps part: Optax corrects the bias of the momentum that Nesterov's step mixes with the
    gradient, PyTorch does not.
    """
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    start, gradient = np.random.default_rng(3).normal(size=(2, *shape))
    theirs = torch.tensor(start.T.copy(), requires_grad=True)  # [out, in]
    theirs.grad = torch.tensor(gradient.T.copy())
    torch.optim.Muon([theirs], lr=RATE, weight_decay=0.05).step()
    with jax.enable_x64(True):
        hyper = Hyperparameters(RATE, 0.0, 0.05, 0.0, 0.0)
        optimizer = optimizers.make_optimizer("muon", weight_decay=True)(hyper)
        params = jnp.asarray(start)
        direction, _ = optimizer.update(jnp.asarray(gradient), optimizer.init(params), params)
        ours = params - RATE * direction
    np.testing.assert_allclose(ours, theirs.detach().numpy().T, rtol=1e-6)


@pytest.mark.parametrize(("shape", "rate"), [((6, 4), 0.67), ((5,), 0.053)])
def test_airbench_is_torchs_sgd_of_the_summed_loss_but_for_convolutions(shape, rate):
    """With the weight decay of airbench94_muon.py, which is divided by each group's rate."""
    batch, decay = 2000, 2e-6
    random = np.random.default_rng(4)
    start, gradients = random.normal(size=shape), random.normal(size=(20, *shape))
    theirs = torch.tensor(start.copy(), requires_grad=True)
    sgd = SGD([theirs], rate, momentum=0.85, nesterov=True, weight_decay=decay * batch / rate)
    for gradient in gradients:
        theirs.grad = torch.tensor(batch * gradient)
        sgd.step()
    with jax.enable_x64(True):
        hyper = Hyperparameters(0.24, 0.0, decay * batch / 0.24, 0.0, 0.0)
        make = optimizers.make_optimizer("airbench", weight_decay=True, batch_size=batch)
        params, optimizer = jnp.asarray(start), make(hyper)
        state = optimizer.init(params)
        for gradient in gradients:
            direction, state = optimizer.update(jnp.asarray(gradient), state, params)
            params = params - 0.24 * direction
    np.testing.assert_allclose(params, theirs.detach().numpy(), rtol=1e-9)


LR_SCHEDULER = torch.optim.lr_scheduler
PER_EPOCH, EPOCHS = 4, 15
STEPS = PER_EPOCH * EPOCHS


@pytest.mark.parametrize(
    ("name", "plan", "theirs", "options"),
    [
        (
            "multistep",
            {"milestones": (3, 7, 8), "factor": 0.3},
            "MultiStepLR",
            {"milestones": [12, 28, 32], "gamma": 0.3},
        ),
        ("step", {"drop_epochs": 4, "drop_factor": 0.3}, "StepLR", {"step_size": 16, "gamma": 0.3}),
        ("one_cycle", {}, "OneCycleLR", {"max_lr": RATE, "total_steps": STEPS, "cycle_momentum": False}),
        ("cosine", {}, "CosineAnnealingLR", {"T_max": STEPS}),
        ("linear", {}, "LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": STEPS}),
        ("constant", {}, "ConstantLR", {"factor": 1.0}),
    ],
)  # fmt: skip
def test_schedule_is_torchs(name, plan, theirs, options):
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = getattr(LR_SCHEDULER, theirs)(optimizer, **options)
    expected = []
    for _ in range(STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    with jax.enable_x64(True):
        schedule = schedules.make_schedule(name, Plan(STEPS, PER_EPOCH, **plan))
        ours = RATE * jax.vmap(schedule)(jnp.arange(STEPS))
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("total_steps", [2, 3, 4, 10])
def test_one_cycle_of_a_short_training_is_torchs(total_steps):
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = LR_SCHEDULER.OneCycleLR(optimizer, RATE, total_steps, cycle_momentum=False)
    expected = [optimizer.param_groups[0]["lr"]]
    for _ in range(total_steps - 1):
        optimizer.step()
        scheduler.step()
        expected.append(optimizer.param_groups[0]["lr"])
    schedule = schedules.make_schedule("one_cycle", Plan(total_steps))
    ours = [RATE * float(schedule(step)) for step in range(total_steps)]
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-9)


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
    ours = monitors.plateau_init(mode)
    random = np.random.default_rng(2)
    for epoch in range(60):
        metric = float(np.float32(2 / (1 + epoch / 5) + random.normal() * 0.2))
        theirs.step(metric)
        ours = monitors.plateau_update(
            ours, metric, **options, **monitors.plateau_scales(RATE, 0.001)
        )
        assert RATE * float(ours.scale) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-5)
