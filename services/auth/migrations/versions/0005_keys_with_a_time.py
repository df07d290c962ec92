"""Signing keys have a time from which they sign, and their private half can go before the public one."""

import json

import sqlalchemy as sa
from alembic import op
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Give every key its public half, and the time from which it signs."""
    op.add_column("signing_keys", sa.Column("public_key", sa.Text()))
    op.add_column("signing_keys", sa.Column("signs_from", sa.DateTime(timezone=True)))
    connection = op.get_bind()
    change = sa.text("update signing_keys set public_key = :public_key, signs_from = created_at where kid = :kid")
    for kid, pem in connection.execute(sa.text("select kid, private_key from signing_keys")).all():
        private = load_pem_private_key(pem.encode(), None)
        assert isinstance(private, EllipticCurvePrivateKey)
        connection.execute(
            change, {"kid": kid, "public_key": json.dumps(ECAlgorithm.to_jwk(private.public_key(), as_dict=True))}
        )
    for column, is_nullable in (("public_key", False), ("signs_from", False), ("private_key", True)):
        op.alter_column("signing_keys", column, nullable=is_nullable)
