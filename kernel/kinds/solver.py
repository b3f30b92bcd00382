"""How the probability-flow ODE is followed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, ClassVar, final

from kernel.kinds._component import Component, hookimpl, hookspec
from kernel.values import Denoise, NativePath, Noise, Step

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
@hookspec(firstresult=True)
def build_solver(component: Solver) -> Solver:
    """Return the solver that a run follows: `component`, or what stands around it."""
    return component


class Solver(Component):
    """Follows the probability-flow ODE, or its stochastic kin, from sigmas[0] down to 0."""

    kind: ClassVar[str] = "solver"

    @property
    def order(self) -> int:
        """Return the order of convergence in the largest step, on a smooth denoiser."""
        raise NotImplementedError

    @property
    def stochastic(self) -> bool:
        """Return whether `noise` is drawn from."""
        return False

    def nfe(self, steps: int) -> int:
        """Return how often `steps` steps evaluate the denoiser."""
        return steps

    def along(self, path: NativePath | None, origin: Tensor | None) -> Solver:
        """Return the solver for a process and its origin; most need neither.

        One that steps in native time `needs` the word `path`, and keeps what it is given here.
        """
        return self

    @final
    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor | None, None]:
        """Yield the Steps of `steps`; where no state is sent, go on from the step's own.

        `for step in solver.trajectory(...)` follows the solver alone; `send` follows it with a
        state in place of the step's.
        """
        steps = self.steps(denoise, x, sigmas, noise)
        try:
            step = next(steps)
            while True:
                sent = yield step
                step = steps.send(step.x if sent is None else sent)
        except StopIteration:
            return

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update and go on from the state that the `yield` returns.

        x: [B, C, *S] at sigmas[0]; any number of axes, any floating dtype. sigmas: steps + 1
        descending floats, the last 0. Neither `x` nor what `denoise` returns is changed in place;
        the yielded state may be reused once the next step was asked for. No state outlives the
        generator, so that runs can be interleaved.
        """
        raise NotImplementedError
