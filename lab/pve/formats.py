"""The named formats of the API schema, each with the error text of PVE::JSONSchema and its users."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

DNS_NAME: Final = re.compile(
    r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
)
CONFIG_ID: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]+")
TAG: Final = re.compile(r"[a-z0-9_][a-z0-9_\-+.]*", re.IGNORECASE)
STORAGE_ID: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]")
STARTUP: Final = re.compile(r"(order=)?\d+|up=\d+|down=\d+")
MAC: Final = re.compile(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}")
SIZE: Final = re.compile(r"\d+(\.\d+)?[KMGT]?")
VOLUME_ID: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9\-_.]*:.+")
VMID_RANGE: Final = range(100, 1_000_000_000)

Check = Callable[[str], str]  # "" or the error text


def split_list(text: str) -> list[str]:
    """Proxmox lists: separated by comma, semicolon, blank or NUL."""
    return [part for part in re.split(r"[,;\s\0]+", text) if part]


def _matches(pattern: re.Pattern[str], error: str) -> Check:
    return lambda value: "" if pattern.fullmatch(value) else error.format(value)


def _each(check: Check) -> Check:
    return lambda value: next((error for part in split_list(value) if (error := check(part))), "")


def _vmid(value: str) -> str:
    known = value.isascii() and value.isdigit() and int(value) in VMID_RANGE
    return "" if known else "value does not look like a valid VM ID\n"


def _startup(value: str) -> str:
    known = all(STARTUP.fullmatch(part) for part in value.split(","))
    return "" if known else "unable to parse startup options\n"


def is_address(value: str, version: int = 0) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return version in (0, address.version)


def _network_config(version: int, words: frozenset[str]) -> Check:
    error = f"value does not look like a valid ipv{version} network configuration\n"

    def check(value: str) -> str:
        address, slash, prefix = value.partition("/")
        known = value in words or (slash and prefix.isdigit() and is_address(address, version))
        return "" if known else error

    return check


def _address(version: int, name: str) -> Check:
    error = f"value does not look like a valid {name} address\n"
    return lambda value: "" if is_address(value, version) else error


def _nameserver(value: str) -> str:
    known = value == "host" or is_address(value.partition("%")[0])
    return "" if known else "value does not look like a valid IP address\n"


def _mount_path(value: str) -> str:
    climbing = any(part in ("..", ".") for part in value.split("/"))
    return f"{value} contains illegal character sequences\n" if climbing else ""


CHECKS: Final[Mapping[str, Check]] = MappingProxyType({
    "dns-name": _matches(DNS_NAME, "value does not look like a valid DNS name\n"),
    "dns-name-list": _each(_matches(DNS_NAME, "value does not look like a valid DNS name\n")),
    "pve-node": _matches(DNS_NAME, "value does not look like a valid node name\n"),
    "pve-node-list": _each(_matches(DNS_NAME, "value does not look like a valid node name\n")),
    "pve-vmid": _vmid,
    "pve-configid": _matches(CONFIG_ID, "invalid configuration ID '{}'\n"),
    "pve-configid-list": _each(_matches(CONFIG_ID, "invalid configuration ID '{}'\n")),
    "pve-startup-order": _startup,
    "pve-tag-list": _each(_matches(TAG, "invalid characters in tag\n")),
    "pve-storage-id": _matches(STORAGE_ID, "storage ID '{}' contains illegal characters\n"),
    "lxc-ip-with-ll-iface-list": _each(_nameserver),
    "pve-ipv4-config": _network_config(4, frozenset({"dhcp", "manual"})),
    "pve-ipv6-config": _network_config(6, frozenset({"dhcp", "manual", "auto"})),
    "ipv4": _address(4, "IPv4"),
    "ipv6": _address(6, "IPv6"),
    "mac-addr": _matches(MAC, "value does not look like a valid unicast MAC address\n"),
    "disk-size": _matches(SIZE, "value does not look like a valid disk size\n"),
    "pve-lxc-mp-string": _mount_path,
    "pve-volume-id": _matches(VOLUME_ID, "unable to parse volume ID '{}'\n"),
})  # fmt: skip


def error_of(name: str, value: str) -> str:
    """Return the error text of *value* in the format *name*, "" if it conforms or nobody knows the format."""
    check = CHECKS.get(name)
    return check(value) if check is not None else ""
