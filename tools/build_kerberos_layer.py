"""Builds the Lambda layer that lets the PCE believe Kerberos tickets, from Debian's packages.

Run as ``python -m tools.build_kerberos_layer kerberos-layer.zip`` on Debian or Ubuntu, with
``apt-get``, ``dpkg-deb`` and ``readelf``; no root, no Docker, no machine of the layer's
architecture. Then::

    aws lambda publish-layer-version --layer-name kerberos --zip-file fileb://kerberos-layer.zip \\
        --compatible-architectures arm64
    cdk deploy --all -c kerberos_layer_arn=<LayerVersionArn>

The packages are fetched by apt, which checks Debian's signatures, from the sources that this host
is configured for; they must be Debian 12's, which has the C library that Lambda can run (checked).
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = (
    *("libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0"),
    *("libcom-err2", "libkeyutils1"),
)
"""``libgssapi_krb5.so.2`` and all that it loads, but for the C library."""
LAMBDA_GLIBC = (2, 34)
"""Of Amazon Linux 2023, on which Lambda's Python 3.12 and later run."""
OF_GLIBC = re.compile(r"(libc|libresolv|libdl|libpthread|ld-linux.*)\.so\.\d+")
STAMP = (1980, 1, 1, 0, 0, 0)
"""The same packages make the same layer, byte by byte."""


class CannotBuild(Exception):
    """The text says what is missing."""


def download(architecture: str, folder: Path) -> list[Path]:
    """The packages as files in ``folder``, through lists of their own: this host's packages and
    architectures stay as they are."""
    for name in ("lists/partial", "cache/archives/partial", "packages"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    settings = (
        f"APT::Architecture={architecture}",
        f"APT::Architectures={architecture}",
        f"Dir::State::lists={folder}/lists",
        f"Dir::State::status={folder}/status",
        f"Dir::Cache={folder}/cache",
        "APT::Sandbox::User=",
    )
    options = [word for setting in settings for word in ("-o", setting)]
    target = folder / "packages"
    for command in (("update", "-qq"), ("download", "-qq", *PACKAGES)):
        done = subprocess.run(["apt-get", *options, *command], cwd=target, check=False)
        if done.returncode != 0:
            raise CannotBuild(f"apt-get {command[0]} failed for {architecture}")
    return sorted(target.glob("*.deb"))


def pack(packages: list[Path], target: Path) -> None:
    """Write the layer: each library under its own name in ``lib/``, which Lambda searches. Raises
    :class:`CannotBuild` when one is missing, or needs a newer C library than Lambda has."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for package in packages:
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
        libraries = {
            file.name: file.resolve()
            for file in root.rglob("lib*.so.*")
            if re.fullmatch(r"lib\w+\.so\.\d+", file.name)
        }
        for library in libraries.values():
            check(library, set(libraries))
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as layer:
            for soname, library in sorted(libraries.items()):
                entry = zipfile.ZipInfo(f"lib/{soname}", STAMP)
                entry.external_attr = 0o755 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                layer.writestr(entry, library.read_bytes())


def check(library: Path, there: set[str]) -> None:
    """Whether Lambda can load a library with those that are ``there``."""
    told = subprocess.run(
        ["readelf", "--dynamic", "--version-info", "--wide", str(library)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for needed in re.findall(r"Shared library: \[(.+)\]", told):
        if needed not in there and not OF_GLIBC.fullmatch(needed):
            raise CannotBuild(f"{library.name} needs {needed}, which no package here brings")
    wanted = [(int(a), int(b)) for a, b in re.findall(r"GLIBC_(\d+)\.(\d+)", told)]
    if wanted and max(wanted) > LAMBDA_GLIBC:
        raise CannotBuild(
            f"{library.name} needs glibc {'.'.join(map(str, max(wanted)))}; Lambda has"
            f" {'.'.join(map(str, LAMBDA_GLIBC))}: use the packages of Debian 12"
        )


def main() -> int:
    """Build a layer; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build the Lambda layer with Kerberos.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--architecture", default="arm64", help="as Debian calls it")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="kerberos-layer-") as folder:
            pack(download(options.architecture, Path(folder)), options.target)
    except (CannotBuild, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"build_kerberos_layer: {error}\n")
        return 1
    sys.stdout.write(f"wrote {options.target}, {options.target.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
