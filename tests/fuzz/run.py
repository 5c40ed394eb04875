"""Fuzzes the readers of what strangers write, for minutes: `make fuzz`.

    python -m tests.fuzz.run [--minutes 2] [--plain] [TARGET ...]

Each target runs in a process of its own, one after the other. With atheris installed
(`.venv/bin/python -m pip install -e .[fuzz]`) the inputs are guided by the coverage of our code; without it
they are mutations of the corpus at random. Either way an input that breaks a reader is written to the corpus
as `found-....bin`, to be mended and kept, and the exit code is 1.

Bounds of one input: 10 seconds, 1 GiB of memory, 64 KiB of length.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import WORDS, mutated
from tests.fuzz.seeds import CORPUS, ROOT, corpus_of

__all__ = ["main"]

SECONDS_MAX = 10
MEMORY_BYTES_MAX = 1 << 30
LENGTH_MAX = 65_536


def main() -> None:
    """Run the targets named, or all, and report; exit with 1 if an input broke one."""
    arguments = _arguments()
    if arguments.worker:
        _worker(arguments.worker, arguments.minutes * 60, plain=arguments.plain)
        return
    failed = []
    for name in arguments.targets or _names():
        started = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz.run", "--worker", name]
        command += ["--minutes", str(arguments.minutes), *(["--plain"] if arguments.plain else [])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        took = time.monotonic() - started
        output = done.stdout + done.stderr
        count = [*re.findall(r"^#([0-9]+)\s|executions ([0-9]+)", output, re.MULTILINE)]
        executions = int("".join(count[-1])) if count else 0
        print(
            f"{name:16} {executions:>10,} executions in {took:4.0f} s, {_verdict(done.returncode)}",
            flush=True,
        )
        if done.returncode:
            failed.append(name)
            print(_tail(output), flush=True)
    sys.exit(1 if failed else 0)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each target; default 2")
    parser.add_argument("--plain", action="store_true", help="mutations at random even if atheris is there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", help=f"default: all of {', '.join(_names())}")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in _names()]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; known: {', '.join(_names())}")
    return arguments


def _names() -> list[str]:
    return sorted(path.name for path in CORPUS.iterdir() if path.is_dir())


def _verdict(code: int) -> str:
    return "nothing found" if code == 0 else "AN INPUT BREAKS IT"


def _tail(output: str) -> str:
    return "\n".join("    " + line for line in output.strip().splitlines()[-25:])


def _worker(name: str, seconds: float, *, plain: bool) -> None:
    if plain or importlib.util.find_spec("atheris") is None:
        _plain(name, seconds)
    else:
        _guided(name, seconds)


def _keep(name: str, data: bytes) -> Path:
    path = CORPUS / name / f"found-{hashlib.blake2b(data, digest_size=4).hexdigest()}.bin"
    path.write_bytes(data)
    return path


def _guided(name: str, seconds: float) -> None:
    """Let atheris choose the inputs. It ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["adapters", "engine"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]

    def one(data: bytes) -> None:
        try:
            target.read(data)
        except target.errors:
            pass
        except BaseException:
            print(f"kept as {_keep(name, data)}", file=sys.stderr)
            raise

    def change(data: bytes, length_max: int, seed: int) -> bytes:
        if seed % 4 == 0:
            return bytes(atheris.Mutate(data, length_max))
        return mutated(data, target.form, random.Random(seed))[:length_max]

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS if 0 < len(word) < 60), "ascii")
        found = Path(folder) / "found"
        found.mkdir()
        options = [
            *(f"-max_total_time={seconds:.0f}", f"-max_len={LENGTH_MAX}", f"-timeout={SECONDS_MAX}"),
            *(f"-rss_limit_mb={MEMORY_BYTES_MAX >> 20}", f"-dict={words}", f"-artifact_prefix={found}/"),
            *(str(found), str(CORPUS / name)),
        ]
        atheris.Setup([sys.argv[0], *options], one, custom_mutator=change)
        atheris.Fuzz()


def _plain(name: str, seconds: float) -> None:
    """Read mutations of the corpus at random, with the same bounds."""
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY_BYTES_MAX, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, _too_slow)
    corpus = corpus_of(name)
    chance = random.Random()
    end = time.monotonic() + seconds
    executions = 0
    while time.monotonic() < end:
        data = mutated(chance.choice(corpus), target.form, chance, corpus)[:LENGTH_MAX]
        executions += 1
        signal.alarm(SECONDS_MAX)
        try:
            target.read(data)
        except target.errors:
            pass
        except BaseException:
            print(f"kept as {_keep(name, data)}; executions {executions}", file=sys.stderr)
            raise
        signal.alarm(0)
    print(f"executions {executions}")


def _too_slow(number: int, frame: object) -> None:
    raise TimeoutError(f"an input took more than {SECONDS_MAX} s")


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
