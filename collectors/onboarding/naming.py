"""What the names of a variable say about its role: English, German and the abbreviations of PLC programmers. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plant.model import Role

UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_PIECES = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

_WORDS: Mapping[Role, Mapping[str, float]] = {
    Role.STATE: {
        "state": 0.5, "status": 0.45, "zustand": 0.5, "betriebszustand": 0.6, "maschinenzustand": 0.65,
        "machinestate": 0.65, "statecurrent": 0.7, "currentstate": 0.65, "execution": 0.45, "running": 0.55,
        "isrunning": 0.6, "laeuft": 0.5, "betrieb": 0.3, "produktion": 0.2, "inproduction": 0.4, "runstate": 0.6,
        "sts": 0.4, "stat": 0.35, "etat": 0.4, "estado": 0.4, "stato": 0.4,
    },
    Role.GOOD: {
        "good": 0.6, "ok": 0.5, "gut": 0.6, "gutteile": 0.75, "gutstueck": 0.75, "gutmenge": 0.7, "io": 0.35,
        "pass": 0.45, "passed": 0.5, "accepted": 0.5, "goodcount": 0.75, "goodparts": 0.75, "gutteil": 0.7,
        "ioteile": 0.65, "partsgood": 0.75, "conforming": 0.5,
    },
    Role.REJECT: {
        "reject": 0.65, "rejects": 0.65, "rejected": 0.65, "nok": 0.65, "nio": 0.6, "scrap": 0.65, "ausschuss": 0.7,
        "schlecht": 0.6, "schlechtteile": 0.75, "defective": 0.6, "defect": 0.5, "defects": 0.5, "bad": 0.55, "waste": 0.5,
        "ng": 0.45, "nioteile": 0.7, "failed": 0.4, "scrapped": 0.6, "rejectcount": 0.75, "fehlteile": 0.6,
    },
    Role.REWORK: {"rework": 0.7, "nacharbeit": 0.75, "reworked": 0.7},
    Role.TOTAL: {
        "total": 0.45, "count": 0.35, "counter": 0.4, "zaehler": 0.4, "stueckzaehler": 0.65, "stueckzahl": 0.65,
        "teilezaehler": 0.65, "parts": 0.35, "pieces": 0.4, "pcs": 0.4, "teile": 0.4, "stueck": 0.45, "produced": 0.45,
        "processed": 0.4, "gesamt": 0.45, "gesamtmenge": 0.6, "output": 0.25, "qty": 0.35, "quantity": 0.35, "menge": 0.35,
        "partcount": 0.6, "cnt": 0.35, "istmenge": 0.55, "cycles": 0.3, "zyklen": 0.35, "hub": 0.3, "hubzaehler": 0.6,
        "strokes": 0.45, "shots": 0.45, "bottles": 0.4, "packs": 0.35, "cartons": 0.35, "takte": 0.35,
    },
    Role.CYCLE: {
        "cycletime": 0.7, "taktzeit": 0.75, "zykluszeit": 0.75, "takt": 0.35, "cycle": 0.3, "zyklus": 0.3,
        "lastcycle": 0.5, "bearbeitungszeit": 0.5,
    },
    Role.ORDER: {
        "order": 0.5, "auftrag": 0.6, "auftragsnummer": 0.75, "auftragsnr": 0.75, "job": 0.4, "jobid": 0.55, "batch": 0.35,
        "workorder": 0.7, "productionorder": 0.7, "orderid": 0.7, "ordernumber": 0.7, "fa": 0.3, "fertigungsauftrag": 0.75,
        "charge": 0.3, "lot": 0.3, "los": 0.25, "orderno": 0.65,
    },
    Role.MATERIAL: {
        "material": 0.35, "materialnumber": 0.75, "materialid": 0.7, "materialnummer": 0.75, "product": 0.3,
        "productcode": 0.75, "productid": 0.75, "productnumber": 0.75, "artikel": 0.5, "artikelnummer": 0.75,
        "articlenumber": 0.75, "partnumber": 0.7, "sachnummer": 0.75,
    },
    Role.ALARM: {
        "alarm": 0.6, "alarms": 0.55, "fault": 0.55, "stoerung": 0.65, "stoerungstext": 0.7, "fehler": 0.55, "error": 0.5,
        "fehlertext": 0.65, "warning": 0.5, "warnung": 0.55, "message": 0.35, "meldung": 0.45, "errorcode": 0.6,
        "faultcode": 0.6, "stopreason": 0.6, "fehlercode": 0.6, "emergency": 0.4, "notaus": 0.5,
    },
    Role.PROCESS_VALUE: {
        "speed": 0.55, "velocity": 0.55, "geschwindigkeit": 0.6, "drehzahl": 0.6, "rpm": 0.6, "temp": 0.6,
        "temperature": 0.65, "temperatur": 0.65, "pressure": 0.65, "druck": 0.6,
        "torque": 0.65, "drehmoment": 0.65, "force": 0.6, "kraft": 0.6,
        "current": 0.2, "strom": 0.5, "voltage": 0.55, "spannung": 0.55, "power": 0.5, "leistung": 0.5, "energy": 0.5,
        "energie": 0.5, "kwh": 0.55, "level": 0.45, "fuellstand": 0.6, "flow": 0.5, "durchfluss": 0.6, "weight": 0.5,
        "gewicht": 0.5, "position": 0.45, "vibration": 0.55, "humidity": 0.55, "feuchte": 0.5, "feed": 0.35, "vorschub": 0.5,
        "override": 0.4, "load": 0.4, "auslastung": 0.4, "amps": 0.5, "thickness": 0.5, "length": 0.3,
    },
}  # fmt: skip
"""Word to how much it says, 0 to 1."""

_SPECIAL = (Role.GOOD, Role.REJECT, Role.REWORK)
_COUNTED = (Role.GOOD, Role.REJECT, Role.REWORK, Role.TOTAL)

_AGAINST: Mapping[str, tuple[tuple[Role, ...], float]] = {
    **dict.fromkeys(
        ("target", "soll", "sollmenge", "setpoint", "preset", "limit", "max", "min", "planned", "plan", "remaining", "rest",
         "requested", "request", "command", "cmd", "cntrl", "control", "ctrl", "design", "nominal", "default", "config",
         "parameter", "param", "enable", "reset", "available", "allowed", "supported", "sp"),
        ((Role.STATE, *_COUNTED, Role.CYCLE), 0.75),
    ),
    **dict.fromkeys(
        ("time", "zeit", "duration", "dauer", "hours", "stunden", "betriebsstunden", "uptime", "minutes", "seconds", "sec",
         "ms", "timestamp", "date", "datum", "uhrzeit"),
        ((Role.STATE, *_COUNTED), 0.7),
    ),
    **dict.fromkeys(
        ("heartbeat", "watchdog", "lebensbit", "lebenszeichen", "alive", "sequence", "tick", "ticks", "scan", "version",
         "index", "id", "handle", "serial", "signature", "address", "kwh", "energy", "energie"),
        ((Role.STATE, *_COUNTED, Role.CYCLE), 0.8),
    ),
    **dict.fromkeys(
        ("door", "tuer", "light", "lampe", "valve", "ventil", "pump", "pumpe", "motor", "axis", "achse", "sensor", "network",
         "diagnostics", "connection", "battery", "lubrication", "coolant", "license", "mode", "modus", "changeinprocess"),
        ((Role.STATE,), 0.6),
    ),
    **dict.fromkeys(
        ("alarm", "alarms", "error", "errors", "fault", "faults", "fehler", "stoerung", "warning", "stop", "stops"),
        (_COUNTED, 0.7),
    ),
    **dict.fromkeys(("state", "status", "zustand"), (_COUNTED, 0.6)),
    **dict.fromkeys(("total", "count", "counter", "zaehler", "quantity", "menge"), ((Role.STATE, Role.ORDER), 0.6)),
    **dict.fromkeys(("text", "name", "string", "desc", "description"), ((*_COUNTED, Role.CYCLE), 0.8)),
}  # fmt: skip
"""Word to the roles it speaks against, and how much."""

_LONG = 6
"""A word this long is also found inside a longer one: "Ausschusszaehler"."""
_FOLDER = 0.4
"""What a word in the name of a folder says, against one in the variable's own name."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What names say for a role: `weight` 0 to 1, negative against it; `why` in words."""

    role: Role
    weight: float
    why: str


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name, small, without umlauts: "GutTeile_Zähler1" is gut, teile, zaehler, 1."""
    return tuple(piece.lower() for piece in _PIECES.findall(name.translate(UMLAUTS)))


def hints(path: Sequence[str]) -> list[Hint]:
    """What the names on the way to a variable say, the strongest first for each role."""
    own = words_of(path[-1])
    folders = [word for name in path[:-1] for word in words_of(name)]
    found: list[Hint] = []
    for role, vocabulary in _WORDS.items():
        for word, weight in _matches(own, vocabulary):
            found.append(Hint(role, weight, f'"{word}" in its name is a word for {_meant(role)}'))
        for word, weight in _matches(tuple(folders), vocabulary):
            found.append(Hint(role, weight * _FOLDER, f'it is under "{word}"'))
    special = {hint.role for hint in found if hint.role in _SPECIAL and hint.weight >= 0.35}
    if special and Role.TOTAL in {hint.role for hint in found}:
        which = _meant(max(special, key=lambda role: max(h.weight for h in found if h.role is role)))
        found.append(Hint(Role.TOTAL, -0.6, f"its name says more: {which}"))
    for word in own:
        roles, weight = _AGAINST.get(word, ((), 0.0))
        found += [
            Hint(role, -weight, f'"{word}" in its name speaks against {_meant(role)}') for role in roles
        ]
    return sorted(found, key=lambda hint: -abs(hint.weight))


def rest_of(name: str) -> tuple[str, ...]:
    """The words before the first one that names a role: "Filler_State" gives filler."""
    pieces = words_of(name)
    for index in range(len(pieces)):
        joined = "".join(pieces[index : index + 2])
        for vocabulary in _WORDS.values():
            if pieces[index] in vocabulary or joined in vocabulary or _inside(pieces[index], vocabulary):
                return pieces[:index]
    return ()


def _matches(words: tuple[str, ...], vocabulary: Mapping[str, float]) -> list[tuple[str, float]]:
    """(word, weight): two words together, else single ones, else a long one inside."""
    found, index = [], 0
    while index < len(words):
        word, both = words[index], "".join(words[index : index + 2])
        if index + 1 < len(words) and both in vocabulary:
            found.append((both, vocabulary[both]))
            index += 1
        elif word in vocabulary:
            found.append((word, vocabulary[word]))
        elif inside := _inside(word, vocabulary):
            found.append((inside, vocabulary[inside]))
        index += 1
    return found


def _inside(word: str, vocabulary: Mapping[str, float]) -> str | None:
    long = [known for known in vocabulary if len(known) >= _LONG and known in word]
    return max(long, key=len, default=None)


def _meant(role: Role) -> str:
    return {
        Role.STATE: "a state",
        Role.GOOD: "good parts",
        Role.REJECT: "rejected parts",
        Role.REWORK: "reworked parts",
        Role.TOTAL: "a part counter",
        Role.CYCLE: "a cycle time",
        Role.ORDER: "an order",
        Role.MATERIAL: "a product",
        Role.ALARM: "an alarm",
        Role.PROCESS_VALUE: "a measured value",
    }[role]
