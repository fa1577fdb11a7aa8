"""What is lent, to whom: the records that the mover keeps, read and never written.

A link in a pod is invisible to netlink here, so these files are all that the
agent knows of it. Their format is the contract in docs/reference/mover.md. One
bad record harms no other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import stat
from collections.abc import Iterator
from pathlib import Path

from netdevice_plugin import model
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.recordlines import MAX_SIZE, NUMBER, Lines, problem, unescape

_U32, _U64 = 2**32 - 1, 2**64 - 1


class Phase(enum.Enum):
    """Where the link is on its way to the pod and back."""

    ATTACHING = "attaching"  # a mover is at work, or died
    ATTACHED = "attached"
    RETURNING = "returning"  # a mover is at work, or died
    LOST = "lost"  # no link to be found
    STRANDED = "stranded"  # home, but not as it was: see `Attachment.error`


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A container that asked for the device; empty or None is what the runtime did not say."""

    container: str
    pid: int | None = None
    start_time: int | None = None  # clock ticks since boot, field 22 of /proc/PID/stat
    since: int | None = None  # unix seconds
    namespace: str = ""
    pod: str = ""
    pod_uid: str = ""
    container_name: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity arguments that the CDI file gave to the mover."""

    link: str = ""
    ifindex: int | None = None
    mac: str = ""
    pci: str = ""
    kind: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostLink:
    """The link as it was on the host when it left; of one that is born, what is known of it."""

    name: str
    ifindex: int  # 0 of one that is born in the pod
    kind: str = ""
    type: int | None = None  # ARPHRD_*
    mac: str = ""
    permanent_mac: str = ""
    pci: str = ""
    mtu: int | None = None
    txqlen: int | None = None
    group: int | None = None
    flags: int = 0  # IFF_*
    alias: str = ""
    altnames: tuple[str, ...] = ()
    conf4: bytes = b""  # IFLA_INET_CONF
    conf6: bytes = b""  # IFLA_INET6_CONF
    token: str = ""
    secret: str = ""
    sysctls: tuple[str, ...] = ()  # "path=value"
    rdma: str = ""  # an RDMA device that went with it: mlx5_0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One record: a device that is lent, or was and could not be put back."""

    device: str
    phase: Phase
    link: HostLink
    born: bool = False  # it was made in the pod, on the link of `spec`, and is gone at return
    netns: tuple[int, int] | None = None  # st_dev, st_ino of the pod's network namespace
    pin: str = ""
    pidns: tuple[int, int] | None = None  # that of the holders' pids
    holders: tuple[Holder, ...] = ()
    recorded: int | None = None  # CLOCK_BOOTTIME, seconds
    pod_name: str = ""  # of the link, in the pod
    pod_ifindex: int | None = None
    pod_vlan: str = ""  # on the link, in the pod: what the pod uses in its stead
    pod_vrf: str = ""  # around it, in the pod
    spec: Identity = Identity()
    addresses: tuple[bytes, ...] = ()  # RTM_NEWADDR bodies: ifaddrmsg and attributes
    routes: tuple[bytes, ...] = ()  # RTM_NEWROUTE bodies
    nexthops: tuple[bytes, ...] = ()
    neighbours: tuple[bytes, ...] = ()
    error: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a device's mover; some runtimes hide what a hook prints."""

    device: str
    message: str
    when: int | None = None  # unix seconds; None where the file does not say


def load(run_dir: Path) -> tuple[tuple[Attachment, ...], tuple[AttachmentError, ...]]:
    """Read every record, by device name; what cannot be read is returned beside the rest.

    No directory means that nothing is lent. A record that vanishes meanwhile is a
    link that came home.
    """
    found: list[Attachment] = []
    problems: list[AttachmentError] = []
    try:
        for path in device_files(run_dir / "attachments"):
            try:
                with contextlib.suppress(FileNotFoundError):
                    found.append(read(path))
            except AttachmentError as error:
                problems.append(error)
    except AttachmentError as error:
        problems.append(error)
    return tuple(found), tuple(problems)


def read(path: Path) -> Attachment:
    """Read one record; raises AttachmentError, and FileNotFoundError if there is none."""
    try:
        return parse(_read(path), path)
    except AttachmentError as error:
        error.device = path.name
        raise


def errors(run_dir: Path) -> tuple[Failure, ...]:
    """Read the last failure of each device that has one, by device name.

    Raises AttachmentError if the files cannot be read. What is not in the form
    `<unix seconds> <line>` is passed on as the message: it is for people.
    """
    failures = []
    for path in device_files(run_dir / "errors"):
        with contextlib.suppress(FileNotFoundError):
            text = _read(path).decode("utf-8", "replace").strip()
            when, _, message = text.partition(" ")
            known = bool(message and NUMBER.fullmatch(when))
            failure = Failure(path.name, message if known else text, int(when) if known else None)
            failures.append(failure)
    return tuple(failures)


