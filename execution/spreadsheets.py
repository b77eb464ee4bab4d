"""A table of cells out of a CSV or .xlsx file of unknown making, within fixed limits."""

import csv
import re
from io import BytesIO, StringIO
from zipfile import BadZipFile, ZipFile

import openpyxl
import pandas as pd

MAX_BYTES = 10 * 1024 * 1024
MAX_CELLS = 16 * 1024 * 1024
"""Bytes of XML that hold cells and texts. Reading takes up to a second and 25 MB of memory for each MB."""
MAX_STYLES = 1024 * 1024
"""Bytes of all other XML: several times dearer to read."""
MAX_PARTS = 500
MAX_ROWS = 20_000
MAX_COLUMNS = 100
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_AGAIN = "save it again from Excel, or as CSV"
_TOO_LONG = f"split the file: at most {MAX_ROWS} rows and {MAX_COLUMNS} columns"


class FileError(Exception):
    """The file as a whole cannot be read; `fix` says what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.fix = fix


def read_table(content: bytes) -> pd.DataFrame:
    """The cells of a file's (first) sheet: text stripped, empty cells None, numbers and datetimes of .xlsx
    as they are. The first row is the header; the index counts rows as the file does, from 0.

    Raises:
        FileError: it is too big, no table, or made to do harm.
    """
    if len(content) > MAX_BYTES:
        raise FileError(f"it has {len(content) / 2**20:.1f} MB", "split it: at most 10 MB")
    if not content.strip(b"\0\t\r\n \xef\xbb\xbf\xff\xfe"):
        raise FileError("it is empty", "export it again")
    if content.startswith(_OLD_EXCEL):
        raise FileError("it is an old .xls or a file with a password", "save it as .xlsx or CSV, without one")
    table = _excel(content) if content.startswith(b"PK\x03\x04") else _delimited(_decoded(content))
    table = table.map(_clean).astype(object)
    table = table.where(table.notna(), None)  # a column without any value came back as NaN
    filled = table.index[table.notna().any(axis=1)]
    if filled.empty:
        raise FileError("it is empty", "export it again")
    return table.loc[filled[0] :]


def _clean(cell: object) -> object:
    if isinstance(cell, str):
        text = cell.replace("\u00a0", " ").replace("\ufeff", "").strip()
        wrapped = re.fullmatch(r'="(.*)"', text)  # Excel's way to keep leading zeros in a CSV
        return (wrapped[1].strip() if wrapped else text) or None
    return None if cell is None or cell is pd.NaT or cell != cell else cell


def _decoded(content: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if content.startswith(mark):
            encodings = [encoding]
            break
    else:
        head = content[:1000]
        if head[1::2].count(0) > len(head) // 4:
            encodings = ["utf-16-le"]
        elif head[::2].count(0) > len(head) // 4:
            encodings = ["utf-16-be"]
        else:
            encodings = ["utf-8", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text
    raise FileError("it is neither text nor an Excel file", "save it as CSV (UTF-8) or .xlsx")


def _delimited(text: str) -> pd.DataFrame:
    said = re.match(r"\s*sep=([;,\t|])\r?\n", text)
    body = text[said.end() :] if said else text
    header = next((line for line in body.splitlines() if line.strip()), "")
    width = 1
    try:
        separator = (
            said[1] if said else max(";\t|,", key=lambda s: len(next(csv.reader([header], delimiter=s))))
        )
        for rows, record in enumerate(csv.reader(StringIO(body, newline=""), delimiter=separator)):
            width = max(width, len(record))
            if rows > MAX_ROWS or width > MAX_COLUMNS:
                raise FileError(f"it has more than {MAX_ROWS} rows or {MAX_COLUMNS} columns", _TOO_LONG)
        table = pd.read_csv(
            StringIO(body, newline=""),
            sep=separator,
            header=None,
            names=range(width),
            dtype=object,
            keep_default_na=False,
            na_filter=False,
            skip_blank_lines=False,
            index_col=False,
        )
    except (csv.Error, pd.errors.ParserError) as error:
        raise FileError(f"it is no proper CSV ({error})", "look for a quote that is never closed") from error
    table.index += bool(said)
    return table


def _excel(content: bytes) -> pd.DataFrame:
    try:
        _refuse_bombs(content)
        book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
        try:
            if not book.worksheets:
                raise FileError("the workbook has no sheet", "put the orders on the first sheet")
            sheet = book.worksheets[0]
            sheet.reset_dimensions()
            limits = {"max_row": MAX_ROWS + 2, "max_col": MAX_COLUMNS + 1}
            rows = list(sheet.iter_rows(min_row=1, min_col=1, values_only=True, **limits))
        finally:
            book.close()
    except FileError:
        raise
    except Exception as error:  # openpyxl and the XML parser raise whatever a broken file leads them to
        problem = f"it is no readable .xlsx ({type(error).__name__})"
        raise FileError(problem, _AGAIN) from error
    table = pd.DataFrame(rows, dtype=object)
    used = table.notna()
    if used.iloc[MAX_ROWS + 1 :].to_numpy().any() or used.iloc[:, MAX_COLUMNS:].to_numpy().any():
        raise FileError(f"it has more than {MAX_ROWS} rows or {MAX_COLUMNS} columns", _TOO_LONG)
    width = int(used.any().to_numpy().nonzero()[0].max(initial=0)) + 1
    return table.iloc[:, :width]


def _refuse_bombs(content: bytes) -> None:
    """Reading a part stops at its declared size, so checking what is declared bounds the memory."""
    harmful = FileError(
        "its parts unpack to something no order list is", "save it again from Excel, or as CSV"
    )
    try:
        with ZipFile(BytesIO(content)) as archive:
            parts = archive.infolist()
            cells = styles = 0
            for part in parts:
                if part.filename.startswith(("xl/worksheets/", "xl/sharedStrings")):
                    cells += part.file_size
                elif not part.filename.startswith("xl/media/"):
                    styles += part.file_size
            if len(parts) > MAX_PARTS or cells > MAX_CELLS or styles > MAX_STYLES:
                raise harmful
            if "[Content_Types].xml" not in archive.namelist():
                raise FileError("it is a zip archive but no .xlsx", "save it as .xlsx or CSV")
            for part in parts:
                if part.filename.endswith((".xml", ".rels")):
                    with archive.open(part) as opened:
                        if b"<!DOCTYPE" in opened.read(4096).replace(b"\0", b"").upper():
                            raise harmful
    except (BadZipFile, NotImplementedError, RuntimeError) as error:
        raise FileError("it is a damaged .xlsx", _AGAIN) from error
