/*
 * access.c
 *	  Who may do what to whose tasks.
 *
 * What a role may call is a matter of EXECUTE (sql/parts/90_grants.sql). Which
 * tasks it may see and steer is decided here and in the views: its own, or, with the
 * admin grant, all.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "access.h"
#include "compat.h"
#include "store.h"

/*
 * After an update: give every role that holds a grant what the grant means now. The
 * server must not take this for part of the extension (creating_extension), else a
 * dump would leave the grants out.
 */
PG_FUNCTION_INFO_V1(stent_regrant);
Datum
stent_regrant(PG_FUNCTION_ARGS)
{
	bool in_script = creating_extension;
	ColdSql cold;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to renew grants")));
	cold_begin_as_caller(&cold);
	creating_extension = false;
	PG_TRY();
	{
		if (SPI_execute("SELECT stent._regrant_all()", false, 0) != SPI_OK_SELECT)
			elog(ERROR, "renewing the grants failed");
	}
	PG_FINALLY();
	{
		creating_extension = in_script;
	}
	PG_END_TRY();
	cold_end(&cold);
	PG_RETURN_VOID();
}

/* Whoever may unregister functions sees and steers everybody's tasks. */
bool
caller_is_admin(void)
{
	Oid text = TEXTOID;
	Oid function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("unregister"),
								   PointerGetDatum(buildoidvector(&text, 1)),
								   ObjectIdGetDatum(get_namespace_oid("stent", true)));

	return OidIsValid(function) &&
		   object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
}

/* Whether the caller may see and steer tasks that role dispatched. */
bool
caller_may_act_for(const char *role)
{
	return strcmp(role, GetUserNameFromId(GetUserId(), false)) == 0 || caller_is_admin();
}
