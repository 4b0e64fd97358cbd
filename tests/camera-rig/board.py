"""The emulated board: its first file system, its boot, and what it says."""

import json
import os
import stat
import subprocess
import threading

from debian import Missing

# A camera with an HDMI plug and a socket that feeds it, without scaling, cropping or errors on purpose.
DRIVER_OPTIONS = (
    "n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1 "
    "multiplanar=1 no_error_inj=1 ccs_cap_mode=0 ccs_out_mode=0"
)

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox ifconfig lo 127.0.0.1 up
{modules}
{feeder}
echo "{finished} $?"
/bin/busybox poweroff -f
"""
FINISHED = "the rig's feeder ended:"


class FileSystem:
    """An archive of the kind `newc` that the kernel unpacks into memory."""

    def __init__(self):
        self._parts = []
        self._inode = 0

    def folder(self, name):
        """Adds an empty folder."""
        self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data, mode=0o644):
        """Adds a file."""
        self._entry(name, stat.S_IFREG | mode, data)

    def device(self, name, major, minor):
        """Adds a device of characters."""
        self._entry(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def _entry(self, name, mode, data, numbers=(0, 0)):
        self._inode += 1
        path = name.encode() + b"\0"
        # Inode, mode, owner, group, links, time, size, where it is (two), which device (two), name, sum.
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *numbers, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        for part in (head, data):
            self._parts += [part, bytes(-len(part) % 4)]

    def archive(self):
        """All of it, with the entry that ends it."""
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)


def file_system(modules, busybox, programs, files, command):
    """What the board boots into: it inserts the modules, runs the command and turns itself off.

    `programs` and `files` map names to their bytes.
    """
    system = FileSystem()
    for name in ("bin", "dev", "modules", "proc", "sys", "tmp"):
        system.folder(name)
    # The first program's output goes there before the kernel's own devices are mounted.
    system.device("dev/console", 5, 1)
    system.file("bin/busybox", busybox.read_bytes(), 0o755)
    lines = []
    for module in modules:
        system.file(f"modules/{module.name}", module.read_bytes())
        options = DRIVER_OPTIONS if module is modules[-1] else ""
        lines.append(f"/bin/busybox insmod /modules/{module.name} {options}".rstrip())
    init = INIT.format(modules="\n".join(lines), feeder=command, finished=FINISHED)
    system.file("init", init.encode(), 0o755)
    for name, data in programs.items():
        system.file(name, data, 0o755)
    for name, data in files.items():
        system.file(name, data)
    return system.archive()


def boot(kernel, initial, cpu, limit, say):
    """Boots a board until it turns itself off, and yields the JSON objects that its feeder tells.

    `say` takes what else the board says. Fails if it isn't off after `limit` seconds, or if its feeder failed.
    """
    emulator = [
        *("qemu-system-aarch64", "-M", "virt", "-accel", "tcg", "-cpu", cpu, "-smp", "1", "-m", "768"),
        *("-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"),
        *("-kernel", os.fspath(kernel), "-initrd", os.fspath(initial)),
        *("-append", "console=ttyAMA0 quiet loglevel=3 oops=panic panic=-1"),
    ]
    try:
        board = subprocess.Popen(emulator, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except FileNotFoundError:
        raise Missing("qemu-system-aarch64 is not installed: apt-get install qemu-system-arm") from None
    late = threading.Event()

    def stop():
        late.set()
        board.kill()

    timer = threading.Timer(limit, stop)
    timer.start()
    code = None
    try:
        for raw in board.stdout:
            line = raw.decode(errors="replace").rstrip()
            if line.startswith("{"):
                try:
                    yield json.loads(line)
                    continue
                except json.JSONDecodeError:
                    pass
            if line.startswith(FINISHED):
                code = line.removeprefix(FINISHED).strip()
            else:
                say(line)
    finally:
        timer.cancel()
        board.kill()
        board.wait()
    if late.is_set():
        raise Missing(f"the board was not done after {limit} s; give it a higher --limit")
    if code != "0":
        raise Missing(f"the board failed (code {code}); what it said is above")
