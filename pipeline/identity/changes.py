"""What authorities state in shard 0: enrolments, rotations, revocations, admissions.

Here stands what a statement must be by itself. What it must be in view of those before it, and what it does,
stands in `pipeline.identity.registry`.
"""

from pipeline.identity.authorities import Authorities, Authority
from pipeline.wire.changes import CHANGES, Change
from pipeline.wire.enrolment import Enrolment
from pipeline.wire.errors import VerificationError
from pipeline.wire.possession import check_possession
from pipeline.wire.reasons import Reason
from pipeline.wire.statement import Statement, verify_statement


def find_authority(statement: Statement, authorities: Authorities) -> Authority:
    """Return the authority whose key the statement names.

    Raises:
        VerificationError: AUTHORITY_UNKNOWN.
    """
    authority = authorities.by_key.get((statement.issuer, statement.kid))
    if authority is None:
        raise VerificationError(Reason.AUTHORITY_UNKNOWN, statement.issuer)
    return authority


def decode_change(statement: Statement) -> Change:
    """Return what an authority's statement states.

    Raises:
        VerificationError: STATEMENT_CONTENT_TYPE, CBOR_*, ENROLMENT_SHAPE, ROTATION_SHAPE, REVOCATION_SHAPE,
            ADMISSION_SHAPE, KEY_INVALID; STATEMENT_SUBJECT where it is about another issuer than its subject.
    """
    decoder = CHANGES.get(statement.content_type)
    if decoder is None:
        raise VerificationError(Reason.STATEMENT_CONTENT_TYPE, str(statement.content_type))
    change = decoder(statement.payload)
    if statement.subject != change.issuer:
        raise VerificationError(Reason.STATEMENT_SUBJECT, "the subject is whom the statement is about")
    return change


def check_change(statement: Statement, authorities: Authorities) -> tuple[Authority, Change]:
    """Check an authority's statement as far as that needs nothing that came before it.

    Raises:
        VerificationError: AUTHORITY_UNKNOWN, SIGNATURE_INVALID; as `decode_change`; of an enrolment also
            AUTHORITY_SCOPE and POSSESSION_INVALID.
    """
    authority = find_authority(statement, authorities)
    verify_statement(statement, authority.public_key)
    change = decode_change(statement)
    if isinstance(change, Enrolment):
        check_scope(authority, change.kind, change.area)
        check_possession(change.possession, authority.issuer, change.issuer, change.public_key)
    return authority, change


def check_scope(authority: Authority, kind: str, area: str) -> None:
    """Check that signers of this kind in this area are this authority's business.

    Raises:
        VerificationError: AUTHORITY_SCOPE.
    """
    if not authority.answers_for(kind, area):
        raise VerificationError(Reason.AUTHORITY_SCOPE, f"{kind} in {area}")
