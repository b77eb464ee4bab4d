"""Which column of an order list holds what."""

from collections.abc import Mapping

from execution.spreadsheets import FileError

ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "order", "order no", "order number", "order id", "job order", "work order", "job", "wo",
           "production order", "mo", "auftrag", "auftragsnummer", "auftragsnr", "fertigungsauftrag"),
    "material": ("material", "material id", "material number", "product", "product id", "product code",
                 "item", "item code", "part", "part no", "part number", "sku", "artikel", "artikelnummer",
                 "materialnummer", "produkt"),
    "equipment": ("equipment", "equipment id", "machine", "machine id", "line", "work center",
                  "work centre", "workcenter", "work unit", "resource", "maschine", "linie", "anlage",
                  "arbeitsplatz"),
    "quantity": ("quantity", "qty", "order quantity", "order qty", "planned quantity", "target quantity",
                 "amount", "menge", "auftragsmenge", "sollmenge", "stückzahl"),
    "due": ("due", "due date", "due at", "deadline", "end date", "finish by", "delivery date",
            "latest end", "termin", "fällig", "fälligkeit", "liefertermin", "endtermin"),
    "priority": ("priority", "prio", "priorität"),
    "planned_start": ("planned start", "start", "start date", "scheduled start", "starttermin",
                      "geplanter start"),
    "planned_end": ("planned end", "planned finish", "scheduled end", "geplantes ende"),
}  # fmt: skip
"""Our fields and the headers they are known by (case, punctuation and blanks do not matter)."""

REQUIRED = ("id", "material", "equipment", "quantity")


def locate(headers: list[str], columns: Mapping[str, str]) -> tuple[dict[str, int], list[FileError]]:
    """In which column each field is, and what is wrong with the header.

    Args:
        columns: field to header, where the usual names do not do.
    """
    plain = [_plain(header) for header in headers]
    present = ", ".join(header for header in headers if header)
    where: dict[str, int] = {}
    errors: list[FileError] = []
    for field, header in columns.items():
        if field not in ALIASES:
            errors.append(
                FileError(f"the column mapping names {field!r}", f"the fields are {', '.join(ALIASES)}")
            )
        elif _plain(header) not in plain:
            errors.append(FileError(f"there is no column {header!r} for {field}", f"the file has: {present}"))
        else:
            where[field] = plain.index(_plain(header))
    taken = set(where.values())
    for field, names in ALIASES.items():
        if field in columns:
            continue
        known = {_plain(alias) for alias in names}
        found = [n for n, header in enumerate(plain) if header in known and n not in taken]
        if len(found) > 1:
            both = " and ".join(repr(headers[n]) for n in found)
            errors.append(FileError(f"{both} could both be {field}", f"say which: {field}=COLUMN"))
        elif found:
            where[field] = found[0]
        elif field in REQUIRED:
            errors.append(
                FileError(f"no column for {field}", f"say which: {field}=COLUMN; the file has: {present}")
            )
    return where, errors


def _plain(header: str) -> str:
    return "".join(c for c in header.casefold() if c.isalnum())
