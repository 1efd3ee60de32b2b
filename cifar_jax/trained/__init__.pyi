# A user looks for it here; it explains, too, and so stands in a room above.
from cifar_jax.analysis.model import load as load
from cifar_jax.trained.opening import Trained as Trained
from cifar_jax.trained.opening import check_finite as check_finite
from cifar_jax.trained.opening import eval_batch_size as eval_batch_size
from cifar_jax.trained.opening import logits as logits
from cifar_jax.trained.opening import logits_step as logits_step
from cifar_jax.trained.opening import named_or_best as named_or_best
from cifar_jax.trained.opening import open_model as open_model
from cifar_jax.trained.opening import open_run as open_run
from cifar_jax.trained.opening import split as split
