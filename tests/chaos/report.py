"""What a campaign came to, in words."""

import statistics
from typing import Any

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
    lines += _proved(outcome.verdict)
    lines += [f"FAILED: {failure}" for failure in outcome.failures] or ["  nothing lost, nothing twice"]
    return "\n".join(lines)


def _proved(verdict: dict[str, Any]) -> list[str]:
    """What `backstop verify` compared."""
    lines = [
        f"  {each['stream']:<15} {each['records']:,} journal records, {each['inputs']:,} inputs, "
        f"{each['events']:,} events as the replay has them, {each['dead_letters']:,} dead letters"
        for each in verdict.get("streams", ())
    ]
    lines += [
        f"  {each['sender']} to {each['receiver']}: {each['arrived']:,} of {each['sent']:,} messages arrived"
        for each in verdict.get("crossings", ())
    ]
    lines += [
        f"  {each['asset']:<15} {each['residual']} left over, {each['in_flight']} under way"
        for each in verdict.get("conservation", ())
    ]
    return lines


def _counts(table: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(table.items())) or "none"
