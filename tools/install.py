"""Installs locked packages into the environment of the Python that runs this, and counts along.

    .venv/bin/python tools/install.py --expect '1 minute, 1.1 GB' requirements.lock

On a terminal the count stays on one line. In a log there is a line every 20 packages.
"""

import argparse
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

# An environment that was just made has pip, and nothing else.
from pip._vendor.packaging.requirements import Requirement

# Modules are compiled when they are first imported: most of them never are.
PIP = ("-m", "pip", "--no-input", "install", "--no-compile")
EVERY = 20  # packages between two lines of a log


def main() -> int:
    """Say what will be installed, install it, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("locks", nargs="+", type=Path, help="files with pinned, hashed packages")
    parser.add_argument("--expect", required=True, help="time and disk that it takes, measured")
    options = parser.parse_args()
    missing = {name for lock in options.locks for name in locked(lock)} - installed()
    place, start = Path(sys.prefix), time.monotonic()
    print(f"Installs {len(missing)} packages in {place}: about {options.expect}", flush=True)
    status = install(options.locks, Progress(len(missing)))
    if status == 0:
        seconds = time.monotonic() - start
        print(f"Installed in {seconds:.0f} s; {place} has {megabytes(place):,} MB", flush=True)
    return status


def locked(lock: Path) -> list[str]:
    """Names of the packages that a lock has for this machine."""
    lines = [line.removesuffix(" \\") for line in lock.read_text(encoding="utf-8").splitlines()]
    pins = [Requirement(line) for line in lines if "==" in line and not line.startswith(" ")]
    return [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate()]


def installed() -> set[str]:
    """Names of the packages that the environment has, as a lock writes them."""
    found = Path(sys.prefix).glob("lib/python*/site-packages/*.dist-info")
    return {re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() for path in found}


def megabytes(folder: Path) -> int:
    """Disk that a folder takes."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 // 1_000_000


class Progress:
    """A count of packages on one line of a terminal, or on a few lines of a log.

    Parameters
    ----------
    total
        Packages that are wanted.
    """

    def __init__(self, total: int):
        self.total = total
        self.terminal = sys.stdout.isatty()
        self.last = ""

    def show(self, verb: str, count: int) -> None:
        """Say how many packages were fetched, or unpacked."""
        count = min(count, self.total)
        if not self.terminal and count < self.total:
            count -= count % EVERY
        line = f"  {verb} {count} of {self.total}"
        if count and line != self.last:
            print(f"\r{line}" if self.terminal else line, end="" if self.terminal else "\n")
            sys.stdout.flush()
            self.last = line

    def end(self) -> None:
        """Leave the line."""
        if self.terminal and self.last:
            print(flush=True)


def install(locks: list[Path], progress: Progress) -> int:
    """Run pip on locks; gives its exit status."""
    wanted = [part for lock in locks for part in ("--requirement", str(lock))]
    command = [sys.executable, *PIP, "--progress-bar", "off", "--require-hashes", *wanted]
    before, fetched, finished = len(installed()), 0, threading.Event()
    unpacking = threading.Thread(target=count_unpacked, args=(progress, before, finished))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pip:
        for line in pip.stdout:
            if line.startswith(("Collecting", "Processing")):
                fetched += 1
                progress.show("fetched", fetched)
            elif line.startswith("Installing collected packages"):
                unpacking.start()
    finished.set()
    if unpacking.ident is not None:
        unpacking.join()
    progress.end()
    return pip.returncode


def count_unpacked(progress: Progress, before: int, finished: threading.Event) -> None:
    """Count the packages that arrive: pip says nothing while it unpacks them."""
    while not finished.wait(0.5):
        progress.show("unpacked", len(installed()) - before)


if __name__ == "__main__":
    sys.exit(main())
