"""Keep what was typed into forms that were sent after the session had ended."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None

TIME = sa.String(length=27).with_variant(sa.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "form_draft",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_form_draft")),
        sa.UniqueConstraint("digest", name=op.f("uq_form_draft_digest")),
    )
    op.create_index(op.f("ix_form_draft_created"), "form_draft", ["created"], unique=False)
    op.create_index(op.f("ix_form_draft_person_id"), "form_draft", ["person", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_form_draft_person_id"), table_name="form_draft")
    op.drop_index(op.f("ix_form_draft_created"), table_name="form_draft")
    op.drop_table("form_draft")
