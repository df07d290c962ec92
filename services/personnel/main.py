"""The personnel service: departments, employees and their appointments."""

from fastapi import FastAPI

from libs.contracts.tenant import TenantClosed, TenantCreated, TenantPlanChanged
from libs.service_kit import app, plans
from libs.service_kit.errors import Conflicts
from libs.service_kit.events.inbox import Handlers
from services.personnel.chart.routes import router as chart
from services.personnel.database import Base
from services.personnel.departments import consumers
from services.personnel.departments.errors import DepartmentCodeTaken, UnknownParent
from services.personnel.departments.routes import router as departments
from services.personnel.employees.errors import (
    AppointmentOverlap,
    EmployeeNumberTaken,
    EmployeeUserTaken,
    UnknownDepartment,
)
from services.personnel.employees.routes import router as employees
from services.personnel.metrics import COUNTS
from services.personnel.settings import Settings

HANDLERS: Handlers = {
    TenantCreated: consumers.on_tenant_created,
    TenantClosed: consumers.on_tenant_closed,
    TenantPlanChanged: plans.on_plan_changed,
}
CONFLICTS: Conflicts = {
    "uq_departments_tenant_id_code": DepartmentCodeTaken,
    "fk_departments_tenant_id_parent_id": UnknownParent,
    "uq_employees_tenant_id_number": EmployeeNumberTaken,
    "uq_employees_tenant_id_user_id": EmployeeUserTaken,
    "fk_appointments_tenant_id_department_id": UnknownDepartment,
    "ex_appointments_overlap": AppointmentOverlap,
}


def create_app(settings: Settings) -> FastAPI:
    """Build the service."""
    return app.create_app(
        settings,
        description="Departments, employees and their appointments.",
        routers=[chart, departments, employees],
        handlers=HANDLERS,
        exports=Base.metadata,
        counts=COUNTS,
        conflicts=CONFLICTS,
    )


if __name__ == "__main__":
    app.serve(Settings, create_app)
