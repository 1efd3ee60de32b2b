"""What a caller of train_and_evaluate is told while a run trains; docs/callbacks.md has trackers written with it."""

from typing import Any

from cifar_jax.errors import UserError, one_line

STOP = -1  # in the place of a signal's number


class Callback:
    """Told of the events of a run, in the first process of several. Override those that are wanted.

    All arguments are copies, of plain Python numbers and strings. None of them asks a device for
    anything: they are what metrics.jsonl has. An exception stops the run after the interval, saved.
    """

    def start(self, run: dict[str, Any]) -> None:
        """Take what is about to train.

        Args:
            run: {"config": nested dict, "workdir": str, "step": steps done before, "total_steps", "steps_per_epoch",
                "parameters": int, "dataset": name, "class_names": list}.
        """

    def interval(self, step: int, epoch: int, metrics: dict[str, float]) -> None:
        """Take a log interval's figures.

        Args:
            step: steps done.
            epoch: from 1.
            metrics: {"loss", "accuracy", "learning_rate", "images_per_second"}: means over the interval's steps, of the
                augmented images; accuracy is a fraction.
        """

    def epoch(
        self,
        epoch: int,
        step: int,
        trained: dict[str, float],
        validation: dict[str, Any] | None,
    ) -> None:
        """Take an epoch's figures.

        Args:
            epoch: from 1.
            step: steps done.
            trained: {"loss", "accuracy"}, means over the epoch's steps.
            validation: {"loss", "accuracy", "count", "per_class_accuracy"}, or None without a validation set.
        """

    def end(self, summary: dict[str, Any]) -> None:
        """Take the summary, as in summary.json."""

    def failure(self, error: BaseException) -> None:
        """Take the exception that ends the run: a UserError of ours, KeyboardInterrupt, or another."""


class Callbacks:
    """Tells callbacks, and keeps the first exception that one of them raises."""

    def __init__(self, callbacks=()):
        self._callbacks, self._failed = tuple(callbacks), None
        self.caught = []  # of runtime.catch_signals: a failed callback stops the run as a signal does

    def tell(self, event, *arguments):
        """Call a method of each, in their order; after one has failed, of none but in `failure`."""
        for each in self._callbacks:
            if self._failed and event != "failure":
                return
            try:
                getattr(each, event)(*arguments)
            except Exception as error:  # the user's code
                self._failed = self._failed or (each, event, error)
                self.caught.append(STOP)

    def raise_failed(self, place):
        """Raise UserError where a callback has failed; `place` says where the run stands."""
        if self._failed:
            each, event, error = self._failed
            raise UserError(
                f"the callback {type(each).__name__} failed in {event} ({type(error).__name__}: "
                f"{one_line(error, 300)}); the run stands at {place}"
            ) from error
