"""Files from the Hugging Face hub: pinned to a revision, checked by digest, kept in its cache.

The package `huggingface_hub` does the work and is imported when it is needed. Its cache is shared
with every other program that uses it: what one has downloaded is there for all.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attention.files import FileProblem

SECONDS = 10  # to wait for the hub's first answer


@dataclass(frozen=True)
class HubFile:
    """A file as it must be: its name in the repository, its length in bytes, its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class HubModel:
    """Files of one repository at one revision, which is a commit and so never changes."""

    repository: str
    revision: str
    files: tuple[HubFile, ...]


def find_downloaded(model: HubModel, *, cache: str | Path | None = None) -> Path | None:
    """Return the folder with all of the model's files, or None where one is not in the cache.

    Nothing is asked of the network. `cache` is the hub's own folder unless given.
    """
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    cache = Path(cache or constants.HF_HUB_CACHE)
    repository = f"models--{model.repository.replace('/', '--')}"
    folder = cache / repository / "snapshots" / model.revision
    return folder if all(_has_size(folder / file.name, file.size) for file in model.files) else None


def download(
    model: HubModel,
    *,
    progress: Callable[[int, int], None] | None = None,
    cache: str | Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Return the folder with the model's files, after downloading those that are not there yet.

    `progress(done, total)` is called with bytes as they arrive; no token is sent. `cache` is the
    hub's own folder and `endpoint` the hub's own address unless given. Raises FileProblem, whose
    message is written for a person, where there is no network, the hub says no, or a file is not
    the one that was expected; such a file is not kept.
    """
    library = _library()
    total, before = sum(file.size for file in model.files), 0
    for file in model.files:
        report = _Report(progress or _nobody, before, total)
        try:
            path = _one_file(library, model, file, report, cache, endpoint)
        except _failures(library.errors) as error:
            raise FileProblem(_plain(error, model, file, library.errors)) from error
        _check(path, file, model)
        before += file.size
        report(file.size)
    return path.parent


def _one_file(library, model: HubModel, file: HubFile, report, cache, endpoint) -> Path:
    """Return the file's path in the cache."""
    place = {"repo_id": model.repository, "filename": file.name, "revision": model.revision}
    known = library.try_to_load_from_cache(**place, cache_dir=cache)
    if isinstance(known, str) and _has_size(Path(known), file.size):
        return Path(known)
    # Without this the download itself would ask six times, for 23 seconds, whether there is a hub.
    url = library.hf_hub_url(**place, endpoint=endpoint)
    library.get_hf_file_metadata(url, token=False, timeout=SECONDS, endpoint=endpoint)
    path = library.hf_hub_download(
        **place,
        cache_dir=cache,
        endpoint=endpoint,
        token=False,
        etag_timeout=SECONDS,
        force_download=isinstance(known, str),
        tqdm_class=report.bar(library.utils.tqdm),
    )
    return Path(path)


def _check(path: Path, file: HubFile, model: HubModel) -> None:
    """Raise FileProblem unless the file has the expected digest, and then remove it."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        path.resolve().unlink()  # the cache links to it
        path.unlink(missing_ok=True)
        raise FileProblem(
            f"The {file.name} of {model.repository} that arrived is not the one that was expected: "
            f"its SHA-256 begins {digest[:8]}, not {file.sha256[:8]}. It was not kept. Try again."
        )


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


# ---- progress


def _nobody(done: int, total: int) -> None:
    """Listen to the progress when nobody else does."""


class _Report:
    """Tells `progress` how many bytes are there, `before` of them from other files."""

    def __init__(self, progress: Callable[[int, int], None], before: int, total: int) -> None:
        self._progress, self._before, self._total = progress, before, total
        self._most = 0

    def __call__(self, done: int) -> None:
        """Report `done` bytes of the current file, if they are more than ever before."""
        self._most = max(self._most, done)
        self._progress(min(self._before + self._most, self._total), self._total)

    def bar(report, tqdm: type) -> type:  # noqa: N805
        """Return a progress bar for `huggingface_hub` that draws nothing and tells this report."""

        class Bar(tqdm):
            def __init__(self, *args, **options) -> None:
                super().__init__(*args, **(options | {"disable": True}))
                self._bytes = options.get("initial") or 0

            def update(self, n: float | None = 1) -> None:
                self._bytes += int(n or 0)
                report(self._bytes)

        return Bar


# ---- what went wrong


def _library():
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise FileProblem(
            "Downloading needs the package huggingface_hub: pip install huggingface_hub"
        ) from error
    return huggingface_hub


def _failures(errors) -> tuple[type[Exception], ...]:
    """Return what the hub's library raises when a download fails, of itself and by its HTTP client.

    The client differs between versions; its errors share the first base of `HfHubHTTPError`.
    """
    client = errors.HfHubHTTPError.__bases__
    return (OSError, RuntimeError, errors.EntryNotFoundError, errors.XetDownloadError, *client)


def _plain(error: Exception, model: HubModel, file: HubFile, errors) -> str:
    """Say in a sentence why a file could not be had."""
    what = f"{file.name} of {model.repository}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{what} is not on this machine, and HF_HUB_OFFLINE forbids to download it."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"The hub knows {model.repository}, but not its revision {model.revision[:8]}."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"The hub does not know {model.repository}, or does not show it to everybody."
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"The hub has no {what} at the revision {model.revision[:8]}."
    if isinstance(error, errors.HfHubHTTPError):
        return f"The hub answered {error.response.status_code} for {what}. Try again later."
    if isinstance(error.__cause__, errors.FileMetadataError):
        return f"{what} could not be downloaded: what answered is not the hub, perhaps a proxy."
    silence = (errors.LocalEntryNotFoundError, ConnectionError, errors.HfHubHTTPError.__bases__[0])
    if isinstance(error, silence):
        return f"{what} could not be downloaded: there is no network, or the hub does not answer."
    return f"{what} did not arrive whole: {error}"
