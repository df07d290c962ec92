"""Write every dashboard to the folder that Grafana reads: `make dashboards`."""

import json
from pathlib import Path

from grafana_dashboards import business, host, loki, overview, postgresql, rabbitmq, runbooks, service, slo, telemetry

GRAFANA = Path(__file__).parents[1] / "grafana"
FOLDERS = BOARDS, PAGES, LINES = GRAFANA / "dashboards", GRAFANA / "runbooks", GRAFANA / "provisioning-loki/log-lines"
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


def built() -> dict[Path, str]:
    """The content of every file."""
    boards = {uid: build() for uid, build in DASHBOARDS.items()}
    titles = {json.loads(text)["title"]: uid for uid, text in boards.items()}
    pages = {runbooks.uid(name): runbooks.build(name, titles) for name in runbooks.names().values()}
    folders = {BOARDS: boards, PAGES: pages, LINES: {"log-lines": loki.build()}}
    return {folder / f"{uid}.json": text for folder, texts in folders.items() for uid, text in texts.items()}


def main() -> None:
    """Write the files whose content has changed, and remove those that nothing builds any more."""
    files = built()
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for file in set(folder.glob("*.json")) - files.keys():
            file.unlink()
            print(f"Removed: {file.relative_to(GRAFANA.parents[1])}")
    for file, text in files.items():
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            print(f"Written: {file.relative_to(GRAFANA.parents[1])}")


if __name__ == "__main__":
    main()
