"""The store of a study: what is written is read back bit for bit, by key, with what made it; what is acknowledged is safe."""

import json
import math
import resource
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosim.study import store as store_module
from cosim.study.failures import StoreFullError
from cosim.study.rows import FAILED, OK, Rows
from cosim.study.store import Origin, Store
from workloads.errors import CosimError, StoreError

COLUMNS = ("latency_s", "energy_j")
ORIGIN = Origin("s", "f" * 16, "event", "m1", 7, "{}")
HERE = Path(__file__).parent
TELLING = [0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, math.inf, -math.inf, math.nextafter(1.0, 2.0), -7.0, 0.0]


def key_of(i):
    return f"{i:032x}"


def rows_of(values, keys=None, *, status=None, errors=None, workload=None):
    values = np.array(values, dtype=np.float64).reshape(-1, len(COLUMNS))
    n = len(values)
    return Rows(
        [key_of(i) for i in range(n)] if keys is None else keys,
        np.array([OK] * n if status is None else status, dtype=np.int8),
        [""] * n if errors is None else errors,
        values,
        np.array([0] * n if workload is None else workload, dtype=np.int64),
        [json.dumps({"i": i}) for i in range(n)],
    )


def bits(value):
    return struct.pack("<d", value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.db"


def filled(path, *parts):
    with Store(path, COLUMNS, write=True) as store:
        for part in parts:
            store.write(part, ORIGIN, ["net"])
    return path


def read_all(path, columns=COLUMNS):
    with Store(path, columns) as store:
        return list(store.read())


class TestRoundTrip:
    def test_every_float_is_read_back_bit_for_bit(self, path):
        filled(path, rows_of([TELLING, TELLING[::-1]]))
        found = [value for row in read_all(path) for value in row.values]
        assert [bits(v) for v in found] == [bits(v) for v in np.array([TELLING, TELLING[::-1]]).ravel().tolist()]

    def test_nan_is_none_and_minus_zero_is_zero(self, path):
        filled(path, rows_of([[math.nan, -0.0]]))
        none, zero = read_all(path)[0].values
        assert none is None
        assert bits(zero) == bits(0.0)

    def test_whole_numbers_stay_floats(self, path):
        filled(path, rows_of([[3.0, 2.0**60]]))
        assert all(type(value) is float for value in read_all(path)[0].values)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=6))
    def test_any_floats(self, tmp_path, values):
        place = tmp_path / "any.db"  # written again and again: each time in place of the rows before
        filled(place, rows_of(values))
        for row in read_all(place)[: len(values)]:
            for got, given_value in zip(row.values, values[int(row.key, 16)], strict=True):
                assert got is None if math.isnan(given_value) else bits(got) == bits(given_value + 0.0)

    def test_a_row_says_all_that_was_given(self, path):
        rows = rows_of([[1, 2], [3, 4]], status=[OK, FAILED], errors=["", "op 'é': no\nroom"], workload=[1, 0])
        with Store(path, COLUMNS, write=True) as store:
            assert store.write(rows, ORIGIN, ["a", "b"], cost=0.25, cpu_s=3.0) == 2
            first, second = store.read()
        assert (first.key, first.workload, first.fidelity, first.model_version, first.seed) == (key_of(0), "b", "event", "m1", 7)
        assert (first.failed, first.error, first.cost, first.design) == (False, "", 0.25, {"i": 0})
        assert (second.workload, second.failed, second.error) == ("a", True, "op 'é': no\nroom")

    def test_what_a_row_took_is_kept_but_is_no_result(self, path):
        with Store(path, COLUMNS, write=True) as store:
            store.write(rows_of([[1, 2]]), ORIGIN, ["net"], cpu_s=1.5)
            assert not hasattr(next(store.read()), "cpu_s")
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT cpu_s FROM rows").fetchall() == [(1.5,)]

    def test_designs_keep_their_types(self, path):
        design = {"node": "7nm", "bits": 4, "v": 0.9, "on": True, "off": None}
        rows = Rows([key_of(1)], np.zeros(1, np.int8), [""], np.ones((1, 2)), np.zeros(1, np.int64), [json.dumps(design)])
        filled(path, rows)
        found = read_all(path)[0].design
        assert found == design
        assert [type(v) for v in found.values()] == [type(v) for v in design.values()]


