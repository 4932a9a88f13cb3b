"""Shards of a sweep: which rows they hold, the files they are written to, and how a torn or foreign file is told."""

import errno
import hashlib
import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosim.study import shards
from cosim.study.failures import StoreFullError
from cosim.study.rows import FAILED, OK, Rows
from cosim.study.shards import Mark, ShardWriter, complain_of_missing, read_part, shard_files, sweep_hash, write_parquet
from cosim.study.sweep import Shard, read_shard
from workloads.errors import StoreError

HERE = Path(__file__).parent
KEYS = st.lists(st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"), unique=True, max_size=50)
ALL = Shard(1, 1)


@pytest.fixture
def said():
    """What writers have said."""
    return []


@pytest.fixture
def writer_of(tmp_path, fake, said):
    """Make the writer of a shard of the fake study."""

    def make(shard=ALL, keys=None, columns=fake.COLUMNS):
        return ShardWriter(tmp_path / "s.shards", fake.job().distinct() if keys is None else keys, "fake", shard, columns, said.append)

    return make


@pytest.fixture
def slow(monkeypatch):
    """A clock that stands still until it is moved."""
    clock = [100.0]
    monkeypatch.setattr(shards.time, "monotonic", lambda: clock[0])
    return clock


def part_files(writer):
    return sorted(writer.folder.glob("*.parquet"))


class TestShard:
    def test_a_row_is_of_the_shard_that_its_key_leaves_as_remainder(self):
        assert [Shard(i, 4).holds("0" * 31 + "6") for i in (1, 2, 3, 4)] == [False, False, True, False]  # 6 % 4 == 2
        assert Shard(1, 4).holds("f" * 31 + "0")
        assert Shard(2, 3).holds("10")  # 16 % 3 == 1
        assert Shard(1, 1).holds("abc")

    @given(KEYS, st.integers(1, 12))
    def test_each_key_is_of_one_shard(self, keys, n):
        parts = [[key for key in keys if Shard(i, n).holds(key)] for i in range(1, n + 1)]
        assert sorted(key for part in parts for key in part) == sorted(keys)
        assert all(int(key, 16) % n == i for i, part in enumerate(parts) for key in part)

    def test_a_job_lists_the_keys_of_a_shard(self, fake):
        job = fake.job()
        parts = [job.distinct(Shard(i, 3)) for i in (1, 2, 3)]
        assert sorted(key for part in parts for key in part) == sorted(job.distinct())
        assert all(20 < len(part) < 44 for part in parts)  # 96 rows, 32 each by chance

    @pytest.mark.parametrize(("text", "index", "n"), [("1/1", 1, 1), ("1/4", 1, 4), ("4/4", 4, 4), ("03/10", 3, 10)])
    def test_read(self, text, index, n):
        assert read_shard(text) == Shard(index, n)

    @pytest.mark.parametrize(
        "text", ["0/4", "5/4", "a/b", "", "/", "1", "1/", "/4", "-1/4", "1/-4", "1.0/4", "1/4/5", " 1/4", "1/0", "0/0"]
    )
    def test_refused(self, text):
        with pytest.raises(StoreError, match=r"--shard .*: write i/n with i from 1 to n, such as 1/8"):
            read_shard(text)


class TestSweepHash:
    def test_it_is_of_all_keys_whatever_their_order(self):
        expected = hashlib.sha256(b"aabbcc").hexdigest()[:16]
        assert sweep_hash(["cc", "aa", "bb"]) == sweep_hash(iter(["aa", "bb", "cc"])) == expected

    @given(KEYS.filter(bool), st.randoms())
    def test_order_does_not_matter_and_every_key_does(self, keys, random):
        mixed = random.sample(keys, len(keys))
        assert sweep_hash(mixed) == sweep_hash(keys)
        assert sweep_hash(mixed[1:]) != sweep_hash(keys)


class TestWrite:
    def test_rows_wait_until_they_are_flushed(self, writer_of, fake, slow):
        writer, rows = writer_of(), fake.evaluated()
        assert writer.write(rows, fake.origin(), fake.NETS) == 0
        assert part_files(writer) == []
        assert writer.flush() == len(rows.keys)
        assert writer.flush() == 0
        assert len(part_files(writer)) == 1

    def test_many_rows_are_written_at_once(self, writer_of, fake, slow, monkeypatch):
        monkeypatch.setattr(shards, "_MANY", 20)
        writer = writer_of()
        safe = [writer.write(fake.Fake((0, 1)).evaluate(fake.SPACE.listed[i : i + 4]), fake.origin(), fake.NETS) for i in range(0, 24, 4)]
        assert safe == [0, 0, 24, 0, 0, 24]
        assert len(part_files(writer)) == 2

    def test_rows_that_have_waited_for_long_are_written(self, writer_of, fake, slow):
        writer = writer_of()
        assert writer.write(fake.evaluated(2), fake.origin(), fake.NETS) == 0
        slow[0] += 31
        assert writer.write(fake.evaluated(3), fake.origin(), fake.NETS) == 10
        slow[0] += 29  # since the last file
        assert writer.write(fake.evaluated(4), fake.origin(), fake.NETS) == 0

    def test_a_file_says_all_that_a_row_is(self, writer_of, fake):
        writer, rows = writer_of(), fake.evaluated(5)
        writer.write(rows, fake.origin(seed=3), fake.NETS, cost=0.5, cpu_s=0.25)
        writer.flush()
        mark, table = read_part(part_files(writer)[0])
        assert mark == Mark(sweep_hash(fake.job().distinct()), "fake", 1, 1, 96)
        assert table["key"].to_pylist() == rows.keys
        assert table["workload"].to_pylist() == ["tiny", "small"] * 5
        assert table["status"].to_pylist() == rows.status.tolist()
        assert table["error"].to_pylist() == rows.error
        assert table["design"].to_pylist() == rows.designs
        assert (set(table["cost"].to_pylist()), set(table["cpu_s"].to_pylist())) == ({0.5}, {0.25})
        assert shards.origins_of_table(table) == [fake.origin(seed=3)] * 10

    def test_floats_are_kept_bit_for_bit(self, writer_of, fake):
        values = np.array([[0.1, 5e-324, math.inf], [-0.0, math.nan, -math.inf]])
        rows = Rows(["0", "1"], np.zeros(2, np.int8), ["", ""], values, np.zeros(2, np.int64), ["{}", "{}"])
        writer = writer_of()
        writer.write(rows, fake.origin(), fake.NETS)
        writer.flush()
        found = shards.values_of_table(read_part(part_files(writer)[0])[1], fake.COLUMNS)
        assert [struct.pack("<d", v) for v in found.ravel()] == [
            struct.pack("<d", v) for v in [0.1, 5e-324, math.inf, 0.0, math.nan, -math.inf]
        ]

    def test_the_same_rows_are_the_same_file(self, writer_of, fake):
        contents = []
        for _ in range(2):
            writer = writer_of()
            writer.write(fake.evaluated(5), fake.origin(), fake.NETS)
            writer.flush()
            contents.append([(path.name, path.read_bytes()) for path in part_files(writer)])
        assert contents[0] == contents[1]
        assert len(contents[1]) == 1

    def test_each_shard_has_a_folder(self, writer_of):
        assert writer_of(Shard(3, 8)).folder.name == "3-of-8"
        assert writer_of(Shard(3, 8)).folder.is_dir()

    def test_a_shard_without_rows_leaves_a_file_that_says_so(self, writer_of):
        writer = writer_of(Shard(2, 2), keys=["0", "2"])
        assert writer.statuses([]) == {}
        writer.finish()
        mark, table = read_part(part_files(writer)[0])
        assert (mark.n_rows, table.num_rows) == (0, 0)

    def test_a_shard_with_rows_has_nothing_to_add(self, writer_of):
        writer = writer_of()
        writer.finish()
        assert part_files(writer) == []

    def test_a_folder_that_cannot_be_made(self, tmp_path, fake):
        (tmp_path / "taken").write_text("")
        with pytest.raises(StoreError, match=r"taken/1-of-1: cannot be made: (Not a directory|File exists)"):
            ShardWriter(tmp_path / "taken", [], "fake", ALL, fake.COLUMNS, print)


class TestStatuses:
    def test_rows_in_the_folder_are_known(self, writer_of, fake):
        writer, rows = writer_of(), fake.evaluated(8)
        writer.write(rows, fake.origin(), fake.NETS)
        writer.flush()
        again = writer_of()
        assert again.statuses(fake.job().distinct()) == dict(zip(rows.keys, rows.status.tolist(), strict=True))
        assert again.statuses(rows.keys[:1]) == {rows.keys[0]: OK}

    def test_a_torn_file_is_put_aside_and_its_rows_are_computed_again(self, writer_of, fake, said):
        writer = writer_of()
        for n in (3, 4):
            writer.write(fake.Fake((0, 1)).evaluate(fake.SPACE.listed[n : n + 1]), fake.origin(), fake.NETS)
            writer.flush()
        torn, kept = part_files(writer)
        torn.write_bytes(torn.read_bytes()[:-40])
        left = torn.read_bytes()
        found = writer_of().statuses(fake.job().distinct())
        assert set(found) == set(pq.read_table(kept)["key"].to_pylist())
        assert torn.with_name(f"{torn.name}.torn").read_bytes() == left
        assert not torn.exists()
        assert len(said) == 1
        assert said[0].startswith(f"{torn}: is not a whole Parquet file")
        assert said[0].endswith(f"it is kept as {torn.name}.torn, and its rows are computed again")

    def test_of_a_failure_and_a_result_the_result_counts(self, writer_of, fake):
        writer, codes = writer_of(), fake.SPACE.listed[:1]
        good = fake.Fake((0, 1)).evaluate(codes)
        task = fake.job().task
        writer.write(task.failed(good.keys, codes, (0, 1), "killed"), fake.origin(), fake.NETS)
        writer.flush()
        assert set(writer.statuses(good.keys).values()) == {FAILED}
        path = part_files(writer)[0]
        path.rename(path.with_name("part-a.parquet"))
        writer.write(good, fake.origin(), fake.NETS)
        writer.flush()
        assert set(writer.statuses(good.keys).values()) == {OK}
        path.rename(path.with_name("part-Z.parquet"))  # read before the failure
        assert set(writer.statuses(good.keys).values()) == {OK}

    def test_rows_of_the_study_before_it_was_changed_are_taken_over(self, writer_of, fake):
        rows = fake.evaluated(4)
        old = writer_of(keys=[*rows.keys, "abc"])
        old.write(rows, fake.origin(), fake.NETS)
        old.flush()
        wanted = rows.keys[2:]
        new = writer_of(keys=wanted)
        assert set(new.statuses(wanted)) == set(wanted)
        parts = {mark.sweep: table["key"].to_pylist() for mark, table in map(read_part, part_files(new))}
        assert parts == {old.mark.sweep: rows.keys, new.mark.sweep: wanted}
        assert set(writer_of(keys=wanted).statuses(wanted)) == set(wanted)
        assert len(part_files(new)) == 2  # and once is enough


class TestWriteParquet:
    TABLE = pa.table({"x": [1.5, 2.5]})

    def test_a_file_and_nothing_else(self, tmp_path):
        write_parquet(self.TABLE, tmp_path / "a" / "b.parquet")
        assert pq.read_table(tmp_path / "a" / "b.parquet").equals(self.TABLE)
        assert [one.name for one in (tmp_path / "a").iterdir()] == ["b.parquet"]

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
    def test_a_full_disk(self, tmp_path, monkeypatch, number):
        path = tmp_path / "b.parquet"
        path.write_bytes(b"before")

        def full(_file):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreFullError, match=r"b\.parquet: cannot be written: .*; what was acknowledged is safe: make room"):
            write_parquet(self.TABLE, path)
        assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("b.parquet", b"before")]

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "b.parquet").mkdir()
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match=r"b\.parquet: cannot be written: Is a directory; name another place"):
            write_parquet(self.TABLE, tmp_path / "b.parquet")
        with pytest.raises(StoreError, match=r"cannot be written: .*; name another place") as caught:
            write_parquet(self.TABLE, tmp_path / "file" / "c.parquet")
        assert not isinstance(caught.value, StoreFullError)
        assert sorted(one.name for one in tmp_path.iterdir()) == ["b.parquet", "file"]

    def test_a_file_that_may_not_grow(self, tmp_path):
        code = f"""
import resource, sys
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
import fake_study as fake
from cosim.study.failures import StoreFullError
from cosim.study.shards import ShardWriter
from cosim.study.sweep import Shard
writer = ShardWriter(Path({str(tmp_path)!r}), fake.job().distinct(), "fake", Shard(1, 1), fake.COLUMNS, print)
writer.write(fake.evaluated(20), fake.origin(), fake.NETS)
print(writer.flush())
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
writer.write(fake.evaluated(), fake.origin(), fake.NETS)
try:
    writer.flush()
except StoreFullError as error:
    print(error)
"""
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert (child.returncode, child.stderr) == (0, "")
        n, told = child.stdout.splitlines()
        assert "cannot be written: File too large; what was acknowledged is safe" in told
        files = list((tmp_path / "1-of-1").iterdir())
        assert len(files) == 1  # nothing half written beside it
        assert read_part(files[0])[1].num_rows == int(n) == 40


