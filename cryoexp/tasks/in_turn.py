"""Several optimisers over the same weights that take turns, as one optimiser for Lightning."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch.optim import Optimizer


class InTurn(Optimizer):
    """Optimisers of equal kind over equal parameters, each for a loss of its own, with moments of its own.

    A step asks for the losses one after another: it says which one is next, has it computed by the closure, and steps
    with the optimiser of that one. Lightning's automatic optimisation knows such closures from LBFGS, so that
    clipping, schedules, mixed precision without scaling, averages and resuming work as with one optimiser: all of them
    share their groups, and with these the learning rate. Without a closure (precision 16-mixed) one of them steps, each
    time another, and the loss is the one that is next.

    Args:
        make: makes an optimiser from parameter groups.
        begin: is told the number of the loss that is next.
        count: of the optimisers.
        groups: of parameters.
    """

    def __init__(
        self,
        make: Callable[..., Optimizer],
        begin: Callable[[int], None],
        count: int,
        groups: Sequence[dict[str, Any]],
    ) -> None:
        self.inner = [make([dict(group) for group in groups]) for _ in range(count)]
        self.begin, self.next = begin, 0
        super().__init__([dict(group) for group in groups], {})
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step with all of them, or with the one whose turn it is; return the loss of the first."""
        if closure is None:
            self.inner[self.next].step()
            self.next = (self.next + 1) % len(self.inner)
            self.begin(self.next)
            return None
        found = []
        for number, optimizer in enumerate(self.inner):
            self.begin(number)
            found.append(closure())
            optimizer.step()
        self.begin(0)
        return found[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all of them."""
        return {"inner": [optimizer.state_dict() for optimizer in self.inner], "next": self.next}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the states of all of them."""
        for optimizer, state in zip(self.inner, state_dict["inner"], strict=True):
            optimizer.load_state_dict(state)
        self.next = state_dict["next"]
        self.begin(self.next)
        self._share()

    def _share(self) -> None:
        self.param_groups = self.inner[0].param_groups
        for optimizer in self.inner[1:]:
            optimizer.param_groups = self.param_groups


def in_turn(make: Callable[..., Optimizer], begin: Callable[[int], None], count: int) -> Callable[..., Optimizer]:
    """Return what makes so many optimisers in turn, to stand where ``make`` stood."""
    return partial(InTurn, make, begin, count)
