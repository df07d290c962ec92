"""The results as Markdown tables."""

Compared = dict[str, dict[str, dict[str, float]]]


def compared(result: Compared) -> str:
    """A row for each endpoint and variant, with ratios to the bare application."""
    rows = ["| endpoint | variant | requests/s | of bare | p50 ms | p99 ms | of bare | CPU µs | added | memory MiB |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for endpoint, variants in result.items():
        bare = variants["bare"]
        for name, seen in variants.items():
            share = f"{seen['rps'] / bare['rps']:.1%}"
            tail = f"{seen['p99_ms'] / bare['p99_ms']:.2f}×"
            cells = (endpoint, name.replace("_", " "), f"{seen['rps']:,}", share, seen["p50_ms"], seen["p99_ms"],
                     tail, seen["cpu_us"], f"{seen['added']:.2f}", seen["rss_mib"])  # fmt: skip
            rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)


def plain(result: dict[str, dict[str, float]]) -> str:
    """A row for each entry, and a column for each value that any of them has."""
    names = list(dict.fromkeys(name for values in result.values() for name in values))
    rows = ["| | " + " | ".join(name.replace("_", " ") for name in names) + " |", "| --- |" + " ---: |" * len(names)]
    for entry, values in result.items():
        cells = (f"{values[name]:,}" if name in values else "" for name in names)
        rows.append(f"| {entry.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(rows)
