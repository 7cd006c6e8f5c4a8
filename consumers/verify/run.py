"""The proof of a venue: what arrived is read first, then each stream is proved, then the money is added up."""

from collections.abc import Iterable, Mapping

import msgspec

from consumers.service.journal import Header, JournalError
from consumers.service.publication import HeaderStyle, Publisher
from consumers.service.stream import Stream, open_stream, stream_names
from consumers.verify.crossings import Arrived, Ends, number_of
from consumers.verify.evidence import Evidence, NoJournal, Unusable
from consumers.verify.proof import Balance, StreamProof
from consumers.verify.verdict import Conservation, Crossing, Finding, Findings, TooManyFindings, Verdict
from schemas.claims import Claim, Decision
from schemas.config import ConfigError, VenueConfig, config_hash, parse_config


async def verify(evidence: Evidence, *, headers: HeaderStyle, code: str, config: VenueConfig | None = None) -> Verdict:
    """Prove a venue. Raises Unusable where there is nothing to be proved.

    The venue is the one whose config is in its journals; one that is given has to be among those they began with.
    `headers` is the style that the services were told to write, `code` the version that runs here.
    """
    journals = await evidence.journals()
    configs = _genesis_configs(journals, config)
    names = _names(configs.values())
    proved = names if evidence.has_topics else [name for name in names if name in journals]
    found: list[Finding] = []
    arrived: dict[Ends, Arrived] = {}
    seen: dict[str, set[str]] = {name: set() for name in journals}
    for name in journals:
        await _read_arrivals(evidence, open_stream(configs[name], name), arrived, seen[name], found)
    _check_configs(journals, seen, found)
    proofs: dict[str, StreamProof] = {}
    for name in proved:
        settings = configs.get(name) or next(each for each in configs.values() if name in stream_names(each))
        stream = open_stream(settings, name)
        publisher = Publisher(name, stream.partition_of, headers)
        proofs[name] = proof = StreamProof(stream, _settlement_of(settings, name), publisher, code, arrived)
        journal = await evidence.open_journal(name) if name in journals else NoJournal()
        try:
            await proof.run(evidence, journal)
        finally:
            await journal.close()
    latest = [proof.config for proof in proofs.values()]
    names = _names(latest)
    for sender, receiver in arrived:
        if sender not in names:
            Findings(receiver, found).add("messages", "its journal", f"messages of {', '.join(names)}", f"of {sender}")
    conservation = _add_up(latest, proofs, found)
    return Verdict(
        configs={name: header.config for name, header in journals.items()},
        topics=evidence.has_topics,
        streams=[proof.verdict for proof in proofs.values()],
        crossings=_crossings(proofs, arrived),
        conservation=conservation,
        absent=[name for name in names if name not in journals],
        findings=[*(finding for proof in proofs.values() for finding in proof.verdict.findings), *found],
    )


def _names(configs: Iterable[VenueConfig]) -> list[str]:
    """The streams that any of the configs has."""
    return list(dict.fromkeys(name for config in configs for name in stream_names(config)))


def _genesis_configs(journals: Mapping[str, Header], given: VenueConfig | None) -> dict[str, VenueConfig]:
    """The config that each journal began with. A stream that was added later began with that of the moment."""
    if not journals:
        raise Unusable("there is no journal; nothing has ever been written")
    configs: dict[str, VenueConfig] = {}
    for name, header in journals.items():
        if header.genesis is None:
            raise Unusable(
                f"the journal of {name} begins with input {header.first}, what comes before is deleted; verify files "
                "that were exported in time: they are taken as arguments"
            )
        try:
            configs[name] = parse_config(header.genesis)
            own_hash = open_stream(configs[name], name).config_hash
        except ConfigError as error:
            raise Unusable(f"the config in the journal of {name}: {error}") from None
        if own_hash != header.config:
            raise Unusable(
                f"the config in the journal of {name} has the hash {own_hash}, its first header names {header.config}"
            )
    if given is not None and config_hash(given) not in {config_hash(config) for config in configs.values()}:
        said = ", ".join(f"{name} {config_hash(config)}" for name, config in configs.items())
        raise Unusable(
            f"no journal began with the config given, {config_hash(given)}; leave --config out to use theirs ({said})"
        )
    return configs


