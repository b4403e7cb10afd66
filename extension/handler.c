/*
 * handler.c
 *	  Calling the SQL function behind a registered name.
 *
 * A handler is f(), f(jsonb), or a function whose named parameters are filled
 * from the args object. fmgr checks neither signature nor privilege, so both are
 * checked here whenever a handler is resolved. Values are converted by the
 * server's own jsonb_populate_record and to_jsonb, at execution, so that a bad
 * value is an error of the task and not of the dispatcher.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "compat.h"
#include "errors.h"
#include "handler.h"
#include "json.h"

typedef enum HandlerShape
{
	HANDLER_NO_ARGS,
	HANDLER_WHOLE_ARGS,
	HANDLER_NAMED_ARGS
} HandlerShape;

struct Handler
{
	Oid oid;
	Oid schema;
	HandlerShape shape;
	int nargs;
	int n_required; /* the rest have defaults */
	char **arg_names;
	Oid *arg_types;
	Oid return_type;
	bool strict;
	MemoryContext cxt; /* owns this */

	/* call state, for one transaction */
	MemoryContext call_cxt;
	FmgrInfo function;
	FmgrInfo to_json;
	FmgrInfo populate;
	TupleDesc args_desc;
	List *defaults; /* ExprState, for the last nargs - n_required */
};

static void
unusable(int error_code, Oid oid, const char *why, const char *hint)
{
	ereport(ERROR, (errcode(error_code),
					errmsg("function %s cannot be a handler: %s", format_procedure(oid), why),
					errhint("%s", hint)));
}

/* Learn a function's signature and refuse what cannot serve. */
Handler *
handler_describe(Oid oid, int error_code)
{
	const char *shapes = "A handler is f(), f(jsonb), or a function with named parameters.";
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(oid));
	MemoryContext cxt;
	MemoryContext old;
	Form_pg_proc proc;
	Handler *handler;
	Oid *all_types;
	char **names;
	char *modes;
	int n;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("function with OID %u does not exist", oid)));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prokind != PROKIND_FUNCTION)
		unusable(error_code, oid, "it is not an ordinary function", shapes);
	/* the next session to have that schema could put anything in its place */
	if (isAnyTempNamespace(proc->pronamespace))
		unusable(error_code, oid, "it is temporary", "Create it in an ordinary schema.");
	if (proc->proretset)
		unusable(error_code, oid, "it returns a set",
				 "Return jsonb, void, a scalar or a composite; aggregate sets with jsonb_agg.");
	if (OidIsValid(proc->provariadic))
		unusable(error_code, oid, "it is variadic", shapes);
	if (get_typtype(proc->prorettype) == TYPTYPE_PSEUDO && proc->prorettype != VOIDOID &&
		proc->prorettype != RECORDOID)
		unusable(error_code, oid, "its result is of a pseudo-type",
				 "Return jsonb, void, a scalar or a composite.");

	cxt = AllocSetContextCreate(CurrentMemoryContext, "stent handler", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);
	handler = palloc0_object(Handler);
	handler->cxt = cxt;
	handler->oid = oid;
	handler->schema = proc->pronamespace;
	handler->return_type = proc->prorettype;
	handler->strict = proc->proisstrict;
	handler->nargs = proc->pronargs;
	handler->n_required = proc->pronargs - proc->pronargdefaults;
	handler->arg_types = palloc_array(Oid, Max(handler->nargs, 1));
	handler->arg_names = palloc0_array(char *, Max(handler->nargs, 1));

	n = get_func_arg_info(tuple, &all_types, &names, &modes);
	for (int i = 0, in = 0; i < n; i++)
	{
		if (modes != NULL && modes[i] != PROARGMODE_IN && modes[i] != PROARGMODE_INOUT)
			continue;
		handler->arg_types[in] = all_types[i];
		handler->arg_names[in] =
			names != NULL && names[i] != NULL && names[i][0] != '\0' ? names[i] : NULL;
		if (get_typtype(all_types[i]) == TYPTYPE_PSEUDO)
			unusable(error_code, oid, "a parameter is of a pseudo-type", shapes);
		in++;
	}
	if (handler->nargs == 0)
		handler->shape = HANDLER_NO_ARGS;
	else if (handler->nargs == 1 && handler->arg_types[0] == JSONBOID)
		handler->shape = HANDLER_WHOLE_ARGS;
	else
	{
		handler->shape = HANDLER_NAMED_ARGS;
		for (int i = 0; i < handler->nargs; i++)
			if (handler->arg_names[i] == NULL)
				unusable(error_code, oid, psprintf("parameter %d has no name", i + 1), shapes);
	}
	MemoryContextSwitchTo(old);
	ReleaseSysCache(tuple);
	return handler;
}