class TestReadPart:
    @pytest.mark.parametrize("content", [b"", b"PAR1", b"key,latency\n1,2\n", b"PAR1" + b"\x00" * 100 + b"PAR1"])
    def test_no_parquet(self, tmp_path, content):
        path = tmp_path / "p.parquet"
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"p\.parquet: is not a whole Parquet file \(.+\)"):
            read_part(path)
        assert path.read_bytes() == content

    def test_missing_or_a_folder(self, tmp_path):
        for path in (tmp_path / "missing.parquet", tmp_path):
            with pytest.raises(StoreError, match="is not a whole Parquet file"):
                read_part(path)

    @pytest.mark.parametrize("n_bytes", [1, 100, -1, -8, -200])
    def test_torn(self, writer_of, fake, n_bytes):
        writer = writer_of()
        writer.write(fake.evaluated(), fake.origin(), fake.NETS)
        writer.flush()
        path = part_files(writer)[0]
        path.write_bytes(path.read_bytes()[:n_bytes])
        with pytest.raises(StoreError, match="is not a whole Parquet file"):
            read_part(path)

    def test_of_another_program(self, tmp_path):
        write_parquet(pa.table({"key": ["a"]}), tmp_path / "p.parquet")
        with pytest.raises(StoreError, match=r"p\.parquet: is Parquet, but no shard of a study"):
            read_part(tmp_path / "p.parquet")

    def test_without_a_column(self, tmp_path):
        table = pa.table({name: ["a"] for name in shards.HEAD if name != "status"})
        mark = json.dumps(vars(Mark("s", "fake", 1, 1, 1)))
        write_parquet(table.replace_schema_metadata({"cosim.shard": mark}), tmp_path / "p.parquet")
        with pytest.raises(StoreError, match=r"p\.parquet: lacks column 'status' of a shard"):
            read_part(tmp_path / "p.parquet")

    @pytest.mark.parametrize("mark", ["no json", '{"sweep": "s"}', '{"other": 1}', "[]"])
    def test_with_a_mark_that_says_something_else(self, tmp_path, mark):
        table = pa.table({name: ["a"] for name in shards.HEAD})
        write_parquet(table.replace_schema_metadata({"cosim.shard": mark}), tmp_path / "p.parquet")
        with pytest.raises(StoreError, match="is a shard of another version of cosim"):
            read_part(tmp_path / "p.parquet")


