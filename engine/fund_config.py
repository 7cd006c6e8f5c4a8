"""What a change of the config does to the funds of an asset.

Settings are read anew from then on; the reconciliation period that runs ends when it was to end. A fund that is added
begins with its opening balance, as at genesis. A minimum holds that was said last, by `fund.minimum` or by a change
that names it. A fund that is `immediate` from now on books at once what was pending. An ADL trigger of another kind or
window begins to watch anew; one with other bounds goes on.
"""

from engine.adl_trigger import AdlTrigger
from engine.config_change import accept
from engine.fixed import AMOUNT_LIMIT
from engine.fund import Fund
from engine.fund_commands import emit_updated
from engine.funds import Counterpart, Funds
from engine.purse import Purse
from engine.reject import Refused
from engine.spec import FundSpec, next_boundary
from schemas.commands import ConfigSet
from schemas.events import ConfigRejected


def set_config(funds: Funds, command: ConfigSet) -> None:
    """Check a change, then take it over. What cannot be is answered by `config.rejected`."""
    try:
        accepted = accept(funds.spec.config, funds.spec.config_hash, command)
    except Refused as refusal:
        funds.outbox.emit(ConfigRejected(code=refusal.code, reason=refusal.reason))
        return
    funds.outbox.emit(accepted.event)
    funds.take_spec(accepted.spec)
    for shard in accepted.spec.shards.values():
        if shard.asset.name == funds.asset.name and shard.name not in funds.shards:
            funds.shards[shard.name] = Counterpart(shard.name)
    named = command.changes.get("funds", {})
    for name, spec in accepted.spec.funds.items():
        if spec.asset.name != funds.asset.name:
            continue
        if spec.treasury is not None and spec.treasury not in funds.treasuries:
            funds.treasuries[spec.treasury] = Purse(f"treasury/{funds.asset.name}/{spec.treasury}")
        fund = funds.by_name.get(name)
        if fund is None:
            _add_fund(funds, spec)
        else:
            _respecify(funds, fund, spec, names_minimum="minimum" in named.get(name, ()))
    funds.transfers.keep_for(funds.limits.transfer_memory, funds.now)


def _add_fund(funds: Funds, spec: FundSpec) -> None:
    """Begin a fund with its opening balance; all that came from outside stays below 2^63 units, as with deposits."""
    fund = funds.by_name[spec.name] = Fund(spec)
    if spec.adl_trigger is not None:
        fund.adl_trigger = AdlTrigger(spec.adl_trigger, since=funds.now)
    fund.period_start = funds.now
    fund.period_end = next_boundary(funds.now, spec.reconcile_phase)
    funds.period_end = min(funds.period_end, fund.period_end)
    fund.period_opening = min(spec.opening, AMOUNT_LIMIT - 1 - funds.from_outside)
    funds.credit(fund, funds.treasury, fund.period_opening, "opening")


def _respecify(funds: Funds, fund: Fund, spec: FundSpec, *, names_minimum: bool) -> None:
    before, fund.spec = fund.spec, spec
    trigger = fund.adl_trigger
    if trigger is not None and spec.adl_trigger is not None and trigger.watches_as(spec.adl_trigger):
        trigger.spec = spec.adl_trigger
    elif spec.adl_trigger != before.adl_trigger:
        funds.end_trigger(fund)
        if spec.adl_trigger is not None:
            fund.adl_trigger = AdlTrigger(spec.adl_trigger, since=funds.now, worth=fund.worth)
    if before.daily and not spec.daily:
        funds.book_pending(fund)
    if names_minimum:
        fund.minimum = spec.minimum
        emit_updated(funds, fund)