class TestRead:
    def test_rows_come_in_the_order_of_their_keys(self, path):
        order = [9, 2, 30, 0, 17]
        filled(path, rows_of([[i, i] for i in order], [key_of(i) for i in order]))
        assert [row.values[0] for row in read_all(path)] == sorted(order)

    def test_keys_choose_rows_and_unknown_ones_choose_none(self, path):
        filled(path, rows_of(np.arange(20)))
        with Store(path, COLUMNS) as store:
            wanted = (key_of(i) for i in (8, 3, 3, 99, 5))
            assert [int(row.key, 16) for row in store.read(wanted)] == [3, 5, 8]
            assert list(store.read([])) == []

    def test_more_keys_than_fit_into_one_question(self, path, monkeypatch):
        monkeypatch.setattr(store_module, "_AT_ONCE", 7)
        filled(path, rows_of(np.arange(60)))
        with Store(path, COLUMNS) as store:
            keys = [key_of(i) for i in range(29, -1, -1)]
            assert [row.key for row in store.read(keys)] == sorted(keys)
            assert store.statuses(keys) == dict.fromkeys(keys, OK)

    def test_ten_thousand_keys_are_one_question(self, path):
        filled(path, rows_of([[1, 2]]))
        with Store(path, COLUMNS) as store:
            keys = [key_of(i) for i in range(10_001)]
            assert len(list(store.read(keys))) == 1
            assert store.statuses(keys) == {key_of(0): OK}

    def test_statuses_tell_failed_from_good_and_leave_out_the_rest(self, path):
        filled(path, rows_of([[1, 1], [math.nan, math.nan]], status=[OK, FAILED], errors=["", "no"]))
        with Store(path, COLUMNS) as store:
            assert store.statuses([key_of(1), key_of(0), key_of(5)]) == {key_of(0): OK, key_of(1): FAILED}

    def test_an_empty_store_knows_no_key(self, path):
        with Store(path, COLUMNS, write=True) as store:
            assert store.statuses([key_of(0)]) == {}
            assert store.n_rows() == 0
            assert list(store.read()) == []
            assert store.origins() == []

    def test_a_reader_sees_what_a_writer_has_committed(self, path):
        with Store(path, COLUMNS, write=True) as writer:
            writer.write(rows_of([[1, 2]]), ORIGIN, ["net"])
            with Store(path, COLUMNS) as reader:
                assert reader.n_rows() == 1
                writer.write(rows_of([[3, 4]], [key_of(4)]), ORIGIN, ["net"])
                assert [row.values for row in reader.read()] == [(1.0, 2.0), (3.0, 4.0)]

    def test_a_reader_cannot_write(self, path):
        filled(path, rows_of([[1, 2]]))
        before = path.read_bytes()
        with Store(path, COLUMNS) as store, pytest.raises(StoreError, match=r"s\.db: cannot be opened"):
            store.write(rows_of([[3, 4]]), ORIGIN, ["net"])
        assert path.read_bytes() == before

    def test_columns_are_read_in_the_order_asked_for(self, path):
        filled(path, rows_of([[1, 2]]))
        assert read_all(path, ("energy_j", "latency_s"))[0].values == (2.0, 1.0)
        assert read_all(path, ("energy_j",))[0].values == (2.0,)
        assert read_all(path, ())[0].values == ()

    def test_a_column_that_an_older_store_lacks_is_none(self, path):
        filled(path, rows_of([[1, 2]]))
        assert read_all(path, ("area_m2", "energy_j"))[0].values == (None, 2.0)

    def test_a_writer_adds_columns_and_keeps_old_rows(self, path):
        filled(path, rows_of([[1, 2]]))
        wider = (*COLUMNS, "area_m2")
        with Store(path, wider, write=True) as store:
            rows = Rows([key_of(8)], np.zeros(1, np.int8), [""], np.array([[3.0, 4.0, 5.0]]), np.zeros(1, np.int64), ["{}"])
            store.write(rows, ORIGIN, ["net"])
            assert [row.values for row in store.read()] == [(1.0, 2.0, None), (3.0, 4.0, 5.0)]

    def test_a_writer_that_knows_fewer_columns_leaves_the_others(self, path):
        filled(path, rows_of([[1, 2]]))
        with Store(path, ("latency_s",), write=True):
            pass
        assert read_all(path)[0].values == (1.0, 2.0)