class TestTables:
    def test_values_are_found_by_name_and_none_is_nan(self):
        table = pa.table({"key": ["a", "b"], "y": [1.0, None], "x": [3.0, 4.0]})
        found = shards.values_of_table(table, ("x", "missing", "y"))
        np.testing.assert_array_equal(found, [[3.0, np.nan, 1.0], [4.0, np.nan, np.nan]])

    def test_without_pyarrow(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(StoreError, match=r'Parquet needs pyarrow: pip install "cosim\[study\]"'):
            shards.arrow()


class TestShardFiles:
    def test_files_of_folders_below_and_files_themselves(self, tmp_path):
        for name in ("a/1-of-2/p.parquet", "a/2-of-2/q.parquet", "a/2-of-2/.q.parquet.77", "a/2-of-2/x.parquet.torn", "b.parquet"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "a" / ".half.parquet").touch()
        found = shard_files([tmp_path / "a", tmp_path / "b.parquet"])
        assert [str(path.relative_to(tmp_path)) for path in found] == ["a/1-of-2/p.parquet", "a/2-of-2/q.parquet", "b.parquet"]

    def test_none(self, tmp_path):
        with pytest.raises(StoreError, match=r"no shards there; run cosim sweep with --shard i/n first"):
            shard_files([tmp_path])


class TestComplaints:
    def mark(self, shard, of=3, n_rows=2, sweep="s"):
        return Mark(sweep, "fake", shard, of, n_rows)

    def test_all_there(self):
        assert complain_of_missing({self.mark(i): {"a", "b"} for i in (1, 2, 3)}) == []
        assert complain_of_missing({}) == []

    def test_missing_and_unfinished(self):
        found = complain_of_missing({self.mark(1): {"a"}, self.mark(3, n_rows=1234): {"a", "b"}})
        assert found == ["shard 1/3 has 1 of 2 rows", "shard 2/3 is missing", "shard 3/3 has 2 of 1,234 rows"]

    def test_a_shard_without_rows_is_there(self):
        assert complain_of_missing({self.mark(1, of=1, n_rows=0): set()}) == []

    def test_sweeps_are_told_apart(self):
        found = complain_of_missing({self.mark(1, of=2, sweep="0123456789"): {"a", "b"}, self.mark(2, of=2, sweep="t"): {"a", "b"}})
        assert found == ["shard 2/2 of sweep 01234567 is missing", "shard 1/2 of sweep t is missing"]
