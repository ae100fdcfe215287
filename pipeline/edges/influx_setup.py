"""InfluxDB made ready for a city: its first administrator, a bucket, and a token that opens nothing else."""

from secrets import token_urlsafe

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.authorization import Authorization
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.onboarding_request import OnboardingRequest
from influxdb_client.domain.permission import Permission
from influxdb_client.domain.permission_resource import PermissionResource
from influxdb_client.rest import ApiException
from influxdb_client.service.setup_service import SetupService
from urllib3.exceptions import HTTPError

from pipeline.wire.errors import InputError, UnavailableError

USER = "cityproof"
SECRET_BYTES = 32
TIMEOUT_MS = 20_000
FOREVER = BucketRetentionRules(type="expire", every_seconds=0)


def set_up(url: str, token: str, org: str, bucket: str) -> bool:
    """Make the first administrator of a new InfluxDB, with this token; False where it has one.

    The password is random and kept nowhere: who has the token can set another.

    Raises:
        UnavailableError: InfluxDB does not answer.
    """
    with InfluxDBClient(url, "", timeout=TIMEOUT_MS) as client:
        service = SetupService(client.api_client)
        try:
            if not service.get_setup().allowed:
                return False
            password = token_urlsafe(SECRET_BYTES)
            first = OnboardingRequest(username=USER, password=password, org=org, bucket=bucket, token=token)
            # A crash behind this leaves an administrator whose token is in our file already.
            service.post_setup(onboarding_request=first)
        except (ApiException, HTTPError, OSError) as error:
            raise UnavailableError(f"InfluxDB {url}", f"its set-up: {error}") from error
    return True


def ensure_bucket(url: str, token: str, org: str, bucket: str) -> str:
    """Make the bucket, unless it is there, and a token that reads and writes it and nothing else; return it.

    Raises:
        InputError: The token is not an administrator's.
        UnavailableError: InfluxDB does not answer.
    """
    with InfluxDBClient(url, token, org=org, timeout=TIMEOUT_MS) as client:
        try:
            buckets = client.buckets_api()
            found = buckets.find_bucket_by_name(bucket)
            if found is None:
                found = buckets.create_bucket(bucket_name=bucket, retention_rules=FOREVER)
            resource = PermissionResource(type="buckets", id=found.id, org_id=found.org_id)
            rights = [Permission(action=action, resource=resource) for action in ("read", "write")]
            wanted = Authorization(org_id=found.org_id, permissions=rights, description=f"cityproof {bucket}")
            made = client.authorizations_api().create_authorization(authorization=wanted)
        except ApiException as error:
            if error.status in (401, 403):
                raise InputError(
                    f"InfluxDB {url}",
                    "it has an administrator already, and this is not the token",
                    "Write the administrator's token into keys/influx-admin.token of the city's folder.",
                ) from error
            raise UnavailableError(f"InfluxDB {url}", f"it answers {error.status}") from error
        except (HTTPError, OSError) as error:
            raise UnavailableError(f"InfluxDB {url}", str(error)) from error
    assert isinstance(made.token, str), "an authorization has a token"
    return made.token
