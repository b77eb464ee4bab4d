"""MTConnect documents to samples: every shape of observation, every schema version, hostile and broken XML."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mtconnect import check
from collectors.mtconnect.document import Devices, DocumentError, Errors, Streams, read_document
from collectors.mtconnect.observed import Conditions, find_items, item_table, to_samples
from collectors.mtconnect.parts import Parts, PartsError, boundary
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Role, Signal, Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = (
    '<Header instanceId="7" nextSequence="9" firstSequence="1" lastSequence="8" bufferSize="16" '
    'creationTime="2026-01-01T00:00:00Z" version="1.3"/>'
)
PROBE = """<?xml version="1.0"?>
<m:MTConnectDevices xmlns:m="urn:mtconnect.org:MTConnectDevices:2.3"><m:Header instanceId="7" version="2.3.0.1"/>
<m:Devices><m:Device id="d1" name="Lathe" uuid="u-1"><m:DataItems><m:DataItem id="a" type="AVAILABILITY"
category="EVENT" name="avail"/></m:DataItems><m:Components><m:Axes id="x"><m:Components><m:Linear id="xx" name="X">
<m:DataItems><m:DataItem id="b" category="SAMPLE" type="LOAD" subType="ACTUAL" units="PERCENT" name="load"><m:Source>
x</m:Source></m:DataItem></m:DataItems></m:Linear></m:Components></m:Axes><m:Controller id="c"><m:DataItems>
<m:DataItem id="t" category="EVENT" type="VARIABLE" name="vars" representation="TABLE"/></m:DataItems></m:Controller>
</m:Components></m:Device><m:Device id="d2" name="Mill" uuid="u-2"><m:DataItems><m:DataItem id="a2"
type="AVAILABILITY" category="EVENT" name="avail"/></m:DataItems></m:Device></m:Devices></m:MTConnectDevices>"""


def signal(address: str, role: Role = Role.PROCESS_VALUE, scale: float = 1.0) -> Signal:
    return Signal(id=address or "none", equipment="m", role=role, source="s", address=address, scale=scale)


def streams(inside: str, namespace: str = "urn:mtconnect.org:MTConnectStreams:1.3") -> Streams:
    text = (
        f'<MTConnectStreams xmlns="{namespace}" xmlns:x="urn:x">{HEADER}<Streams><DeviceStream name="Lathe">'
        f'<ComponentStream component="Path">{inside}</ComponentStream></DeviceStream></Streams></MTConnectStreams>'
    )
    found = read_document(text.encode())
    assert isinstance(found, Streams)
    return found


def rows(inside: str, *signals: Signal) -> list[tuple[object, ...]]:
    table = item_table({s.address: [s] for s in signals})
    batch, _ = to_samples(streams(inside).observations, table, Conditions(), NOW)
    assert dict(batch.schema) == dict(SAMPLES)
    return batch.select("signal", "value", "text", "quality").rows()


def observation(element: str, item: str, value: str, sequence: int = 1, more: str = "") -> str:
    return (
        f'<{element} dataItemId="{item}" sequence="{sequence}" timestamp="2026-01-01T00:00:00.5Z" {more}>'
        f"{value}</{element}>"
    )


def test_every_shape_of_observation() -> None:
    inside = (
        "<Samples>"
        + observation("Load", "a", " 12.5 ", 3)
        + observation("Load", "a", "UNAVAILABLE", 4)
        + observation("Load", "a", "7", 5, 'quality="INVALID"')
        + observation("Load", "a", "8", 6, 'quality="UNVERIFIABLE"')
        + observation("LoadTimeSeries", "b", "1 2 3.5", 7, 'sampleCount="3" sampleRate="100"')
        + "</Samples><Events>"
        + observation("Program", "order", "0042", 2)
        + observation("x:Motion", "state", "G0 &amp; G1", 1)
        + observation("VariableDataSet", "set", '<Entry key="k">1</Entry>', 8)
        + "</Events>"
    )
    given = (signal("a", scale=2.0), signal("b"), signal("order", Role.ORDER), signal("state", Role.STATE))
    assert rows(inside, *given, signal("set")) == [
        ("state", None, "G0 & G1", GOOD),
        ("order", None, "0042", GOOD),
        ("a", 25.0, None, GOOD),
        ("a", None, None, BAD),
        ("a", 14.0, None, BAD),
        ("a", 16.0, None, UNCERTAIN),
        ("b", 3.5, None, GOOD),
        ("set", None, None, BAD),
    ]


@pytest.mark.parametrize(
    "namespace",
    ["urn:mtconnect.org:MTConnectStreams:1.2", "urn:mtconnect.org:MTConnectStreams:2.5", "urn:someone:else"],
)
def test_every_schema_version(namespace: str) -> None:
    inside = f"<Events>{observation('Execution', 'e', 'ACTIVE')}</Events>"
    found = streams(inside, namespace)
    assert (found.header.instance, found.header.first, found.header.next) == (7, 1, 9)
    assert [(o.item, o.value, o.category) for o in found.observations] == [("e", "ACTIVE", "Events")]


def test_clearing_one_fault_of_two_leaves_the_other() -> None:
    def seen(level: str, sequence: int, code: str = "", text: str = "") -> str:
        return observation(level, "c", text, sequence, f'type="SYSTEM" nativeCode="{code}"')

    inside = (
        "<Condition>"
        + seen("Normal", 1)
        + seen("Fault", 2, "E1", "coolant low")
        + seen("Warning", 3, "W2", "door")
        + seen("Normal", 4, "E1")
        + seen("Normal", 5)
        + seen("Unavailable", 6)
        + "</Condition>"
    )
    levels = [row[2] for row in rows(inside, signal("c", Role.STATE))]
    assert levels == ["NORMAL", "FAULT", "FAULT", "WARNING", "NORMAL", None]
    assert rows(inside, signal("c", Role.ALARM))[1][2] == "FAULT E1 coolant low"


def test_the_probe_is_read_and_addresses_are_found_or_refused_with_the_reason() -> None:
    found = read_document(PROBE.encode())
    assert isinstance(found, Devices)
    assert [(i.id, i.device, i.component) for i in found.items] == [
        ("a", "Lathe", ""),
        ("b", "Lathe", "Axes/Linear X"),
        ("t", "Lathe", "Controller"),
        ("a2", "Mill", ""),
    ]
    assert (found.items[1].units, found.items[1].sub_type) == ("PERCENT", "ACTUAL")
    wanted = [signal(a) for a in ("b", "load", "Mill:avail", "u-1:avail", "avail", "vars", "nothing")]
    feeds, refused = find_items(wanted, found.items)
    assert {item: [s.address for s in signals] for item, signals in feeds.items()} == {
        "b": ["b", "load"],
        "a2": ["Mill:avail"],
        "a": ["u-1:avail"],
    }
    assert set(refused) == {"m.avail", "m.vars", "m.nothing"}
    assert "2 data items" in refused["m.avail"] and "a2 (Mill)" in refused["m.avail"]


@pytest.mark.parametrize(
    "text",
    [
        '<MTConnectError xmlns="urn:mtconnect.org:MTConnectError:1.0"><Header instanceId="1"/>'
        '<Error errorCode="OUT_OF_RANGE">too far</Error></MTConnectError>',
        '<MTConnectError xmlns="urn:mtconnect.org:MTConnectError:2.6"><Header instanceId="1"/><Errors><OutOfRange '
        'errorCode="OUT_OF_RANGE"><ErrorMessage>too far</ErrorMessage></OutOfRange></Errors></MTConnectError>',
    ],
)
def test_error_documents_old_and_new(text: str) -> None:
    assert read_document(text.encode()) == Errors(["OUT_OF_RANGE"], "too far")


def test_entities_are_refused() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;">]><MTConnectStreams>&y;</MTConnectStreams>'
    outside = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><MTConnectStreams>&x;</MTConnectStreams>'
    for text in (bomb, outside):
        with pytest.raises(DocumentError, match="document type declaration"):
            read_document(text.encode())


@pytest.mark.parametrize("bad", [b"\x01", b"&#x1;", b"\xff\xfe", b"&#0;"])
def test_what_xml_does_not_allow_spoils_one_value_only(bad: bytes) -> None:
    inside = (
        f"<Events>{observation('Message', 'm', 'a%b')}{observation('Execution', 'e', 'ACTIVE', 2)}</Events>"
    )
    whole = f"<MTConnectStreams>{HEADER}<Streams><DeviceStream><ComponentStream>{inside}</ComponentStream></DeviceStream>"
    found = read_document((whole + "</Streams></MTConnectStreams>").encode().replace(b"%", bad))
    assert isinstance(found, Streams)
    first, second = found.observations
    assert first.value.startswith("a") and first.value.endswith("b") and second.value == "ACTIVE"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no readable XML"),
        ("<html><body/></html>", "no MTConnect document"),
        ("<MTConnectStreams><Header instanceId='x' nextSequence='1'/></MTConnectStreams>", "instanceId"),
        ("<MTConnectStreams><Header instanceId='1'", "no readable XML"),
    ],
)
def test_what_is_no_document_is_said(text: str, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        read_document(text.encode())


@given(
    st.binary(max_size=200)
    | st.text(alphabet="<>/MTConectSrams&;#x1!DOCTYPE \"='", max_size=80).map(str.encode)
)
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        read_document(data)


@given(
    st.lists(st.binary(max_size=60), max_size=5),
    st.lists(st.integers(1, 40), min_size=1),
    st.booleans(),
    st.sampled_from(["\r\n", "\n"]),
)
def test_parts_come_out_as_they_went_in_however_they_are_cut(
    bodies: list[bytes], cuts: list[int], sized: bool, end: str
) -> None:
    bodies = [b"<a>" + body.replace(b"--", b"") + b"</a>" for body in bodies]
    line = end.encode()
    stream = b"preamble" + line
    for body in bodies:
        length = f"Content-length: {len(body)}{end}".encode() if sized else b""
        stream += b"--mark" + line + b"Content-Type: text/xml" + line + length + line + body + line
    stream += b"--mark--" + line
    parts, found, at = Parts(b"mark", 1000), list[bytes](), 0
    while at < len(stream):
        cut = cuts[at % len(cuts)]
        found += parts.feed(stream[at : at + cut])
        at += cut
    assert found == bodies


def test_parts_have_a_bound_and_need_a_boundary() -> None:
    with pytest.raises(PartsError, match="more than 10 bytes"):
        Parts(b"mark", 10).feed(b"--mark\r\nContent-length: 11\r\n\r\n")
    with pytest.raises(PartsError, match="more than 10 bytes"):
        Parts(b"mark", 10).feed(b"--mark\r\na: b\r\n\r\n" + b"x" * 20_000)
    assert boundary('multipart/x-mixed-replace; boundary="a b"') == b"a b"
    assert boundary("multipart/mixed;boundary=--x") == b"--x"
    assert boundary("text/xml") is None
    with pytest.raises(PartsError):
        boundary("multipart/mixed")


def test_check_names_what_is_wrong_and_the_fix() -> None:
    wrong = Source(
        id="a", protocol="mtconnect", options={"url": "192.168.0.1:5000", "device": "a/b", "interval": "0s"}
    )
    problems = check(wrong, (signal(""),))
    assert len(problems) == 4 and all("write" in p or "longer" in p for p in problems)
    assert (
        check(Source(id="a", protocol="mtconnect", options={"url": "http://a:5000/"}), (signal("x"),)) == []
    )
