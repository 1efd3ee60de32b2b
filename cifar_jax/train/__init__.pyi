from cifar_jax.train.callbacks import Callback as Callback
from cifar_jax.train.loop import train_and_evaluate as train_and_evaluate
from cifar_jax.train.timing import dry_run as dry_run
