"""Shards made one store: the same as without shards, nothing missing, nothing twice with two values."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim.study.store as store_module
from cosim.study.merge import merge
from cosim.study.rows import OK, Rows, joined
from cosim.study.shards import ShardWriter, sweep_hash, write_parquet
from cosim.study.store import Origin, Store
from cosim.study.sweep import Shard
from workloads.errors import StoreError

COLUMNS = ("latency_s", "energy_j", "min_snr_db")
NETS = ("tiny", "small")
ORIGIN = Origin("fake", "0" * 16, "event", "m1", 0, "{}")
WITHOUT_RESULT = np.full((1, 3), np.nan)


def picked(rows, index):
    """Some rows."""
    values = (
        rows.status[index],
        [rows.error[i] for i in index],
        rows.values[index],
        rows.workload[index],
        [rows.designs[i] for i in index],
    )
    return Rows([rows.keys[i] for i in index], *values)


def write_shard(folder, rows, shard, *, keys=None, origin=ORIGIN, cost=1.0, leave_out=0):
    """Write those rows that are of a shard, but for the last few; return where."""
    mine = [i for i, key in enumerate(rows.keys) if shard.holds(key)]
    writer = ShardWriter(folder, rows.keys if keys is None else keys, "fake", shard, COLUMNS, pytest.fail)
    writer.write(picked(rows, mine[: len(mine) - leave_out]), origin, NETS, cost)
    writer.flush()
    writer.finish()
    return writer.folder


def one_row(key, values=(1.0, 2.0, 3.0), *, error=""):
    values = np.array([values]) if not error else WITHOUT_RESULT
    return Rows([key], np.array([bool(error)], np.int8), [error], values, np.zeros(1, np.int64), ['{"bits": 4}'])


def failing(key, error):
    return one_row(key, error=error)


@pytest.fixture
def rows(fake):
    return fake.evaluated()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.db", COLUMNS, write=True) as opened:
        yield opened


@pytest.fixture
def four(tmp_path, rows):
    """The folders of four shards."""
    return [write_shard(tmp_path / "shards", rows, Shard(i, 4)) for i in (1, 2, 3, 4)]


class TestWhole:
    def test_the_store_is_the_one_without_shards(self, tmp_path, four, rows, store):
        merged = merge([tmp_path / "shards"], store)
        assert (merged.n_files, merged.n_rows, merged.n_new, merged.missing) == (4, 96, 96, ())
        with Store(tmp_path / "direct.db", COLUMNS, write=True) as direct:
            direct.write(rows, ORIGIN, NETS)
            assert list(store.read()) == list(direct.read())
        assert store.origins() == [(ORIGIN, 96)]

    def test_files_may_be_named_one_by_one(self, four, store):
        files = [file for folder in four for file in folder.glob("*.parquet")]
        assert merge(files, store).n_new == 96

    def test_a_file_named_twice_counts_once(self, tmp_path, four, store):
        merged = merge([tmp_path / "shards", *four], store)
        assert (merged.n_files, merged.n_rows, merged.n_new) == (8, 96, 96)

    def test_merged_twice_nothing_is_new(self, four, store):
        merge(four, store)
        before = list(store.read())
        again = merge(four, store)
        assert (again.n_rows, again.n_new) == (96, 0)
        assert list(store.read()) == before

    def test_a_shard_without_rows_is_not_missing(self, tmp_path, store):
        rows = joined([one_row("0"), one_row("2")])
        folders = [write_shard(tmp_path, rows, Shard(i, 2)) for i in (1, 2)]
        assert merge(folders, store).n_rows == 2

    def test_a_shard_in_several_files(self, tmp_path, rows, store):
        writer = ShardWriter(tmp_path, rows.keys, "fake", Shard(1, 1), COLUMNS, pytest.fail)
        for i in range(0, 96, 32):
            writer.write(picked(rows, list(range(i, i + 32))), ORIGIN, NETS)
            writer.flush()
        assert merge([writer.folder], store).n_files == 3
        assert store.n_rows() == 96

    def test_rows_keep_what_made_them_and_what_they_cost(self, tmp_path, store):
        other = replace(ORIGIN, fidelity="bound", seed=5)
        first, second = one_row("a0"), one_row("a1", (4.0, 5.0, 6.0))
        keys = ["a0", "a1"]
        write_shard(tmp_path / "a", first, Shard(1, 2), keys=keys, cost=0.25)
        write_shard(tmp_path / "a", second, Shard(2, 2), keys=keys, origin=other, cost=2.0)
        merge([tmp_path / "a"], store)
        assert [(row.fidelity, row.seed, row.cost) for row in store.read()] == [("event", 0, 0.25), ("bound", 5, 2.0)]
        assert sorted(store.origins(), key=str) == sorted([(ORIGIN, 1), (other, 1)], key=str)

    def test_columns_are_matched_by_name(self, tmp_path, four):
        with Store(tmp_path / "t.db", ("area_m2", "energy_j"), write=True) as store:
            merge(four, store)
            row = next(row for row in store.read() if not row.failed)
            assert row.values[0] is None
            assert row.values[1] is not None

    def test_floats_come_through_bit_for_bit(self, tmp_path, store):
        write_shard(tmp_path / "a", one_row("a0", (0.1 + 0.2, 5e-324, np.inf)), Shard(1, 1))
        merge([tmp_path / "a"], store)
        assert [value.hex() for value in next(store.read()).values] == [(0.1 + 0.2).hex(), (5e-324).hex(), "inf"]


class TestOrder:
    @settings(max_examples=10, deadline=None)
    @given(st.data())
    def test_the_order_of_files_does_not_matter(self, data):
        n = data.draw(st.integers(1, 4))
        keys = data.draw(st.lists(st.integers(0, 255).map("{:02x}".format), min_size=1, max_size=4, unique=True))
        tries = [(key, data.draw(st.sampled_from(["", "no room", "killed"])), data.draw(st.sampled_from([1.0, 2.0]))) for key in keys * 2]
        with tempfile.TemporaryDirectory() as folder:
            places = []
            for i, (key, error, cost) in enumerate(tries):
                row = one_row(key, (float(int(key, 16)), 1.0, np.nan), error=error)
                shard = Shard(int(key, 16) % n + 1, n)
                origin = replace(ORIGIN, study=f"s{cost}")
                places.append(write_shard(Path(folder) / str(i), row, shard, keys=keys, origin=origin, cost=cost))
            found = []
            for number, order in enumerate([places, data.draw(st.permutations(places))]):
                with Store(Path(folder) / f"{number}.db", COLUMNS, write=True) as store:
                    merge(order, store, partial=True)
                    found.append((list(store.read()), sorted(map(str, store.origins()))))
        assert found[0] == found[1]
        good = {key for key, error, _ in tries if not error}
        assert {row.key for row in found[0][0] if not row.failed} == good

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_a_result_counts_before_a_failure(self, tmp_path, store, order):
        parts = [write_shard(tmp_path / "a", failing("a0", "killed"), Shard(1, 1)), write_shard(tmp_path / "b", one_row("a0"), Shard(1, 1))]
        assert merge([parts[i] for i in order], store).n_rows == 1
        row = next(store.read())
        assert (row.failed, row.error, row.values) == (False, "", (1.0, 2.0, 3.0))

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_of_two_failures_the_first_text_is_kept(self, tmp_path, store, order):
        parts = [write_shard(tmp_path / name, failing("a0", f"reason {name}"), Shard(1, 1)) for name in "ab"]
        merge([parts[i] for i in order], store)
        assert next(store.read()).error == "reason a"


class TestMissing:
    def test_a_missing_shard_is_refused(self, four, store):
        match = r"^shard 3/4 is missing; run the rest with cosim sweep --shard i/n --resume, or merge what there is with --partial$"
        with pytest.raises(StoreError, match=match):
            merge([four[0], four[1], four[3]], store)
        assert store.n_rows() == 0

    def test_an_unfinished_shard_is_refused(self, tmp_path, rows, store):
        n = sum(Shard(1, 1).holds(key) for key in rows.keys)
        folder = write_shard(tmp_path / "a", rows, Shard(1, 1), leave_out=6)
        with pytest.raises(StoreError, match=rf"shard 1/1 has {n - 6} of {n} rows"):
            merge([folder], store)
        assert store.n_rows() == 0

    def test_partial_takes_what_there_is_and_says_what_is_not(self, four, rows, store):
        merged = merge([four[0], four[3]], store, partial=True)
        kept = {key for key in rows.keys if Shard(1, 4).holds(key) or Shard(4, 4).holds(key)}
        assert merged.missing == ("shard 2/4 is missing", "shard 3/4 is missing")
        assert merged.n_new == len(kept)
        assert {row.key for row in store.read()} == kept

    def test_the_rest_completes_it(self, four, rows, store):
        merge(four[:2], store, partial=True)
        merged = merge(four, store)
        assert merged.missing == ()
        assert store.n_rows() == merged.n_rows == 96
        assert merged.n_new == sum(Shard(3, 4).holds(key) or Shard(4, 4).holds(key) for key in rows.keys)

    def test_a_long_list_is_cut(self, tmp_path, rows, store):
        folder = write_shard(tmp_path / "a", rows, Shard(1, 12))
        match = r"shard 2/12 is missing; .*; shard 6/12 is missing; and 6 more; run the rest"
        with pytest.raises(StoreError, match=match):
            merge([folder], store)

    def test_shards_of_another_number_are_no_substitute(self, tmp_path, four, rows, store):
        other = write_shard(tmp_path / "other", rows, Shard(1, 2))
        with pytest.raises(StoreError, match="shard 2/2 is missing"):
            merge([*four, other], store)

    def test_a_study_that_was_changed_and_swept_again(self, tmp_path, store):
        """The old sweep was never finished: nobody can tell whether it still should be, so somebody has to say so."""
        wanted = joined([one_row("a0"), one_row("a1", (4.0, 5.0, 6.0))])
        write_shard(tmp_path, one_row("b1"), Shard(2, 2), keys=["a1", "b0", "b1"])
        for shard in (Shard(1, 2), Shard(2, 2)):
            write_shard(tmp_path, wanted, shard)
        old = sweep_hash(["a1", "b0", "b1"])[:8]
        match = rf"^shard 1/2 of sweep {old} is missing; shard 2/2 of sweep {old} has 1 of 2 rows; the files are of 2 sweeps: .*--partial$"
        with pytest.raises(StoreError, match=match):
            merge([tmp_path], store)
        assert merge([tmp_path], store, partial=True).n_new == 3

    def test_nothing_there(self, tmp_path, store):
        (tmp_path / "none").mkdir()
        with pytest.raises(StoreError, match="no shards there"):
            merge([tmp_path / "none"], store)


class TestUnequal:
    @pytest.mark.parametrize("partial", [False, True])
    @pytest.mark.parametrize("values", [(1.0, 2.0, np.nextafter(3.0, 4.0)), (1.0, 2.0, np.nan), (-1.0, 2.0, 3.0)])
    def test_two_values_of_one_key_are_refused(self, tmp_path, store, partial, values):
        parts = [write_shard(tmp_path / "a", one_row("a0"), Shard(1, 1)), write_shard(tmp_path / "b", one_row("a0", values), Shard(1, 1))]
        match = r"a/1-of-1/part-.* and .*b/1-of-1/part-.* have unequal values for key a0 \(\{\"bits\": 4\}\): equal code gives equal values"
        with pytest.raises(StoreError, match=match):
            merge(parts, store, partial=partial)
        assert store.n_rows() == 0

    def test_nan_and_minus_zero_are_equal_to_themselves(self, tmp_path, store):
        parts = [write_shard(tmp_path / name, one_row("a0", (zero, np.nan, 1.0)), Shard(1, 1)) for name, zero in (("a", 0.0), ("b", -0.0))]
        assert merge(parts, store).n_rows == 1

    @pytest.mark.parametrize("partial", [False, True])
    def test_the_store_has_its_say_too(self, tmp_path, store, partial):
        store.write(one_row("a0"), ORIGIN, NETS)
        rows = joined([one_row("a0", (1.0, 2.0, 4.0)), one_row("a1")])
        folder = write_shard(tmp_path / "a", rows, Shard(1, 1))
        with pytest.raises(StoreError, match=r"s\.db and .*part-.* have unequal values for key a0"):
            merge([folder], store, partial=partial)
        assert [row.values for row in store.read()] == [(1.0, 2.0, 3.0)]

    def test_a_failed_row_of_the_store_is_replaced(self, tmp_path, store):
        store.write(failing("a0", "killed"), ORIGIN, NETS)
        assert merge([write_shard(tmp_path / "a", one_row("a0"), Shard(1, 1))], store).n_new == 1
        assert store.statuses(["a0"]) == {"a0": OK}

    def test_a_result_of_the_store_outlives_a_failure(self, tmp_path, store):
        store.write(one_row("a0"), ORIGIN, NETS)
        assert merge([write_shard(tmp_path / "a", failing("a0", "killed"), Shard(1, 1))], store).n_new == 0
        assert store.statuses(["a0"]) == {"a0": OK}

    def test_a_failure_twice_is_no_contradiction(self, tmp_path, store):
        store.write(failing("a0", "killed"), ORIGIN, NETS)
        assert merge([write_shard(tmp_path / "a", failing("a0", "another reason"), Shard(1, 1))], store).n_new == 0
        assert next(store.read()).error == "killed"


class TestBadFiles:
    @pytest.mark.parametrize("partial", [False, True])
    def test_a_torn_file_is_refused_and_nothing_is_written(self, tmp_path, four, store, partial):
        path = next(four[2].glob("*.parquet"))
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(StoreError, match=r"3-of-4/part-.*\.parquet: is not a whole Parquet file"):
            merge([tmp_path / "shards"], store, partial=partial)
        assert store.n_rows() == 0

    def test_a_torn_file_put_aside_is_not_read(self, tmp_path, four, store):
        path = next(four[2].glob("*.parquet"))
        path.with_name(f"{path.name}.torn").write_bytes(path.read_bytes()[:-30])
        assert merge([tmp_path / "shards"], store).n_rows == 96

    def test_a_foreign_file_among_them(self, tmp_path, four, store):
        write_parquet(pa.table({"key": ["a0"]}), tmp_path / "shards" / "notes.parquet")
        with pytest.raises(StoreError, match=r"notes\.parquet: is Parquet, but no shard of a study"):
            merge([tmp_path / "shards"], store)
        assert store.n_rows() == 0

    def test_a_store_that_gets_full_loses_nothing(self, tmp_path, four, store, monkeypatch):
        monkeypatch.setattr(store_module, "_AT_ONCE", 10)
        store.limit_pages(9)
        with pytest.raises(StoreError, match="no more rows can be written"):
            merge(four, store)
        store.limit_pages(100_000)
        assert store.n_rows() < 96
        merge(four, store)
        assert store.n_rows() == 96
