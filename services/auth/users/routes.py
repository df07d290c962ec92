"""Users over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from libs.service_kit.auth import Caller, Principal, requires
from libs.service_kit.errors import problems
from libs.service_kit.idempotency import CreateOnce, ReplayFirst
from libs.service_kit.pages import BadCursor, Page, PageWindow, page
from libs.service_kit.plans import PlanLimitReached
from libs.service_kit.preconditions import IfMatch, with_etag
from libs.service_kit.routing import NounRouter
from libs.service_kit.transactions import DatabaseSession, Sessions, get_sessions
from services.auth.passwords import PasswordChecksBusy, WeakPassword
from services.auth.roles.errors import CannotGrant, Outranked, UnknownRole
from services.auth.roles.power import held
from services.auth.users import queries, service
from services.auth.users.errors import EmailTaken, LastAdministrator, UserNotFound
from services.auth.users.models import User
from services.auth.users.schemas import PermissionsOut, UserCreate, UserOut, UserUpdate

router = NounRouter(prefix="/api/v1/users", tags=["users"])
Reader = Annotated[Principal, Depends(requires("users:read"))]
Writer = Annotated[Principal, Depends(requires("users:write"))]


async def hash_password(
    wanted: UserCreate, actor: Writer, _: ReplayFirst, sessions: Annotated[Sessions, Depends(get_sessions)]
) -> str:
    """A dependency that yields the hash of the new user's password."""
    return await service.hash_new_password(sessions, actor.tenant_id, wanted.email, wanted.password.get_secret_value())


# Parameters of this type come before the session and the key, so that no connection is held while it is made.
PasswordHash = Annotated[str, Depends(hash_password)]


@router.post(
    "",
    status_code=201,
    response_model=UserOut,
    responses=problems(CannotGrant, EmailTaken, PlanLimitReached, UnknownRole, WeakPassword, PasswordChecksBusy),
)
async def create_user(
    wanted: UserCreate, actor: Writer, password_hash: PasswordHash, session: DatabaseSession, once: CreateOnce
) -> Response:
    """Create a user who can log in at once."""
    user = await service.create(session, actor, wanted, password_hash)
    return await once.created(UserOut.of(user), location=f"/api/v1/users/{user.id}", version=user.version)


@router.get("", responses=problems(BadCursor))
async def list_users(actor: Reader, session: DatabaseSession, window: PageWindow) -> Page[UserOut]:
    """All users, the newest first."""
    return await page(session, queries.users(actor.tenant_id), User, window, UserOut.model_validate)


@router.get("/me/permissions")
async def get_own_permissions(actor: Caller, sessions: Annotated[Sessions, Depends(get_sessions)]) -> PermissionsOut:
    """What the caller may do now; their token says what it was when they got it."""
    return PermissionsOut(permissions=sorted(await held(sessions, actor)))


@router.get("/{user_id}", response_model=UserOut, responses=problems(UserNotFound))
async def get_user(user_id: UUID, actor: Reader, session: DatabaseSession, response: Response) -> User:
    """One user."""
    return with_etag(response, await service.get(session, actor, user_id))


@router.patch(
    "/{user_id}",
    response_model=UserOut,
    responses=problems(UserNotFound, CannotGrant, Outranked, LastAdministrator, PlanLimitReached, UnknownRole),
)
async def update_user(
    user_id: UUID, wanted: UserUpdate, actor: Writer, session: DatabaseSession, expected: IfMatch, response: Response
) -> User:
    """Rename a user, change their roles, or (de)activate them. Their tokens follow within fifteen minutes."""
    return with_etag(response, await service.update(session, actor, user_id, expected, wanted))
