"""What a campaign came to, in words."""

import statistics

from tests.chaos.run import Outcome, Plan


def render(plan: Plan, outcome: Outcome) -> str:
    """The counts, then what went wrong."""
    lines = [
        f"chaos: seed {plan.seed}, {plan.rate:g} records/s, {outcome.seconds:.0f} s",
        f"  sent            {sum(outcome.sent.values()):,} records, each acknowledged by the broker",
        f"                  {_counts(outcome.sent)}; {outcome.rubbish:,} of them no commands",
        f"  killed          {sum(outcome.kills.values())} instances ({_counts(outcome.kills)}), "
        f"the broker {outcome.broker_kills} times",
        f"  zombies         {outcome.zombies} stopped, replaced, resumed and fenced",
        f"  ends            {_counts(outcome.ends)} (exit codes; -9 is SIGKILL)",
    ]
    if outcome.takeover_seconds:
        lines.append(
            f"  takeover        {len(outcome.takeover_seconds)} measured: median "
            f"{statistics.median(outcome.takeover_seconds):.2f} s, longest {max(outcome.takeover_seconds):.2f} s"
        )
    for name, value in outcome.verdict.items():
        if isinstance(value, int | str):
            lines.append(f"  {name:<15} {value}")
    lines += [f"FAILED: {failure}" for failure in outcome.failures] or ["  nothing lost, nothing twice"]
    return "\n".join(lines)


def _counts(table: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(table.items())) or "none"
