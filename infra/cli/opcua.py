"""`lineside opcua`: our certificate, and which servers' certificates are trusted."""

import asyncio
import re
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import typer
from rich.console import Console
from rich.table import Table

from collectors.durable import write_durably
from collectors.opcua.certificates import Certificate, Identity, grouped, problem, read
from collectors.opcua.pki import SWITCH_BEFORE, Pki, PkiError, Rejected, current
from collectors.text import plain
from infra.folder import DataFolder

FEWEST = 8
"""Digits of a fingerprint that name a certificate."""
ENDS_SOON = timedelta(days=30)


class _NotFoundError(Exception):
    """There is no such certificate; the message says what to do."""


def run_trust(what: str, data: Path, yes: bool) -> int:
    """Show the certificate of a server (an address), of a source, or with a fingerprint, and trust it when told so.
    The exit code: 0 it is trusted, 1 it is not."""
    pki, now = _pki(data), datetime.now(UTC)
    try:
        found, seen = _asked(what) if what.startswith("opc.tcp://") else _refused(pki, what)
        for certificate in found:
            _show(certificate, now, seen.url if seen else what)
            if seen is not None and seen.why == "changed" and (known := pki.known(seen.source)):
                print(f"It is not what {seen.source} had before: {grouped(known.fingerprint)}")
            if pki.is_trusted(certificate):
                print("It is trusted already.")
                continue
            if not yes and not typer.confirm(
                "Is this the server's own fingerprint, and is it to be trusted?"
            ):
                print("Nothing has changed.")
                return 1
            pki.trust(certificate)
            print("It is trusted now. A running plant connects within 10 s.")
        _show_own(pki, data)
    except (PkiError, _NotFoundError) as error:
        return _failed(str(error))
    return 0


def run_untrust(what: str, data: Path, yes: bool) -> int:
    """Trust a certificate no longer, by the first digits of its fingerprint. 1: nothing has changed."""
    pki, now = _pki(data), datetime.now(UTC)
    try:
        certificate = _one(_matching(list(pki.trusted().values()), what), what)
        _show(certificate, now, "")
        if not yes and not typer.confirm("Trust it no longer?"):
            print("Nothing has changed.")
            return 1
        pki.untrust(certificate)
    except (PkiError, _NotFoundError) as error:
        return _failed(str(error))
    print("It is trusted no longer: a running plant lets go of its server within 10 s.")
    return 0


def run_certificates(data: Path, as_json: bool) -> int:
    """List our own, the trusted and the refused certificates; 1 when one that is used has ended or ends soon."""
    pki, now = _pki(data), datetime.now(UTC)
    try:
        identities = pki.identities()
        used, trusted, rejected = current(identities, now), pki.trusted(), pki.rejected()
    except PkiError as error:
        return _failed(str(error))
    users = _users(pki)
    rows: list[dict[str, object]] = [
        {"kind": "own", "of": "this Lineside" if i is used else _idle(i, now), **_facts(i.certificate, now)}
        for i in identities
    ]
    rows += [
        {"kind": "trusted", "of": ", ".join(users.get(c.fingerprint, ())), **_facts(c, now)}
        for c in trusted.values()
    ]
    rows += [
        {"kind": "rejected", "of": f"{r.source} {r.url}", **_facts(r.certificate, now)} for r in rejected
    ]
    if as_json:
        sys.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(rows, pki)
    return 0 if all(ok for _, ok, _ in certificate_findings(pki.folder, now)) else 1


def run_export(to: Path, data: Path) -> int:
    """Write our own certificate (DER) for the administrators of servers; the next one too once there is one."""
    pki, now = _pki(data), datetime.now(UTC)
    try:
        own = pki.own(now, socket.gethostname())
        write_durably(to, own.certificate.der)
        print(f"{to}: our certificate, {own.uri}, thumbprint {own.certificate.thumbprint}")
        for later in _later(pki.identities(), own):
            path = to.with_name(f"{to.stem}-next{to.suffix}")
            write_durably(path, later.certificate.der)
            since = own.certificate.not_after - SWITCH_BEFORE
            print(
                f"{path}: the next one, used from {since:%Y-%m-%d}, thumbprint {later.certificate.thumbprint}"
            )
    except PkiError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"cannot write {to} ({error.strerror})")
    return 0


def certificate_findings(
    folder: Path, now: datetime, sources: Collection[str] | None = None
) -> Iterator[tuple[str, bool, str]]:
    """For `lineside doctor`: our own certificate and those of the sources (None: all that ever were) of a data folder:
    what, whether it is well, and the detail. Nothing where no certificate is used."""
    pki = Pki(folder)
    try:
        identities, trusted = pki.identities(), pki.trusted()
    except PkiError as error:
        yield "certificates", False, str(error)
        return
    if identities:
        yield _own_finding(identities, now)
    for fingerprint, users in _users(pki, sources).items():
        what = f"certificate of {', '.join(users)}"
        certificate = next((c for c in trusted.values() if c.fingerprint == fingerprint), None)
        if certificate is None:
            yield what, False, "it is not trusted any more: see `lineside opcua certificates`"
        elif wrong := problem(certificate, now):
            yield what, False, wrong
        else:
            left = certificate.not_after - now
            soon = f"ends in {left.days} days: make a new one on the server, then `lineside opcua trust` it"
            yield what, left > ENDS_SOON, soon if left <= ENDS_SOON else _until(certificate)


def _own_finding(identities: list[Identity], now: datetime) -> tuple[str, bool, str]:
    own = current(identities, now)
    if own is None:
        return "own certificate", False, "none is valid now: check this machine's clock"
    if later := _later(identities, own):
        return (
            "own certificate",
            False,
            f"ends on {own.certificate.not_after:%Y-%m-%d}: have the servers trust the next one too (`lineside opcua "
            f"export` writes it, thumbprint {later[0].certificate.thumbprint})",
        )
    return "own certificate", True, f"{_until(own.certificate)}, thumbprint {own.certificate.thumbprint}"