class TestWriteAgain:
    def test_a_failed_row_is_replaced_by_its_result(self, path):
        filled(path, rows_of([[math.nan, math.nan], [1, 1]], status=[FAILED, OK], errors=["no room", ""]))
        filled(path, rows_of([[5, 6]]))
        first, second = read_all(path)
        assert (first.failed, first.error, first.values) == (False, "", (5.0, 6.0))
        assert second.values == (1.0, 1.0)

    def test_rows_are_counted_once(self, path):
        with Store(path, COLUMNS, write=True) as store:
            assert [store.write(rows_of([[1, 2], [3, 4]]), ORIGIN, ["net"]) for _ in range(2)] == [2, 2]
            assert store.n_rows() == 2
            assert store.flush() == 0

    def test_no_rows_are_nothing_to_write(self, path):
        with Store(path, COLUMNS, write=True) as store:
            assert store.write(rows_of([]), ORIGIN, ["net"]) == 0
            assert store.origins() == []

    def test_many_rows_are_several_commits(self, path, monkeypatch):
        monkeypatch.setattr(store_module, "_AT_ONCE", 4)
        filled(path, rows_of(np.arange(22)))
        assert [row.values[0] for row in read_all(path)] == list(range(0, 22, 2))

    def test_a_commit_is_whole_or_not_there(self, path):
        with Store(path, COLUMNS, write=True) as store:
            store.write(rows_of([[1, 2]]), ORIGIN, ["net"])
            good = rows_of([[7, 7], [8, 8], [9, 9]])
            short = Rows(good.keys, good.status, good.error, good.values, good.workload, good.designs[:2])
            with pytest.raises(ValueError, match="shorter"):
                store.write(short, Origin("other", "", "event", "m2", 0, "{}"), ["net"])
            assert [row.values for row in store.read()] == [(1.0, 2.0)]
            assert [origin.study for origin, _ in store.origins()] == ["s"]
            store.write(good, ORIGIN, ["net"])
            assert store.n_rows() == 3


class TestOrigins:
    def test_rows_are_counted_by_what_made_them(self, path):
        other = Origin("s", "f" * 16, "bound", "m1", 7, "{}")
        with Store(path, COLUMNS, write=True) as store:
            store.write(rows_of([[1, 2], [3, 4]]), ORIGIN, ["net"])
            store.write(rows_of([[5, 6]], [key_of(9)]), other, ["net"])
            store.write(rows_of([[7, 8]], [key_of(10)]), ORIGIN, ["net"])
            assert store.origins() == [(ORIGIN, 3), (other, 1)]

    def test_rows_of_an_older_model_are_kept_beside_new_ones(self, path, fake):
        old, new = fake.Fake((0, 1), salt="old").evaluate(fake.SPACE.listed), fake.evaluated()
        with Store(path, fake.COLUMNS, write=True) as store:
            store.write(old, fake.origin(model_version="m0"), fake.NETS)
            store.write(new, fake.origin(), fake.NETS)
            assert store.n_rows() == len(old.keys) + len(new.keys)
            assert {origin.model_version: n for origin, n in store.origins()} == {"m0": len(old.keys), "m1": len(new.keys)}
            assert {row.model_version for row in store.read(old.keys)} == {"m0"}
            assert {row.model_version for row in store.read(new.keys)} == {"m1"}

    def test_a_row_that_was_replaced_has_the_new_origin(self, path):
        newer = Origin("t", "0" * 16, "event", "m1", 7, "{}")
        with Store(path, COLUMNS, write=True) as store:
            store.write(rows_of([[1, 2]]), ORIGIN, ["net"])
            store.write(rows_of([[1, 2]]), newer, ["net"])
            assert store.origins() == [(ORIGIN, 0), (newer, 1)]

    def test_versions_of_packages_are_noted(self):
        versions = json.loads(Origin("s", "", "event", "m1").versions)
        assert versions["numpy"] == np.__version__
        assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
        assert set(versions) == {"python", "numpy", "numba"}

    def test_workloads_are_named_whatever_their_numbers(self, path):
        with Store(path, COLUMNS, write=True) as store:
            store.write(rows_of([[1, 1]], [key_of(0)], workload=[0]), ORIGIN, ["b", "a"])
            store.write(rows_of([[2, 2]], [key_of(1)], workload=[1]), ORIGIN, ["c", "b"])
            assert [row.workload for row in store.read()] == ["b", "b"]


