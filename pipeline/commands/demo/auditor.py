"""The auditor of the demo: enrolled by the city's authority, and told nothing of what an intruder alters."""

from pipeline.edges.mqtt import MqttPublisher
from pipeline.embedded import RunningCity
from pipeline.folder import AUDITOR, AUTHORITY, CityKeys
from pipeline.wire.enrolment import Enrolment, encode_enrolment
from pipeline.wire.possession import sign_possession
from pipeline.wire.statement import CONTENT_ENROLMENT, sign_statement
from pipeline.wire.topics import registry_topic

EPOCH = 0  # Of the authority: the one statement in it is always the same, and may come twice.


async def enrol_auditor(city: RunningCity, keys: CityKeys) -> None:
    """State in the log that the auditor's key may sign findings.

    Raises:
        UnavailableError: The broker does not answer.
    """
    enrolment = Enrolment(
        issuer=AUDITOR,
        public_key=keys.auditor.public_key,
        department="audit",
        controller="audit",
        data_class="finding",
        kind="auditor",
        subject="points",
        area="city",
        valid_from_s=0,
        possession=sign_possession(keys.auditor, AUTHORITY, AUDITOR),
    )
    statement = sign_statement(
        keys.authority,
        issuer=AUTHORITY,
        subject=AUDITOR,
        content_type=CONTENT_ENROLMENT,
        epoch=EPOCH,
        sequence=0,
        previous=bytes(32),
        payload=encode_enrolment(enrolment),
    )
    async with MqttPublisher.open(city.host, city.port, "registrar") as sender:
        await sender.publish(registry_topic(AUTHORITY), statement)
