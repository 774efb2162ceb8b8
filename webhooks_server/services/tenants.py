"""Which tenants there are."""

from webhooks_server.domain.errors import NotFound
from webhooks_server.domain.ids import DEFAULT_TENANT, TenantId


def known(tenant: TenantId) -> TenantId:
    """Return the tenant; raises NotFound where there is none of this id."""
    if tenant != DEFAULT_TENANT:
        raise NotFound("webhooks.v1.Tenant", f"tenants/{tenant}")
    return tenant


def known_or_all(tenant: TenantId | None) -> TenantId | None:
    """Return the tenant, or None where all are meant; raises NotFound as known() does."""
    return None if tenant is None else known(tenant)
