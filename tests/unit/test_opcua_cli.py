"""`lineside opcua` and what `lineside doctor` says of certificates."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from devices.opcua_secured import certificate
from typer.testing import CliRunner, Result

from collectors.opcua.certificates import LIFE, Certificate, grouped, read
from collectors.opcua.pki import RENEW_BEFORE, Known, Pki
from infra.cli import app
from infra.cli.opcua import certificate_findings

URL = "opc.tcp://127.0.0.1:1/"
NOW = datetime.now(UTC)


def lineside(*words: object, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["opcua", *map(str, words)], input=answer)


@pytest.fixture
def server(tmp_path: Path) -> Certificate:
    """Refused from the source "plc"."""
    one = read(certificate("server"))
    Pki(tmp_path).reject(one, "plc", URL, "unknown", NOW)
    return one


@pytest.mark.parametrize("called", ["plc", "{0.fingerprint}", "{1}", "{2}", "{0.thumbprint}"])
def test_a_refused_certificate_is_shown_and_trusted_after_a_yes(
    tmp_path: Path, server: Certificate, called: str
) -> None:
    first = server.fingerprint[:8]
    what = called.format(server, first, grouped(server.fingerprint).upper())
    said = lineside("trust", what, "--data", tmp_path, answer="n\n")
    assert said.exit_code == 1 and "Nothing has changed" in said.output
    assert not Pki(tmp_path).is_trusted(server)
    for shown in (
        "CN=server",
        URL,
        "urn:lineside:test:server",
        grouped(server.fingerprint),
        server.thumbprint,
    ):
        assert shown in said.output
    assert lineside("trust", what, "--data", tmp_path, answer="").exit_code == 1, "nobody there to say yes"
    assert not Pki(tmp_path).is_trusted(server)
    said = lineside("trust", what, "--data", tmp_path, answer="y\n")
    assert said.exit_code == 0 and "It is trusted now" in said.output
    assert Pki(tmp_path).is_trusted(server)
    if what != "plc":
        assert "trusted already" in lineside("trust", what, "--data", tmp_path).output


def test_only_what_was_named_is_trusted(tmp_path: Path, server: Certificate) -> None:
    other = read(certificate("other"))
    Pki(tmp_path).reject(other, "plc-2", URL, "unknown", NOW)
    assert lineside("trust", "plc", "--data", tmp_path, "--yes").exit_code == 0
    assert Pki(tmp_path).is_trusted(server) and not Pki(tmp_path).is_trusted(other)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nobody", 'no server certificate of "nobody" was refused'),
        ("abc", 'no server certificate of "abc" was refused'),
        ("", "no server certificate"),
        (URL, f"no OPC UA server at {URL}"),
        ("opc.tcp://", "opc.tcp:// does not do: write it with host and port"),
        ("opc.tcp://host", "write it with host and port"),
        ("opc.tcp://host:99999", "does not do: Port out of range"),
        ("opc.tcp://me:secret@host:1", "leave user and password out of it"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, server: Certificate, what: str, said: str) -> None:
    result = lineside("trust", what, "--data", tmp_path, "--yes")
    assert result.exit_code == 1 and said in result.stderr and "Traceback" not in result.stderr
    assert Pki(tmp_path).trusted() == {}


def test_a_changed_one_is_shown_with_what_was_before(tmp_path: Path) -> None:
    pki, new = Pki(tmp_path), read(certificate("server"))
    pki.remember("plc", Known(URL, "ab" * 32, "Sign", "Basic256Sha256"))
    pki.reject(new, "plc", URL, "changed", NOW)
    assert (
        f"It is not what plc had before: {grouped('ab' * 32)}"
        in lineside("trust", "plc", "--data", tmp_path, answer="n\n").output
    )


def test_one_that_could_not_be_used_says_so(tmp_path: Path) -> None:
    old = read(certificate("server", start=timedelta(days=-9), end=timedelta(days=-1)))
    Pki(tmp_path).reject(old, "plc", URL, "unknown", NOW)
    assert (
        "As it is it would be refused even when trusted: it expired"
        in lineside("trust", "plc", "--data", tmp_path, answer="n\n").output
    )


def test_untrust(tmp_path: Path, server: Certificate) -> None:
    Pki(tmp_path).trust(server)
    assert lineside("untrust", server.fingerprint[:10], "--data", tmp_path, answer="n\n").exit_code == 1
    assert Pki(tmp_path).is_trusted(server)
    assert lineside("untrust", server.fingerprint[:10], "--data", tmp_path, "--yes").exit_code == 0
    assert not Pki(tmp_path).is_trusted(server)
    again = lineside("untrust", server.fingerprint[:10], "--data", tmp_path, "--yes")
    assert again.exit_code == 1 and "there is no trusted certificate" in again.stderr


def test_certificates_are_listed(tmp_path: Path, server: Certificate) -> None:
    empty = lineside("certificates", "--data", tmp_path / "nothing")
    assert empty.exit_code == 0 and "no certificates" in empty.output
    pki, trusted = Pki(tmp_path), read(certificate("trusted"))
    pki.own(NOW, "pc")
    pki.trust(trusted)
    pki.remember("plc-2", Known(URL, trusted.fingerprint, "Sign", "Basic256Sha256"))
    said = lineside("certificates", "--data", tmp_path)
    assert said.exit_code == 0
    for shown in (
        "own",
        "Lineside on pc",
        "trusted",
        "plc-2",
        trusted.fingerprint[:16],
        "rejected",
        "CN=server",
    ):
        assert shown in said.output
    rows = json.loads(lineside("certificates", "--data", tmp_path, "--json").output)
    assert [row["kind"] for row in rows] == ["own", "trusted", "rejected"]
    assert rows[2]["fingerprint"] == server.fingerprint


def test_export_writes_ours_and_later_the_next_one(tmp_path: Path) -> None:
    file, pki = tmp_path / "ours.der", Pki(tmp_path)
    said = lineside("export", file, "--data", tmp_path)
    (own,) = pki.identities()
    assert said.exit_code == 0 and own.certificate.thumbprint in said.output
    assert read(file.read_bytes()) == own.certificate and b"PRIVATE" not in file.read_bytes()
    assert stat.S_IMODE((pki.own_folder).stat().st_mode) == 0o700
    for kept in pki.own_folder.glob("*.pem"):
        kept.unlink()
    old = pki.own(NOW - LIFE + RENEW_BEFORE - timedelta(days=1), "pc")
    said = lineside("export", file, "--data", tmp_path)
    new = next(i for i in pki.identities() if i != old)
    assert read(file.read_bytes()) == old.certificate
    assert read((tmp_path / "ours-next.der").read_bytes()) == new.certificate
    failed = lineside("export", tmp_path / "no" / "such" / "folder", "--data", tmp_path)
    assert failed.exit_code == 1 and "cannot write" in failed.stderr


def test_what_doctor_says(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    assert list(certificate_findings(tmp_path, NOW)) == []
    own = pki.own(NOW, "pc")
    server = read(certificate("server", end=timedelta(days=100)))
    pki.trust(server)
    pki.remember("plc", Known(URL, server.fingerprint, "Sign", "Basic256Sha256"))

    def said(now: datetime) -> dict[str, tuple[bool, str]]:
        return {what: (ok, detail) for what, ok, detail in certificate_findings(tmp_path, now)}

    assert [ok for ok, _ in said(NOW).values()] == [True, True]
    soon = said(NOW + timedelta(days=80, hours=1))["certificate of plc"]
    assert not soon[0] and "ends in 19 days: make a new one on the server" in soon[1]
    ended = said(NOW + timedelta(days=101))["certificate of plc"]
    assert not ended[0] and "it expired" in ended[1]
    gone = certificate_findings(tmp_path, NOW + timedelta(days=101), ["another"])
    assert [what for what, _, _ in gone] == ["own certificate"], "the plant has no such source any more"
    near = own.certificate.not_after - timedelta(days=60)
    pki.own(near, "pc")
    ours = said(near)["own certificate"]
    assert not ours[0] and "have the servers trust the next one too" in ours[1]
    pki.untrust(server)
    assert said(NOW)["certificate of plc"] == (
        False,
        "it is not trusted any more: see `lineside opcua certificates`",
    )
    next(pki.own_folder.glob("*.pem")).write_bytes(b"x")
    assert "is damaged" in said(NOW)["certificates"][1]
