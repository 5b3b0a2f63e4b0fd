"""Programs kept on disk give what `jax.jit` gives, survive the process, and never the build."""

import logging
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin import programs
from twin.programs import Program, keep_programs


def _wave(shape: dict, x, scale: float):
    return {"sum": jnp.sum(shape["a"]) + scale * x, "cumulated": jnp.cumsum(jnp.sin(x) * shape["b"])}


ARGUMENTS = ({"a": np.arange(3.0), "b": np.float64(2.0)}, np.linspace(0.0, 1.0, 5))


@pytest.fixture
def folder(tmp_path):
    keep_programs(tmp_path)
    yield tmp_path
    keep_programs(None)


def fresh() -> Program:
    """As in a new process: nothing in memory."""
    return Program(_wave, ("scale",))


def files(folder):
    return sorted(folder.rglob("*.bin"))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_stored_is_jit(folder):
    want = jax.jit(_wave, static_argnames="scale")(*ARGUMENTS, 3.0)
    same(fresh()(*ARGUMENTS, 3.0), want)
    assert len(files(folder)) == 1
    before = files(folder)[0].stat().st_mtime_ns
    same(fresh()(*ARGUMENTS, scale=3.0), want)  # from disk, by keyword
    assert files(folder)[0].stat().st_mtime_ns == before


def test_the_second_process_does_not_trace(folder):
    traced = []

    def counted(x):
        traced.append(1)
        return 2.0 * x

    assert Program(counted, ())(jnp.asarray(1.0)) == Program(counted, ())(jnp.asarray(1.0)) == 2.0
    assert len(traced) == 1


def test_static_arguments_and_shapes_make_other_programs(folder):
    program = fresh()
    program(*ARGUMENTS, 3.0)
    program(*ARGUMENTS, 4.0)
    program(ARGUMENTS[0], np.linspace(0.0, 1.0, 6), 3.0)
    program(ARGUMENTS[0], np.linspace(0.0, 1.0, 5).astype(np.float32), 3.0)
    assert len(files(folder)) == 4


def test_another_build_is_another_program(folder, monkeypatch):
    fresh()(*ARGUMENTS, 3.0)
    monkeypatch.setattr(programs, "_build", lambda: "other")
    fresh()(*ARGUMENTS, 3.0)
    assert len({f.parent for f in files(folder)}) == 2


def test_a_damaged_file_is_compiled_again(folder, caplog):
    want = fresh()(*ARGUMENTS, 3.0)
    files(folder)[0].write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        same(fresh()(*ARGUMENTS, 3.0), want)
    assert "does not run" in caplog.text
    caplog.clear()
    same(fresh()(*ARGUMENTS, 3.0), want)
    assert not caplog.records, "the damaged file was replaced"


def test_a_program_from_the_compilers_cache_is_stored_whole(folder, tmp_path):
    """Stored, lost, and compiled again while JAX's own cache holds it: what is then stored must run elsewhere."""
    script = (
        "import sys, jax, jax.numpy as jnp\n"
        "jax.config.update('jax_compilation_cache_dir', sys.argv[1])\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)\n"
        "from pathlib import Path\n"
        "from twin.programs import Program, keep_programs\n"
        "keep_programs(Path(sys.argv[2]))\n"
        "def curve(x):\n"
        "    def body(c, v):\n"
        "        c = jnp.exp(-c) + jnp.sin(v) * c\n"
        "        return c, c\n"
        "    return jax.lax.scan(body, x[0], x)[1].sum() + jnp.linalg.norm(jnp.exp(-x))\n"
        "print(float(Program(curve, ())(jnp.linspace(0.0, 1.0, 50))))\n"
    )
    answers = []
    for lost in (False, True, False):
        if lost:
            for path in files(folder):
                path.unlink()
        command = [sys.executable, "-c", script, str(tmp_path / "jax"), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        assert "does not run" not in done.stderr
        answers.append(done.stdout)
    assert len(set(answers)) == 1 and len(files(folder)) == 1


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path, caplog):
    place = tmp_path / "file"
    place.write_text("not a folder")
    keep_programs(place)
    try:
        same(fresh()(*ARGUMENTS, 3.0), jax.jit(_wave, static_argnames="scale")(*ARGUMENTS, 3.0))
    finally:
        keep_programs(None)
    assert "not kept" in caplog.text


def test_inside_a_traced_function_it_is_jit(folder):
    traced = jax.jit(lambda x: fresh()(ARGUMENTS[0], x, 3.0))(ARGUMENTS[1])
    jax.tree.map(np.testing.assert_allclose, traced, fresh()(*ARGUMENTS, 3.0))
