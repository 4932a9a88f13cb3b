"""The file of a store: made, recognized, and left alone where it is not whole or of something else."""

import sqlite3
from contextlib import closing

import pytest

from cosim.study import store_file
from cosim.study.failures import StoreFullError
from cosim.study.store import Store
from workloads.errors import StoreError

READ, WRITE = False, True


@pytest.fixture
def whole(tmp_path, fake):
    """A store of 96 rows, closed."""
    path = tmp_path / "whole.db"
    with Store(path, fake.COLUMNS, write=True) as store:
        store.write(fake.evaluated(), fake.origin(), fake.NETS)
    return path


def refused(path, match, *, write, kind=StoreError):
    """Open a file that must be refused, and see that nothing happened to it."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(kind, match=match):
        Store(path, ("latency_s",), write=write)
    assert (path.read_bytes() if path.is_file() else None) == before
    left = {one.name for one in path.parent.iterdir()} - {path.name}
    assert not [name for name in left if name.startswith(f"{path.name}.lock")]


class TestNew:
    def test_a_store_is_an_sqlite_file_with_a_log_and_a_mark(self, whole):
        with closing(sqlite3.connect(whole)) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert database.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"cosi"
            assert database.execute("PRAGMA user_version").fetchone() == (store_file.SCHEMA_VERSION,)
            assert database.execute("SELECT count(*) FROM rows").fetchone() == (96,)

    def test_an_empty_file_becomes_a_store(self, tmp_path):
        path = tmp_path / "s.db"
        path.touch()
        store_file.create_or_open(path, ("x",)).close()
        store_file.check(path)

    def test_columns_are_numbers_named_as_asked(self, tmp_path):
        path = tmp_path / "s.db"
        store_file.create_or_open(path, ("select", "a b", "x")).close()
        with closing(store_file.open_to_read(path)) as database:
            kinds = {row[1]: row[2] for row in database.execute("PRAGMA table_info(rows)")}
        assert [kinds[name] for name in ("select", "a b", "x")] == ["REAL"] * 3

    def test_opened_again_it_is_the_same(self, whole):
        before = whole.read_bytes()
        store_file.create_or_open(whole, ("latency_s",)).close()
        assert whole.read_bytes() == before

    def test_folders_are_made(self, tmp_path):
        store_file.create_or_open(tmp_path / "a" / "b.db", ()).close()
        assert store_file.is_store(tmp_path / "a" / "b.db")


class TestIsStore:
    def test_sqlite_files_only(self, whole, tmp_path):
        (tmp_path / "text").write_text("SQLite format 4, a novel")
        (tmp_path / "short").write_bytes(b"SQL")
        (tmp_path / "empty").touch()
        assert store_file.is_store(whole)
        assert not any(store_file.is_store(tmp_path / name) for name in ("text", "short", "empty", "missing", "."))


class TestRefused:
    @pytest.mark.parametrize("write", [READ, WRITE])
    @pytest.mark.parametrize("n_bytes", [1, 10, 16, 50, 99, 100, 4096, 8192, -4096, -1])
    def test_a_file_cut_short(self, whole, n_bytes, write):
        whole.write_bytes(whole.read_bytes()[:n_bytes])
        refused(whole, r"whole\.db: is damaged \(it is cut short\); it is left as it is: keep it or restore a copy", write=write)

    @pytest.mark.parametrize("write", [READ, WRITE])
    @pytest.mark.parametrize("text", ["key,latency\n1,2\n", "x", "# study\n" * 1000])
    def test_a_text(self, tmp_path, text, write):
        path = tmp_path / "notes.txt"
        path.write_text(text)
        refused(path, r"notes\.txt: is not a store of cosim; name another --store", write=write)

    @pytest.mark.parametrize("write", [READ, WRITE])
    @pytest.mark.parametrize("journal", ["delete", "wal"])
    def test_a_database_of_another_program(self, tmp_path, journal, write):
        path = tmp_path / "bookmarks.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA journal_mode = {journal}")
            database.execute("CREATE TABLE rows (url TEXT)")
            database.commit()
        refused(path, r"bookmarks\.db: is an SQLite file of another program, not a store of cosim", write=write)

    @pytest.mark.parametrize("write", [READ, WRITE])
    def test_a_store_of_another_version(self, whole, write):
        with closing(sqlite3.connect(whole)) as database:
            database.execute("PRAGMA user_version = 99")
        refused(whole, r"version 99, this cosim reads version 1; use the cosim that wrote it", write=write)

    def test_a_folder(self, tmp_path):
        (tmp_path / "s.db").mkdir()
        (tmp_path / "s.db" / "inside").write_text("x")
        refused(tmp_path / "s.db", r"s\.db: cannot be read: Is a directory", write=WRITE)
        refused(tmp_path / "s.db", r"s\.db: there is no such store", write=READ)
        assert (tmp_path / "s.db" / "inside").read_text() == "x"

    def test_nothing_to_read(self, tmp_path):
        refused(tmp_path / "s.db", r"s\.db: there is no such store; run cosim sweep first, or name one with --store", write=READ)
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_file_is_nothing_to_read(self, tmp_path):
        (tmp_path / "s.db").touch()
        refused(tmp_path / "s.db", "is not a store of cosim", write=READ)

    @pytest.mark.parametrize("page", [1, 2, 3])
    def test_a_page_of_rubbish_before_anything_is_written(self, whole, page):
        content = bytearray(whole.read_bytes())
        content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
        whole.write_bytes(content)
        refused(whole, r"whole\.db: is damaged \(.+\); it is left as it is", write=WRITE)

    def test_rubbish_met_while_reading(self, whole, fake):
        content = bytearray(whole.read_bytes())
        for page in range(3, len(content) // 4096):
            content[page * 4096 : page * 4096 + 4096] = b"\xa5" * 4096
        whole.write_bytes(content)
        with pytest.raises(StoreError, match=r"whole\.db: is damaged"), Store(whole, fake.COLUMNS) as store:
            list(store.read())
        assert whole.read_bytes() == content

    def test_a_rubbish_header(self, whole):
        content = bytearray(whole.read_bytes())
        content[100:4096] = b"\xa5" * 3996
        whole.write_bytes(content)
        refused(whole, r"whole\.db: is damaged", write=READ)
        refused(whole, r"whole\.db: is damaged", write=WRITE)

    def test_a_file_that_may_not_be_read(self, whole, monkeypatch):
        def closed(self, *_args, **_more):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(type(whole), "open", closed)
        with pytest.raises(StoreError, match=r"whole\.db: cannot be read: Permission denied"):
            store_file.open_to_read(whole)


class TestClosedFolder:
    """Where no file can be made beside a store, SQLite cannot share memory: the file is read as it is, if there is no log."""

    @pytest.fixture
    def asked(self, monkeypatch):
        """Names that SQLite was asked for; those that are not immutable cannot be opened."""
        connect, names = sqlite3.connect, []

        def closed(name, **more):
            names.append(str(name))
            if "immutable" not in str(name):
                raise sqlite3.OperationalError("unable to open database file")
            return connect(name, **more)

        monkeypatch.setattr(sqlite3, "connect", closed)
        return names

    def test_a_store_without_log_is_read(self, whole, asked):
        with closing(store_file.open_to_read(whole)) as database:
            assert database.execute("SELECT count(*) FROM rows").fetchone() == (96,)
        assert asked[-1].endswith("?mode=ro&immutable=1")

    def test_with_a_log_that_would_miss_rows(self, whole, asked):
        whole.with_name("whole.db-wal").write_bytes(b"rows")
        with pytest.raises(StoreError, match="unable to open database file"):
            store_file.open_to_read(whole)
        assert not any("immutable" in name for name in asked)


class TestTold:
    @pytest.mark.parametrize(
        ("code", "kind", "match"),
        [
            (sqlite3.SQLITE_FULL, StoreFullError, r"s\.db: no more rows can be written \(why\); .*make room, then go on with --resume"),
            (sqlite3.SQLITE_IOERR_WRITE, StoreFullError, "no more rows can be written"),
            (sqlite3.SQLITE_IOERR_FSYNC, StoreFullError, "no more rows can be written"),
            (sqlite3.SQLITE_IOERR_READ, StoreError, r"is damaged \(why\)"),
            (sqlite3.SQLITE_IOERR_SHORT_READ, StoreError, r"is damaged \(why\)"),
            (sqlite3.SQLITE_CORRUPT, StoreError, r"is damaged \(why\); it is left as it is"),
            (sqlite3.SQLITE_NOTADB, StoreError, r"is damaged \(why\)"),
            (sqlite3.SQLITE_CANTOPEN, StoreError, "cannot be opened: why; name another --store"),
            (sqlite3.SQLITE_READONLY, StoreError, "cannot be opened: why"),
            (sqlite3.SQLITE_READONLY_DIRECTORY, StoreError, "cannot be opened: why"),
            (sqlite3.SQLITE_BUSY, StoreError, "another process keeps it locked; end that one first"),
        ],
    )
    def test_every_complaint_has_a_way_out(self, tmp_path, code, kind, match):
        error = sqlite3.OperationalError("why")
        error.sqlite_errorcode = code
        with pytest.raises(StoreError, match=match) as caught, store_file.told(tmp_path / "s.db"):
            raise error
        assert type(caught.value) is kind
        assert str(caught.value).startswith(f"{tmp_path / 's.db'}: ")

    def test_an_error_without_a_code(self, tmp_path):
        with pytest.raises(StoreError, match=r"is damaged \(odd\)"), store_file.told(tmp_path):
            raise sqlite3.ProgrammingError("odd")

    def test_the_system_has_its_say(self, tmp_path):
        with pytest.raises(StoreError, match="cannot be opened: Too many links"), store_file.told(tmp_path):
            raise OSError(31, "Too many links")

    def test_other_errors_pass(self, tmp_path):
        with pytest.raises(KeyError), store_file.told(tmp_path):
            raise KeyError("x")

    def test_a_store_locked_by_another_program(self, whole, fake, monkeypatch):
        connect = sqlite3.connect
        with closing(connect(whole, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, timeout=0.01))
            with pytest.raises(StoreError, match=r"whole\.db: another process keeps it locked"):
                Store(whole, fake.COLUMNS, write=True)
        monkeypatch.undo()
        with Store(whole, fake.COLUMNS, write=True) as store:
            assert store.n_rows() == 96
