"""The native folder: shards, lock, recovery."""

import fcntl
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breadth.diversity import BreadthError, ConfigurationError, DataError
from breadth.diversity.formats import native, read, write
from breadth.diversity.formats.native import append, open_native
from breadth.diversity.testing import FormatContract, assert_equal_sets

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Native(FormatContract):
    format = "native"
    suffix = ""


def part(i):
    """One conformer of water that is like no other part's."""
    example = Native().example().select([0])
    moved = example.positions + 1e-3 * i
    return replace(example, positions=moved, record=np.array([i]))


def shard_files(path):
    return sorted((path / "shards").glob("*.safetensors"))


def in_child(action) -> int:
    """Run an action in a forked child; return its exit status, or minus the signal's number."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BreadthError as error:
            print(error, file=sys.stderr)
            os._exit(3)
        except BaseException:
            os._exit(4)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_appended_parts_are_read_in_order_and_the_manifest_tells_of_each(tmp_path):
    for i in range(3):
        append(tmp_path / "set", part(i))
    made = read(tmp_path / "set")
    assert made.record.tolist() == [0, 1, 2]
    opened = open_native(tmp_path / "set", verify=True)
    assert (len(opened), opened.n_conformers) == (3, 3)
    assert [s.record.tolist() for s in opened] == [[0], [1], [2]]
    shard = opened.shards[0]
    assert shard["elements"] == [1, 8]
    assert shard["levels"]["gfn2"]["energy"] == [-137.9, -137.9]
    assert shard["n_atoms"] == 3


def test_appending_the_same_part_again_changes_nothing(tmp_path):
    for _ in range(2):
        append(tmp_path / "set", part(0))
    assert len(read(tmp_path / "set")) == 1


def test_large_sets_are_split_and_come_back_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "SHARD_SIZE", 2)
    example = Native().example()
    write(example, tmp_path / "set")
    assert len(open_native(tmp_path / "set")) == 2
    assert_equal_sets(example, read(tmp_path / "set"))


def test_arrays_of_a_shard_are_mapped_not_copied(tmp_path):
    write(Native().example(), tmp_path / "set")
    base = read(tmp_path / "set").positions
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    assert isinstance(base, mmap.mmap)


def test_writing_again_replaces_the_set_and_sweeps_old_shards(tmp_path):
    write(Native().example(), tmp_path / "set")
    write(part(5), tmp_path / "set")
    assert read(tmp_path / "set").record.tolist() == [5]
    assert len(shard_files(tmp_path / "set")) == 1


def test_an_unlisted_shard_is_never_read_and_the_next_write_sweeps_it(tmp_path):
    append(tmp_path / "other", part(1))
    append(tmp_path / "set", part(0))
    stray = shard_files(tmp_path / "other")[0]
    (tmp_path / "set/shards" / stray.name).write_bytes(stray.read_bytes())
    assert read(tmp_path / "set").record.tolist() == [0]
    append(tmp_path / "set", part(2))
    assert read(tmp_path / "set").record.tolist() == [0, 2]
    assert stray.name not in {p.name for p in shard_files(tmp_path / "set")}


def test_two_writers_on_one_folder_are_kept_apart(tmp_path):
    append(tmp_path / "set", part(0))
    with open(tmp_path / "set/.lock", "r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BreadthError, match=r"Another process .* is writing to"):
            append(tmp_path / "set", part(1))
        assert len(read(tmp_path / "set")) == 1  # readers need no lock
    append(tmp_path / "set", part(1))
    assert len(read(tmp_path / "set")) == 2


def test_a_changed_shard_is_told_by_its_hash(tmp_path):
    append(tmp_path / "set", part(0))
    file = shard_files(tmp_path / "set")[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=file.name):
        open_native(tmp_path / "set", verify=True)[0]


def test_a_damaged_shard_is_named_and_the_others_can_be_read(tmp_path):
    for i in range(2):
        append(tmp_path / "set", part(i))
    first = open_native(tmp_path / "set").shards[0]["file"]
    (tmp_path / "set/shards" / first).write_bytes(b"short")
    with pytest.raises(DataError, match=first):
        read(tmp_path / "set")
    rest = read(tmp_path / "set", skip_bad=True)
    assert rest.record.tolist() == [1]
    assert rest.metadata["set_aside"][0]["record"] == first
    (tmp_path / "set/shards" / first).unlink()
    with pytest.raises(DataError, match=f"{first}, which is not there"):
        read(tmp_path / "set")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other", "shards": []}', ""])
def test_a_damaged_manifest_is_an_error(tmp_path, text):
    append(tmp_path / "set", part(0))
    (tmp_path / "set/manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        read(tmp_path / "set")


def test_a_newer_version_is_an_error(tmp_path):
    append(tmp_path / "set", part(0))
    file = tmp_path / "set/manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 99}))
    with pytest.raises(DataError, match="version 99"):
        read(tmp_path / "set")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BreadthError, match=r"letter\.txt"):
        write(part(0), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(DataError, match=r"in no format"):
        read(tmp_path)


def test_molecules_of_a_folder_are_as_written(tmp_path):
    append(tmp_path / "set", part(0))
    with pytest.raises(ConfigurationError, match="original file"):
        read(tmp_path / "set", identity="graph")


def kill_at(call: int, action):
    """Return an action that is killed at its n-th system call that makes a change last."""

    def killed():
        count = 0

        def counted(function):
            def wrapper(*args, **options):
                nonlocal count
                count += 1
                if count == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **options)

            return wrapper

        os.fsync = counted(os.fsync)
        Path.replace = counted(Path.replace)
        Path.unlink = counted(Path.unlink)
        action()

    return killed


@pytest.mark.parametrize("operation", [append, lambda path, s: write(s, path)])
def test_a_kill_at_any_step_leaves_the_state_before_or_after(tmp_path, operation):
    path = tmp_path / "set"
    states = set()
    for call in range(1, 30):
        write(part(0), path)
        status = in_child(kill_at(call, lambda: operation(path, part(1))))
        before_or_after = tuple(read(path).record.tolist())
        states.add(before_or_after)
        assert before_or_after in {(0,), (0, 1), (1,)}
        for shard in open_native(path, verify=True):
            assert len(shard) == 1
        operation(path, part(1))  # the lock went with the killed process
        assert 1 in read(path).record
        assert len(shard_files(path)) == len(open_native(path))
        assert not list(path.rglob("*.partial"))
        if status == 0:
            break
        assert status == -signal.SIGKILL
    else:
        pytest.fail("the operation never ended")
    assert len(states) == 2


def test_a_kill_at_any_time_leaves_a_prefix(tmp_path):
    """A writer is killed where it happens to be; what it had reported as appended is there."""
    script = (
        f"import sys; sys.path[:0] = [{str(SOURCE)!r}, {str(Path(__file__).parent)!r}]\n"
        "import test_native as t\n"
        "from pathlib import Path\n"
        "for i in range(10_000):\n"
        "    t.append(Path(sys.argv[1]), t.part(i))\n"
        "    print(i, flush=True)\n"
    )
    for attempt in range(2):
        path = tmp_path / f"set{attempt}"
        with subprocess.Popen(
            [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True
        ) as process:
            for _ in range(10):
                process.stdout.readline()
            time.sleep(0.003 * attempt)
            process.kill()
            reported = [int(line) for line in process.stdout.read().split()]
        records = read(path).record.tolist()
        assert records == list(range(len(records)))
        assert len(records) >= 10 + len(reported)
        append(path, part(20_000))
        assert read(path).record.tolist() == [*records, 20_000]


def test_a_full_disk_harms_nothing(tmp_path, capfd):
    path = tmp_path / "set"
    append(path, part(0))

    def limited():
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (500, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        )
        append(path, part(1))

    assert in_child(limited) == 3
    assert "Cannot write" in capfd.readouterr().err
    assert read(path).record.tolist() == [0]
    assert not list(path.rglob("*.partial"))
