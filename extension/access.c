/*
 * access.c
 *	  Who may do what to whose tasks.
 *
 * What a role may call is a matter of EXECUTE (sql/parts/90_grants.sql). Which
 * tasks it may see and steer is decided here and in the views: its own, or, with the
 * admin grant, all.
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "access.h"
#include "compat.h"
#include "handler.h"

/* Whoever may unregister functions sees and steers everybody's tasks. */
bool
caller_is_admin(void)
{
	Oid function = handler_lookup("stent.unregister(pg_catalog.text)");

	return OidIsValid(function) &&
		   object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
}

/* Whether the caller may see and steer tasks that role dispatched. */
bool
caller_may_act_for(const char *role)
{
	return strcmp(role, GetUserNameFromId(GetUserId(), false)) == 0 || caller_is_admin();
}
