"""The factor on the loss that keeps float16 gradients from vanishing."""

_LARGEST = 2.0**24


class LossScale:
    """A factor that is halved when gradients overflow and doubled after a long time without.

    "Mixed Precision Training" (Micikevicius et al., 2018). Where it is not dynamic it stays 1.
    """

    def __init__(self, *, dynamic: bool, first: float = 2.0**15, growth_steps: int = 2000) -> None:
        self._dynamic = dynamic
        self._growth_steps = growth_steps
        self._steps_without_overflow = 0
        self.value = first if dynamic else 1.0

    def update(self, *, finite: bool) -> bool:
        """Learn whether a step's gradients were finite; say whether training can go on.

        A step that was not finite must have changed nothing. Training cannot go on if even the
        smallest scale overflows, since then it is the loss itself that is not finite.
        """
        if not self._dynamic:
            return finite
        if not finite:
            can_shrink = self.value > 1.0
            self.value = max(1.0, self.value / 2.0)
            self._steps_without_overflow = 0
            return can_shrink
        self._steps_without_overflow += 1
        if self._steps_without_overflow >= self._growth_steps:
            self.value = min(_LARGEST, self.value * 2.0)
            self._steps_without_overflow = 0
        return True

    @property
    def steps_without_overflow(self) -> int:
        """How long ago the last overflow was, in steps; a checkpoint must hold it."""
        return self._steps_without_overflow

    def restore(self, value: float, steps_without_overflow: int) -> None:
        """Go on as the run did that a checkpoint is from; where it is not dynamic it stays 1."""
        if self._dynamic:
            self.value = value
            self._steps_without_overflow = steps_without_overflow
