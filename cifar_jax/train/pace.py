"""The parts of a log interval, so that the display moves each second: a call of the steps' program for each."""

import time

import jax

from cifar_jax.machine import processes

SECOND = 1.0  # of a part
FEW_STEPS, FEW_SECONDS = 3, 2.0  # that are enough to say how long a step takes


class Pace:
    """Does steps in parts of about a second, and knows how long a step takes.

    Where every number of steps has a program of its own, or other processes would have to agree, all are one part.
    """

    def __init__(self, programs):
        self._programs, self._in_parts = programs, programs.any_count and not processes.several()
        self._last = None  # seconds a step, of the last part
        self._steps, self._seconds = 0, 0.0  # the first step of all is not counted

    @property
    def step_seconds(self):
        """Seconds a step; None until enough were timed."""
        enough = self._steps >= FEW_STEPS and self._seconds >= FEW_SECONDS
        return self._seconds / self._steps if enough else None

    def train_steps(self, state, data, order, count, moved=lambda done: None):
        """Do programs.train_steps of so many steps; `moved` is told after each part how many are done."""
        done, sums = 0, None
        while done < count:
            part, started = self._part(count - done), time.perf_counter()
            state, sums = self._programs.train_steps(state, data, order, part, sums)
            jax.block_until_ready(sums)
            seconds = time.perf_counter() - started
            if self._last is not None:
                self._steps, self._seconds = self._steps + part, self._seconds + seconds
            self._last, done = seconds / part, done + part
            moved(done)
        return state, sums

    def _part(self, left):
        if not self._in_parts:
            return left
        return 1 if self._last is None else min(left, max(1, int(SECOND / self._last)))
