"""Write every dashboard to the folder that Grafana reads: `make dashboards`."""

import json
from pathlib import Path

from grafana_dashboards import (
    business,
    host,
    log_lines,
    overview,
    postgresql,
    rabbitmq,
    runbooks,
    service,
    slo,
    telemetry,
)
from grafana_dashboards.log_stores import STORES

GRAFANA = Path(__file__).parents[1] / "grafana"
BOARDS, PAGES = GRAFANA / "dashboards", GRAFANA / "runbooks"
LINES = {store.folder: GRAFANA / store.folder / "log-lines" for store in STORES}
FOLDERS = (BOARDS, PAGES, *LINES.values())
DASHBOARDS = {
    "overview": overview.build,
    "business": business.build,
    "slo": slo.build,
    "postgresql": postgresql.build,
    "rabbitmq": rabbitmq.build,
    "host": host.build,
    "telemetry": telemetry.build,
}
WITH_LINES = {"service": service.build, "log-lines": log_lines.build}
"""Those that ask for log lines: one for each store, under the same uid."""


def built() -> dict[Path, str]:
    """The content of every file."""
    folders = {BOARDS: {uid: build() for uid, build in DASHBOARDS.items()}}
    folders |= {LINES[store.folder]: {uid: build(store) for uid, build in WITH_LINES.items()} for store in STORES}
    titles = {json.loads(text)["title"]: uid for texts in folders.values() for uid, text in texts.items()}
    folders[PAGES] = {runbooks.uid(name): runbooks.build(name, titles) for name in runbooks.names().values()}
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
