"""A folder of log files for each process that writes some, so that no two write or rotate one file."""

import errno
import fcntl
import os
from pathlib import Path

# More processes than this have no files: a file system that refuses every lock would have folders made without an end.
MOST_FOLDERS = 100

_held: dict[Path, Path] = {}


def own_folder(folder: Path) -> Path:
    """`folder` itself, or while other processes write there and in those, `folder/2`, `folder/3` and so on.

    Which of them are taken is known by a lock that ends with its process, whatever ends it: the next one takes the lowest
    that is free, so that there are never more folders than there were processes at a time; but where every lock is refused,
    all `MOST_FOLDERS` are made before it gives up. A forked process shares that of its parent. Raises `OSError` when a folder
    cannot be created, or all of them are taken.
    """
    if folder not in _held:
        folders = (folder, *(folder / str(number) for number in range(2, MOST_FOLDERS + 1)))
        held = next(filter(_hold, folders), None)
        if held is None:
            raise OSError(errno.EAGAIN, f"others hold the locks of all {MOST_FOLDERS} folders", str(folder))
        _held[folder] = held
    return _held[folder]


def _hold(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:  # a file system without locks: two processes that share a file lose no line either
        os.close(descriptor)
    return True