Oid
handler_oid(const Handler *handler)
{
	return handler->oid;
}

/*
 * The function a stored name means now, or InvalidOid. Looked up without the
 * role's privileges, which are checked on what was found; in a subtransaction,
 * because a parameter's type that is gone raises an error before 16.
 */
Oid
handler_lookup(const char *qualified_name)
{
	LOCAL_FCINFO(fcinfo, 1);
	MemoryContext outer = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Oid user;
	int sec_context;
	volatile Oid found = InvalidOid;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(qualified_name);
	fcinfo->args[0].isnull = false;
	GetUserIdAndSecContext(&user, &sec_context);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(outer);
	PG_TRY();
	{
		Datum oid;

		SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, sec_context | SECURITY_LOCAL_USERID_CHANGE);
		oid = to_regprocedure(fcinfo);
		if (!fcinfo->isnull)
			found = DatumGetObjectId(oid);
		SetUserIdAndSecContext(user, sec_context);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(outer);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(outer);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT &&
			error->sqlerrcode != ERRCODE_UNDEFINED_SCHEMA)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(outer);
	CurrentResourceOwner = owner;
	return found;
}

/* The task's role must be allowed to call what it is about to run. */
void
handler_check_privilege(const Handler *handler, const char *name, Oid role)
{
	if (object_aclcheck(NamespaceRelationId, handler->schema, role, ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not use schema \"%s\" of the handler of \"%s\"",
						GetUserNameFromId(role, false), get_namespace_name(handler->schema), name),
				 errhint("Grant USAGE on the schema to the role.")));
	if (object_aclcheck(ProcedureRelationId, handler->oid, role, ACL_EXECUTE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not execute %s, the handler of \"%s\"",
						GetUserNameFromId(role, false), format_procedure(handler->oid), name),
				 errhint("Grant EXECUTE on the function to the role.")));
}

static int
parameter_number(const Handler *handler, const char *name, int len)
{
	for (int i = 0; i < handler->nargs; i++)
		if ((int) strlen(handler->arg_names[i]) == len &&
			memcmp(handler->arg_names[i], name, len) == 0)
			return i;
	return -1;
}

static void
bad_args(const Handler *handler, const char *function, Jsonb *args, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("args of \"%s\" do not fit its handler: %s", function, what),
					errdetail("args is %s.", json_text(args)),
					errhint("The handler is %s.", format_procedure(handler->oid))));
}

/*
 * Refuse args whose names do not fit the parameters: an unknown key, or a
 * missing one without default. Values are not looked at.
 */
void
handler_check_args(const Handler *handler, const char *function, Jsonb *args)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;

	if (handler->shape == HANDLER_WHOLE_ARGS)
		return;
	if (!JB_ROOT_IS_OBJECT(args))
		bad_args(handler, function, args, "an object is expected");
	it = JsonbIteratorInit(&args->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY &&
			parameter_number(handler, value.val.string.val, value.val.string.len) < 0)
			bad_args(
				handler, function, args,
				psprintf("unknown parameter \"%.*s\"", value.val.string.len, value.val.string.val));
	}
	for (int i = 0; i < handler->n_required; i++)
		if (getKeyJsonValueFromContainer(&args->root, handler->arg_names[i],
										 strlen(handler->arg_names[i]), &value) == NULL)
			bad_args(handler, function, args,
					 psprintf("missing parameter \"%s\"", handler->arg_names[i]));
}

/* Drop what calls of this transaction built. */
void
handler_forget_calls(Handler *handler)
{
	if (handler->call_cxt != NULL)
		MemoryContextDelete(handler->call_cxt);
	handler->call_cxt = NULL;
}

