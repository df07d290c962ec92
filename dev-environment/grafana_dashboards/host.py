"""Host: the machine that everything runs on, with the panels that Node Exporter Full (id 1860) shows first."""

from grafana_dashboards.board import Panels, alerts, board, targets
from grafana_dashboards.panels import graph, number, query
from grafana_dashboards.promql import highest, rate
from grafana_dashboards.red import FULL

HOST = 'job=~"$job", instance=~"$instance"'
# As in the alert DiskFilling: file systems in memory and read-only ones are full by design.
DISK = f'{HOST}, fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|erofs|fuse.*"'
DEVICE = "instance, device"
REAL_DEVICE = f'{HOST}, device!~"lo|veth.+|br-.+|docker.+"'


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "host",
        "Host",
        "CPU, memory, disk, network and pressure of the machine. With Docker Desktop this is Docker's virtual machine.",
        [("Quick look", quick_look()), ("CPU and memory", cpu_and_memory()), ("Disk", disk()), ("Network", network())],
        variables=targets("node_uname_info"),
        annotations=[alerts("host")],
    )


def quick_look() -> Panels:
    """Usage first, then the properties of the machine."""

    def pressure(what: str, state: str = "waiting") -> str:
        return highest(f"node_pressure_{what}_{state}_seconds_total", HOST)

    free, size = (
        f'node_filesystem_{each}_bytes{{{HOST}, mountpoint=~"/|/var/lib/kubelet"}}' for each in ("avail", "size")
    )
    swap = f"1 - node_memory_SwapFree_bytes{{{HOST}}} / (node_memory_SwapTotal_bytes{{{HOST}}} > 0)"
    cores = f'count by (instance) (node_cpu_seconds_total{{{HOST}, mode="idle"}})'
    load = f"max by (instance) (node_load5{{{HOST}}}) / {cores}"
    files = f"node_filefd_allocated{{{HOST}}} / node_filefd_maximum{{{HOST}}}"
    return [
        number(
            "CPU busy",
            "Share of all cores of the busiest machine, over five minutes. An alert fires when it stays above 80 % for five minutes.",
            "percentunit",
            'max(instance:node_cpu:utilisation_rate5m{instance=~"$instance"})',
            limits=FULL,
        ),
        number(
            "Memory used",
            "Share of memory that is not available to a new program, on the fullest machine.",
            "percentunit",
            'max(instance:node_memory:utilisation{instance=~"$instance"})',
            limits=FULL,
        ),
        number(
            "Root disk used",
            "Share of the file system mounted at / (of a node of Kubernetes: the kubelet's), on the fullest machine.",
            "percentunit",
            f"max(1 - {free} / {size})",
            limits=FULL,
        ),
        number(
            "Swap used",
            "Share of the swap space; a program waits when its pages are read back.",
            "percentunit",
            f"max({swap})",
            limits=[(0.25, "orange"), (0.5, "red")],
            none="no swap",
        ),
        number(
            "Load by core",
            "Five-minute load average divided by the number of cores.",
            "short",
            f"max({load})",
            limits=[(1, "orange"), (2, "red")],
        ),
        number("Running for", "Time since the last boot.", "s", f"time() - max(node_boot_time_seconds{{{HOST}}})"),
        number(
            "CPU pressure",
            "Share of time in which something waited for a core.",
            "percentunit",
            pressure("cpu"),
            limits=[(0.2, "orange"), (0.5, "red")],
            none="not reported",
        ),
        number(
            "Memory pressure",
            "Share of time in which something waited for memory.",
            "percentunit",
            pressure("memory"),
            limits=[(0.05, "orange"), (0.2, "red")],
            none="not reported",
        ),
        number(
            "Disk pressure",
            "Share of time in which something waited for a disk.",
            "percentunit",
            pressure("io"),
            limits=[(0.2, "orange"), (0.5, "red")],
            none="not reported",
        ),
        number("Cores", "Number of cores of all selected machines.", "short", f"sum({cores})"),
        number(
            "Memory", "Total memory of all selected machines.", "bytes", f"sum(node_memory_MemTotal_bytes{{{HOST}}})"
        ),
        number(
            "Open files",
            "Open files of the whole machine, as a share of its limit.",
            "percentunit",
            f"max({files})",
            limits=FULL,
        ),
    ]


