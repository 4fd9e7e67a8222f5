"""`hf://owner/name/file@revision`: a file of a model repository on Hugging Face, kept once fetched.

`huggingface_hub` keeps it in this project's cache, under the commit that the revision was when it
was first asked for; from then on no network is asked. Only a command line fetches: a checkpoint
that names such an address gets what is kept, or an error.
"""

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ganlab.downloads import cache_dir

SCHEME = "hf://"
FORM = re.compile(r"hf://([\w.-]+/[\w.-]+)/([^@]+?)(?:@(.+))?")
LISTED = 8  # files of a repository that a message names


@dataclass(frozen=True)
class Address:
    """What stands after `hf://`."""

    repo: str  # owner/name
    file: str  # its path in the repository
    revision: str = "main"  # a branch, a tag or a commit

    def __str__(self) -> str:
        """As one types it."""
        return f"{SCHEME}{self.repo}/{self.file}@{self.revision}"

    @classmethod
    def of(cls, text: str) -> "Address":
        """The parts of an address.

        Raises:
            ValueError: it is none; says the form.
        """
        match = FORM.fullmatch(text)
        if match is None or {"", ".", ".."} & {*match[2].split("/"), *match[1].split("/")}:
            raise ValueError(f"{text} should be hf://owner/name/file, with @revision or without")
        return cls(match[1], match[2], match[3] or "main")


@dataclass(frozen=True)
class Kept:
    """A file that is here, and what it is a copy of."""

    path: Path
    address: Address  # with the revision that was asked for
    commit: str

    @property
    def source(self) -> dict[str, str]:
        """What is said of the file wherever its images go."""
        pinned = Address(self.address.repo, self.address.file, self.commit)
        return {"name": self.address.repo, "file": str(pinned), "revision": self.address.revision}


def is_address(ckpt: str | Path) -> bool:
    """Whether it names a file of the hub; a `Path` never does."""
    return isinstance(ckpt, str) and ckpt.startswith(SCHEME)


def library(purpose: str) -> ModuleType:
    """`huggingface_hub`, which nothing else imports.

    Raises:
        ValueError: it is not installed; says what installs it.
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ValueError(f"{purpose} needs huggingface_hub: pip install 'ganlab[hub]'") from error


def cached_file(
    text: str,
    fetch: bool = True,  # False = whoever names it may not make this machine ask a network
) -> Kept:
    """The file at an address, fetched unless this machine has it.

    Raises:
        ValueError: no address, no `huggingface_hub`, or the hub has no such file.
        FileNotFoundError: it is not here, and was not to be fetched or could not be.
    """
    address = Address.of(text)
    hub, folder = library(str(address)), cache_dir() / "hub"
    asked = {"revision": address.revision, "cache_dir": folder}
    found = hub.try_to_load_from_cache(address.repo, address.file, **asked)
    if not isinstance(found, str):
        if not fetch:
            raise FileNotFoundError(
                f"{address} is not kept here and is fetched for a command line alone: first run "
                f"python -m ganlab info ckpt={address}"
            )
        print(f"fetching {address} to {folder}, from where it is read from now on", file=sys.stderr)
        found = download_file(hub, address, folder)
    commit = Path(found).relative_to(folder).parts[2]  # models--owner--name/snapshots/<commit>/...
    return Kept(Path(found), address, commit)


def download_file(hub: ModuleType, address: Address, folder: Path) -> str:
    """The path of the file once the hub has sent it; raises as `cached_file`."""
    errors = importlib.import_module("huggingface_hub.errors")
    asked = {"revision": address.revision, "cache_dir": folder}
    try:
        return str(hub.hf_hub_download(address.repo, address.file, **asked))
    except errors.LocalEntryNotFoundError as error:  # no network, or none allowed
        raise FileNotFoundError(unreachable(address, error)) from error
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{address}: {address.repo} is given to those who accept its terms; do so on its page, "
            "and sign in with `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ValueError(
            f"{address}: there is no repository {address.repo}, or it is private (`hf auth login`)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ValueError(
            f"{address}: {address.repo} has no branch, tag or commit {address.revision}"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ValueError(f"{address}: {address.repo} has {files(hub, address)}") from error
    except OSError as error:
        raise FileNotFoundError(unreachable(address, error)) from error


def files(hub: ModuleType, address: Address) -> str:
    """The files that a repository has at a revision, in a phrase."""
    names = sorted(hub.HfApi().list_repo_files(address.repo, revision=address.revision))
    more = f" and {len(names) - LISTED} more files" if len(names) > LISTED else ""
    return f"no {address.file}; it has {', '.join(names[:LISTED]) or 'nothing'}{more}"


def unreachable(address: Address, error: Exception) -> str:
    """What to do where the hub cannot be asked."""
    reason = " ".join(str(error.__cause__ or error).split())
    return (
        f"{address} is not kept in {cache_dir() / 'hub'} and could not be fetched ({reason:.200}): "
        f"where there is a network run `hf download {address.repo} {address.file} --revision "
        f"{address.revision}`, and give the path of that file here"
    )
