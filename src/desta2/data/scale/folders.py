"""Folders of shards: a local path, or a URL of any file system that fsspec knows (s3://, gs://, hf://, …).

Trade-off: a shard is copied whole, in and out, instead of being streamed over the network: the stages need
real files to be resumable, and a shard is small against a disk. What is published appears under its name
only when it is whole: by an atomic rename on local disks, by the upload itself on object stores, and by a
rename after the upload elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.errors import Desta2Error, InputError, RunError
from desta2.lines import FAILED, PARTIAL, RECORDS

logger = logging.getLogger(__name__)

_WHOLE_UPLOADS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "hf"})
_HIDDEN = (".", "_")


@dataclass(frozen=True)
class Folder:
    """A folder by its absolute path or URL. Only that is pickled: connections are made where they are used.

    Credentials are those of the environment, as always with fsspec.
    """

    url: str

    @classmethod
    def of(cls, where: str | Path) -> Folder:
        """Take a path or URL as the user gives it; InputError where nothing is known about its scheme."""
        if "://" not in str(where):
            return cls(str(Path(where).expanduser().absolute()))
        folder = cls(str(where).rstrip("/"))
        _ = folder._fs
        return folder

    def __str__(self) -> str:
        return self.url

    @property
    def local(self) -> Path | None:
        """The folder as a path, where it is one on this machine."""
        return None if "://" in self.url else Path(self.url)

    def within(self, name: str) -> Folder:
        """A folder in this folder."""
        return Folder(f"{self.url}/{name}")

    def names(self) -> list[str]:
        """The names of the files, in natural order (part-10 after part-9); none if the folder is missing.

        InputError where the folder cannot be listed.
        """
        with self._errors(f"cannot list {self}"):
            try:
                fs, root = self._at("")
                fs.invalidate_cache(root)
                found = fs.ls(root, detail=True)
            except FileNotFoundError:
                return []
        names = [entry["name"].rpartition("/")[2] for entry in found if entry["type"] != "directory"]
        return sorted(names, key=lambda name: re.sub("[0-9]+", lambda digits: digits[0].zfill(20), name))

    def shards(self) -> list[str]:
        """The names of the files of records in the folder; those that begin with `.` or `_` are no shards.

        InputError where there are none.
        """
        if self.local is not None and not self.local.is_dir():
            how = "desta2 scale shard FILE -o FOLDER makes one of a file"
            wrong = "is a file" if self.local.exists() else "does not exist"
            raise InputError(f"{self} {wrong}; expected a folder of shards ({how})")
        names = self.names()
        found = [
            name
            for name in names
            if RECORDS.search(name) and not FAILED.search(name) and not name.startswith(_HIDDEN)
        ]
        unfinished = [name for name in names if name.endswith(PARTIAL)]
        if found and unfinished:
            logger.warning("%s is not finished: %s is left out", self, unfinished[0])
        if not found:
            why = "only unfinished .partial files are there" if unfinished else "it holds no such file"
            raise InputError(
                f"{self}: expected shards (.jsonl, .jsonl.gz, .jsonl.zst or .parquet), and {why}"
            )
        return found

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        with self._errors(f"cannot look into {self}"):
            fs, path = self._at(name)
            return bool(fs.exists(path))

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file to a local path; InputError where it is not there or cannot be read."""
        target.parent.mkdir(parents=True, exist_ok=True)
        fs, path = self._at(name)
        with self._errors(f"cannot read {self}/{name}"):
            fs.get_file(path, str(target))

    def publish(self, file: Path, name: str) -> None:
        """Copy a local file into the folder, where it appears only when it is whole."""
        fs, path = self._at(name)
        with self._errors(f"cannot write {self}/{name}"):
            self.make()
            if self._scheme in _WHOLE_UPLOADS:
                fs.put_file(str(file), path)
                return
            temporary = path.rpartition("/")[0] + f"/.{name}.{secrets.token_hex(4)}.tmp"
            try:
                fs.put_file(str(file), temporary)
                fs.mv(temporary, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    fs.rm(temporary)
                raise

    def make(self) -> None:
        """Make the folder; InputError where that is not allowed."""
        with self._errors(f"cannot write to {self}"):
            fs, root = self._at("")
            fs.makedirs(root, exist_ok=True)
            if self.local is not None and not os.access(self.local, os.W_OK | os.X_OK):
                raise PermissionError("permission denied")

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with self._errors(f"cannot delete {self}/{name}"), contextlib.suppress(FileNotFoundError):
            fs, path = self._at(name)
            fs.rm_file(path)

    def write_text(self, name: str, text: str) -> None:
        """Write a small file."""
        with self._errors(f"cannot write {self}/{name}"):
            self.make()
            fs, path = self._at(name)
            fs.pipe_file(path, text.encode())

    def read_text(self, name: str) -> str | None:
        """Read a small file; None where there is none."""
        with self._errors(f"cannot read {self}/{name}"):
            fs, path = self._at(name)
            try:
                return bytes(fs.cat_file(path)).decode()
            except FileNotFoundError:
                return None

    @property
    def _scheme(self) -> str:
        return self.url.partition("://")[0] if "://" in self.url else "file"

    @property
    def _fs(self) -> Any:
        return self._at("")[0]

    def _at(self, name: str) -> tuple[Any, str]:
        """The file system, which fsspec remembers for each process, and the path of a file in it."""
        try:
            from fsspec.core import url_to_fs

            return url_to_fs(f"{self.url}/{name}" if name else self.url)
        except ImportError as error:  # fsspec says which package the scheme needs
            raise InputError(f"cannot open {self}: {error}") from error
        except ValueError as error:
            raise InputError(
                f"cannot open {self}: {error}; expected a path, or a URL such as s3://bucket/folder"
            ) from error

    @contextlib.contextmanager
    def _errors(self, failing: str) -> Iterator[None]:
        """Turn what a file system raises into our errors: the user's mistakes, and the run's failures."""
        try:
            yield
        except Desta2Error:
            raise
        except FileNotFoundError as error:
            raise InputError(f"{failing}: it does not exist") from error
        except PermissionError as error:
            raise InputError(f"{failing}: permission denied") from error
        except NotADirectoryError as error:
            raise InputError(f"{failing}: {error.strerror or error}") from error
        except Exception as error:  # the libraries of the clouds have families of errors of their own
            said = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise RunError(f"{failing}: {said}; what is finished is kept: run again to go on") from error