def _later(identities: list[Identity], own: Identity) -> list[Identity]:
    return [i for i in identities if i.certificate.not_after > own.certificate.not_after]


def _idle(identity: Identity, now: datetime) -> str:
    return "ended" if identity.certificate.not_after < now else "the next one"


def _users(pki: Pki, sources: Collection[str] | None = None) -> dict[str, list[str]]:
    """Fingerprint to those of the sources that were last connected with it."""
    found: dict[str, list[str]] = {}
    for source in pki.known_sources():
        if (sources is None or source in sources) and (known := pki.known(source)):
            found.setdefault(known.fingerprint, []).append(source)
    return found


def _pki(data: Path) -> Pki:
    return Pki(DataFolder(data).root)


def _asked(url: str) -> tuple[list[Certificate], None]:
    from collectors.connection import ConnectionLostError
    from collectors.opcua import check_url
    from collectors.opcua.offers import usable
    from collectors.opcua.security import offers_of

    try:
        offers = asyncio.run(offers_of(check_url(url)))
    except ValueError as error:
        raise _NotFoundError(f"{url} does not do: {error}") from error
    except ConnectionLostError as error:
        raise _NotFoundError(str(error)) from error
    ders = dict.fromkeys(offer.certificate for offer in usable(offers))
    if not ders:
        raise _NotFoundError(f"{url} offers no secured connection, so there is nothing to trust")
    try:
        return [read(der) for der in ders], None
    except ValueError as error:
        raise _NotFoundError(f"{url} shows {error}") from error


def _refused(pki: Pki, what: str) -> tuple[list[Certificate], Rejected | None]:
    rejected = pki.rejected()
    if seen := next((r for r in rejected if r.source == what), None):
        return [seen.certificate], seen
    matching = _matching([*(r.certificate for r in rejected), *pki.trusted().values()], what)
    if not matching:
        raise _NotFoundError(
            f'no server certificate of "{what}" was refused: give the id of a source that is refused, the first '
            f"{FEWEST} or more digits of a fingerprint in `lineside opcua certificates`, or an address like "
            "opc.tcp://192.168.0.10:4840"
        )
    certificate = _one(matching, what)
    return [certificate], next((r for r in rejected if r.certificate == certificate), None)


def _matching(certificates: list[Certificate], what: str) -> list[Certificate]:
    digits = re.sub(r"[\s:]", "", what).lower()
    if len(digits) < FEWEST or not re.fullmatch("[0-9a-f]+", digits):
        return []
    same = [c for c in certificates if c.fingerprint.startswith(digits) or c.thumbprint == digits]
    return list({c.fingerprint: c for c in same}.values())


def _one(certificates: list[Certificate], what: str) -> Certificate:
    if len(certificates) == 1:
        return certificates[0]
    if certificates:
        listed = ", ".join(grouped(c.fingerprint) for c in certificates)
        raise _NotFoundError(f"{what} begins more than one fingerprint: {listed}; give more digits")
    raise _NotFoundError(
        f"there is no trusted certificate {what}: give the first {FEWEST} or more digits of a fingerprint in "
        "`lineside opcua certificates`"
    )


def _show(certificate: Certificate, now: datetime, url: str) -> None:
    issuer = "itself" if certificate.issuer == certificate.subject else certificate.issuer
    host = urlsplit(url).hostname or ""
    lines = [
        ("server", url),
        ("name", certificate.subject),
        ("issued by", issuer),
        ("application", _some(certificate.uris)),
        ("hosts", _some(certificate.hosts)),
        ("valid", f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"),
        ("key", f"RSA, {certificate.key_bits} bits" if certificate.key_bits else "not RSA"),
        ("SHA-256", grouped(certificate.fingerprint)),
        ("SHA-1", certificate.thumbprint),
    ]
    for name, text in lines:
        if text:
            print(f"  {name:<12} {text}")
    if wrong := problem(certificate, now):
        print(f"As it is it would be refused even when trusted: {wrong}")
    if host and host not in certificate.hosts:
        print(f"It does not name {host}. That is common; what counts is the fingerprint.")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(plain, names[:5])) + more if names else "none"


def _show_own(pki: Pki, data: Path) -> None:
    own = current(pki.identities(), datetime.now(UTC))
    if own is not None:
        print(
            f"The server must trust ours as well, thumbprint {own.certificate.thumbprint}: "
            f"`lineside opcua export lineside.der --data {data}` writes it for its administrator."
        )


def _facts(certificate: Certificate, now: datetime) -> dict[str, object]:
    return {
        "subject": certificate.subject,
        "application": plain(", ".join(certificate.uris)),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "ended": certificate.not_after < now,
        "fingerprint": certificate.fingerprint,
        "thumbprint": certificate.thumbprint,
    }


def _print(rows: list[dict[str, object]], pki: Pki) -> None:
    if not rows:
        print(f"There are no certificates in {pki.folder / 'pki'} yet: `lineside opcua export` makes ours.")
        return
    table = Table("", "of", "name", "until", "SHA-256", box=None, pad_edge=False)
    for row in rows:
        until = f"{row['not_after']:%Y-%m-%d}"
        table.add_row(
            str(row["kind"]),
            str(row["of"]),
            str(row["subject"]),
            f"{until} (ended)" if row["ended"] else until,
            str(row["fingerprint"])[:16],
        )
    Console(soft_wrap=True, highlight=False, markup=False).print(table)


def _until(certificate: Certificate) -> str:
    return f"valid until {certificate.not_after:%Y-%m-%d}"


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
