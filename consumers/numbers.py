"""Numbers as people are shown them: the page, the stories. Nothing is summed or compared here."""

from decimal import Context, Decimal

_PRINT = Context(prec=100)


def amount(value: Decimal | str | int | None) -> str:
    """Exact, thousands set apart, without trailing zeros; a dash for what does not exist."""
    if value is None:
        return "–"
    shown = format(Decimal(value), ",f")
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return shown.replace("-", "−")


def brief(value: Decimal | str | int | None) -> str:
    """For tables: two places, or as many as six significant digits need. The page says the exact value beside it."""
    if value is None:
        return "–"
    number = Decimal(value)
    places = max(2, 5 - number.adjusted()) if number else 2
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > places:
        number = number.quantize(Decimal(1).scaleb(-places), context=_PRINT)
    return amount(number)


def rounded(value: Decimal | str | int) -> str:
    """For headlines: to two places, none from a thousand on; below one, to three significant digits."""
    number = Decimal(value)
    places = 0 if abs(number) >= 1000 else max(2, 2 - number.adjusted()) if number else 2
    return amount(number.quantize(Decimal(1).scaleb(-places), context=_PRINT))