def alive(holder: Holder, proc: Path = Path("/proc")) -> bool:
    """Whether the holder's first process still runs: same pid, same start time, no zombie.

    One whose pid or start time is not on record counts as dead: nothing could
    ever show that it lives. `proc` must be that of the host's pid namespace.
    """
    if holder.pid is None or holder.start_time is None:
        return False
    try:
        line = (proc / str(holder.pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError as error:
        raise AttachmentError(f"cannot see whether process {holder.pid} lives: {error}") from error
    # The second field, the command in parentheses, may itself hold spaces and parentheses.
    fields = line[line.rfind(b")") + 1 :].split()
    return (
        len(fields) > 19
        and fields[0] not in (b"Z", b"X", b"x")
        and fields[19] == str(holder.start_time).encode()
    )


def parse(data: bytes, path: Path) -> Attachment:
    """Parse one record; `path` is where it stands, its last part the device's name.

    Keys that are not known are ignored. Raises AttachmentError, which names the
    file, the line and the remedy.
    """
    record = Lines(data, path)
    device = record.text("device", required=True)
    if device != path.name:
        raise record.error("device", f"{device[:80]!r} in the file of {path.name!r}")
    born = bool(record.text("born"))
    return Attachment(
        device=device,
        phase=_phase(record),
        link=_born_link(record) if born else _host_link(record),
        born=born,
        netns=_namespace(record, "netns"),
        pin=record.text("pin"),
        pidns=_namespace(record, "pidns"),
        holders=tuple(_holder(record, line, value) for line, value in record.every("holder")),
        recorded=record.number("recorded", _U64),
        pod_name=record.link_name("pod.name"),
        pod_ifindex=record.ifindex("pod.ifindex"),
        pod_vlan=record.link_name("pod.vlan"),
        pod_vrf=record.link_name("pod.vrf"),
        spec=_identity(record),
        addresses=record.every_hex("address"),
        routes=record.every_hex("route"),
        nexthops=record.every_hex("nexthop"),
        neighbours=record.every_hex("neighbour"),
        error=record.text("error"),
    )


def _phase(record: Lines) -> Phase:
    text = record.text("phase", required=True)
    try:
        return Phase(text)
    except ValueError:
        raise record.error("phase", f"{text[:40]!r} is none of those known") from None


def _namespace(record: Lines, key: str) -> tuple[int, int] | None:
    text = record.text(key)
    device, _, inode = text.partition(":")
    if text and not (NUMBER.fullmatch(device) and NUMBER.fullmatch(inode)):
        raise record.error(key, f"{text[:40]!r} is not <st_dev>:<st_ino>")
    return (int(device), int(inode)) if text else None


def _holder(record: Lines, line: int, value: bytes) -> Holder:
    # Spaces, slashes and a lone dash inside of a field are escaped: split first.
    fields = value.split(b" ")
    if len(fields) != 7 or not all(fields):
        text = value[:80].decode("utf-8", "replace")
        raise record.error("holder", f"{text!r} does not have seven fields", line)
    first, _, last = fields.pop(4).rpartition(b"/")
    words = ["" if field == b"-" else unescape(field) for field in (*fields, first, last)]
    container, pid, start_time, since, uid, container_name, namespace, pod = words
    for number in (pid, start_time, since):
        if number and (not NUMBER.fullmatch(number) or int(number) > _U64):
            raise record.error("holder", f"{number[:40]!r} is not a number", line)
    return Holder(
        container=container,
        pid=int(pid) if pid else None,
        start_time=int(start_time) if start_time else None,
        since=int(since) if since else None,
        namespace=namespace,
        pod=pod,
        pod_uid=uid,
        container_name=container_name,
    )


def _identity(record: Lines) -> Identity:
    return Identity(
        link=record.link_name("spec.link"),
        ifindex=record.ifindex("spec.ifindex"),
        mac=record.text("spec.mac").lower(),
        pci=record.text("spec.pci").lower(),
        kind=record.text("spec.kind"),
    )


def _host_link(record: Lines) -> HostLink:
    ifindex = record.ifindex("link.ifindex")
    if ifindex is None:
        raise record.error("link.ifindex", "is missing")
    return HostLink(
        name=record.link_name("link.name", required=True),
        ifindex=ifindex,
        kind=record.text("link.kind"),
        type=record.number("link.type", _U32),
        mac=record.text("link.mac").lower(),
        permanent_mac=record.text("link.permanent-mac").lower(),
        pci=record.text("link.pci").lower(),
        mtu=record.number("link.mtu", _U32),
        txqlen=record.number("link.txqlen", _U32),
        group=record.number("link.group", _U32),
        flags=record.number("link.flags", _U32) or 0,
        alias=record.text("link.alias"),
        altnames=record.every_text("link.altname"),
        conf4=record.hex("link.conf4"),
        conf6=record.hex("link.conf6"),
        token=record.text("link.token"),
        secret=record.text("link.secret"),
        sysctls=record.every_text("link.sysctl"),
        rdma=record.text("link.rdma").partition(" ")[2],
    )


def _born_link(record: Lines) -> HostLink:
    """Take the link as it is in the pod: it has never been on the host."""
    return HostLink(
        name=record.link_name("link.name", required=True),
        ifindex=0,
        kind=record.text("born"),
        mac=record.text("pod.mac").lower(),
    )


def device_files(directory: Path) -> Iterator[Path]:
    """List the files named after devices; what has another name is half-written, or not ours."""
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise AttachmentError(f"cannot list {directory}: {error.strerror}") from error
    yield from (path for path in paths if model.is_dns_label(path.name))


def _read(path: Path) -> bytes:
    """Read a file, but no more than shows that it is too large; FileNotFoundError passes."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would block us for ever
            raise problem(path, "is not a regular file")
        with path.open("rb") as file:
            return file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise AttachmentError(f"cannot read {path}: {error.strerror}") from error
