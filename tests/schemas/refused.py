"""Records that are no commands, with what the refusal has to say. Decoder and schema are both held to it."""

from dataclasses import dataclass
from typing import Any

from tests.schemas.examples import changed, without

INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Refused:
    """A record, the field its reason must start with, what it must also say, and whether a schema can know."""

    record: Any
    field: str
    says: str
    schema_knows: bool = True
    code: str = "invalid"


def _order(**changes: Any) -> dict[str, Any]:
    return changed("order.new", **changes)


REFUSED = {
    # wrong types
    "number as market": Refused(_order(market=5), "market", "expected `str`, got `int`"),
    "null as account": Refused(_order(account=None), "account", "expected `str`, got `null`"),
    "list as order_id": Refused(_order(order_id=["a"]), "order_id", "expected `str`, got `array`"),
    "text as flag": Refused(_order(post_only="true"), "post_only", "expected `bool`, got `str`"),
    "number as flag": Refused(_order(reduce_only=1), "reduce_only", "expected `bool`, got `int`"),
    "number as choice": Refused(_order(side=1), "side", "buy or sell"),
    "null as choice with a default": Refused(_order(tif=None), "tif", "fok, gtc, gtt or ioc"),
    "text as ts": Refused(_order(ts="1767225600000000"), "ts", "expected `int`, got `str`"),
    "null as ts": Refused(_order(ts=None), "ts", "expected `int`, got `null`"),
    "flag as ts": Refused(_order(ts=True), "ts", "expected `int`, got `bool`"),
    # decimals that are none
    "float as qty": Refused(_order(qty=1.5), "qty", "expected `str`, got `float`"),
    "integer as qty": Refused(_order(qty=1), "qty", "expected `str`, got `int`"),
    "integer as price": Refused(_order(price=10500), "price", "expected `str"),
    "exponent": Refused(_order(qty="1e3"), "qty", "got '1e3'"),
    "not a number": Refused(_order(qty="NaN"), "qty", "got 'NaN'"),
    "infinity": Refused(_order(price="Infinity"), "price", "got 'Infinity'"),
    "leading plus": Refused(_order(qty="+1"), "qty", "got '+1'"),
    "empty decimal": Refused(_order(qty=""), "qty", "got ''"),
    "no digit before the point": Refused(_order(qty=".5"), "qty", "got '.5'"),
    "no digit after the point": Refused(_order(qty="1."), "qty", "got '1.'"),
    "two points": Refused(_order(qty="1.2.3"), "qty", "got '1.2.3'"),
    "comma": Refused(_order(price="10,500"), "price", "got '10,500'"),
    "underscore": Refused(_order(price="10_500"), "price", "got '10_500'"),
    "leading space": Refused(_order(qty=" 1"), "qty", "got ' 1'"),
    "last newline": Refused(_order(qty="1\n"), "qty", r"got '1\n'", schema_knows=False),
    "hexadecimal": Refused(_order(qty="0x1"), "qty", "got '0x1'"),
    "digits of another script": Refused(_order(qty="١٢"), "qty", "expected a decimal string above zero"),
    "25 digits before the point": Refused(_order(qty="1" * 25), "qty", "expected a decimal string"),
    "19 digits after the point": Refused(_order(qty=f"0.{'1' * 19}"), "qty", "expected a decimal string"),
    "endless decimal": Refused(_order(qty="1" * 60_000), "qty", "length <= 43"),
    # values out of their domain
    "negative qty": Refused(_order(qty="-1"), "qty", "above zero"),
    "zero qty": Refused(_order(qty="0"), "qty", "above zero"),
    "zero with places": Refused(_order(qty="0.000"), "qty", "above zero"),
    "negative price": Refused(_order(price="-10500"), "price", "above zero"),
    "zero price": Refused(_order(price="0"), "price", "above zero"),
    "unknown side": Refused(_order(side="BUY"), "side", "expected buy or sell, got 'BUY'"),
    "unknown kind": Refused(_order(kind="stop"), "kind", "expected limit or market, got 'stop'"),
    "unknown stp": Refused(_order(stp=""), "stp", "got ''"),
    "negative ts": Refused(_order(ts=-1), "ts", "expected `int` >= 0"),
    "fractional ts": Refused(_order(ts=1.5), "ts", "expected `int`, got `float`"),
    "whole ts written as a float": Refused(_order(ts=1.0), "ts", "got `float`", schema_knows=False),
    "ts above int64": Refused(_order(ts=INT64_MAX + 1), "ts", f"<= {INT64_MAX}"),
    "ts above uint64": Refused(_order(ts=1 << 70), "ts", f"<= {INT64_MAX}"),
    "rate with an exponent": Refused(changed("price.funding", rate="1e-4"), "rate", "got '1e-4'"),
    "rate with a plus": Refused(changed("price.funding", rate="+0.0001"), "rate", "got '+0.0001'"),
    "rate as a number": Refused(changed("price.funding", rate=0.0001), "rate", "got `float`"),
    "zero mark": Refused(changed("price.mark", price="0"), "price", "above zero"),
    "zero index": Refused(changed("price.mark", index="0.0"), "index", "above zero"),
    "negative deposit": Refused(changed("account.deposit", amount="-1"), "amount", "above zero"),
    "zero deposit": Refused(changed("account.deposit", amount="0"), "amount", "above zero"),
    "zero withdrawal": Refused(changed("account.withdraw", amount="0"), "amount", "above zero"),
    "zero leverage": Refused(changed("account.leverage", leverage="0"), "leverage", "above zero"),
    "unknown mode": Refused(changed("account.margin_mode", mode="hedge"), "mode", "cross or isolated"),
    "no margin moved": Refused(changed("account.margin", amount="0"), "amount", "above zero"),
    "minus no margin moved": Refused(changed("account.margin", amount="-0.0"), "amount", "above zero"),
    "two minus signs": Refused(changed("account.margin", amount="--1"), "amount", "got '--1'"),
    "unknown kind of fund deposit": Refused(changed("fund.deposit", kind="gift"), "kind", "donation or injection"),
    "zero fund deposit": Refused(changed("fund.deposit", amount="0"), "amount", "above zero"),
    "injection with an index price": Refused(changed("fund.deposit", index="1"), "index", "only with kind donation"),
    "donation at a price of zero": Refused(
        changed("fund.deposit", kind="donation", index="0.0"), "index", "above zero"
    ),
    "negative minimum": Refused(changed("fund.minimum", amount="-1"), "amount", "unsigned decimal"),
    # identifiers
    "empty id": Refused(_order(market=""), "market", "length >= 1"),
    "id of 65 characters": Refused(_order(account="a" * 65), "account", "length <= 64"),
    "id with a space": Refused(_order(order_id="a b"), "order_id", "got 'a b'"),
    "id with a slash": Refused(_order(market="BTC/USDT"), "market", "got 'BTC/USDT'"),
    "id with a newline": Refused(_order(account="bob\n"), "account", r"got 'bob\n'", schema_knows=False),
    "id with a NUL": Refused(_order(account="bob\x00"), "account", r"got 'bob\x00'"),
    "id with a letter beyond ASCII": Refused(_order(account="zoë"), "account", "got 'zoë'"),
    "id with a letter that looks alike": Refused(_order(account="аlice"), "account", "got 'аlice'"),
    "bad transfer id": Refused(changed("account.deposit", transfer_id="a b"), "transfer_id", "got 'a b'"),
    "bad shard": Refused(changed("order.cancel_all", shard="usd*"), "shard", "got 'usd*'"),
    "bad optional market": Refused(changed("order.cancel_all", market=""), "market", "length >= 1"),
    "bad fund": Refused(changed("fund.minimum", fund="a/b"), "fund", "got 'a/b'"),
    # fields
    "unknown field": Refused(_order(leverage="10"), "leverage", "unknown; expected one of ts, market"),
    "field in another case": Refused(_order(Qty="1"), "Qty", "unknown"),
    "field of an event": Refused(_order(seq=1), "seq", "unknown"),
    "strange unknown field": Refused(_order(**{"a\nb": 1}), r"'a\nb'", "unknown"),
    "endless unknown field": Refused(_order(**{"x" * 60_000: 1}), "x" * 64 + "…", "unknown"),
    "missing ts": Refused(without("order.new", "ts"), "ts", "missing; expected microseconds"),
    "missing qty": Refused(without("order.new", "qty"), "qty", "missing; expected unsigned decimal"),
    "missing side": Refused(without("order.new", "side"), "side", "missing; expected buy or sell"),
    "missing transfer id": Refused(without("fund.transfer", "transfer_id"), "transfer_id", "missing"),
    # fields that go together
    "limit without a price": Refused(without("order.new", "price"), "price", "as kind is limit"),
    "limit with price null": Refused(_order(price=None), "price", "as kind is limit"),
    "market with a price": Refused(_order(kind="market"), "price", "as kind is market"),
    "post-only market": Refused(
        without("order.new", "price") | {"kind": "market", "post_only": True},
        "post_only",
        "as kind is market",
    ),
    "a trigger price without its side": Refused(
        _order(trigger_price="5"), "trigger_when", "expected with trigger_price and only then"
    ),
    "good till time without a time": Refused(_order(tif="gtt"), "expire_at", "expected with tif gtt and only then"),
    "a time without good till time": Refused(_order(expire_at=5), "expire_at", "expected with tif gtt and only then"),
    "market order good till time": Refused(
        _order(kind="market", price=None, tif="gtt", expire_at=5), "tif", "expected gtc, ioc or fok"
    ),
    "post-only that cannot rest": Refused(
        _order(post_only=True, tif="ioc"), "tif", "expected gtc or gtt with post_only"
    ),
    "iceberg that shows nothing": Refused(_order(display_qty="0"), "display_qty", "above zero"),
    "number as display_qty": Refused(_order(display_qty=1), "display_qty", "expected `str"),
    "market iceberg": Refused(
        without("order.new", "price") | {"kind": "market", "display_qty": "1"}, "display_qty", "as kind is market"
    ),
    "iceberg that cannot rest": Refused(
        _order(display_qty="1", tif="ioc"), "tif", "expected gtc or gtt with display_qty, got 'ioc'"
    ),
    "iceberg that fills whole or not": Refused(
        _order(display_qty="1", tif="fok"), "tif", "expected gtc or gtt with display_qty, got 'fok'"
    ),
    "amend of what shows": Refused(changed("order.amend", display_qty="1"), "display_qty", "unknown"),
    "amend of nothing": Refused(without("order.amend", "price", "qty"), "price, qty", "at least one"),
    "amend to nulls": Refused(changed("order.amend", price=None, qty=None), "price, qty", "at least one"),
    "amend to zero": Refused(changed("order.amend", qty="0"), "qty", "above zero"),
    "transfer to itself": Refused(changed("fund.transfer", to="eth"), "to", "another fund", schema_knows=False),
    # settings
    "changes that are no table": Refused(changed("config.set", changes=[]), "changes", "expected `object`"),
    "float as setting": Refused(changed("config.set", changes={"a": 0.5}), "changes.a", "got float"),
    "wide integer as setting": Refused(changed("config.set", changes={"a": [1 << 63]}), "changes.a[0]", "64 bits"),
    "bad name of a setting": Refused(changed("config.set", changes={"a b": 1}), "changes", "got 'a b'"),
    "empty name of a setting": Refused(changed("config.set", changes={"": 1}), "changes", "1 to 64 characters"),
    "settings nested too deeply": Refused(
        changed("config.set", changes={"a": [[[[[[[[[]]]]]]]]]}),
        "changes.a" + "[0]" * 8,
        "8 levels",
        schema_knows=False,
    ),
    # types
    "unknown type": Refused(_order(type="order.nwe"), "type", "'order.nwe' is unknown", code="unknown_type"),
    "type of an event": Refused(_order(type="trade.executed"), "type", "is unknown", code="unknown_type"),
    "empty type": Refused(_order(type=""), "type", "'' is unknown", code="unknown_type"),
    "missing type": Refused(without("order.new", "type"), "type", "expected a string"),
    "number as type": Refused(_order(type=1), "type", "expected a string"),
    "null as type": Refused(_order(type=None), "type", "expected a string"),
    # no objects
    "null": Refused(None, "record", "expected one JSON object, got null", code="malformed"),
    "list": Refused([_order()], "record", "expected one JSON object, got array", code="malformed"),
    "text": Refused("order.new", "record", "expected one JSON object, got str", code="malformed"),
    "number": Refused(1, "record", "expected one JSON object, got int", code="malformed"),
    "flag": Refused(True, "record", "expected one JSON object, got bool", code="malformed"),
}