class TestFull:
    def test_a_full_store_says_so_and_keeps_what_was_acknowledged(self, path):
        with Store(path, COLUMNS, write=True) as store:
            first = rows_of(np.arange(40))
            assert store.write(first, ORIGIN, ["net"]) == 20
            store.limit_pages(12)
            many = rows_of(np.arange(8000), [key_of(1000 + i) for i in range(4000)])
            with pytest.raises(StoreFullError, match=r"s\.db: no more rows can be written .*full.*acknowledged is safe.*--resume"):
                store.write(many, ORIGIN, ["net"])
            assert store.n_rows() == 20
        assert [row.values for row in read_all(path)] == [tuple(values) for values in first.values.tolist()]

    def test_with_room_again_it_goes_on(self, path):
        many = rows_of(np.arange(8000))
        with Store(path, COLUMNS, write=True) as store:
            store.limit_pages(12)
            with pytest.raises(StoreFullError):
                store.write(many, ORIGIN, ["net"])
            store.limit_pages(1_000_000)
            assert store.write(many, ORIGIN, ["net"]) == 4000
            assert store.n_rows() == 4000

    def test_a_full_disk_is_no_mistake_of_the_user(self):
        assert issubclass(StoreFullError, StoreError)
        assert issubclass(StoreFullError, CosimError)

    def test_a_file_that_may_not_grow(self, path, fake):
        code = f"""
import resource, sys
sys.path.insert(0, {str(HERE)!r})
import fake_study as fake
from cosim.study.failures import StoreFullError
from cosim.study.store import Store
with Store({str(path)!r}, fake.COLUMNS, write=True) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    n = 0
    try:
        for salt in range(100):
            n += store.write(fake.Fake((0, 1), str(salt)).evaluate(fake.SPACE.listed), fake.origin(), fake.NETS)
    except StoreFullError as error:
        print(n, error)
"""
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert (child.returncode, child.stderr) == (0, "")
        n, _, said = child.stdout.partition(" ")
        assert said.startswith(f"{path}: no more rows can be written")
        assert int(n) > 0
        with Store(path, fake.COLUMNS, write=True) as store:  # with the limit gone it goes on
            assert store.n_rows() == int(n)
            again = fake.Fake((0, 1), "0").evaluate(fake.SPACE.listed)
            assert set(store.statuses(again.keys)) == set(again.keys)
            more = fake.Fake((0, 1), "new").evaluate(fake.SPACE.listed)
            store.write(more, fake.origin(), fake.NETS)
            assert store.n_rows() == int(n) + len(more.keys)
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200_000

    def test_rows_acknowledged_outlive_a_kill(self, path, fake):
        code = f"""
import os, signal, sys
sys.path.insert(0, {str(HERE)!r})
import fake_study as fake
from cosim.study.store import Store
store = Store({str(path)!r}, fake.COLUMNS, write=True)
print(store.write(fake.evaluated(), fake.origin(), fake.NETS), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert child.returncode == -9
        rows = fake.evaluated()
        with Store(path, fake.COLUMNS, write=True) as store:  # nor is its lock in the way
            assert store.n_rows() == int(child.stdout) == len(rows.keys)
            assert store.statuses(rows.keys) == dict(zip(rows.keys, rows.status.tolist(), strict=True))


class TestOpenAndClose:
    def test_folders_are_made(self, tmp_path):
        place = filled(tmp_path / "a" / "b" / "s.db", rows_of([[1, 2]]))
        assert place.is_file()

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match=r"file/s\.db: cannot be opened: (Not a directory|File exists)"):
            Store(tmp_path / "file" / "s.db", COLUMNS, write=True)

    def test_closed_it_is_one_file(self, path):
        filled(path, rows_of([[1, 2]]))
        assert [one.name for one in path.parent.iterdir()] == ["s.db"]

    def test_an_error_closes_it_too(self, path):
        with pytest.raises(KeyError), Store(path, COLUMNS, write=True):
            raise KeyError("x")
        filled(path, rows_of([[1, 2]]))
        assert len(read_all(path)) == 1

    def test_closed_twice_is_closed(self, path):
        store = Store(path, COLUMNS, write=True)
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.n_rows()

    def test_a_closed_store_says_so_to_whoever_reads(self, path):
        store = Store(filled(path, rows_of([[1, 2]])), COLUMNS)
        store.close()
        with pytest.raises(StoreError, match=r"s\.db"):
            next(store.read())

    def test_a_store_refused_leaves_no_lock(self, tmp_path):
        (tmp_path / "s.db").write_text("a letter")
        with pytest.raises(StoreError):
            Store(tmp_path / "s.db", COLUMNS, write=True)
        assert [one.name for one in tmp_path.iterdir()] == ["s.db"]
