"""The folder with certificates, and which offer of a server is taken."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from devices.opcua_secured import certificate, key_pem
from hypothesis import given
from hypothesis import strategies as st

from collectors.opcua.certificates import LIFE, plain, problem, read
from collectors.opcua.offers import (
    ANONYMOUS,
    AUTO,
    CERTIFICATE,
    ENCRYPT,
    NONE,
    POLICIES,
    SIGN,
    USER_NAME,
    NoOfferError,
    Offer,
    Token,
    choose,
    choose_token,
)
from collectors.opcua.pki import KEPT, RENEW_BEFORE, SWITCH_BEFORE, Known, Pki, PkiError
from tests.examples import examples

NOW = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)


def test_our_own_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    own = Pki(tmp_path).own(NOW, "line-pc")
    assert own.uri.startswith("urn:lineside:line-pc:") and own.certificate.uris == (own.uri,)
    assert own.certificate.hosts == ("line-pc",)
    assert own.certificate.not_after == NOW + LIFE and own.certificate.key_bits == 2048
    (file,) = Pki(tmp_path).own_folder.glob("*.pem")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert Pki(tmp_path).own(NOW + timedelta(days=365), "renamed-pc") == own, "reused, whatever we are called"


@pytest.mark.parametrize("host", ["Fertigung_Süd-1", "", "x" * 300, "10.0.0.7", "-"])
def test_every_machine_has_a_name_that_does(tmp_path: Path, host: str) -> None:
    own = Pki(tmp_path).own(NOW, host)
    assert own.uri.isascii() and own.uri.startswith("urn:lineside:")
    assert all(name.isascii() for name in own.certificate.hosts)


@pytest.mark.parametrize("first", ["own", "trust", "reject"])
def test_what_root_makes_belongs_to_the_owner_of_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    given: dict[Path, tuple[int, int]] = {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, *owner: given.update({Path(path): owner}))
    pki = Pki(tmp_path)
    server = read(certificate("server"))
    if first == "own":
        pki.own(NOW, "pc")
    elif first == "trust":
        pki.trust(server)
    else:
        pki.reject(server, "plc", "opc.tcp://plc", "unknown", NOW)
    there = set(tmp_path.rglob("*"))
    owner = tmp_path.stat().st_uid, tmp_path.stat().st_gid
    assert there and given == dict.fromkeys(there, owner)


def test_several_processes_make_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Pki(tmp_path).own(NOW, "pc"), range(8)))
    assert len({identity.certificate.der for identity in made}) == 1


def test_a_writer_that_was_killed_left_nothing_others_can_read_or_use(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    first = pki.own(NOW, "pc")
    (file,) = pki.own_folder.glob("*.pem")
    half = file.with_name(file.name + ".tmp")
    half.write_bytes(file.read_bytes()[:100])
    half.chmod(0o644)
    file.unlink()
    again = pki.own(NOW, "pc")
    assert again != first
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in pki.own_folder.glob("*.pem"))


def test_our_own_is_renewed_in_time_and_the_old_one_used_until_its_end(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    old = pki.own(NOW, "pc")
    end = old.certificate.not_after
    assert pki.own(end - RENEW_BEFORE - timedelta(hours=1), "pc") == old
    assert pki.identities() == [old]
    assert pki.own(end - RENEW_BEFORE + timedelta(hours=1), "pc") == old
    assert [i.uri for i in pki.identities()] == [old.uri, old.uri], (
        "the next one is there, for the same application"
    )
    new = pki.identities()[1]
    assert pki.own(end - SWITCH_BEFORE - timedelta(minutes=1), "pc") == old
    assert pki.own(end - SWITCH_BEFORE + timedelta(minutes=1), "pc") == new
    assert pki.own(end + timedelta(days=1), "pc") == new
    assert len(pki.identities()) == 2, "the old one is kept"


def test_a_wrong_clock_is_said_and_does_no_harm(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    own = pki.own(NOW, "pc")
    later = pki.own(NOW + timedelta(days=9000), "pc")
    assert later != own
    assert pki.own(NOW, "pc") == own
    for file in pki.own_folder.glob("*.pem"):
        if later.certificate.fingerprint[:16] not in file.name:
            file.unlink()
    assert pki.own(NOW, "pc").uri == own.uri, "one that is not valid yet is no use, but names the application"


def test_a_damaged_own_certificate_is_named(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.own(NOW, "pc")
    (file,) = pki.own_folder.glob("*.pem")
    good = file.read_bytes()
    alone = good.partition(b"-----BEGIN PRIVATE")[0]
    for content in (b"", good[:-200], alone, alone + key_pem("server")):
        file.write_bytes(content)
        with pytest.raises(PkiError, match=rf"{file} is damaged .*restore it from a backup"):
            pki.own(NOW, "pc")


def test_trusted_files_may_be_put_there_by_hand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pki, one = Pki(tmp_path), read(certificate("one"))
    assert not pki.is_trusted(one)
    pki.trust(one)
    assert pki.is_trusted(one)
    pem = x509.load_der_x509_certificate(one.der).public_bytes(Encoding.PEM)
    (pki.trusted_folder / "by hand.CRT").write_bytes(pem)
    (pki.trusted_folder / "letter.der").write_bytes(b"Dear admin")
    (pki.trusted_folder / "README.txt").write_bytes(b"x")
    assert len(pki.trusted()) == 2
    assert "letter.der does not count as trusted" in caplog.text
    pki.untrust(one)
    assert not pki.is_trusted(one) and pki.trusted() == {}, "every copy of it"
    assert (pki.trusted_folder / "letter.der").exists()


def test_another_certificate_with_the_same_name_is_not_trusted(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.trust(read(certificate("one")))
    assert not pki.is_trusted(read(certificate("one"))), "made anew: another serial number"


def test_refused_certificates_are_kept_the_latest_first_and_not_endlessly(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    flood = [read(certificate("one", uri=f"urn:{i}")) for i in range(KEPT + 5)]
    for number, one in enumerate(flood):
        pki.reject(one, "plc", "opc.tcp://plc", "unknown", NOW + timedelta(seconds=number))
    kept = pki.rejected()
    assert [r.certificate for r in kept] == flood[:4:-1]
    assert len(list(pki.rejected_folder.iterdir())) == 2 * KEPT
    last = pki.rejected_folder / f"{flood[-1].fingerprint}.json"
    written = last.stat().st_mtime_ns, last.stat().st_ino
    pki.reject(flood[-1], "plc", "opc.tcp://plc", "unknown", NOW + timedelta(hours=1))
    assert (last.stat().st_mtime_ns, last.stat().st_ino) == written, (
        "a source that tries on does not wear the disk"
    )
    pki.trust(flood[-1])
    assert pki.rejected()[0].certificate == flood[-2]


def test_what_a_source_was_connected_with_is_kept(tmp_path: Path) -> None:
    pki, known = Pki(tmp_path), Known("opc.tcp://plc", "ab", ENCRYPT, POLICIES[0])
    assert pki.known("plc") is None
    pki.remember("plc", known)
    assert Pki(tmp_path).known("plc") == known and pki.known_sources() == ["plc"]
    (tmp_path / "pki" / "known" / "plc.json").write_bytes(b"{")
    assert pki.known("plc") is None


@examples(300)
@given(st.data())
def test_a_damaged_certificate_is_a_value_error(data: st.DataObject) -> None:
    der = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(der) - 1))
        if data.draw(st.booleans()):
            der[place] = data.draw(st.integers(0, 255))
        else:
            del der[place : place + data.draw(st.integers(1, 40))]
    try:
        found = read(bytes(der))
    except ValueError as error:
        assert str(error)
    else:
        problem(found, NOW)


GOOD = certificate("server")


def test_a_chain_is_its_first_certificate() -> None:
    assert read(GOOD + certificate("issuer")) == read(GOOD)


def test_what_a_certificate_says_is_fit_to_be_shown() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PLC\x1b[31m\n1" + "x" * 50)])
    assert plain(name.rfc4514_string() + "\x00\u202e") == plain(plain(name.rfc4514_string()))
    assert "\x1b" not in plain("a\x1b[2Jb\r\nc") and "\n" not in plain("a\x1b[2Jb\r\nc")
    assert len(plain("x" * 10_000)) == 200


EVERY = [Offer(mode, policy, "", b"c") for mode, policy in product((SIGN, ENCRYPT), (*POLICIES, "Basic256"))]
OPEN = Offer(NONE, NONE)


@given(
    st.lists(st.sampled_from([*EVERY, OPEN])),
    st.sampled_from([AUTO, SIGN, ENCRYPT]),
    st.sampled_from([None, *POLICIES]),
    st.booleans(),
)
def test_the_offer_taken_is_the_strongest_that_was_asked_for(
    offers: list[Offer], security: str, policy: str | None, identified: bool
) -> None:
    fit = [
        o
        for o in offers
        if o.mode != NONE
        and o.policy in POLICIES
        and security in (AUTO, o.mode)
        and policy in (None, o.policy)
    ]
    try:
        taken = choose(offers, security, policy, identified)
    except NoOfferError as error:
        assert not fit and str(error)
        assert set(offers) != {OPEN} or security != AUTO or policy is not None or identified
        return
    if taken.mode == NONE:
        assert set(offers) == {OPEN} and security == AUTO and policy is None and not identified
    else:
        assert taken in fit
        assert not any(o.mode == ENCRYPT for o in fit) or taken.mode == ENCRYPT
        assert all(
            POLICIES.index(taken.policy) <= POLICIES.index(o.policy) for o in fit if o.mode == taken.mode
        )


def test_a_server_with_withdrawn_policies_only_needs_a_decision() -> None:
    with pytest.raises(NoOfferError) as error:
        choose([Offer(ENCRYPT, "Basic256", "", b"c"), OPEN], AUTO, None, False)
    assert str(error.value) == (
        "the server does not offer a secured connection; it offers None, SignAndEncrypt with Basic256: enable one of "
        'Aes256_Sha256_RsaPss, Basic256Sha256, Aes128_Sha256_RsaOaep on the server, or write security = "None" to '
        "connect without protection"
    )


STRONG, PLAIN, WITHDRAWN = "Basic256Sha256", NONE, "Basic128Rsa15"


@pytest.mark.parametrize(
    ("kind", "policies", "channel", "taken"),
    [
        (USER_NAME, [WITHDRAWN, PLAIN, STRONG], ENCRYPT, 2),
        (USER_NAME, [PLAIN], ENCRYPT, 0),
        (USER_NAME, [""], SIGN, 0),
        (USER_NAME, [PLAIN], SIGN, "wants the password unencrypted over a connection that is only signed"),
        (USER_NAME, [PLAIN], NONE, 0),
        (USER_NAME, [WITHDRAWN], ENCRYPT, "protects user names only with Basic128Rsa15"),
        (CERTIFICATE, [PLAIN], ENCRYPT, "protects user certificates only with None"),
        (CERTIFICATE, [PLAIN, STRONG], NONE, 1),
        (ANONYMOUS, [WITHDRAWN], NONE, 0),
        (ANONYMOUS, [], ENCRYPT, "does not take anonymous users"),
    ],
)
def test_how_a_user_is_identified(kind: str, policies: list[str], channel: str, taken: int | str) -> None:
    tokens = [Token(kind, policy) for policy in policies]
    over = Offer(channel, NONE if channel == NONE else POLICIES[0])
    if isinstance(taken, int):
        assert choose_token(tokens, kind, over) == taken
    else:
        with pytest.raises(NoOfferError, match=taken):
            choose_token(tokens, kind, over)


def test_the_wrong_clock_of_a_server_is_a_sentence() -> None:
    def said(change: Callable[[], bytes]) -> str:
        return problem(read(change()), datetime.now(UTC)) or ""

    assert "2048 to 4096 bits" in said(lambda: certificate("short", bits=1024))
    assert "clocks" in said(lambda: certificate("server", start=timedelta(hours=1)))
    assert said(lambda: certificate("server")) == ""
