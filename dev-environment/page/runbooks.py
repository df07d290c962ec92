"""The runbooks answer as text where an alert's link leads, which is to Grafana's page of it where a Grafana runs."""

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse
from stack.settings import ROOT

router = APIRouter()


@router.get("/d/runbook-{name}")
def runbook(name: str) -> PlainTextResponse:
    """The runbook of this name."""
    files = {file.stem: file for file in (ROOT / "dev-environment/runbooks").glob("*.md")}
    if name not in files:
        raise HTTPException(404, "There is no such runbook.")
    return PlainTextResponse(files[name].read_text())