/* An expression node that only tells a function the type of an argument. */
static Expr *
typed_argument(Oid type)
{
	return (Expr *) makeNullConst(type, -1, InvalidOid);
}

/*
 * Look everything up that repeated calls need. call_cxt is published last: after
 * an error in between, the next call starts over.
 */
static void
prepare_calls(Handler *handler)
{
	MemoryContext cxt;
	MemoryContext old;

	if (handler->call_cxt != NULL)
		return;
	cxt = AllocSetContextCreate(handler->cxt, "stent handler calls", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(cxt);

	fmgr_info_cxt(handler->oid, &handler->function, cxt);
	if (handler->return_type != JSONBOID && handler->return_type != VOIDOID)
	{
		fmgr_info_cxt(F_TO_JSONB, &handler->to_json, cxt);
		fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
												 list_make1(typed_argument(handler->return_type)),
												 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
						   &handler->to_json);
	}
	if (handler->shape == HANDLER_NAMED_ARGS)
	{
		TupleDesc desc = CreateTemplateTupleDesc(handler->nargs);

		for (int i = 0; i < handler->nargs; i++)
			TupleDescInitEntry(desc, i + 1, handler->arg_names[i], handler->arg_types[i], -1, 0);
		handler->args_desc = BlessTupleDesc(desc);
		fmgr_info_cxt(F_JSONB_POPULATE_RECORD, &handler->populate, cxt);
		fmgr_info_set_expr(
			(Node *) makeFuncExpr(F_JSONB_POPULATE_RECORD, RECORDOID,
								  list_make2(typed_argument(RECORDOID), typed_argument(JSONBOID)),
								  InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
			&handler->populate);
	}
	handler->defaults = NIL;
	if (handler->n_required < handler->nargs && handler->shape == HANDLER_NAMED_ARGS)
	{
		HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler->oid));
		Datum defaults;
		bool isnull;
		ListCell *cell;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for function %u", handler->oid);
		defaults = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proargdefaults, &isnull);
		if (isnull)
			elog(ERROR, "function %u has lost its defaults", handler->oid);
		foreach (cell, (List *) stringToNode(TextDatumGetCString(defaults)))
			handler->defaults =
				lappend(handler->defaults, ExecInitExpr(expression_planner(lfirst(cell)), NULL));
		ReleaseSysCache(tuple);
	}
	MemoryContextSwitchTo(old);
	handler->call_cxt = cxt;
}

/* Fill the named parameters from args, as jsonb_populate_record casts. */
static void
fill_named(Handler *handler, Jsonb *args, FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(populate, 2);
	TupleDesc desc = handler->args_desc;
	HeapTupleData tuple;
	HeapTupleHeader record;
	HeapTuple empty;
	Datum *values = palloc0_array(Datum, desc->natts);
	bool *nulls = palloc_array(bool, desc->natts);
	ExprContext *econtext = NULL;

	memset(nulls, true, desc->natts * sizeof(bool));
	empty = heap_form_tuple(desc, values, nulls);
	InitFunctionCallInfoData(*populate, &handler->populate, 2, InvalidOid, NULL, NULL);
	populate->args[0].value = HeapTupleGetDatum(empty);
	populate->args[0].isnull = false;
	populate->args[1].value = JsonbPGetDatum(args);
	populate->args[1].isnull = false;
	record = DatumGetHeapTupleHeader(FunctionCallInvoke(populate));
	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;
	heap_deform_tuple(&tuple, desc, values, nulls);

	for (int i = 0; i < handler->nargs; i++)
	{
		JsonbValue value;

		if (i >= handler->n_required &&
			getKeyJsonValueFromContainer(&args->root, handler->arg_names[i],
										 strlen(handler->arg_names[i]), &value) == NULL)
		{
			if (econtext == NULL)
				econtext = CreateStandaloneExprContext();
			values[i] =
				ExecEvalExpr((ExprState *) list_nth(handler->defaults, i - handler->n_required),
							 econtext, &nulls[i]);
		}
		fcinfo->args[i].value = values[i];
		fcinfo->args[i].isnull = nulls[i];
	}
}

/*
 * Call the handler; the result is NULL for void and SQL NULL. Runs in the
 * caller's (sub)transaction and memory context.
 */
