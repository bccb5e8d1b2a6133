import multiprocessing
import threading

import pytest

from cryoexp.data.cache import cache_key, cached, is_whole
from cryoexp.data.description import DESCRIPTION


def build(folder):
    (folder / "volume").write_bytes(b"whole")
    (folder / DESCRIPTION).write_text("kind: test")


def test_built_once(tmp_path):
    calls = []
    for _ in range(2):
        folder = cached(tmp_path, "a", lambda f: (calls.append(f), build(f)))
    assert is_whole(folder)
    assert len(calls) == 1


def test_a_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "volume").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "a", fail)
    assert [f.name for f in tmp_path.iterdir() if f.is_dir()] == []
    assert (cached(tmp_path, "a", build) / "volume").read_bytes() == b"whole"


def test_leftovers_of_a_killed_build_are_swept_away(tmp_path):
    (tmp_path / ".a.partial").mkdir(parents=True)
    (tmp_path / ".a.partial" / "volume").write_bytes(b"half")
    (tmp_path / "a").mkdir()
    folder = cached(tmp_path, "a", build)
    assert (folder / "volume").read_bytes() == b"whole"
    assert not (tmp_path / ".a.partial").exists()


def test_two_at_once_build_one(tmp_path):
    calls = []

    def slow(folder):
        calls.append(folder)
        threading.Event().wait(0.3)
        build(folder)

    threads = [threading.Thread(target=cached, args=(tmp_path, "a", slow)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(calls) == 1


def _process(root, queue):
    def slow(folder):
        queue.put("built")
        threading.Event().wait(0.5)
        build(folder)

    cached(root, "a", slow)


def test_two_processes_build_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    both = [context.Process(target=_process, args=(tmp_path, queue)) for _ in range(2)]
    for p in both:
        p.start()
    for p in both:
        p.join()
    assert queue.get(timeout=5) == "built"
    assert queue.empty()


def test_key_follows_the_recipe():
    assert cache_key("s", {"a": 1, "b": 2}) == cache_key("s", {"b": 2, "a": 1})
    assert cache_key("s", {"a": 1}) != cache_key("s", {"a": 2})
