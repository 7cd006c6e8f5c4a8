"""The model of ADL triggers: all that a fund was ever worth, looked through at every input."""

from dataclasses import dataclass, field
from fractions import Fraction

from schemas.config import AverageTrigger, DrawdownTrigger
from tests.reference.exact import floor
from tests.reference.rules import Asset, duration

PARTS = 480


@dataclass
class Watched:
    """What a fund was worth from each time on, and whether ADL is on because of it."""

    rule: DrawdownTrigger | AverageTrigger
    worths: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    is_active: bool = False
    level: int = 0

    def is_like(self, rule: DrawdownTrigger | AverageTrigger) -> bool:
        """Whether another rule looks back as this one does."""
        return type(rule) is type(self.rule) and duration(rule.window) == duration(self.rule.window)

    def observe(self, asset: Asset, now: int, worth: int) -> bool:
        """Whether the worth from now on, or the time that passed, changes `is_active`."""
        self.worths.append((now, worth))
        window = duration(self.rule.window)
        part = -(-window // PARTS)
        begin = max(0, (now - window) // part * part)
        spans = [
            (worth, max(since, begin), until)
            for (since, worth), until in zip(self.worths, [at for at, _ in self.worths[1:]] + [now], strict=True)
            if until > begin or since >= begin
        ]
        was_active = self.is_active
        if isinstance(self.rule, DrawdownTrigger):
            self.level = max(worth for worth, _, _ in spans)
            self.is_active = self._is_down(worth)
        else:
            length = sum(until - since for _, since, until in spans)
            if not length:
                return False
            average = Fraction(sum(worth * (until - since) for worth, since, until in spans), length)
            bound = average - asset.units(self.rule.cut)
            self.level = floor(average)
            self.is_active = worth < bound or (worth == bound and self.rule.inclusive)
        return self.is_active != was_active

    def _is_down(self, worth: int) -> bool:
        assert isinstance(self.rule, DrawdownTrigger)
        if not self.level:
            return False
        drawdown = Fraction(self.level - worth, self.level)
        start, stop = Fraction(self.rule.start), Fraction(self.rule.stop)
        if self.is_active:
            return drawdown > stop if self.rule.inclusive else drawdown >= stop
        return drawdown >= start if self.rule.inclusive else drawdown > start