def cpu_and_memory() -> Panels:
    """Where time and memory go."""
    modes = f'avg by (mode) (rate(node_cpu_seconds_total{{{HOST}, mode!="idle"}}[$__rate_interval]))'
    total, available, buffers, cached = (
        f"sum(node_memory_{each}_bytes{{{HOST}}})" for each in ("MemTotal", "MemAvailable", "Buffers", "Cached")
    )
    return [
        graph(
            "CPU by mode",
            "Share of all cores. iowait: idle while waiting for a disk. steal: used by another virtual machine.",
            "percentunit",
            query(modes, "{{mode}}"),
            stacked=True,
            top=1,
        ),
        graph(
            "Memory",
            '"used" is held by programs; the kernel frees cache and buffers when programs need the memory.',
            "bytes",
            query(f"{total} - {available}", "used"),
            query(f"{buffers} + {cached}", "cache and buffers"),
            query(total, "all"),
        ),
        graph(
            "Load",
            "Programs that are running, ready to run or waiting for a disk.",
            "short",
            *(
                query(f"max by (instance) (node_load{each}{{{HOST}}})", f"{{{{instance}}}} {each} min")
                for each in (1, 5, 15)
            ),
            width=8,
        ),
        graph(
            "Pressure",
            "Share of time in which at least one program waited.",
            "percentunit",
            *(
                query(
                    highest(f"node_pressure_{each}_waiting_seconds_total", HOST, "instance"), f"{{{{instance}}}} {each}"
                )
                for each in ("cpu", "memory", "io")
            ),
            width=8,
        ),
        graph(
            "Swapping",
            "Pages swapped in and out per second.",
            "ops",
            query(rate("node_vmstat_pswpin", HOST), "in"),
            query(rate("node_vmstat_pswpout", HOST), "out"),
            width=8,
        ),
    ]


def disk() -> Panels:
    """Space and speed."""
    used = f"1 - max by (instance, mountpoint) (node_filesystem_avail_bytes{{{DISK}}}) / max by (instance, mountpoint) (node_filesystem_size_bytes{{{DISK}}})"
    return [
        graph(
            "Space used",
            "Share used, by file system. With less than 1 GB free, Elasticsearch accepts no more log lines.",
            "percentunit",
            query(used, "{{instance}} {{mountpoint}}"),
            width=8,
            top=1,
            limits=[(0.9, "red")],
        ),
        graph(
            "Read and written",
            "Bytes per second, by device.",
            "Bps",
            *(
                query(rate(f"node_disk_{each}_bytes_total", HOST, DEVICE), f"{{{{instance}}}} {{{{device}}}} {each}")
                for each in ("read", "written")
            ),
            width=8,
        ),
        graph(
            "Busy",
            "Share of time in which the device had something to do.",
            "percentunit",
            query(rate("node_disk_io_time_seconds_total", HOST, DEVICE), "{{instance}} {{device}}"),
            width=8,
            top=1,
        ),
    ]


def network() -> Panels:
    """Traffic, and packets that were lost."""
    return [
        graph(
            "Received and sent",
            "Bytes per second, by device.",
            "Bps",
            *(
                query(
                    rate(f"node_network_{each}_bytes_total", REAL_DEVICE, DEVICE),
                    f"{{{{instance}}}} {{{{device}}}} {each}",
                )
                for each in ("receive", "transmit")
            ),
        ),
        graph(
            "Errors and drops",
            "Packets per second that were lost.",
            "pps",
            *(
                query(rate(f"node_network_{way}_{what}_total", REAL_DEVICE), f"{way} {what}")
                for way in ("receive", "transmit")
                for what in ("errs", "drop")
            ),
        ),
    ]
