"""Gives each job a folder for temporary files, and removes what ended jobs left."""

import errno
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

from genebatch.io.files import InputError, digest, is_locked, lock
from genebatch.jobs.limits import MB

log = logging.getLogger("genebatch")

LOCK = ".lock"  # locked as long as the job lives that made the folder
UNFINISHED = re.compile(r"\.[a-z0-9_]{8}\.part(\.\w+)?")  # the names that `files.whole` gives
# A disk with less room is taken for full. The write that fails leaves less than one block.
FULL_MB = 16


def make_scratch() -> Path:
    """Make a folder in `$TMPDIR` for this job, and let all libraries use it.

    First removes the folders that ended jobs of this run folder left, for example after a SIGKILL.
    A folder is locked as long as a process of its job lives, so those in use stay.

    Raises
    ------
    InputError
        If no folder can be made in `$TMPDIR`.
    """
    parent = _parent()
    prefix = f"genebatch-{digest(os.getcwd(), os.getuid(), length=8)}-"
    for left in parent.glob(f"{prefix}*"):
        if not is_locked(left / LOCK):
            shutil.rmtree(left, ignore_errors=True)
    try:
        made = Path(tempfile.mkdtemp(prefix=".genebatch-", dir=parent))
        # Locked before it has its name: another job never sees it without a lock.
        lock(os.open(made / LOCK, os.O_CREAT | os.O_RDWR))
        folder = made.rename(parent / f"{prefix}{made.name.rpartition('-')[2]}")
    except OSError as error:
        raise InputError(
            f"no temporary folder can be made in {parent} ({error.strerror}); set TMPDIR to a "
            "folder on a disk with room"
        ) from error
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def remove_unfinished(results: str | Path) -> None:
    """Remove files that ended jobs did not finish from a results folder.

    Files that are being written are locked, and stay.
    """
    for path in Path(results).rglob(".*.part*"):
        if UNFINISHED.fullmatch(path.name) and not is_locked(path):
            path.unlink(missing_ok=True)
            log.info("removed %s, which a job did not finish", path)


def is_disk_full(error: BaseException) -> bool:
    """Tell whether a write failed for want of room, also in another language."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error) or "Disk quota exceeded" in str(error)


def full_disk(scratch: Path) -> str | None:
    """Say which disk is full and what to do; None if those of the job have room."""
    if _free_mb(scratch) < FULL_MB:
        used = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
        return (
            f"No space left on device: {scratch.parent} ($TMPDIR) is full; this job had written "
            f"{used / MB:,.0f} MB there. Set TMPDIR to a folder on a disk with more room, then run "
            "again"
        )
    if _free_mb(Path.cwd()) < FULL_MB:
        return f"No space left on device: the disk of {Path.cwd()} is full; make room and run again"
    return None


def _parent() -> Path:
    """The folder of temporary files. Python silently takes another one where it is full."""
    given = os.environ.get("TMPDIR")
    if given and Path(given).is_dir():
        return Path(given)
    found = tempfile.gettempdir()
    if given:
        log.warning("TMPDIR is %s, which is no folder: temporary files go to %s", given, found)
    return Path(found)


def _free_mb(folder: Path) -> float:
    return shutil.disk_usage(folder).free / MB
