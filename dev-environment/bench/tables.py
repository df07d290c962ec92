"""The results as tables for people."""

Compared = dict[str, dict[str, dict[str, float]]]


def compared(result: Compared) -> str:
    """Each endpoint with all variants and their ratios to the bare application."""
    rows = ["| endpoint | variant | requests/s | of bare | p50 ms | p99 ms | of bare | CPU µs | memory MiB |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for endpoint, variants in result.items():
        bare = variants["bare"]
        for name, seen in variants.items():
            share = f"{seen['rps'] / bare['rps']:.1%}"
            tail = f"{seen['p99_ms'] / bare['p99_ms']:.2f}×"
            cells = (endpoint, name.replace("_", " "), f"{seen['rps']:,}", share, seen["p50_ms"], seen["p99_ms"],
                     tail, seen["cpu_us"], seen["rss_mib"])  # fmt: skip
            rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)
