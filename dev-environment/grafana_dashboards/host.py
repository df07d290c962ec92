"""Host: the machine below it all, with what Node Exporter Full (id 1860) shows first."""

from grafana_dashboards.board import Panels, alerts, board, targets
from grafana_dashboards.panels import graph, number, query
from grafana_dashboards.promql import rate

HOST = 'job=~"$job", instance=~"$instance"'
# As in the alert DiskFilling: file systems that live in memory or cannot be written fill up by design.
DISK = f'{HOST}, fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|erofs|fuse.*"'
REAL_DEVICE = f'{HOST}, device!~"lo|veth.+|br-.+|docker.+"'
FULL = ((0.8, "orange"), (0.9, "red"))


def build() -> str:
    """The JSON of this dashboard."""
    return board(
        "host",
        "Host",
        "CPU, memory, disk, network and pressure of the machine. On a desktop that is Docker's virtual machine.",
        [("Quick look", quick_look()), ("CPU and memory", cpu_and_memory()), ("Disk", disk()), ("Network", network())],
        variables=targets("node_uname_info"),
        annotations=[alerts("host")],
    )


def quick_look() -> Panels:
    """Gauges first, then what the machine is."""

    def pressure(what: str, state: str = "waiting") -> str:
        return rate(f"node_pressure_{what}_{state}_seconds_total", HOST)

    root = f'1 - max(node_filesystem_avail_bytes{{{HOST}, mountpoint="/"}}) / max(node_filesystem_size_bytes{{{HOST}, mountpoint="/"}})'
    swap = f"1 - sum(node_memory_SwapFree_bytes{{{HOST}}}) / (sum(node_memory_SwapTotal_bytes{{{HOST}}}) > 0)"
    cores = f"count(count by (instance, cpu) (node_cpu_seconds_total{{{HOST}}}))"
    return [
        number(
            "CPU busy",
            "Share of all cores, over five minutes. Above 80 % for five minutes an alert fires.",
            "percentunit",
            query('max(instance:node_cpu:utilisation_rate5m{instance=~"$instance"})'),
            limits=FULL,
        ),
        number(
            "Memory used",
            "What is not available to a new program.",
            "percentunit",
            query('max(instance:node_memory:utilisation{instance=~"$instance"})'),
            limits=FULL,
        ),
        number("Root disk used", "Of the file system mounted at /.", "percentunit", query(root), limits=FULL),
        number(
            "Swap used",
            "Slow when it is read again.",
            "percentunit",
            query(swap),
            limits=[(0.25, "orange"), (0.5, "red")],
            none="no swap",
        ),
        number(
            "Load by core",
            "Programs that want a core, over five minutes, for each core.",
            "short",
            query(f"max(node_load5{{{HOST}}}) / {cores}"),
            limits=[(1, "orange"), (2, "red")],
        ),
        number("Running for", "Since the last boot.", "s", query(f"time() - max(node_boot_time_seconds{{{HOST}}})")),
        number(
            "CPU pressure",
            "Share of time in which something waited for a core.",
            "percentunit",
            query(pressure("cpu")),
            limits=[(0.2, "orange"), (0.5, "red")],
            none="not told",
        ),
        number(
            "Memory pressure",
            "Share of time in which something waited for memory.",
            "percentunit",
            query(pressure("memory")),
            limits=[(0.05, "orange"), (0.2, "red")],
            none="not told",
        ),
        number(
            "Disk pressure",
            "Share of time in which something waited for a disk.",
            "percentunit",
            query(pressure("io")),
            limits=[(0.2, "orange"), (0.5, "red")],
            none="not told",
        ),
        number("Cores", "Of this machine.", "short", query(cores)),
        number("Memory", "Of this machine.", "bytes", query(f"sum(node_memory_MemTotal_bytes{{{HOST}}})")),
        number(
            "Open files",
            "Of the whole machine, as a share of what it allows.",
            "percentunit",
            query(f"max(node_filefd_allocated{{{HOST}}}) / max(node_filefd_maximum{{{HOST}}})"),
            limits=FULL,
        ),
    ]


def cpu_and_memory() -> Panels:
    """Where time and memory go."""
    modes = f'sum by (mode) (rate(node_cpu_seconds_total{{{HOST}, mode!="idle"}}[$__rate_interval])) / scalar(count(count by (instance, cpu) (node_cpu_seconds_total{{{HOST}}})))'
    total, available, buffers, cached = (
        f"sum(node_memory_{each}_bytes{{{HOST}}})" for each in ("MemTotal", "MemAvailable", "Buffers", "Cached")
    )
    return [
        graph(
            "CPU by mode",
            "Share of all cores. iowait: idle, because a disk is slow. steal: another virtual machine has them.",
            "percentunit",
            query(modes, "{{mode}}"),
            stacked=True,
            top=1,
        ),
        graph(
            "Memory",
            "Used is what programs hold; cache and buffers are given up when they need it.",
            "bytes",
            query(f"{total} - {available}", "used"),
            query(f"{buffers} + {cached}", "cache and buffers"),
            query(total, "all"),
        ),
        graph(
            "Load",
            "Programs that run, want to run or wait for a disk.",
            "short",
            *(query(f"sum(node_load{each}{{{HOST}}})", f"{each} min") for each in (1, 5, 15)),
            width=8,
        ),
        graph(
            "Pressure",
            "Share of time in which at least one program waited.",
            "percentunit",
            *(
                query(rate(f"node_pressure_{each}_waiting_seconds_total", HOST), each)
                for each in ("cpu", "memory", "io")
            ),
            width=8,
        ),
        graph(
            "Swapping",
            "Pages per second, in and out.",
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
            "By file system. With less than 1 GB free Elasticsearch takes no more log lines.",
            "percentunit",
            query(used, "{{mountpoint}}"),
            width=8,
            top=1,
            limits=[(0.9, "red")],
        ),
        graph(
            "Read and written",
            "Per second, by device.",
            "Bps",
            *(
                query(rate(f"node_disk_{each}_bytes_total", HOST, "device"), f"{{{{device}}}} {each}")
                for each in ("read", "written")
            ),
            width=8,
        ),
        graph(
            "Busy",
            "Share of time in which the device had something to do.",
            "percentunit",
            query(rate("node_disk_io_time_seconds_total", HOST, "device"), "{{device}}"),
            width=8,
            top=1,
        ),
    ]


def network() -> Panels:
    """What goes in and out."""
    return [
        graph(
            "Received and sent",
            "Bytes per second, by device.",
            "Bps",
            *(
                query(rate(f"node_network_{each}_bytes_total", REAL_DEVICE, "device"), f"{{{{device}}}} {each}")
                for each in ("receive", "transmit")
            ),
        ),
        graph(
            "Errors and drops",
            "Packets per second that did not get through.",
            "pps",
            *(
                query(rate(f"node_network_{way}_{what}_total", REAL_DEVICE), f"{way} {what}")
                for way in ("receive", "transmit")
                for what in ("errs", "drop")
            ),
        ),
    ]