Jsonb *
handler_call(Handler *handler, Jsonb *args)
{
	LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
	PgStat_FunctionCallUsage usage;
	Datum result;
	bool has_null = false;

	prepare_calls(handler);
	InitFunctionCallInfoData(*fcinfo, &handler->function, handler->nargs, DEFAULT_COLLATION_OID,
							 NULL, NULL);
	if (handler->shape == HANDLER_WHOLE_ARGS)
	{
		fcinfo->args[0].value = JsonbPGetDatum(args);
		fcinfo->args[0].isnull = false;
	}
	else if (handler->shape == HANDLER_NAMED_ARGS)
		fill_named(handler, args, fcinfo);
	for (int i = 0; i < handler->nargs; i++)
		has_null |= fcinfo->args[i].isnull;
	if (handler->strict && has_null)
		return NULL;

	pgstat_init_function_usage(fcinfo, &usage);
	result = FunctionCallInvoke(fcinfo);
	pgstat_end_function_usage(&usage, true);
	if (fcinfo->isnull || handler->return_type == VOIDOID)
		return NULL;
	if (handler->return_type != JSONBOID)
	{
		LOCAL_FCINFO(convert, 1);

		InitFunctionCallInfoData(*convert, &handler->to_json, 1, InvalidOid, NULL, NULL);
		convert->args[0].value = result;
		convert->args[0].isnull = false;
		result = FunctionCallInvoke(convert);
	}
	return DatumGetJsonbP(result);
}

/* Args that fill the first parameters of a handler with these values, in order. */
static Jsonb *
args_by_position(const Handler *handler, const JsonbValue *values, int n)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue value = values[i];
		JsonbValue name;

		name.type = jbvString;
		name.val.string.val = handler->arg_names[i];
		name.val.string.len = strlen(handler->arg_names[i]);
		(void) pushJsonbValue(&state, WJB_KEY, &name);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * What an item of a map means as args; NULL: it does not fit. f(jsonb) takes it as it is,
 * an object fills parameters by name, anything else the first one where no other is
 * needed. With star an array is a list of arguments and fills parameters by position.
 */
Jsonb *
handler_item_args(const Handler *handler, Jsonb *item, bool star)
{
	bool scalar = JB_ROOT_IS_SCALAR(item);
	JsonbValue value;

	if (star && JB_ROOT_IS_ARRAY(item) && !scalar)
	{
		int n = JB_ROOT_COUNT(item);
		JsonbValue *values;

		if (n > handler->nargs || (n == 0 && handler->shape == HANDLER_WHOLE_ARGS))
			return NULL;
		values = palloc_array(JsonbValue, Max(n, 1));
		for (int i = 0; i < n; i++)
			values[i] = *getIthJsonbValueFromContainer(&item->root, i);
		return handler->shape == HANDLER_WHOLE_ARGS ? JsonbValueToJsonb(&values[0])
													: args_by_position(handler, values, n);
	}
	if (handler->shape != HANDLER_NAMED_ARGS || JB_ROOT_IS_OBJECT(item))
		return item;
	if (handler->n_required > 1)
		return NULL;
	if (scalar)
		value = *getIthJsonbValueFromContainer(&item->root, 0);
	else
	{
		value.type = jbvBinary;
		value.val.binary.data = &item->root;
		value.val.binary.len = VARSIZE(item) - VARHDRSZ;
	}
	return args_by_position(handler, &value, 1);
}

/* The same for args that are an item, or what one means: f(jsonb) cannot tell, and takes them. */
Jsonb *
handler_args_of_item(const Handler *handler, Jsonb *item, bool star)
{
	return handler->shape == HANDLER_WHOLE_ARGS ? item : handler_item_args(handler, item, star);
}

/* Call the handler for an item of a map. */
Jsonb *
handler_call_item(Handler *handler, const char *function, Jsonb *item, bool star)
{
	Jsonb *args = item;

	if (handler->shape != HANDLER_WHOLE_ARGS || star)
	{
		args = handler_item_args(handler, item, star);
		if (args == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("an item does not fit the handler of \"%s\"", function),
							errdetail("The item is %s.", json_text(item)),
							errhint("The handler is %s.", format_procedure(handler->oid))));
		handler_check_args(handler, function, args);
	}
	return handler_call(handler, args);
}
