"""Debian's arm64 kernel, its media drivers and a shell, kept below target/ from one run to the next."""

import pathlib
import re
import shutil
import subprocess

# The camera driver. What it is built on is read from the modules themselves.
DRIVER = "vivid"


class Missing(Exception):
    """Something that the rig needs is not here, and what to do about it."""


def command(*words, **options):
    """Runs a program and returns what it prints; its own words are the error where it fails."""
    return _run(words, stderr=subprocess.PIPE, **options)


def build(*words, **options):
    """Runs a program that takes its time, and says on stderr how far it is; returns what it prints."""
    return _run(words, **options)


def _run(words, **options):
    try:
        done = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True, **options)
    except FileNotFoundError:
        raise Missing(f"{words[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Missing(f"{words[0]} failed: {(error.stderr or f'code {error.returncode}').strip()[-600:]}") from None
    return done.stdout


class Archive:
    """Debian's archive for arm64, with a state of its own: the machine's packages and lists stay as they are."""

    def __init__(self, state):
        self.state = state
        for folder in ("etc/apt/preferences.d", "lists/partial", "archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        (state / "etc/apt/sources.list").write_text(self._sources())

    @staticmethod
    def _sources():
        """The mirror and the release that the machine itself uses."""
        about = pathlib.Path("/etc/os-release").read_text()
        release = dict(line.split("=", 1) for line in about.splitlines() if "=" in line).get("VERSION_CODENAME", "")
        wanted = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
        known = command("apt-get", "indextargets", "Created-By: Packages", "--format", wanted)
        for line in known.splitlines():
            uri, suite, component = line.split()[:3]
            if (suite, component) == (release, "main"):
                return f"deb [arch=arm64] {uri} {suite} main\n"
        raise Missing(f"apt knows no mirror with {release or 'a Debian release'} main; run apt-get update on a Debian")

    def apt(self, tool, *words, **options):
        """One of apt's tools, on the private state."""
        settings = {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "root",
            "Dir::Etc": self.state / "etc/apt",
            "Dir::Etc::trusted": "/etc/apt/trusted.gpg",
            "Dir::Etc::trustedparts": "/etc/apt/trusted.gpg.d",
            "Dir::State::lists": self.state / "lists",
            "Dir::State::status": self.state / "status",
            "Dir::Cache": self.state,
        }
        flags = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return command(tool, *flags, *words, **options)

    def unpack(self, package, folder):
        """Downloads a package and unpacks it into a folder."""
        folder.mkdir(parents=True)
        self.apt("apt-get", "-q", "download", package, cwd=self.state)
        name = package.split(":")[0]
        [file] = self.state.glob(f"{name}_*.deb")
        command("dpkg-deb", "-x", file, folder)
        file.unlink()


def fetch(folder):
    """The kernel, the driver's modules in the order to insert them, and busybox, as paths.

    They are in `folder`; only what isn't there yet is downloaded.
    """
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        archive = Archive(folder / "apt")
        archive.apt("apt-get", "-q", "update")
        depends = archive.apt("apt-cache", "depends", "linux-image-arm64")
        image = re.search(r"Depends: (linux-image-\S+-arm64)\b", depends)
        if image is None:
            raise Missing("linux-image-arm64 depends on no kernel; look at `apt-cache depends linux-image-arm64`")
        archive.unpack(f"{image[1]}-unsigned", folder / "image")
        archive.unpack("busybox-static", folder / "busybox")
        shutil.rmtree(folder / "apt")
        [kernel] = (folder / "image/boot").glob("vmlinuz-*")
        kernel.rename(folder / "vmlinuz")
        [media] = (folder / "image/lib/modules").glob("*/kernel/drivers/media")
        media.rename(folder / "media")
        shutil.rmtree(folder / "image")
        (folder / "complete").touch()
    return folder / "vmlinuz", in_order(folder / "media", DRIVER), folder / "busybox/bin/busybox"


def in_order(folder, driver):
    """The modules that a driver needs and the driver, each behind those that it depends on."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    ordered = []

    def add(name):
        if name not in files:
            raise Missing(f"the kernel has no module {name}")
        if files[name] in ordered:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for needed in filter(None, depends[1].decode().split(",") if depends else []):
            add(needed.replace("-", "_"))
        ordered.append(files[name])

    add(driver)
    return ordered
