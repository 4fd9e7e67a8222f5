"""A stand-in for `huggingface_hub`: repositories are folders, and a switch is the network."""

import shutil
from pathlib import Path
from types import ModuleType


class MissingError(Exception):
    """What `EntryNotFoundError` is."""


class NotKeptError(FileNotFoundError, MissingError):
    """What `LocalEntryNotFoundError` is: it is not here, and nobody could be asked."""


class NoRepositoryError(OSError):
    """What `RepositoryNotFoundError` is."""


class GatedError(NoRepositoryError):
    """What `GatedRepoError` is."""


class NoRevisionError(OSError):
    """What `RevisionNotFoundError` is."""


class Hub:
    """Repositories with branches, as the client sees them; every request is counted."""

    def __init__(self, root: Path) -> None:
        self.root, self.online, self.requests = root, True, []
        self.branches, self.uploads, self.gated = {}, {}, set()

    def commit(self, repo: str, commit: str, branch: str = "main", **files: bytes) -> None:
        """Put files into a repository as a commit at the end of a branch."""
        folder = self.root / repo / commit
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_bytes(content)
        self.branches.setdefault(repo, {})[branch] = commit

    def modules(self) -> dict[str, ModuleType]:
        """What to put into `sys.modules`."""
        package, errors = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.errors")
        errors.EntryNotFoundError, errors.LocalEntryNotFoundError = MissingError, NotKeptError
        errors.RepositoryNotFoundError, errors.GatedRepoError = NoRepositoryError, GatedError
        errors.RevisionNotFoundError = NoRevisionError
        package.errors, package.HfApi = errors, lambda: self
        package.hf_hub_download = self.hf_hub_download
        package.try_to_load_from_cache = self.try_to_load_from_cache
        return {"huggingface_hub": package, "huggingface_hub.errors": errors}

    def ask(self, what: str) -> None:
        self.requests.append(what)
        if not self.online:
            raise NotKeptError("the network is unreachable")

    def found(self, repo: str, revision: str) -> str:
        self.ask(f"{repo}@{revision}")
        if repo in self.gated:
            raise GatedError("403")
        if repo not in self.branches:
            raise NoRepositoryError("404")
        branches = self.branches[repo]
        commit = branches.get(revision, revision)
        if not (self.root / repo / commit).is_dir():
            raise NoRevisionError("404")
        return commit

    def try_to_load_from_cache(self, repo, file, cache_dir, revision):
        folder = Path(cache_dir, f"models--{repo.replace('/', '--')}")
        ref = folder / "refs" / revision
        commit = ref.read_text() if ref.is_file() else revision
        path = folder / "snapshots" / commit / file
        return str(path) if path.is_file() else None

    def hf_hub_download(self, repo, file, revision, cache_dir):
        commit = self.found(repo, revision)
        source = self.root / repo / commit / file
        if not source.is_file():
            raise MissingError("404")
        folder = Path(cache_dir, f"models--{repo.replace('/', '--')}")
        target = folder / "snapshots" / commit / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / revision).write_text(commit)
        return str(target)

    def list_repo_files(self, repo, revision):
        return [path.name for path in (self.root / repo / self.found(repo, revision)).iterdir()]

    def create_repo(self, repo, private, exist_ok):
        self.ask(f"create {repo}")
        assert exist_ok
        return f"https://hub.example/{repo}"

    def upload_folder(self, repo_id, folder_path, commit_message):
        self.ask(f"upload {repo_id}")
        self.uploads[repo_id] = {
            path.name: path.read_bytes() for path in Path(folder_path).iterdir()
        }
        return f"https://hub.example/{repo_id}/commit/1"
