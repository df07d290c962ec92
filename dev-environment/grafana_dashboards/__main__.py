"""Write every dashboard to the folder that Grafana reads: `make dashboards`."""

from pathlib import Path

from grafana_dashboards import business, host, overview, postgresql, rabbitmq, service, slo, telemetry

FOLDER = Path(__file__).parents[1] / "grafana/dashboards"
DASHBOARDS = {
    "overview": overview.build,
    "service": service.build,
    "business": business.build,
    "slo": slo.build,
    "postgresql": postgresql.build,
    "rabbitmq": rabbitmq.build,
    "host": host.build,
    "telemetry": telemetry.build,
}


def main() -> None:
    """Write the files whose content has changed."""
    for uid, build in DASHBOARDS.items():
        file, text = FOLDER / f"{uid}.json", build()
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            print(f"Written: {file.relative_to(FOLDER.parents[2])}")


if __name__ == "__main__":
    main()
