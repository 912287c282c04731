"""Create an organization, complete: factory objects, first policy version, a way in."""

import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from pce.access.roles import EVERYTHING, OWNER
from pce.errors import Conflict, Invalid, Problem
from pce.events.journal import SYSTEM, ResourceChange
from pce.identifiers import INSTALLATION, OrgId, org_href, tail
from pce.objects.api_key import USERNAME_PREFIX, new_api_key, new_credential
from pce.objects.auth_security_principal import USER
from pce.objects.catalogue import COLLECTIONS
from pce.objects.factory import default_pairing_profile, factory_dimensions, factory_drafts
from pce.objects.hrefs import item_id
from pce.objects.pairing_profile import new_pairing_key
from pce.objects.permission import grants_of
from pce.objects.policy_version import REVISION, new_draft, provisioned_form, version_record
from pce.objects.role import role_href
from pce.pairing.activation import code_hash
from pce.store.change import Change, Put
from pce.store.policy_versions import PolicyVersions
from pce.usecases.caller import SYSTEM_USER, Caller
from pce.usecases.login_records import put_login
from pce.usecases.manage_users import new_login
from pce.usecases.stores import Stores, journal

MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class CreatedOrg:
    """What the operator needs; the secrets are shown only here."""

    org_id: int
    api_key: str
    api_secret: str
    activation_code: str
    pairing_profile_href: str


def create_org(name: str, request_id: str, stores: Stores, now: int) -> CreatedOrg:
    """Create one org in one transaction. ``request_id``, when given, creates at most one.

    Raises :class:`Conflict` when an earlier call with this ``request_id`` created an org, and
    :class:`Invalid` for a name that is empty or longer than 255 characters.
    """
    if not 0 < len(name) <= MAX_NAME:
        message = f"name must have 1 to {MAX_NAME} characters, not {len(name)}"
        raise Invalid(Problem("invalid_attribute", message, "name"))
    if request_id:
        _refuse_repeat(request_id, stores)
    org_id = OrgId(stores.objects.next_id(INSTALLATION, "orgs"))
    system = Caller(org_id, SYSTEM_USER, "system", now, EVERYTHING)
    plan = _Plan(system, stores)
    drafts, manifest = plan.factory_policy()
    profile = plan.numbered("pairing_profiles", default_pairing_profile())
    for dimension in factory_dimensions():
        plan.identified("label_dimensions", str(uuid.uuid4()), dimension)
    user = plan.user(name)
    plan.owner(user["username"])
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    activation_code = secrets.token_hex(40)
    key = new_pairing_key(org_id, item_id(tail(profile["href"])), profile, now)
    revisions = {draft[REVISION]: provisioned_form(draft) for draft in drafts}
    prepared = stores.policy_versions.prepare(org_id, manifest, revisions)
    counts = {collection: len(ids) for collection, ids in manifest.items()}
    record = version_record(
        org_id, 1, "Factory objects of the organization", 0, counts, system.at, system.by
    )
    event = journal(stores, org_id, SYSTEM, now).event(
        "org.create",
        changes=[ResourceChange("org", {"href": org_href(org_id), "name": name}, "create", {})],
    )
    provisioning = PolicyVersions.commit_of(
        org_id, stores.policy_versions.head(org_id), prepared, record, event
    )
    api_key = new_api_key(
        user_href=user["href"],
        key_id=key_id,
        name=f"First key of {name}",
        description="Made when the organization was created",
        at=system.at,
    )
    credential = new_credential(
        org_id=org_id, user=user, key_id=key_id, secret=secret, at=system.at
    )
    org = {"org_id": org_id, "name": name, "created_at": system.at}
    installation = [
        Put("orgs", item_id(str(org_id)), org, org_id=INSTALLATION),
        Put("credentials", key_id, credential, org_id=INSTALLATION),
        Put("pairing_keys", code_hash(activation_code), key, org_id=INSTALLATION),
    ]
    if request_id:
        installation.append(
            Put("org_requests", request_id, {"org_id": org_id}, org_id=INSTALLATION)
        )
    stores.objects.commit(
        Change(
            org_id,
            puts=(
                *installation,
                *provisioning.puts,
                *plan.puts,
                Put("users", item_id(tail(user["href"])), user),
                put_login(user["username"], new_login(org_id, user, None), None),
                Put("api_keys", key_id, api_key),
            ),
            claims=tuple(plan.claims),
            events=provisioning.events,
            policy_changes=provisioning.policy_changes,
        )
    )
    return CreatedOrg(
        org_id, f"{USERNAME_PREFIX}{key_id}", secret, activation_code, profile["href"]
    )


class _Plan:
    """Collects what is to be written, and names it."""

    def __init__(self, system: Caller, stores: Stores) -> None:
        self._system = system
        self._stores = stores
        self.puts: list[Put] = []
        self.claims: list[str] = []

    def factory_policy(self) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
        """Drafts of the factory objects, and the manifest of the first version."""
        drafts = []
        manifest: dict[str, dict[str, str]] = {}
        for name, document in factory_drafts().items():
            draft = new_draft(document, str(uuid.uuid4()))
            if name == "firewall_settings":
                draft = self.identified(name, name, draft)
            else:
                draft = self.numbered(name, draft)
            manifest[name] = {tail(draft["href"]): draft[REVISION]}
            drafts.append(draft)
        return drafts, manifest

    def numbered(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """The document under the next number of its collection."""
        number = self._stores.objects.next_id(self._system.org_id, name)
        return self.identified(name, str(number), document)

    def identified(self, name: str, id: str, document: dict[str, Any]) -> dict[str, Any]:
        """The document under this id."""
        collection = COLLECTIONS[name]
        between = ("sec_policy", "draft") if collection.provisionable else ()
        href = self._system.path(*between, name, *(() if id == name else (id,)))
        document = {"href": href, **document, **self._system.created()}
        self.puts.append(Put(collection.stored_in, item_id(id), document))
        self.claims += collection.claims(document)
        return document

    def user(self, name: str) -> dict[str, Any]:
        """The org's first user, to whom its first API key belongs."""
        number = self._stores.objects.next_id(INSTALLATION, "users")
        return {
            "href": f"/users/{number}",
            "username": f"admin@{self._system.org_id}.invalid",
            "full_name": f"Administrator of {name}",
            "type": "local",
            "time_zone": "UTC",
            "locked": False,
            "created_at": self._system.at,
        }

    def owner(self, username: str) -> None:
        """The permission that makes a user the org's owner."""
        whom = {"name": username, "display_name": username, "type": USER, "sid": None}
        principal = self.identified("auth_security_principals", str(uuid.uuid4()), whom)
        permission = self.identified(
            "permissions",
            str(uuid.uuid4()),
            {
                "role": {"href": role_href(self._system.org_id, OWNER)},
                "scope": [],
                "auth_security_principal": {"href": principal["href"]},
            },
        )
        copy = Put(grants_of(USER, username), tail(permission["href"]), permission)
        self.puts.append(copy)


def _refuse_repeat(request_id: str, stores: Stores) -> None:
    earlier = stores.objects.get(INSTALLATION, "org_requests", request_id)
    if earlier is not None:
        raise Conflict(
            Problem(
                "org_already_created",
                f"the request {request_id} created org {earlier.document['org_id']} before; its"
                " secrets were shown then. Use another request_id for another org.",
                "request_id",
            )
        )
