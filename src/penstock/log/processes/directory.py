"""The data directory: made, and refused where a log could not keep its promises."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import psutil

from ...errors import LogFull, LogUnusable

NETWORK = frozenset(
    "9p afs afpfs beegfs ceph cifs coda davfs fuse.cephfs fuse.gcsfuse fuse.glusterfs fuse.rclone fuse.s3fs fuse.sshfs "
    "glusterfs gpfs lustre ncpfs nfs nfs3 nfs4 ocfs2 smb smb2 smb3 smbfs virtiofs vboxsf webdav".split()
)
FOLDERS = ("members", "wake")


def prepare(directory: Path) -> None:
    """Make the directory and its folders. Raises ``LogUnusable`` or ``LogFull`` that says what to do."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        refuse_network(directory)
        for name in FOLDERS:
            (directory / name).mkdir(exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise unusable(directory, error) from error


def unusable(path: Path, error: OSError) -> LogUnusable | LogFull:
    """The same trouble in words that say what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LogFull(f"no space is left for {path}; free some, or choose another --data directory")
    many = "too many files are open: raise the limit (`ulimit -n`)"
    advice = {
        errno.EMFILE: many,
        errno.ENFILE: many,
        errno.EACCES: "this user may not write there: change its owner, or choose another --data directory",
        errno.EPERM: "this user may not write there: change its owner, or choose another --data directory",
        errno.EROFS: "its file system is mounted read-only: choose another --data directory",
        errno.ENOTDIR: "a file stands in its way: choose another --data directory",
        errno.EEXIST: "a file stands in its way: choose another --data directory",
    }.get(error.errno or 0, error.strerror or str(error))
    return LogUnusable(f"cannot use {path}: {advice}")


def refuse_network(directory: Path) -> None:
    """Locks and shared memory do not work, or only seem to, between the hosts of a network file system."""
    kind = file_system(directory.resolve())
    if kind in NETWORK:
        raise LogUnusable(
            f"{directory} is on a network file system ({kind}), where locks are not reliable: "
            "choose a --data directory on a local disk"
        )


def file_system(path: Path) -> str:
    """The type of the file system that holds ``path``; empty where the system does not say."""
    best, kind = -1, ""
    for mount in psutil.disk_partitions(all=True):
        depth = len(Path(mount.mountpoint).parts)
        if depth >= best and path.is_relative_to(mount.mountpoint):  # a later mount covers an earlier
            best, kind = depth, mount.fstype
    return kind.lower()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
