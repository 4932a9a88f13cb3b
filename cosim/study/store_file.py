"""The file of a store: an SQLite database with a write-ahead log, made, recognized, and refused where it is not whole."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from cosim.study.failures import StoreFullError
from workloads.errors import StoreError

APPLICATION_ID = 0x636F7369  # "cosi"
SCHEMA_VERSION = 1
_MAGIC = b"SQLite format 3\0"
_CLOSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
_TORN = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}

_TABLES = """
CREATE TABLE origins (
    id INTEGER PRIMARY KEY, study TEXT NOT NULL, study_hash TEXT NOT NULL, fidelity TEXT NOT NULL, model_version TEXT NOT NULL,
    seed INTEGER NOT NULL, versions TEXT NOT NULL, UNIQUE (study, study_hash, fidelity, model_version, seed, versions));
CREATE TABLE workloads (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rows (
    key TEXT PRIMARY KEY, origin INTEGER NOT NULL REFERENCES origins, workload INTEGER NOT NULL REFERENCES workloads,
    status INTEGER NOT NULL, error TEXT, design TEXT NOT NULL, cost REAL, cpu_s REAL);
"""


def create_or_open(path: Path, columns: Sequence[str]) -> sqlite3.Connection:
    """Open a store to write to it, and make it where there is none. Raises StoreError for a file that is no store, or not whole."""
    if not _is_new(path):
        check(path)
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            _make(database, columns)
            _check_pages(path, database)
        except BaseException:
            database.close()
            raise
    return database


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a store beside whoever writes it. Raises StoreError for a file that is no store, or not whole, or not there."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no such store; run cosim sweep first, or name one with --store")
    check(path)
    return _read_only(path)


def is_store(path: Path) -> bool:
    """Whether a path leads to an SQLite file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def check(path: Path) -> None:
    """Raise StoreError for a file that is not a whole store of this version; it is left as it is."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None
    if head[:16] != _MAGIC[: len(head[:16])] or not head:
        raise StoreError(f"{path}: is not a store of cosim; name another --store")
    if len(head) < 100 or (_is_cut(path, head) and not _has_log(path)):
        raise StoreError(_damaged(path, "it is cut short"))
    with told(path), closing(_read_only(path)) as database:
        if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise StoreError(f"{path}: is an SQLite file of another program, not a store of cosim; name another --store")
        version = database.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise StoreError(f"{path}: is a store of version {version}, this cosim reads version {SCHEMA_VERSION}; use the cosim that wrote it")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite complains about into StoreError with the file and a way out."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _told(path, error) from None


def _told(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    if isinstance(error, OSError):
        return StoreError(f"{path}: cannot be opened: {error.strerror or error}")
    detail = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = detail & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and detail not in _TORN):
        way = "what was acknowledged is safe: make room, then go on with --resume"
        return StoreFullError(f"{path}: no more rows can be written ({error}); {way}")
    if code in _CLOSED:
        return StoreError(f"{path}: cannot be opened: {error}; name another --store")
    if code == sqlite3.SQLITE_BUSY:
        return StoreError(f"{path}: another process keeps it locked; end that one first")
    return StoreError(_damaged(path, str(error)))


def _is_new(path: Path) -> bool:
    return not path.exists() or (path.is_file() and path.stat().st_size == 0 and not _has_log(path))


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _is_cut(path: Path, head: bytes) -> bool:
    """Whether a file has fewer pages than its header says (SQLite file format, offsets 16, 24, 28 and 92)."""
    page = struct.unpack(">H", head[16:18])[0]
    n_pages = struct.unpack(">I", head[28:32])[0]
    is_valid = head[24:28] == head[92:96]
    return is_valid and path.stat().st_size < n_pages * (65536 if page == 1 else page)


def _read_only(path: Path) -> sqlite3.Connection:
    """Connect without writing; in a folder that is closed, and without a log, as a file that nobody changes."""
    with told(path):
        name = f"{path.absolute().as_uri()}?mode=ro"
        try:
            return _connected(name)
        except sqlite3.OperationalError:
            if _has_log(path):
                raise
            return _connected(f"{name}&immutable=1")


def _connected(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        database.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        database.close()
        raise
    return database


def _check_pages(path: Path, database: sqlite3.Connection) -> None:
    found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise StoreError(_damaged(path, found.splitlines()[-1]))  # the first may be a heading


def _make(database: sqlite3.Connection, columns: Sequence[str]) -> None:
    """Make tables in an empty file, and value columns that an older cosim did not know."""
    database.execute("BEGIN IMMEDIATE")
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        for statement in _TABLES.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    known = {row[1] for row in database.execute("PRAGMA table_info(rows)")}
    for name in columns:
        if name not in known:
            database.execute(f'ALTER TABLE rows ADD COLUMN "{name}" REAL')
    database.execute("COMMIT")


def _damaged(path: Path, why: str) -> str:
    return f"{path}: is damaged ({why}); it is left as it is: keep it or restore a copy, and name another --store to compute again"