def _check_configs(journals: Mapping[str, Header], seen: Mapping[str, set[str]], found: list[Finding]) -> None:
    """A stream begins with a config that others have, too: at their beginning or after a change."""
    for name, header in journals.items():
        others = [hashes for other, hashes in seen.items() if other != name]
        if others and not any(header.config in hashes for hashes in others):
            expected = "a config that another stream has had"
            Findings(name, found).add("journal", "the genesis", expected, header.config)


def _settlement_of(settings: VenueConfig, stream: str) -> str:
    """The settlement of a stream's asset."""
    kind, _, name = stream.partition(":")
    return f"settlement:{settings.shards[name].asset if kind == 'engine' else name}"


async def _read_arrivals(
    evidence: Evidence, stream: Stream, arrived: dict[Ends, Arrived], configs: set[str], found: list[Finding]
) -> None:
    """What the journal of a stream says that others sent it; that it is gapless shows here already."""
    findings = Findings(stream.name, found)
    own = ("decisions",) if stream.kind == "engine" else ("liquidations",)
    journal = await evidence.open_journal(stream.name)
    try:
        while (journalled := await journal.next()) is not None:
            configs.add(journalled.record.header.config)
            for entry in journalled.record.entries:
                if entry.at.partition("/")[0] not in own:
                    continue
                message = stream.decode(entry.input)
                if not isinstance(message, Claim | Decision):
                    continue  # which the accounting of inputs will say
                there = arrived.setdefault((message.stream, stream.name), Arrived())
                if number_of(message) != there.count + 1:
                    place = f"{journalled.where}, {entry.at}"
                    said = f"number {number_of(message)}"
                    findings.add("messages", place, f"number {there.count + 1} from {message.stream}", said)
                    return
                there.add(message)
    except (JournalError, msgspec.DecodeError, UnicodeDecodeError, TooManyFindings):
        return  # the replay of this journal comes to the same place and says so
    finally:
        await journal.close()


def _crossings(proofs: Mapping[str, StreamProof], arrived: Mapping[Ends, Arrived]) -> list[Crossing]:
    sent = {ends: count.count for proof in proofs.values() for ends, count in proof.sent.items()}
    return [
        Crossing(*ends, sent.get(ends, 0), arrived[ends].count if ends in arrived else 0)
        for ends in sorted(sent.keys() | arrived.keys())
    ]


def _add_up(
    configs: Iterable[VenueConfig], proofs: Mapping[str, StreamProof], found: list[Finding]
) -> list[Conservation]:
    """The money of each asset whose machines were all replayed to the end.

    Σ residuals of the machines + Σ what their transit purses hold − what is in messages under way = 0, where under way
    is what was sent less what arrived. So it does not matter how far each machine had come.
    """
    of_asset: dict[str, list[str]] = {}
    for config in configs:
        for name in stream_names(config):
            machines = of_asset.setdefault(_settlement_of(config, name).partition(":")[2], [])
            if name not in machines:
                machines.append(name)
    sums = []
    for asset, names in of_asset.items():
        balances: list[Balance] = []
        for name in names:
            balance = proofs[name].balance if name in proofs else None
            if balance is not None:
                balances.append(balance)
        if len(balances) < len(names):
            continue
        text = balances[0].asset.text
        in_flight = sum(balance.flow for balance in balances)
        left_over = sum(balance.residual + balance.transit for balance in balances) - in_flight
        sums.append(Conservation(asset, text(in_flight), text(left_over)))
        if left_over:
            findings = Findings(f"settlement:{asset}", found)
            place = f"{', '.join(names)} together"
            findings.add("conservation", place, f"residual {text(0)}", text(left_over))
    return sums
